//! What a run pins.

use serde_json::{Value, json};
use shipway_contracts::v1::FlowForRunReply;
use shipway_events::plan::PinnedResource;
use tonic::Code;

use crate::support::{Lab, SHOP};

fn pinned(flow: &FlowForRunReply, slug: &str) -> PinnedResource {
    let resource = flow.resources.iter().find(|resource| resource.slug == slug).unwrap();
    serde_json::from_str(&resource.json).unwrap()
}

#[tokio::test]
async fn a_flow_has_many_names() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("shop/development").await.unwrap();
    assert_eq!(
        (flow.path.as_str(), flow.version, flow.stage.as_str()),
        ("shop/development", 1, "Development")
    );
    for name in ["shop/Development", "shop/shop/development", flow.flow.as_str()] {
        assert_eq!(lab.flow(name).await.unwrap(), flow, "{name}");
    }
    let by_id = format!("{}/shop/development", flow.project);
    assert_eq!(lab.flow(&by_id).await.unwrap(), flow);
}

#[tokio::test]
async fn a_name_that_is_not_known_gets_the_nearest_one() {
    let lab = Lab::new().await;
    let nothing = lab.flow("shop/development").await.unwrap_err();
    assert!(nothing.message().contains("No pipeline has been applied yet"), "{}", nothing.message());
    lab.applied(SHOP).await;
    for (name, words) in [
        ("shop/developmnt", "Did you mean `shop/development`?"),
        ("shop/shop/stagin", "Did you mean `shop/shop/staging`?"),
        ("shpo/shop/staging", "Did you mean `shop`?"),
        ("qa", "There is `shop/"),
        ("addon/shop/shop-bd", "Did you mean `shop-db`?"),
        ("00000000-0000-0000-0000-000000000001", "there is no flow"),
    ] {
        let status = lab.flow(name).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{name}");
        assert!(status.message().contains(words), "{name}: {}", status.message());
    }
    let unpublished = lab.flow("shop/production").await.unwrap_err();
    assert_eq!(unpublished.code(), Code::FailedPrecondition);
    assert!(unpublished.message().contains("no release flow yet"), "{}", unpublished.message());

    lab.applied(&SHOP.replace("name: Shop", "name: Second")).await;
    let ambiguous = lab.flow("shop/staging").await.unwrap_err();
    assert_eq!(ambiguous.code(), Code::InvalidArgument);
    assert!(
        ambiguous.message().contains("say `second/shop/staging` or `shop/shop/staging`"),
        "{}",
        ambiguous.message()
    );
    assert_eq!(lab.flow("second/shop/staging").await.unwrap().version, 1);
}

#[tokio::test]
async fn resources_come_with_their_stage_or_why_they_cannot_be_used() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("shop/staging").await.unwrap();
    assert_eq!((flow.stage.as_str(), flow.previous_stage.as_str()), ("Staging", "Development"));
    let seen: Vec<(&str, &str, bool)> = flow
        .resources
        .iter()
        .map(|resource| (resource.slug.as_str(), resource.stage.as_str(), resource.unusable.is_empty()))
        .collect();
    assert_eq!(
        seen,
        [
            ("shop-builder", "", true),
            ("shop-db", "Staging", true),
            ("shop-env", "", false),
            ("smoke", "Development", true),
            ("web", "Staging", true),
            ("web-dev", "Development", true),
        ]
    );
    let development = lab.flow("shop/development").await.unwrap();
    let web = development.resources.iter().find(|resource| resource.slug == "web").unwrap();
    assert!(web.unusable.contains("it is a member of shop/Staging"), "{}", web.unusable);
}

#[tokio::test]
async fn environments_are_pinned_with_secrets_by_name() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("shop/development").await.unwrap();
    let port = *pinned(&flow, "shop-db").ports.values().next().unwrap();
    let password = json!({"$secret": "addon/shop-db/password@1"});
    let uri = json!({"$text": ["postgresql://shipway:", password, format!("@127.0.0.1:{port}/shop_db")]});
    let mut environment = pinned(&flow, "web-dev").environment;
    environment.retain(|name, _| !name.starts_with("SHIPWAY_URL_"));
    assert_eq!(
        Value::Object(environment),
        json!({"DATABASE_URL": uri, "API_KEY": {"$secret": "group/shop-env/API_KEY@1"}, "MODE": "dev"})
    );
    assert_eq!(
        Value::Object(pinned(&flow, "web").environment)["MODE"],
        json!({"$secret": "group/shop-env/MODE@1"})
    );
}

#[tokio::test]
async fn an_addon_has_a_flow_of_one_node() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("addon/shop/shop-db").await.unwrap();
    let addon = pinned(&flow, "shop-db");
    assert_eq!((flow.flow.clone(), flow.version, flow.pipeline.as_str()), (addon.id.to_string(), 1, ""));
    assert_eq!(lab.flow(&flow.flow).await.unwrap(), flow);
    let document: Value = serde_json::from_str(&flow.document_json).unwrap();
    let parsed = shipway_documents::flow::Flow::parse(&document).unwrap();
    assert_eq!((parsed.root.children.len(), parsed.root.children[0].kind.as_str()), (1, "Addon"));
    assert_eq!(addon.environment["password"], json!({"$secret": "addon/shop-db/password@1"}));

    let changed = SHOP.replace("version: latest", "version: \"16\"");
    lab.applied(&changed).await;
    let flow = lab.flow("addon/shop/shop-db").await.unwrap();
    assert_eq!(flow.version, 2, "its document is its declaration");
    assert_eq!(pinned(&flow, "shop-db").environment, addon.environment, "the password is made once");
    assert_eq!(lab.flow("addon/shop/web").await.unwrap_err().code(), Code::InvalidArgument);
}
