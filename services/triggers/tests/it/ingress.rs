//! The ingress over a real log: what is answered, what is on disk when it is, and what follows.

use std::{sync::Arc, time::Duration};

use crate::support::*;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use shipway_events::{DeliveryId, FlowId, delivery::run_id};
use shipway_triggers::{Config, Rate, Sealer, signature::hub_signature};

crate::on_both! {
    row_w_9_each_delivery_up_to_five_times_makes_one_run_set,
    row_w_9_a_branch_forced_back_and_forth_gives_b_twice_and_replays_give_nothing,
    a_crash_between_the_202_and_the_event_loses_and_doubles_nothing,
    deliveries_are_listed_newest_first_in_pages,
}

#[tokio::test]
async fn a_push_is_on_disk_encrypted_before_its_202_and_starts_a_run_once() {
    let place = Place::sqlite();
    let world = World::start(&place, &Home::with_repository(REPOSITORY), config()).await;
    let body = push_body("git@github.com:acme/shop.git", "main", &commit(0), &commit(1));
    let answer = send(&world.router(), delivery(&body, "d-1")).await;
    // The row is there at this moment, whatever the matcher does.
    let (sealed, key, headers): (Vec<u8>, String, String) =
        sqlx::query_as("SELECT sealed, key, headers FROM inbox")
            .fetch_one(world.durable.pool())
            .await
            .unwrap();
    let opened = Sealer::open(&place.path().join("keys")).unwrap().unseal(key.as_bytes(), &sealed).unwrap();
    assert_eq!(opened, body.as_bytes());
    let log = std::fs::read(place.path().join("log.db-wal")).unwrap();
    assert!(
        !log.windows(20).any(|part| part == b"\"sender\":{\"login\":\"ad"),
        "the body is readable on disk"
    );
    let headers: Value = serde_json::from_str(&headers).unwrap();
    assert_eq!(headers["x-hub-signature-256"], "(71 bytes, not kept)");

    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let said = answer.json();
    let id: DeliveryId = said["delivery"].as_str().unwrap().parse().unwrap();
    let flow: FlowId = FLOW.parse().unwrap();
    let run = run_id(id, flow, "main-push");
    let name = format!("main-push-{}", &run.to_string()[30..]);
    assert_eq!(
        said,
        json!({"delivery": id, "message": "push of 0000000 to main: 1 run follows",
            "runs": [{"flow": "shop/development", "id": run, "name": name, "status": "pending"}]})
    );
    let matched = world.matched_are(1).await.remove(0);
    assert_eq!((matched.delivery, matched.hook.unwrap().to_string().as_str()), (id, HOOK));
    assert_eq!(matched.summary, "push of 0000000 to main");
    assert_eq!(matched.verdicts.len(), 1);
    assert_eq!(matched.verdicts[0].sender.as_deref(), Some("ada"), "she is the run's author");
    assert_eq!(
        Value::Object(matched.verdicts[0].values.clone()),
        json!({"branch": "main", "sha": commit(1), "repoUrl": REPOSITORY})
    );
    world.end().await;
}

