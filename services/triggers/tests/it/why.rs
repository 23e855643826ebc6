//! Why a push has started a run, or none: what is told is done, word for word, and the answer is another one.

use serde_json::json;
use shipway_contracts::{
    blockers::Kind,
    v1::{self, Blocker, WhyReply, WhyRequest},
};
use sqlx::Connection as _;

use crate::{
    pull_requests::{pull_request, tell},
    support::*,
    waiting::{by_path, deliver, home, judged},
};

async fn why(world: &World, what: &str) -> WhyReply {
    let request = WhyRequest { what: what.to_owned(), ..WhyRequest::default() };
    world.api().why(request).await.unwrap().into_inner()
}

/// The blockers of a kind.
fn of(reply: &WhyReply, kind: Kind) -> Vec<&Blocker> {
    reply.blockers.iter().filter(|blocker| blocker.kind == kind.as_str()).collect()
}

/// Does what a blocker says.
async fn act(world: &World, home: &Home, told: &Blocker) {
    let words: Vec<&str> = told.action.split_whitespace().collect();
    match words[..] {
        ["shipway", "replay", delivery] => {
            let request = v1::ReplayDeliveriesRequest {
                command: uuid::Uuid::now_v7().to_string(),
                deliveries: vec![delivery.to_owned()],
                ..v1::ReplayDeliveriesRequest::default()
            };
            world.api().replay_deliveries(request).await.unwrap();
        }
        ["shipway", "deliveries", "approve", delivery] => {
            let request = v1::ApproveDeliveryRequest {
                delivery: delivery.to_owned(),
                ..v1::ApproveDeliveryRequest::default()
            };
            world.api().approve_delivery(request).await.unwrap();
        }
        ["shipway", "flow", "resume", "shop/development"] => pause(world, home, false).await,
        _ => panic!("nobody knows how to do this: {told:#?}"),
    }
}

async fn pause(world: &World, home: &Home, paused: bool) {
    home.change(|reply| reply.triggers.iter_mut().for_each(|trigger| trigger.paused = paused));
    world.touch_project().await;
}

