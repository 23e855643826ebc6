//! A flow's own address.

use std::collections::BTreeMap;

use crate::support::*;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use shipway_events::run::Origin;

const TOKEN: &str = "a-token-that-the-document-chose-0123";

fn home() -> Home {
    let home = Home::default();
    home.change(|reply| {
        reply.hooks.push(flow_hook());
        reply.triggers.push(trigger(&json!({"kind": "webhook", "ref": "hook", "spec": {"token": TOKEN}})));
        reply.triggers.push(on_push("main-push", REPOSITORY, &["main"], false));
    });
    home
}

fn get(query: &str) -> Request<Body> {
    Request::get(format!("/hooks/flow/{FLOW_HOOK}{query}")).body(Body::empty()).unwrap()
}

fn post(body: &str) -> Request<Body> {
    Request::post(format!("/hooks/flow/{FLOW_HOOK}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn a_request_starts_the_flow_with_what_it_says() {
    let place = Place::sqlite();
    let world = World::start(&place, &home(), config()).await;
    let router = world.router();
    let answer = send(&router, get("?main-push%2Ebranch=release%2F1&name=Nightly+build&foo=a%26b")).await;
    assert_eq!(answer.runs(), 1);
    assert_eq!(answer.json()["runs"][0]["name"], "Nightly build");
    let matched = world.matched_are(1).await.remove(0);
    let verdict = &matched.verdicts[0];
    assert_eq!((verdict.trigger.as_str(), verdict.origin), ("hook", Origin::Webhook));
    assert_eq!(Value::Object(verdict.triggers.clone()), json!({"main-push": {"branch": "release/1"}}));
    assert_eq!(Value::Object(verdict.arguments.clone()), json!({"foo": "a&b"}));

    assert_eq!(send(&router, post(r#"{"version": 7}"#)).await.runs(), 1);
    let body = &world.matched_are(2).await[1].verdicts[0].values["body"];
    assert_eq!(*body, json!({"version": 7}));
    // The same request again is another request.
    assert_eq!(send(&router, get("?foo=1")).await.runs(), 1);
    assert_eq!(send(&router, get("?foo=1")).await.runs(), 1);
    world.matched_are(4).await;
    // With an id of its sender it is the same one.
    let with_id = || Request::post(format!("/hooks/flow/{TOKEN}")).header("idempotency-key", "k");
    let first = send(&router, with_id().body(Body::empty()).unwrap()).await;
    assert_eq!(first.runs(), 1);
    assert_eq!(send(&router, with_id().body(Body::empty()).unwrap()).await.text, first.text);
    world.matched_are(5).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_refused_is_not_stored_and_not_repeated() {
    let place = Place::sqlite();
    let world = World::start(&place, &home(), config()).await;
    let router = world.router();
    let secret = send(&router, get("?password=hunter2")).await;
    assert_eq!(secret.status, StatusCode::BAD_REQUEST);
    assert!(secret.text.contains("password") && !secret.text.contains("hunter2"), "{}", secret.text);
    assert_eq!(send(&router, get("?main-push.sha=HEAD")).await.status, StatusCode::BAD_REQUEST);
    let form = Request::post(format!("/hooks/flow/{FLOW_HOOK}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("foo=bar"))
        .unwrap();
    assert_eq!(send(&router, form).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // A look at the address, as a chat's link preview takes, starts nothing.
    let look = Request::head(format!("/hooks/flow/{FLOW_HOOK}")).body(Body::empty()).unwrap();
    assert_eq!(send(&router, look).await.status, StatusCode::METHOD_NOT_ALLOWED);
    for path in [
        "/hooks/flow/nobody",
        "/hooks/flow/a-token-that-the-document-chose-0124",
        &format!("/hooks/flow/{HOOK}"),
    ] {
        let answer = send(&router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(world.rows("").await, 0);
    world.end().await;
}

#[tokio::test]
async fn a_paused_flow_says_so_with_202() {
    let place = Place::sqlite();
    let home = home();
    home.change(|reply| reply.triggers.iter_mut().for_each(|trigger| trigger.paused = true));
    let world = World::start(&place, &home, config()).await;
    let answer = send(&world.router(), get("?foo=1")).await;
    assert_eq!(answer.runs(), 0);
    assert!(
        answer.json()["message"]
            .as_str()
            .unwrap()
            .ends_with("the flow shop/development is paused: nothing runs")
    );
    assert_eq!(world.rows("WHERE state = 'unmatched'").await, 1);
    world.end().await;
}

/// A run without a body, though one was sent, says why.
#[tokio::test]
async fn a_body_that_becomes_no_value_is_said() {
    let place = Place::sqlite();
    let world = World::start(&place, &home(), config()).await;
    let (long, broken) = (format!("\"{}\"", "x".repeat(64 * 1024)), "{\"version\": 7");
    for (n, (body, expected)) in [
        (
            long.as_str(),
            "the request came to the flow's address; the run has no `body`: it has 65538 bytes, and more than 64 KiB \
             become none",
        ),
        (
            broken,
            "the request came to the flow's address; the run has no `body`: it is no JSON (EOF while parsing an object \
             at line 1 column 13)",
        ),
        (r#"{"version": 7}"#, "the request came to the flow's address"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(send(&world.router(), post(body)).await.runs(), 1);
        let verdict = world.matched_are(n + 1).await.remove(n).verdicts.remove(0);
        assert_eq!((verdict.reason.as_str(), verdict.values.contains_key("body")), (expected, n == 2));
    }
    world.end().await;
}

#[tokio::test]
async fn a_signed_request_must_be_signed_rightly() {
    let place = Place::sqlite();
    let home = home();
    home.change(|reply| reply.hooks[0].secrets = vec!["a shared secret".to_owned()]);
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let now = world.log.now().millis() / 1000;
    let signed = |id: &str, time: i64, key: &str, body: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{id}.{time}.{body}").as_bytes());
        let mut request = post(body);
        let headers = request.headers_mut();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", time.to_string().parse().unwrap());
        let signature = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
        headers.insert("webhook-signature", signature.parse().unwrap());
        request
    };
    let first = send(&router, signed("msg_1", now, "a shared secret", "{}")).await;
    assert_eq!(first.runs(), 1);
    assert_eq!(send(&router, signed("msg_1", now, "a shared secret", "{}")).await.text, first.text);
    for (time, key) in [(now - 310, "a shared secret"), (now + 310, "a shared secret"), (now, "another")] {
        let answer = send(&router, signed("msg_2", time, key, "{}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.rows("").await, 1);
    world.end().await;
}

/// Requests that come at the same time are stored by one statement: of those with one id each hears what the first heard,
/// also where another process has stored it meanwhile.
async fn of_many_with_one_id_one_is_stored(place: Place) {
    let world = World::start(&place, &home(), config()).await;
    let other = match place.is_shared() {
        true => Some(World::start(&place, &home(), config()).await),
        false => None,
    };
    let mut heard: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..5_usize {
        // Among those of a round are such as came in the last one.
        let key = |n: usize| format!("{}-{}", round.saturating_sub(n / 16), n % 4);
        let requests = (0..24).map(|n| {
            let request = Request::post(format!("/hooks/flow/{TOKEN}"))
                .header("idempotency-key", key(n))
                .body(Body::empty())
                .unwrap();
            // By twos, so that each id comes to both.
            let router = other.as_ref().filter(|_| n / 4 % 2 == 1).unwrap_or(&world).router();
            async move { send(&router, request).await }
        });
        let answers = futures::future::join_all(requests).await;
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.runs(), 1);
            let first = heard.entry(key(n)).or_insert_with(|| answer.text.clone());
            assert_eq!((&answer.text, n), (&*first, n));
        }
    }
    assert_eq!(world.rows("").await, 20);
    world.matched_are(20).await;
    if let Some(other) = other {
        other.end().await;
    }
    world.end().await;
}

crate::on_both! {
    of_many_with_one_id_one_is_stored,
}
