//! Overrides of arguments.

use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Lab, SHOP};

#[tokio::test]
async fn an_override_is_secret_unless_marked_plain_and_takes_effect_with_the_next_run() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let overrides = async || -> Value {
        serde_json::from_str(&lab.flow("shop/development").await.unwrap().overrides_json).unwrap()
    };
    assert_eq!(overrides().await, json!({}));
    lab.set("shop/development", "GREETING", "good morning", false).await.unwrap();
    lab.set("shop/development", "LEVEL", "3", true).await.unwrap();
    lab.set("shop/development", "OWN", "something", true).await.unwrap();
    let flow = lab.flow("shop/development").await.unwrap().flow;
    let secret = |version: u32| json!({"$secret": format!("override/{flow}/GREETING@{version}")});
    assert_eq!(overrides().await, json!({"GREETING": secret(1), "LEVEL": "3", "OWN": "something"}));

    assert_eq!(
        lab.set("shop/development", "GREETING", "good morning", false).await.unwrap(),
        0,
        "the same again"
    );
    lab.set("shop/development", "GREETING", "good evening", false).await.unwrap();
    assert_eq!(overrides().await["GREETING"], secret(2));
}

#[tokio::test]
async fn an_override_that_asks_for_a_secret_is_one_from_then_on() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let text = "token-${fn.randomSecret(40)}";
    lab.set("shop/development", "GREETING", text, false).await.unwrap();
    let reply = lab.flow("shop/development").await.unwrap();
    let overrides: Value = serde_json::from_str(&reply.overrides_json).unwrap();
    assert_eq!(overrides["GREETING"], json!({"$secret": format!("override/{}/GREETING@1", reply.flow)}));
    for event in lab.events().await {
        assert!(!event.data.contains("randomSecret"), "{}", event.kind);
    }
    let status = lab.set("shop/development", "GREETING", text, true).await.unwrap_err();
    assert!(status.message().contains("is a secret; leave `plain` out"), "{}", status.message());
    let status = lab.set("shop/development", "GREETING", "${fn.randomSecret(2)}", false).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
}

#[tokio::test]
async fn what_cannot_be_overridden_so_is_refused_with_the_way_out() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let head = lab.head().await;
    let refused = [
        (
            "shop/development",
            "LEVEL",
            "secret-level",
            false,
            Code::FailedPrecondition,
            "decides what happens",
        ),
        ("shop/development", "LEVEL", "many", true, Code::InvalidArgument, "a whole number"),
        ("shop/development", "GREETING", "short", false, Code::InvalidArgument, "6 characters or more"),
        ("shop/development", "A B", "a value", true, Code::InvalidArgument, "is not an argument's name"),
        ("shop/develpment", "GREETING", "a value", true, Code::NotFound, "Did you mean `shop/development`?"),
        ("addon/shop/shop-db", "A", "a value", true, Code::InvalidArgument, "has no arguments"),
    ];
    for (flow, argument, value, plain, code, words) in refused {
        let status = lab.set(flow, argument, value, plain).await.unwrap_err();
        assert_eq!(status.code(), code, "{}", status.message());
        assert!(status.message().contains(words), "{}", status.message());
        assert!(plain || !status.message().contains(value), "{}", status.message());
    }
    assert_eq!(lab.head().await, head);
}