#[tokio::test]
async fn what_starts_nothing_is_stored_and_answered_all_the_same() {
    let place = Place::sqlite();
    let world = World::start(&place, &Home::with_repository(REPOSITORY), config()).await;
    let router = world.router();
    let sign = |event: &str, id: &str, body: &str| {
        let mut request = delivery(body, id);
        request.headers_mut().insert("x-github-event", event.parse().unwrap());
        request
    };
    let push = |branch: &str, before: &str, after: &str| push_body(REPOSITORY, branch, before, after);
    let cases = [
        ("ping", r#"{"zen":"x"}"#.to_owned(), "ping: the hook works"),
        ("issues", "{}".to_owned(), "`issues` event: nothing listens to it"),
        ("push", push("topic", ZERO, &commit(1)), "matches none of the rules"),
        (
            "push",
            push("main", &commit(1), ZERO),
            "main was deleted: branch main was deleted: there is nothing to run",
        ),
        (
            "push",
            push("main", &commit(2), ZERO).replace("\"deleted\":true", "\"deleted\":false"),
            "was deleted",
        ),
        (
            "push",
            push("main", ZERO, &commit(1)).replace("refs/heads/main", "refs/tags/v1"),
            "is not a branch",
        ),
        (
            "push",
            push_body("https://github.com/acme/other", "main", ZERO, &commit(1)),
            "the delivery is about",
        ),
        (
            "push",
            "not json".to_owned(),
            "nothing can be made of it: the body is not the JSON of a `push` event",
        ),
        ("push", "[".repeat(60), "nothing can be made of it"),
    ];
    let count = cases.len();
    for (number, (event, body, says)) in cases.into_iter().enumerate() {
        let answer = send(&router, sign(event, &format!("d-{number}"), &body)).await;
        assert_eq!(answer.runs(), 0);
        assert!(answer.json()["message"].as_str().unwrap().contains(says), "{}", answer.text);
    }
    assert_eq!(world.rows("WHERE state = 'unmatched'").await, i64::try_from(count).unwrap());
    assert!(world.matched().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn strangers_learn_nothing_and_store_nothing() {
    let place = Place::sqlite();
    let world = World::start(&place, &Home::with_repository(REPOSITORY), config()).await;
    let router = world.router();
    let body = push_body(REPOSITORY, "main", ZERO, &commit(1));
    let right = hub_signature(SECRET.as_bytes(), body.as_bytes());
    let request = |hook: &str, signatures: &[&str]| {
        let mut request = Request::post(format!("/hooks/github/{hook}"))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", "d-1");
        for signature in signatures {
            request = request.header("x-hub-signature-256", *signature);
        }
        request.body(Body::from(body.clone())).unwrap()
    };
    let unknown = send(&router, request("99999999-2222-4333-8444-555555555555", &[&right])).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    let wrong = hub_signature(b"another secret", body.as_bytes());
    for (hook, signatures) in [
        (HOOK, &[wrong.as_str()][..]),
        (HOOK, &[]),
        (HOOK, &[right.as_str(), right.as_str()]),
        (HOOK, &[right.to_uppercase().as_str()]),
        ("not-a-hook", &[right.as_str()]),
        (FLOW_HOOK, &[right.as_str()]),
    ] {
        let answer = send(&router, request(hook, signatures)).await;
        assert_eq!((answer.status, &answer.text), (unknown.status, &unknown.text), "{hook} {signatures:?}");
    }
    let source = Request::post(format!("/hooks/gitlab/{HOOK}"))
        .header("content-type", "application/json")
        .body(Body::from(body.clone()))
        .unwrap();
    let elsewhere = send(&router, source).await;
    assert_eq!(
        (elsewhere.status, &elsewhere.text),
        (unknown.status, &unknown.text),
        "another source's address"
    );
    assert_eq!(world.rows("").await, 0);
    let older = hub_signature(b"an older secret", body.as_bytes());
    assert_eq!(send(&router, request(HOOK, &[older.as_str()])).await.runs(), 1, "both active secrets count");
    world.end().await;
}

#[tokio::test]
async fn w5_sizes_and_types_are_refused_before_anything_is_stored() {
    let place = Place::sqlite();
    let limit = Config { max_body: 10_000, ..config() };
    let world = World::start(&place, &Home::with_repository(REPOSITORY), limit).await;
    let router = world.router();
    let exact = push_body(REPOSITORY, "main", ZERO, &commit(1));
    let padded = |length: usize| format!("{exact}{}", " ".repeat(length - exact.len()));
    assert_eq!(send(&router, delivery(&padded(10_000), "d-1")).await.runs(), 1);
    let too_large = send(&router, delivery(&padded(10_001), "d-2")).await;
    assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Without a length: an endless body is read to the limit only.
    let mut endless = delivery("", "d-3");
    let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1000]));
    *endless.body_mut() = Body::from_stream(pieces);
    assert_eq!(send(&router, endless).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    for (name, value) in [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "gzip")]
    {
        let mut request = delivery(&exact, "d-4");
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(send(&router, request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{name}");
    }
    let mut long = delivery(&exact, &"x".repeat(300));
    assert_eq!(send(&router, std::mem::take(&mut long)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.rows("").await, 1);
    world.end().await;
}

#[tokio::test]
async fn a_noisy_hook_is_told_to_slow_down() {
    let place = Place::sqlite();
    let slow = Config { rate: Some(Rate { per_second: 1, burst: 2 }), ..config() };
    let world = World::start(&place, &Home::with_repository(REPOSITORY), slow).await;
    let router = world.router();
    let body = |n: u64| push_body(REPOSITORY, "main", &commit(n), &commit(n + 1));
    let mut taken = 0;
    // A slow machine sends no faster than the rate for a while.
    let refused = loop {
        let answer = send(&router, delivery(&body(taken), &format!("d-{taken}"))).await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        taken += 1;
    };
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(taken >= 2, "{taken}");
    // Who does not know the secret cannot use up the hook's share.
    let mut forged = delivery(&body(taken), "forged");
    forged.headers_mut().insert("x-hub-signature-256", "sha256=00".parse().unwrap());
    assert_eq!(send(&router, forged).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.rows("").await, i64::try_from(taken).unwrap());
    world.end().await;
}

#[tokio::test]
async fn a_hook_made_a_moment_ago_is_known() {
    let place = Place::sqlite();
    let home = Home::default();
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    for round in 0..20_u64 {
        let body = push_body(REPOSITORY, "main", &commit(round), &commit(round + 1));
        home.change(|reply| *reply = Default::default());
        world.touch_project().await;
        assert_eq!(send(&router, delivery(&body, "d")).await.status, StatusCode::UNAUTHORIZED);
        home.change(|reply| {
            reply.hooks.push(git_hook(HOOK, REPOSITORY));
            reply.triggers.push(on_push("main-push", REPOSITORY, &["main"], false));
        });
        world.touch_project().await;
        assert_eq!(send(&router, delivery(&body, &format!("d-{round}"))).await.runs(), 1, "round {round}");
    }
    world.end().await;
}

/// Row W-9, the part without real force pushes: each delivery one to five times, at once.
async fn row_w_9_each_delivery_up_to_five_times_makes_one_run_set(place: Place) {
    const PUSHES: u64 = 60;
    let world = World::start(&place, &Home::with_repository(REPOSITORY), config()).await;
    let router = world.router();
    let mut requests = Vec::new();
    for push in 0..PUSHES {
        let body =
            push_body(REPOSITORY, &format!("release/{}", push % 7), &commit(push), &commit(1000 + push));
        for copy in 0..=(push % 5) {
            // Every other copy has an id of its own, as a captured body that is sent again.
            let id = if copy % 2 == 0 { format!("d-{push}") } else { format!("d-{push}-{copy}") };
            requests.push((push, delivery(&body, &id)));
        }
    }
    let total = requests.len();
    let sent = stream::iter(requests).map(|(push, request)| {
        let router = router.clone();
        async move { (push, send(&router, request).await) }
    });
    let answers: Vec<_> = sent.buffer_unordered(16).collect().await;
    assert_eq!(answers.len(), total);
    let mut first: std::collections::BTreeMap<u64, String> = Default::default();
    for (push, answer) in answers {
        assert_eq!(answer.runs(), 1, "{}", answer.text);
        let known = first.entry(push).or_insert_with(|| answer.text.clone());
        assert_eq!(*known, answer.text, "a repeat hears the same");
    }
    let matched = world.matched_are(usize::try_from(PUSHES).unwrap()).await;
    let runs: std::collections::BTreeSet<_> =
        matched.iter().flat_map(|m| m.verdicts.iter().filter_map(|v| v.run(m.delivery))).collect();
    assert_eq!(runs.len(), usize::try_from(PUSHES).unwrap());
    println!("ROW W-9 {total} deliveries of {PUSHES} pushes: {} run sets", runs.len());
    world.end().await;
}

/// Row W-9, the forced pushes: byte-equal bodies, A to B to A to B, and replays in between.
async fn row_w_9_a_branch_forced_back_and_forth_gives_b_twice_and_replays_give_nothing(place: Place) {
    let git = Git::new(place.path());
    let address = git.address();
    let world = World::start(&place, &Home::with_repository(&address), config()).await;
    let router = world.router();
    let (a, b) = (git.push("A"), git.commit("B"));
    let force = |to: &str| git.git(&["push", "-q", "--force", "origin", &format!("{to}:main")]);
    let (to_b, to_a) = (push_body(&address, "main", &a, &b), push_body(&address, "main", &b, &a));
    let mut id = 0;
    let mut deliver = async |body: &str| {
        id += 1;
        send(&router, delivery(body, &format!("d-{id}"))).await
    };
    force(&b);
    let first = deliver(&to_b).await;
    assert_eq!(deliver(&to_b).await.text, first.text, "a replay while B is the head");
    force(&a);
    let back = deliver(&to_a).await;
    assert_ne!(back.text, first.text);
    assert_eq!(deliver(&to_b).await.text, first.text, "a replay of B while A is the head");
    force(&b);
    let again = deliver(&to_b).await;
    assert_ne!(again.text, first.text, "B for the second time");
    assert_eq!(deliver(&to_b).await.text, again.text);
    assert_eq!(deliver(&to_a).await.text, back.text, "a replay of A while B is the head");
    let matched = world.matched_are(3).await;
    let commits: Vec<_> =
        matched.iter().map(|m| m.verdicts[0].values["sha"].as_str().unwrap().to_owned()).collect();
    assert_eq!(commits, [b.clone(), a, b]);
    world.end().await;
}

/// Row W-9, the clock: a captured body comes again when 29 days have passed.
#[tokio::test]
async fn row_w_9_a_body_that_comes_again_after_29_days_is_a_replay() {
    let place = Place::sqlite();
    let world = World::start(&place, &Home::with_repository(REPOSITORY), config()).await;
    let body = push_body(REPOSITORY, "main", ZERO, &commit(1));
    let first = send(&world.router(), delivery(&body, "d-1")).await;
    world.matched_are(1).await;
    let mut tx = world.durable.begin().await.unwrap();
    let days = 29 * 24 * 3600 * 1_000_000_i64;
    let older = sqlx::query("UPDATE inbox SET received_at = received_at - $1").bind(days);
    older.execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(send(&world.router(), delivery(&body, "d-2")).await.text, first.text);
    world.matched_are(1).await;
    world.end().await;
}

async fn a_crash_between_the_202_and_the_event_loses_and_doubles_nothing(place: Place) {
    let home = Home::with_repository(REPOSITORY);
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    assert_eq!(
        send(&router, delivery(&push_body(REPOSITORY, "main", ZERO, &commit(1)), "d-0")).await.runs(),
        1
    );
    world.matched_are(1).await;
    // Everything in the background ends; the ingress still answers, as it does just before a kill.
    world.stop.cancel();
    world.service.stopped().await;
    let mut answers = Vec::new();
    for n in 1..30 {
        let body = push_body(REPOSITORY, "main", &commit(n), &commit(n + 1));
        answers.push((body.clone(), send(&router, delivery(&body, &format!("d-{n}"))).await));
    }
    assert_eq!((world.matched().await.len(), world.rows("WHERE state = 'stored'").await), (1, 29));
    world.end().await;

    let world = World::start(&place, &home, config()).await;
    let matched = world.matched_are(30).await;
    let ids: Vec<_> = matched.iter().map(|m| m.delivery).collect();
    assert!(ids.is_sorted(), "in the order of arrival");
    for (number, (body, answer)) in (1..).zip(&answers) {
        let id = answer.json()["delivery"].as_str().unwrap().to_owned();
        assert!(ids.iter().any(|known| known.to_string() == id));
        assert_eq!(&send(&world.router(), delivery(body, &format!("d-{number}"))).await.text, &answer.text);
    }
    // Killed after the append and before the rows were marked.
    let mut tx = world.durable.begin().await.unwrap();
    sqlx::query("UPDATE inbox SET state = 'stored' WHERE original IS NULL").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    world.end().await;
    let world = World::start(&place, &home, config()).await;
    world.matched_are(30).await;
    world.end().await;
}

async fn deliveries_are_listed_newest_first_in_pages(place: Place) {
    let world = World::start(&place, &Home::with_repository(REPOSITORY), config()).await;
    let router = world.router();
    let body = |n: u64| push_body(REPOSITORY, "main", &commit(n), &commit(n + 1));
    for n in 0..7 {
        send(&router, delivery(&body(n), &format!("d-{n}"))).await;
    }
    let repeated = send(&router, delivery(&body(6), "once more")).await;
    world.matched_are(7).await;
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.list(&after, 3).await;
        assert!(page.deliveries.len() <= 3);
        all.extend(page.deliveries);
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(all.len(), 8);
    let ids: Vec<_> = all.iter().map(|d| d.id.clone()).collect();
    assert!(ids.iter().rev().is_sorted());
    assert_eq!(all[0].state, "unmatched");
    let first = repeated.json()["delivery"].as_str().unwrap().to_owned();
    assert!(all[0].summary.ends_with(&format!("(the same as delivery {first})")), "{}", all[0].summary);
    assert_eq!(
        (all[1].id.as_str(), all[1].state.as_str(), all[1].hook.as_str()),
        (first.as_str(), "matched", HOOK)
    );
    let verdict = &all[1].verdicts[0];
    assert_eq!((verdict.matched, verdict.path.as_str()), (true, "shop/development"));
    assert_eq!(verdict.run, repeated.json()["runs"][0]["id"].as_str().unwrap());
    world.end().await;
}

#[tokio::test]
async fn many_at_once_are_all_on_disk() {
    let place = Place::sqlite();
    let world = World::start(&place, &Home::with_repository(REPOSITORY), config()).await;
    let router = Arc::new(world.router());
    let start = std::time::Instant::now();
    let sent = stream::iter(0..2_000_u64).map(|n| {
        let router = router.clone();
        let body = push_body(REPOSITORY, &format!("topic/{}", n % 50), &commit(n), &commit(n + 1));
        async move { send(&router, delivery(&body, &format!("d-{n}"))).await.runs() }
    });
    let runs: usize = sent.buffer_unordered(50).fold(0, async |sum, runs| sum + runs).await;
    let took = start.elapsed();
    assert_eq!((runs, world.rows("").await), (0, 2_000));
    println!("2000 deliveries in {took:?}: {:.0}/s (unoptimised build)", 2_000.0 / took.as_secs_f64());
    if std::env::var_os("SHIPWAY_FULL").is_some() {
        assert!(took < Duration::from_secs(60));
    }
    world.end().await;
}
