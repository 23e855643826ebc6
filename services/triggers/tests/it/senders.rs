//! Each sender's deliveries over HTTP: by its own scheme, at its own address, and nobody else's.

use crate::support::*;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use shipway_triggers::signature::hub_signature;

/// A secret in the form that Shipway makes them.
const SIGNING: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The hook of a repository that these may send to.
fn home(repository: &str, sources: &[&str], secrets: &[&str]) -> Home {
    let home = Home::with_repository(repository);
    home.change(|reply| {
        reply.hooks[0].sources = sources.iter().map(|&source| source.to_owned()).collect();
        reply.hooks[0].secrets = secrets.iter().map(|&secret| secret.to_owned()).collect();
    });
    home
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/it/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn request(source: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Body> {
    let mut request =
        Request::post(format!("/hooks/{source}/{HOOK}")).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_vec())).unwrap()
}

/// How each sender would send this body: the headers of a right request.
fn headers(source: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let hub = hub_signature(SIGNING.as_bytes(), body);
    let hex = hub.trim_start_matches("sha256=").to_owned();
    match source {
        "github" => vec![("x-github-event", "push".into()), ("x-hub-signature-256", hub)],
        "gitlab" => vec![("x-gitlab-event", "Push Hook".into()), ("x-gitlab-token", SIGNING.into())],
        "gitea" => vec![("x-gitea-event", "push".into()), ("x-gitea-signature", hex)],
        "forgejo" => vec![("x-forgejo-event", "push".into()), ("x-forgejo-signature", hex)],
        "bitbucket" => vec![("x-event-key", "repo:push".into()), ("x-hub-signature", hub)],
        "bitbucket-dc" => vec![("x-event-key", "repo:refs_changed".into()), ("x-hub-signature", hub)],
        _ => vec![("x-shipway-token", SIGNING.into())],
    }
}

const SENDERS: [(&str, &str, &str); 7] = [
    ("github", "https://github.com/acme/shop", "github-push-two-commits"),
    ("gitlab", "git@gitlab.example.com:acme/shop.git", "gitlab-push"),
    ("gitea", "https://git.example.com/acme/shop", "gitea-push"),
    ("forgejo", "https://git.example.com/acme/shop", "forgejo-push"),
    ("bitbucket", "https://bitbucket.org/acme/shop", "bitbucket-push"),
    ("bitbucket-dc", "https://bitbucket.example.com/scm/acme/shop.git", "bitbucket-dc-push"),
    ("azure", "git@ssh.dev.azure.com:v3/acme/Shop/shop", "azure-push"),
];

