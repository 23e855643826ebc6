//! Deliveries that come while the database is away.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;
use shipway_triggers::Config;

use crate::support::*;

/// How many deliveries, and how long the database is away.
fn size() -> (u64, Duration) {
    if std::env::var_os("SHIPWAY_FULL").is_some() {
        (2_000, Duration::from_secs(600))
    } else {
        (60, Duration::from_millis(500))
    }
}

fn judged() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some() || std::env::var_os("SHIPWAY_ROW").is_some()
}

/// Waits until the spool has nothing.
async fn drained(place: &Place) {
    for _ in 0..6_000 {
        let files = std::fs::read_dir(place.path().join("spool/0")).unwrap();
        let left = files
            .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "spool"));
        if left.count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the spool was not drained in a minute");
}

/// Takes the database away. The tests' server syncs nothing by itself, so that what it has answered, tables among it, is
/// put on its disk before.
async fn take_away(place: &mut Place) {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect(&place.server().url("postgres")).await.unwrap();
    sqlx::query("CHECKPOINT").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    tokio::task::block_in_place(|| place.server().stop()).unwrap();
}

fn home() -> Home {
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| {
        reply.hooks.push(flow_hook());
        reply.triggers.push(trigger(&json!({"kind": "webhook", "ref": "hook", "spec": {}})));
    });
    home
}