/// Waits until asking about something says that it has started so many runs.
async fn started(world: &World, what: &str, runs: usize) -> WhyReply {
    for _ in 0..3_000 {
        let reply = why(world, what).await;
        if reply.runs.len() == runs {
            return reply;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never {runs} runs: {:#?}", why(world, what).await);
}

#[tokio::test]
async fn a_push_that_starts_nothing_says_what_to_do_and_then_it_does() {
    let place = Place::sqlite();
    let home = Home::with_repository(REPOSITORY);
    let world = World::start(&place, &home, config()).await;
    let unknown = world.api().why(WhyRequest { what: "abcdef0".to_owned(), ..WhyRequest::default() }).await;
    assert!(unknown.unwrap_err().message().contains("shipway hooks"));

    // No rule wants its branch; once one does, it is judged once more.
    let answer = deliver(&world, &push_body(REPOSITORY, "feature", &commit(0), &commit(1))).await;
    assert_eq!(judged(&world, &answer).await.state, "unmatched");
    let reply = why(&world, &commit(1)).await;
    let told = of(&reply, Kind::Unmatched)[0].clone();
    assert!(reply.sentence.contains("has started no run"), "{}", reply.sentence);
    assert!(told.words.contains("matches none of the rules"), "{}", told.words);
    home.change(|reply| reply.triggers = vec![on_push("main-push", REPOSITORY, &["*"], true)]);
    world.touch_project().await;
    act(&world, &home, &told).await;
    let reply = started(&world, &commit(1), 1).await;
    assert!(reply.sentence.ends_with("has started 1 run"), "{}", reply.sentence);

    // While the flow is paused its triggers start nothing.
    let second = "2b".repeat(20);
    pause(&world, &home, true).await;
    let answer = deliver(&world, &push_body(REPOSITORY, "main", &commit(1), &second)).await;
    let push = judged(&world, &answer).await;
    let reply = why(&world, &second).await;
    let told = of(&reply, Kind::Paused)[0].clone();
    act(&world, &home, &told).await;
    // What it says of what came meanwhile is done, too.
    assert!(told.advice.contains("shipway replay"), "{}", told.advice);
    act(&world, &home, &Blocker { action: format!("shipway replay {}", push.id), ..told }).await;
    started(&world, &second, 1).await;

    // The same again is a row of its own, which names the first one.
    deliver(&world, &push_body(REPOSITORY, "main", &commit(1), &second)).await;
    let again = world.list("", 1).await.deliveries[0].id.clone();
    let reply = why(&world, &again).await;
    let told = of(&reply, Kind::Repeated)[0].clone();
    assert!(told.action.ends_with(&push.id), "{told:#?}");
    act(&world, &home, &told).await;
    started(&world, &second, 2).await;
    world.end().await;
}

#[tokio::test]
async fn a_forks_commit_waits_for_somebody_and_an_absent_repository_for_itself() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let address = git.address();
    git.files("main", &["src/a"]);
    git.git(&["checkout", "-q", "-b", "fix"]);
    git.write("src/fix", "x");
    git.git(&["add", "-A"]);
    let head = git.commit("Fix it");
    git.git(&["push", "-q", "origin", "HEAD:refs/pull/7/head"]);
    git.git(&["checkout", "-q", "main"]);
    let home = home(&address, vec![by_path(&address, &["src/**"], true)]);
    let world = World::start(&place, &home, config()).await;
    let answer = tell(
        &world,
        &pull_request(&address, "opened", &head, "fix", Some("https://github.com/mallory/shop")),
    )
    .await;
    let held = judged(&world, &answer).await;
    let stage = why(&world, "shop/development").await;
    let told = of(&stage, Kind::Fork)[0].clone();
    assert!(told.action.ends_with(&held.id) && told.words.contains(&head[..12]), "{told:#?}");
    act(&world, &home, &told).await;
    started(&world, &held.id, 1).await;
    assert!(of(&why(&world, "shop/development").await, Kind::Fork).is_empty());

    // Nobody has to do anything: its repository is asked until it answers.
    let bare = place.path().join("away");
    let folder = std::path::PathBuf::from(address.trim_start_matches("file://"));
    let pushed = git.files("main", &["src/later"]);
    std::fs::rename(&folder, &bare).unwrap();
    let answer = deliver(&world, &push_body(&address, "main", &commit(5), &pushed)).await;
    let id = answer.json()["delivery"].as_str().unwrap().to_owned();
    let reply = why(&world, &id).await;
    let told = of(&reply, Kind::Repository)[0];
    assert!(told.action.is_empty() && told.who.is_empty() && told.holder == address, "{told:#?}");
    assert_eq!(of(&why(&world, "shop/development").await, Kind::Repository).len(), 1);
    std::fs::rename(&bare, &folder).unwrap();
    started(&world, &id, 1).await;
    world.end().await;
}

/// What is stored is answered at once; while the log takes nothing, it has not been judged.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_only_stored_says_so_until_it_is_judged() {
    let mut place = Place::postgresql();
    let home = Home::with_repository(REPOSITORY);
    let world = World::start(&place, &home, config()).await;
    let mut session = sqlx::PgConnection::connect(&place.server().url("shipway")).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT position FROM shipway_log.head FOR UPDATE")
        .execute(&mut session)
        .await
        .unwrap();
    deliver(&world, &push_body(REPOSITORY, "main", &commit(0), &commit(1))).await;
    let reply = why(&world, &commit(1)).await;
    let told = of(&reply, Kind::Stored)[0];
    assert!(told.words.ends_with("has not been judged yet"), "{told:#?}");
    // Nobody has to do anything.
    assert!(told.action.is_empty() && told.who.is_empty(), "{told:#?}");
    assert!(reply.runs.is_empty() && reply.sentence.contains("has started no run"), "{reply:#?}");
    session.close().await.unwrap();
    let reply = started(&world, &commit(1), 1).await;
    assert!(of(&reply, Kind::Stored).is_empty(), "{reply:#?}");
    world.end().await;
}

#[tokio::test]
async fn a_flow_with_a_schedule_says_when_it_is_due() {
    let place = Place::sqlite();
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| {
        let daily = json!({"kind": "cron", "ref": "nightly", "spec": {"cron": "0 2 * * *"}});
        reply.triggers.push(trigger(&daily));
    });
    let world = World::start(&place, &home, config()).await;
    let reply = why(&world, "shop/development").await;
    let due = of(&reply, Kind::Schedule)[0];
    assert_eq!(due.action, "shipway run shop/development");
    assert!(!due.until.is_empty() && reply.sentence.contains(&due.until), "{reply:#?}");
    // What would be due while the flow is paused is not.
    pause(&world, &home, true).await;
    for _ in 0..3_000 {
        if why(&world, "shop/development").await.blockers.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(
        why(&world, "shop/development").await.sentence,
        "nothing that would start shop/development waits"
    );
    world.end().await;
}