#[tokio::test]
async fn each_sender_starts_a_run_at_its_own_address_only() {
    for (source, repository, name) in SENDERS {
        let place = Place::sqlite();
        let home = home(repository, &[source], &[SIGNING]);
        home.change(|reply| reply.triggers = vec![on_push("t", repository, &["feature/*"], false)]);
        let world = World::start(&place, &home, config()).await;
        let router = world.router();
        let body = fixture(name);
        let right = headers(source, &body);
        let right: Vec<_> = right.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // An unknown hook's answer is what everything else hears.
        let unknown = Request::post(format!("/hooks/{source}/99999999-2222-4333-8444-555555555555"))
            .header("content-type", "application/json")
            .body(Body::from(body.clone()))
            .unwrap();
        let unknown = send(&router, unknown).await;
        assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
        for (other, ..) in SENDERS.iter().filter(|(other, ..)| *other != source) {
            // Even with everything that the other sender would send.
            let all = [headers(other, &body), headers(source, &body)].concat();
            let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = send(&router, request(other, &all, &body)).await;
            assert_eq!((answer.status, &answer.text), (unknown.status, &unknown.text), "{source} by {other}");
        }
        let unsigned = send(&router, request(source, &right[..right.len() - 1], &body)).await;
        assert_eq!((unsigned.status, &unsigned.text), (unknown.status, &unknown.text), "{source}");
        assert_eq!(world.rows("").await, 0, "{source}");
        let answer = send(&router, request(source, &right, &body)).await;
        assert_eq!(answer.runs(), 1, "{source}: {}", answer.text);
        let matched = world.matched_are(1).await.remove(0);
        assert_eq!(matched.verdicts[0].values["sha"], "c".repeat(40), "{source}");
        assert_eq!(matched.summary, "push of ccccccc to feature/cart", "{source}");
        // Once more is the same push.
        assert_eq!(send(&router, request(source, &right, &body)).await.text, answer.text, "{source}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_hook_of_ones_own_host_takes_each_by_its_scheme() {
    let place = Place::sqlite();
    let home = home("https://git.example.com/acme/shop", &["github", "gitea", "gitlab"], &[SIGNING]);
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let body = fixture("gitea-push");
    let (gitea, github) = (headers("gitea", &body), headers("github", &body));
    let pairs = |headers: &[(&'static str, String)]| -> Vec<(&'static str, String)> { headers.to_vec() };
    let mut sent = pairs(&gitea);
    // The look-alikes that Gitea sends beside its own.
    sent.extend([("x-github-event", "push".to_owned()), ("x-gogs-event", "push".to_owned())]);
    let sent: Vec<_> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(send(&router, request("gitea", &sent, &body)).await.status, StatusCode::ACCEPTED);
    assert_eq!(send(&router, request("github", &sent, &body)).await.status, StatusCode::UNAUTHORIZED);
    let github: Vec<_> = github.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(send(&router, request("gitea", &github, &body)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&router, request("forgejo", &sent, &body)).await.status, StatusCode::UNAUTHORIZED);
    let nobody = send(&router, request("sourceforge", &sent, &body)).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert!(nobody.text.contains("/hooks/bitbucket-dc/…"), "{}", nobody.text);
    world.end().await;
}

/// Row W-13, the switch: both secrets count while both are active, and the old one not a moment longer.
#[tokio::test]
async fn row_w_13_a_retired_secret_is_refused_at_once() {
    let place = Place::sqlite();
    let home = home(REPOSITORY, &["github"], &["the old secret of it"]);
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let deliver = async |secret: &str, number: u64| {
        let body = push_body(REPOSITORY, "main", &commit(number), &commit(number + 1));
        let signature = hub_signature(secret.as_bytes(), body.as_bytes());
        let pairs = [("x-github-event", "push"), ("x-hub-signature-256", signature.as_str())];
        send(&router, request("github", &pairs, body.as_bytes())).await.status
    };
    let (old, new) = ("the old secret of it", "the new secret of it");
    assert_eq!(deliver(old, 0).await, StatusCode::ACCEPTED);
    assert_eq!(deliver(new, 1).await, StatusCode::UNAUTHORIZED);
    home.change(|reply| reply.hooks[0].secrets = vec![new.to_owned(), old.to_owned()]);
    world.touch_project().await;
    for number in 2..40 {
        let secret = if number % 2 == 0 { old } else { new };
        assert_eq!(deliver(secret, number).await, StatusCode::ACCEPTED, "{number}");
    }
    home.change(|reply| reply.hooks[0].secrets = vec![new.to_owned()]);
    world.touch_project().await;
    assert_eq!(deliver(old, 40).await, StatusCode::UNAUTHORIZED);
    assert_eq!(deliver(new, 41).await, StatusCode::ACCEPTED);
    println!("ROW W-13 0 of 38 refused while both secrets count, the old one refused by the next delivery");
    world.end().await;
}

/// A flow's address with signing secrets: nothing unsigned any more.
#[tokio::test]
async fn a_flows_hook_with_signing_secrets_takes_signed_requests_only() {
    let place = Place::sqlite();
    let home = Home::default();
    home.change(|reply| {
        reply.hooks.push(flow_hook());
        reply.triggers.push(trigger(&serde_json::json!({"kind": "webhook", "ref": "hook", "spec": {}})));
    });
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let post = |signature: Option<&str>| {
        let mut request =
            Request::post(format!("/hooks/flow/{FLOW_HOOK}")).header("content-type", "application/json");
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        request.body(Body::from("{}")).unwrap()
    };
    let right = hub_signature(SIGNING.as_bytes(), b"{}");
    assert_eq!(send(&router, post(None)).await.status, StatusCode::ACCEPTED);
    // Nobody knows what it was signed with.
    assert_eq!(send(&router, post(Some(&right))).await.status, StatusCode::UNAUTHORIZED);
    home.change(|reply| {
        reply.hooks[0].secrets = vec![SIGNING.to_owned()];
        reply.hooks[0].signed = true;
    });
    world.touch_project().await;
    assert_eq!(send(&router, post(None)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&router, post(Some(&right))).await.status, StatusCode::ACCEPTED);
    let wrong = hub_signature(b"another", b"{}");
    assert_eq!(send(&router, post(Some(&wrong))).await.status, StatusCode::UNAUTHORIZED);
    world.end().await;
}