fn to_flow(number: u64) -> axum::http::Request<axum::body::Body> {
    axum::http::Request::post(format!("/hooks/flow/{FLOW_HOOK}?number={number}"))
        .header("idempotency-key", format!("f-{number}"))
        .body(axum::body::Body::empty())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_w_11_the_database_is_away_and_every_delivery_is_processed_once_in_order() {
    let (count, away) = size();
    let mut place = Place::postgresql();
    let world = World::start(&place, &home(), config()).await;
    let router = world.router();
    let push = |n: u64| push_body(REPOSITORY, "main", &commit(n), &commit(n + 1));
    assert_eq!(send(&router, delivery(&push(0), "d-0")).await.runs(), 1);
    world.matched_are(1).await;
    take_away(&mut place).await;
    let down = Instant::now();
    let mut times = Vec::new();
    let mut spooled = Vec::new();
    for n in 1..count {
        let request = if n.is_multiple_of(4) { to_flow(n) } else { delivery(&push(n), &format!("d-{n}")) };
        let begin = Instant::now();
        let answer = send(&router, request).await;
        times.push(begin.elapsed());
        assert_eq!((answer.status, answer.runs()), (StatusCode::ACCEPTED, 0), "{}", answer.text);
        assert!(answer.json()["message"].as_str().unwrap().contains("safe on disk"), "{}", answer.text);
        spooled.push(answer.json()["delivery"].as_str().unwrap().to_owned());
        let due = away.mul_f64(n as f64 / count as f64);
        tokio::time::sleep(due.saturating_sub(down.elapsed())).await;
    }
    // What is refused is refused, whether there is a database or not.
    let mut forged = delivery(&push(1), "forged");
    forged.headers_mut().insert("x-hub-signature-256", "sha256=00".parse().unwrap());
    assert_eq!(send(&router, forged).await.status, StatusCode::UNAUTHORIZED);
    let secret = axum::http::Request::get(format!("/hooks/flow/{FLOW_HOOK}?password=x"));
    let secret = send(&router, secret.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(secret.status, StatusCode::BAD_REQUEST);

    tokio::task::block_in_place(|| place.server().start_again()).unwrap();
    let up = Instant::now();
    drained(&place).await;
    let matched = world.matched_are(usize::try_from(count).unwrap()).await;
    let took = up.elapsed();
    // Each hook's in its order, each under the id that its sender heard.
    let of = |hook: &str| {
        let of_hook = matched.iter().filter(move |matched| matched.hook.unwrap().to_string() == hook);
        of_hook.collect::<Vec<_>>()
    };
    let commits: Vec<_> =
        of(HOOK).iter().map(|m| m.verdicts[0].values["sha"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<_> =
        (0..count).filter(|n| *n == 0 || !n.is_multiple_of(4)).map(|n| commit(n + 1)).collect();
    assert_eq!(commits, expected);
    let numbers: Vec<u64> = of(FLOW_HOOK)
        .iter()
        .map(|m| m.verdicts[0].arguments["number"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (1..count).filter(|n| n.is_multiple_of(4)).collect::<Vec<_>>());
    let ids: std::collections::BTreeSet<_> = matched.iter().map(|m| m.delivery.to_string()).collect();
    assert!(spooled.iter().all(|id| ids.contains(id)));
    // A sender that comes again hears what became of it.
    let again = loop {
        let again = send(&router, delivery(&push(1), "d-1")).await;
        // A database that was late once more has it written to disk, and then nobody knows the first one yet.
        if !again.json()["message"].as_str().unwrap_or_default().contains("safe on disk") {
            break again;
        }
        drained(&place).await;
    };
    assert_eq!((again.runs(), again.json()["delivery"].as_str().unwrap()), (1, spooled[0].as_str()));
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!(
        "ROW W-11 deliveries={count} away={away:?} accepted_p99={p99:?} slowest={:?} drained_in={took:?} lost=0 doubled=0",
        times.last().unwrap()
    );
    if judged() && count > 1_000 {
        assert!(p99 <= Duration::from_millis(250), "{p99:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_w_11_a_full_spool_is_said_and_nothing_of_it_is_lost() {
    let mut place = Place::postgresql();
    let small = Config { spool_max: 20_000, ..config() };
    let world = World::start(&place, &home(), small).await;
    let router = world.router();
    take_away(&mut place).await;
    let mut taken = 0;
    let refused = loop {
        let body = push_body(REPOSITORY, "main", &commit(taken), &commit(taken + 1));
        let answer = send(&router, delivery(&body, &format!("d-{taken}"))).await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        taken += 1;
    };
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "60");
    assert!(refused.text.contains("is full"), "{}", refused.text);
    assert!(taken > 5, "{taken}");
    tokio::task::block_in_place(|| place.server().start_again()).unwrap();
    drained(&place).await;
    world.matched_are(usize::try_from(taken).unwrap()).await;
    println!("ROW W-11 full: taken={taken} then 503, lost=0");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_with_deliveries_in_its_spool_gives_them_to_the_next() {
    let mut place = Place::postgresql();
    let world = World::start(&place, &home(), config()).await;
    let router = world.router();
    let push = |n: u64| push_body(REPOSITORY, "main", &commit(n), &commit(n + 1));
    take_away(&mut place).await;
    for n in 0..10 {
        assert_eq!(send(&router, delivery(&push(n), &format!("d-{n}"))).await.status, StatusCode::ACCEPTED);
    }
    drop(router);
    world.end().await;
    // As a kill leaves it: a file whose end was not written whole, and one that was in the inbox already.
    let folder = place.path().join("spool/0");
    let file = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let file = file.filter(|file| file.extension().is_some_and(|ending| ending == "spool")).max().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_within(..100);
    std::fs::write(&file, &bytes).unwrap();
    tokio::task::block_in_place(|| place.server().start_again()).unwrap();
    let world = World::start(&place, &home(), config()).await;
    drained(&place).await;
    world.matched_are(10).await;
    world.end().await;
    std::fs::write(&file, &bytes).unwrap();
    let world = World::start(&place, &home(), config()).await;
    drained(&place).await;
    let matched = world.matched_are(10).await;
    let commits: Vec<_> =
        matched.iter().map(|m| m.verdicts[0].values["sha"].as_str().unwrap().to_owned()).collect();
    assert_eq!(commits, (1..11).map(commit).collect::<Vec<_>>());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_judged_by_the_triggers_of_then_and_stored_in_any_case() {
    let mut place = Place::postgresql();
    let home = home();
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let body = push_body(REPOSITORY, "main", ZERO, &commit(1));
    take_away(&mut place).await;
    assert_eq!(send(&router, delivery(&body, "d-1")).await.status, StatusCode::ACCEPTED);
    assert_eq!(send(&router, to_flow(1)).await.status, StatusCode::ACCEPTED);
    drop(router);
    world.end().await;
    // Meanwhile the repository's hook went, and the flow's argument became a secret.
    home.change(|reply| {
        reply.hooks.retain(|hook| hook.kind == "flow");
        reply.triggers.iter_mut().for_each(|trigger| trigger.secret_arguments.push("number".to_owned()));
    });
    tokio::task::block_in_place(|| place.server().start_again()).unwrap();
    let world = World::start(&place, &home, config()).await;
    drained(&place).await;
    let all = world.list("", 10).await.deliveries;
    let summaries: Vec<_> = all.iter().map(|delivery| delivery.summary.as_str()).collect();
    assert_eq!(summaries.len(), 2);
    assert!(summaries.iter().any(|text| text.contains("its hook was taken away")), "{summaries:?}");
    assert!(summaries.iter().any(|text| text.contains("argument `number` is secret")), "{summaries:?}");
    assert!(world.matched().await.is_empty());
    world.end().await;
}

#[tokio::test]
async fn with_neither_database_nor_disk_the_ingress_says_so() {
    let place = Place::sqlite();
    let world = World::start(&place, &home(), config()).await;
    let body = push_body(REPOSITORY, "main", ZERO, &commit(1));
    world.durable.close().await;
    std::fs::remove_dir_all(place.path().join("spool")).unwrap();
    let answer = send(&world.router(), delivery(&body, "d-1")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    world.end().await;
}
