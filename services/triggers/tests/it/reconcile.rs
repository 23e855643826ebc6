//! Pushes that nobody told of, with real repositories.

use std::time::Duration;

use axum::http::StatusCode;
use shipway_triggers::Config;

use crate::support::*;

crate::on_both! {
    row_w_15_a_push_whose_delivery_never_came_starts_its_flow_once,
}

fn asking() -> Config {
    Config { reconcile_every: Some(Duration::from_millis(100)), ..config() }
}

/// Waits until the repository was looked at and this commit is known as the head of `main`.
async fn known(world: &World, commit: &str) {
    for _ in 0..1000 {
        let head: Option<String> =
            sqlx::query_scalar("SELECT sha FROM branch_heads WHERE reference = 'refs/heads/main'")
                .fetch_optional(world.durable.pool())
                .await
                .unwrap();
        if head.as_deref() == Some(commit) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{commit} never became known");
}

async fn rounds(world: &World, repository: &Git, branch: &str) {
    // A branch that is new shows that a whole round has passed since.
    repository.git(&["push", "-q", "origin", &format!("HEAD:refs/heads/{branch}")]);
    for _ in 0..1000 {
        let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM branch_heads WHERE reference = $1")
            .bind(format!("refs/heads/{branch}"))
            .fetch_one(world.durable.pool())
            .await
            .unwrap();
        if found == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{branch} was never seen");
}

async fn row_w_15_a_push_whose_delivery_never_came_starts_its_flow_once(place: Place) {
    let git = Git::new(place.path());
    let old = git.push("Before anybody listened");
    let home = Home::with_repository(&git.address());
    let world = World::start(&place, &home, asking()).await;
    known(&world, &old).await;
    assert!(world.matched().await.is_empty(), "the first look starts nothing");

    let missed = git.push("Nobody told of this");
    let matched = world.matched_are(1).await.remove(0);
    assert_eq!(matched.hook, None);
    assert_eq!(matched.verdicts[0].values["sha"], missed.as_str());
    assert!(matched.summary.contains("found by asking"), "{}", matched.summary);

    // Its delivery comes after all, twice: it is the push that was found.
    let body = push_body(&git.address(), "main", &old, &missed);
    for id in ["late", "late again"] {
        let answer = send(&world.router(), delivery(&body, id)).await;
        assert_eq!(answer.runs(), 1);
        assert_eq!(answer.json()["delivery"], matched.delivery.to_string());
    }
    rounds(&world, &git, "aside").await;
    // A delivery in time: asking afterwards finds nothing new.
    let told = git.push("Told in time");
    let answer =
        send(&world.router(), delivery(&push_body(&git.address(), "main", &missed, &told), "d")).await;
    // Either the delivery or the look came first; the answer names the run in both cases.
    assert_eq!(answer.runs(), 1);
    known(&world, &told).await;
    rounds(&world, &git, "aside2").await;
    world.matched_are(2).await;
    world.end().await;

    // Down while two pushes come: the newest is found, once, also over another start.
    let middle = git.push("While it was down");
    let last = git.push("Also while it was down");
    for _ in 0..2 {
        let world = World::start(&place, &home, asking()).await;
        let matched = world.matched_are(3).await;
        assert_eq!(matched[2].verdicts[0].values["sha"], last.as_str());
        known(&world, &last).await;
        // Both deliveries come late: they are the push that was found, and the older one does not run after it.
        for (old, new) in [(&told, &middle), (&middle, &last)] {
            let answer =
                send(&world.router(), delivery(&push_body(&git.address(), "main", old, new), new)).await;
            assert_eq!(answer.json()["delivery"], matched[2].delivery.to_string());
        }
        world.matched_are(3).await;
        world.end().await;
    }
}

/// A branch is forced back to a commit that it had, and the delivery of that is lost.
#[tokio::test]
async fn row_w_15_a_forced_push_back_whose_delivery_never_came_starts_its_flow_once() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let old = git.push("Before anybody listened");
    let home = Home::with_repository(&git.address());
    let world = World::start(&place, &home, asking()).await;
    known(&world, &old).await;
    let mut before = old;
    let mut told = Vec::new();
    for message in ["One", "Other"] {
        let commit = git.push(message);
        let body = push_body(&git.address(), "main", &before, &commit);
        assert_eq!(send(&world.router(), delivery(&body, message)).await.runs(), 1);
        known(&world, &commit).await;
        before.clone_from(&commit);
        told.push(commit);
    }
    git.git(&["push", "-q", "--force", "origin", &format!("{}:refs/heads/main", told[0])]);
    let matched = world.matched_are(3).await;
    assert_eq!((matched[2].hook, &matched[2].verdicts[0].values["sha"]), (None, &told[0].as_str().into()));
    let late = push_body(&git.address(), "main", &told[1], &told[0]);
    let answer = send(&world.router(), delivery(&late, "late")).await;
    assert_eq!(answer.json()["delivery"], matched[2].delivery.to_string());
    rounds(&world, &git, "aside").await;
    world.matched_are(3).await;
    world.end().await;
}

#[tokio::test]
async fn row_w_15_fifty_dropped_deliveries_are_one_run_each() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let first = git.push("First");
    let home = Home::with_repository(&git.address());
    let world = World::start(&place, &home, asking()).await;
    known(&world, &first).await;
    let start = std::time::Instant::now();
    for number in 0..50 {
        git.commit(&format!("Push {number}"));
        git.git(&["push", "-q", "origin", &format!("HEAD:refs/heads/release/{number}")]);
    }
    let matched = world.matched_are(50).await;
    let took = start.elapsed();
    let branches: std::collections::BTreeSet<_> =
        matched.iter().map(|m| m.verdicts[0].values["branch"].as_str().unwrap().to_owned()).collect();
    assert_eq!(branches.len(), 50);
    println!("ROW W-15 dropped=50 found={} in={took:?}", matched.len());
    if std::env::var_os("SHIPWAY_FULL").is_some() || std::env::var_os("SHIPWAY_ROW").is_some() {
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_is_found_is_judged_by_its_messages_too() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let first = git.push("First");
    let home = Home::with_repository(&git.address());
    let world = World::start(&place, &home, asking()).await;
    known(&world, &first).await;
    git.commit("Halfway\n\n[skip ci]");
    let flagged = git.push("The newest says nothing");
    known(&world, &flagged).await;
    assert!(world.matched().await.is_empty());
    // A push that matches no rule is recorded and starts nothing either.
    rounds(&world, &git, "topic").await;
    assert!(world.matched().await.is_empty());
    let plain = git.push("Plain again");
    assert_eq!(world.matched_are(1).await[0].verdicts[0].values["sha"], plain.as_str());
    world.end().await;
}

#[tokio::test]
async fn a_repository_that_is_away_is_asked_again() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let first = git.push("First");
    let home = Home::with_repository(&git.address());
    let world = World::start(&place, &home, asking()).await;
    known(&world, &first).await;
    let away = place.path().join("away.git");
    std::fs::rename(&git.bare, &away).unwrap();
    run(&away, &["update-ref", "refs/heads/main", &first]);
    // The ingress does not care.
    let body = push_body(&git.address(), "main", &first, &commit(1));
    assert_eq!(send(&world.router(), delivery(&body, "d")).await.status, StatusCode::ACCEPTED);
    world.matched_are(1).await;
    std::fs::rename(&away, &git.bare).unwrap();
    let second = git.push("Second");
    let matched = world.matched_are(2).await;
    assert_eq!(matched[1].verdicts[0].values["sha"], second.as_str());
    world.end().await;
}

/// A push whose delivery was lost starts its flow within a minute; a forced one is seen in two rounds.
#[test]
fn row_w_15_repositories_are_asked_often_enough_unless_somebody_says_otherwise() {
    let often = Duration::from_secs(30);
    assert!(Config::default().reconcile_every.unwrap() <= often);
    assert!(shipway_triggers::Settings::default().reconcile.every <= often);
}
