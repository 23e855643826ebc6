//! What people ask of a run: done once for each command, whoever does not hear the answer and asks again.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod world;

use std::time::Duration;

use serde_json::json;
use shipway_contracts::v1::{
    AbortRunRequest, JudgeNodeRequest, Node, RetryNodeRequest, Run, StartRunRequest,
};
use shipway_events::run::NodeError;
use shipway_nodes::Outcome;
use tonic::{Code, Response, Status};
use uuid::Uuid;
use world::World;

/// A run that waits for an approval, then for somebody to try its second step again, which it may be five times.
async fn started(world: &World) -> String {
    let document = json!({"apiVersion": "v1.2", "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [
        {"kind": "Approval", "ref": "gate", "spec": {"amount": 1}},
        {"kind": "Noop", "ref": "flaky", "spec": {},
            "retry": {"maxAttempts": 5, "backoff": "fixed", "delay": 3600}},
    ]}}});
    let request = StartRunRequest {
        command: Uuid::now_v7().to_string(),
        document_json: document.to_string(),
        ..StartRunRequest::default()
    };
    let reply = world.runs.clone().start_run(request).await.unwrap().into_inner();
    assert!(reply.problems.is_empty(), "{:?}", reply.problems);
    reply.run
}

fn an_id() -> String {
    Uuid::now_v7().to_string()
}

async fn approve(world: &World, run: &str, command: &str) -> Result<Run, Status> {
    let request = JudgeNodeRequest { command: command.to_owned(), run: run.to_owned(), ..Default::default() };
    world.runs.clone().approve_node(request).await.map(Response::into_inner)
}

async fn reject(world: &World, run: &str, command: &str) -> Result<Run, Status> {
    let request = JudgeNodeRequest { command: command.to_owned(), run: run.to_owned(), ..Default::default() };
    world.runs.clone().reject_node(request).await.map(Response::into_inner)
}

async fn retry(world: &World, run: &str, command: &str) -> Result<Run, Status> {
    let request = RetryNodeRequest { command: command.to_owned(), run: run.to_owned(), ..Default::default() };
    world.runs.clone().retry_node(request).await.map(Response::into_inner)
}

async fn abort(world: &World, run: &str, command: &str) -> Result<Run, Status> {
    let request = AbortRunRequest { command: command.to_owned(), run: run.to_owned(), ..Default::default() };
    world.runs.clone().abort_run(request).await.map(Response::into_inner)
}

/// The second step's next attempt fails.
async fn fails(world: &mut World, run: &str) -> Node {
    let work = world.assigned(run, 2).await;
    let error = NodeError { code: "down".to_owned(), message: "it is down".to_owned(), transient: true };
    world.end(&work, &Outcome::Failed { error }).await;
    let node = world.show(run).await.nodes.swap_remove(2);
    assert!(!node.next_attempt_at.is_empty(), "it waits to be tried again: {node:?}");
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_again_is_done_once_and_answered_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let run = started(&world).await;
    let (approval, again) = (an_id(), an_id());
    approve(&world, &run, &approval).await.unwrap();
    approve(&world, &run, &approval).await.unwrap();
    let refused = approve(&world, &run, &an_id()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");

    assert_eq!(fails(&mut world, &run).await.attempt, 1);
    retry(&world, &run, &again).await.unwrap();
    assert_eq!(fails(&mut world, &run).await.attempt, 2);
    let shown = retry(&world, &run, &again).await.unwrap();
    assert_eq!((shown.nodes[2].attempt, shown.nodes[2].next_attempt_at.is_empty()), (2, false), "{shown:#?}");

    // Both at once, so that neither finds the other in the log before it is decided.
    let twice = an_id();
    let (one, other) = tokio::join!(retry(&world, &run, &twice), retry(&world, &run, &twice));
    one.unwrap();
    other.unwrap();
    assert_eq!(fails(&mut world, &run).await.attempt, 3);
    let other = tokio::time::timeout(Duration::from_millis(200), world.assigned(&run, 2)).await;
    assert!(other.is_err(), "it was tried twice for one command");

    let stop = an_id();
    abort(&world, &run, &stop).await.unwrap();
    world.wait(&run, "aborted").await;
    assert_eq!(abort(&world, &run, &stop).await.unwrap().status, "aborted");
    let refused = abort(&world, &run, &an_id()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    world.lifecycle.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_another_command_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    let (run, other) = (started(&world).await, started(&world).await);
    let command = an_id();
    approve(&world, &run, &command).await.unwrap();
    for refused in [
        approve(&world, &other, &command).await.unwrap_err(),
        reject(&world, &other, &command).await.unwrap_err(),
        abort(&world, &run, &command).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("did something else before"), "{refused}");
    }
    let shown = world.show(&other).await;
    assert_eq!((shown.status.as_str(), shown.nodes[1].status.as_str()), ("approval_wait", "approval_wait"));
    let refused = approve(&world, &other, "one").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    world.lifecycle.stop(Duration::from_secs(5)).await;
}
