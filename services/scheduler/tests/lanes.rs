//! Runs of flows with each concurrency policy over a real log: who goes on, who waits for whom, who gives way, and what a
//! restart makes of it.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod world;

use std::time::Duration;

use shipway_nodes::Outcome;
use shipway_scheduler::Bell;
use world::{World, well};

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_for_their_turn_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    let one = world.start("queue").await;
    let (two, three) = (world.start("queue").await, world.start("queue").await);
    assert_eq!([&one.status, &two.status, &three.status], ["running", "queued", "queued"]);
    let words = |first: &str, more: &str| {
        format!("waits for its turn behind run {first}{more}; `shipway show {first}` says what holds that up")
    };
    assert_eq!(world.show(&two.run).await.reason, words(&one.run, ""));
    assert_eq!(world.show(&three.run).await.reason, words(&one.run, " and 1 more"));
    assert_eq!(world.listed("queued").await, [three.run.as_str(), two.run.as_str()]);
    assert_eq!(world.start("allow").await.status, "running", "a lane is a flow's own");
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
    drop(world);

    // The executor has started again, too: it is given anew what runs.
    let mut world = World::over(folder.path()).await;
    let works = [world.assigned(&one.run, 1).await, world.assigned(&one.run, 2).await];
    assert_eq!(world.wait(&two.run, "queued").await.reason, words(&one.run, ""));
    world.abort(&two.run).await;
    assert_eq!(world.show(&two.run).await.status, "aborted", "what waits ends at once");
    assert_eq!(world.show(&three.run).await.reason, words(&one.run, ""));
    world.abort(&one.run).await;
    for work in &works {
        world.end(work, &Outcome::Stopped).await;
    }
    world.wait(&one.run, "aborted").await;
    let three = world.wait(&three.run, "running").await;
    assert_eq!(three.reason, "");
    assert!(world.listed("queued").await.is_empty());
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn forbid_and_latest_end_what_they_do_not_want_and_say_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let (one, two) = (world.start("forbid").await, world.start("forbid").await);
    assert_eq!([&one.status, &two.status], ["running", "skipped"]);
    let two = world.show(&two.run).await;
    assert_eq!((two.reason, two.concluded), (format!("run {} is active", one.run), true));
    for node in [1, 2] {
        let work = world.assigned(&one.run, node).await;
        world.end(&work, &well()).await;
    }
    world.wait(&one.run, "success").await;
    assert_eq!(world.start("forbid").await.status, "running");

    let one = world.start("latest").await;
    let (two, three) = (world.start("latest").await, world.start("latest").await);
    let two = world.wait(&two.run, "skipped").await;
    assert_eq!(two.reason, format!("superseded by run {}", three.run));
    for node in [1, 2] {
        let work = world.assigned(&one.run, node).await;
        world.end(&work, &well()).await;
    }
    world.wait(&three.run, "running").await;
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_aborts_the_others_and_lets_finish_what_may_not_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let one = world.start("replace").await;
    let migrate = world.assigned(&one.run, 1).await;
    let rest = world.assigned(&one.run, 2).await;
    let two = world.start("replace").await;
    assert_eq!(two.status, "queued");
    let three = world.start("replace").await;
    let two = world.wait(&two.run, "aborted").await;
    assert_eq!(two.reason, format!("replaced by run {}", three.run));

    let shown = world.wait(&one.run, "aborting").await;
    assert!(shown.nodes[1].waiting_for.contains("is let finish"), "{:?}", shown.nodes[1]);
    loop {
        if matches!(world.heard.recv().await.unwrap(), Bell::Stop(fence) if fence.raw() == rest.fence) {
            break;
        }
    }
    world.end(&rest, &Outcome::Stopped).await;
    assert_eq!(world.show(&three.run).await.status, "queued");
    world.end(&migrate, &well()).await;
    let one = world.wait(&one.run, "aborted").await;
    let ends: Vec<_> = one.nodes.iter().map(|node| node.status.as_str()).collect();
    assert_eq!(ends, ["aborted", "success", "aborted"]);
    world.wait(&three.run, "running").await;
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}
