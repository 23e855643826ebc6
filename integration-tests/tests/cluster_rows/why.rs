//! A node waits for an executor that is not there for it: `why` names it, and what it tells to do ends the wait.

use serde_json::{Value, json};
use shipway_contracts::v1::runs_client::RunsClient;
use shipway_integration_tests::{
    cluster::Shape,
    shipway::{PATIENCE, wait},
    sink::{Entry, What},
    workload::{self, FLOW, Workload},
};

use crate::given::Given;

/// Starts a run whose requests come to a door of the sink.
async fn start(given: &Given, door: &str, number: usize) -> String {
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let sink = json!({ "SINK": format!("{}/{door}/{number}", given.sink.url()) });
    workload::start(&runs, FLOW, "", &sink).await.unwrap().run
}

/// Waits until that holds a run up before all, and tells it.
fn told(given: &Given, run: &str, kind: &str) -> Value {
    let blocker = || {
        let blocker = given.cluster.json(&["why", run])?["blockers"][0].clone();
        Ok((blocker["kind"] == kind).then_some(blocker))
    };
    wait(&format!("{run} to be held up by `{kind}`"), blocker).unwrap()
}

/// A run ends well, its effects are there once each, and nothing is said to hold it up.
async fn well(given: &Given, run: &str, number: usize) {
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let ended = workload::end(&runs, run).await.unwrap();
    assert_eq!(ended.status, "success", "{ended:#?}");
    let verdict = given.sink.judge(Workload::targets(number)).unwrap();
    assert!(verdict.lost.is_empty() && verdict.doubled.is_empty(), "{verdict:#?}");
    let why = given.cluster.json(&["why", run]).unwrap();
    assert_eq!(why["blockers"], json!([]), "{why:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_away_is_named_until_it_is_started() {
    let mut given = Given::new("why-away", Shape { services: [1; 5], ..Shape::default() });
    let executor = given.cluster.executor_id("executor-1").unwrap();
    given.cluster.process("executor-1").kill().unwrap();
    let run = start(&given, "effect", 1).await;
    let told = told(&given, &run, "executor_away");
    assert_eq!(told["action"], "shipway serve executor", "{told:#}");
    assert!(told["advice"].as_str().unwrap().ends_with("which is away"), "{told:#}");
    assert_eq!(told["holder"], format!("executor {executor}"), "{told:#}");
    given.cluster.process("executor-1").start().unwrap();
    well(&given, &run, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_stopping_is_named_until_another_is_started() {
    let mut given = Given::new("why-draining", Shape { services: [1; 5], ..Shape::default() });
    let executor = given.cluster.executor_id("executor-1").unwrap();
    let first = start(&given, "hold", 1).await;
    let is_held = |ledger: &[Entry]| ledger.iter().any(|entry| entry.what == What::Held).then_some(());
    given.sink.wait("work that keeps the executor", PATIENCE, is_held).unwrap();
    given.cluster.process("executor-1").ask_to_stop().unwrap();
    let second = start(&given, "effect", 2).await;
    let told = told(&given, &second, "executor_draining");
    assert_eq!(told["action"], "shipway serve executor", "{told:#}");
    assert!(told["advice"].as_str().unwrap().contains("is stopping and takes nothing more"), "{told:#}");
    assert_eq!(told["holder"], format!("executor {executor}"), "{told:#}");
    given.cluster.add_executor().unwrap();
    well(&given, &second, 2).await;
    given.sink.release();
    well(&given, &first, 1).await;
}
