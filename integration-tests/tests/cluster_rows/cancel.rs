//! E-10, with real processes: runs are aborted at any time of their lives, and with the executor that has their work
//! dead.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use rand::RngExt;
use serde_json::json;
use shipway_contracts::v1::{
    AbortRunRequest, ReadEventsRequest, events_client::EventsClient, runs_client::RunsClient,
};
use shipway_integration_tests::{
    cluster::Shape,
    sink::What,
    workload::{self, patiently},
};

use crate::given::{Given, full, judged, sized};

/// What a run has at once: something that is done at once, a request that nobody answers, a retry far away, and a gate;
/// and what is done in any case.
const STEPS: &str = "
                - kind: Workflow
                  ref: all
                  spec:
                    type: parallel
                    steps:
                      - {kind: Message, ref: sent, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/effect/${args.N}-sent\", message: it}}}
                      - {kind: Message, ref: held, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/hold/${args.N}-held\", message: it}}}
                      - {kind: Message, ref: again, retry: {maxAttempts: 3, delay: 3600}, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/later/${args.N}-again\", message: it}}}
                      - {kind: Approval, ref: gate, spec: {amount: 1}}
                - {kind: Message, ref: always, when: always, retry: {maxAttempts: 20, delay: 1}, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/effect/${args.N}-always\", message: it}}}
";

/// What has to have ended, whoever is dead.
const BOUND: Duration = Duration::from_secs(30);

/// How long ago the dead executor was heard of last, in the test of every day: nobody waits any longer for what it was
/// told to stop.
const DEAD: Duration = Duration::from_secs(60);

/// The policies of the two flows: in one of them most runs wait.
const POLICIES: [&str; 2] = ["allow", "queue"];

fn project(policy: &str) -> String {
    format!(
        "kind: Project
spec: {{name: cancel-{policy}, region: local}}
---
kind: Pipeline
spec:
  name: cancel-{policy}
  projectId: cancel-{policy}
  stages:
    - name: Work
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {{SINK: \"\", N: \"\"}}
          options: {{concurrencyPolicy: {policy}}}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:{STEPS}    - name: Rest"
    )
}

/// What has become of a run: the types of its events, how often each.
async fn history(given: &Given, run: &str) -> BTreeMap<String, usize> {
    let events = EventsClient::new(given.cluster.channel().unwrap());
    let mut read = patiently(|| {
        let request = ReadEventsRequest { stream: format!("run-{run}"), ..ReadEventsRequest::default() };
        let mut events = events.clone();
        async move { events.read_events(request).await }
    })
    .await
    .unwrap();
    let mut types = BTreeMap::new();
    while let Some(event) = read.message().await.unwrap() {
        *types.entry(event.r#type).or_default() += 1;
    }
    types
}

/// A run that is aborted a while after it was asked for: its number, its id and how long its end took.
async fn aborted(given: &Given, number: usize, after: Duration) -> (usize, String, Duration) {
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let flow = format!("cancel-{}/work", POLICIES[number % POLICIES.len()]);
    let arguments = json!({ "SINK": given.sink.url(), "N": number.to_string() });
    let run = workload::start(&runs, &flow, "", &arguments).await.unwrap().run;
    tokio::time::sleep(after).await;
    let took = abort(&runs, &run).await;
    (number, run, took)
}

/// Aborts a run; how long its end took.
async fn abort(runs: &RunsClient<shipway_contracts::Channel>, run: &str) -> Duration {
    let asked = Instant::now();
    patiently(|| {
        let request = AbortRunRequest { run: run.to_owned(), ..AbortRunRequest::default() };
        let mut runs = runs.clone();
        async move { runs.abort_run(request).await }
    })
    .await
    .unwrap();
    assert_eq!(workload::end(runs, run).await.unwrap().status, "aborted");
    asked.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_10_runs_that_are_aborted_at_any_time_end_once() {
    let mut given = Given::new("e10", Shape { services: [1, 1, 2, 2, 1], ..Shape::default() });
    for policy in POLICIES {
        given.cluster.apply(&project(policy)).unwrap();
    }
    let count = sized(24, 1_000);
    let after = |_| Duration::from_millis(rand::rng().random_range(0..1_500));
    let cases: Vec<_> = (1..=count).map(|number| (number, after(number))).collect();
    let ended: Vec<_> = stream::iter(cases)
        .map(|(number, after)| aborted(&given, number, after))
        .buffer_unordered(12)
        .collect()
        .await;
    let (mut slowest, mut met) = (Duration::ZERO, BTreeMap::<&str, usize>::new());
    let ledger = given.sink.ledger().unwrap();
    for (number, run, took) in &ended {
        slowest = slowest.max(*took);
        let types = history(&given, run).await;
        assert_eq!((types["run.ended"], types["run.aborting"]), (1, 1), "{run}: {types:#?}");
        let begun = types.contains_key("run.attempt_requested");
        let at = |target: &str| {
            let target = format!("{number}-{target}");
            ledger.iter().filter(|entry| entry.target == target && entry.what == What::Effect).count()
        };
        // What is done in any case is done once, and only where anything was.
        assert!(at("always") == usize::from(begun), "{run}, begun: {begun}: {types:#?}");
        let moments = [
            ("queued", !begun),
            ("gate", types.contains_key("run.approval_requested")),
            ("retry_wait", types.contains_key("run.retry_scheduled")),
            ("running", types.contains_key("run.node_aborted")),
        ];
        for (moment, _) in moments.into_iter().filter(|(_, met)| *met) {
            *met.entry(moment).or_default() += 1;
        }
    }
    println!("ROW E-10 real runs={count} ends={count} twice=0 met={met:?} slowest={slowest:?}");
    assert_eq!(met.len(), 4, "an abort never met one of the moments: {met:?}");

    // The same with whoever has the work dead: nobody confirms that it was stopped.
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let mut waiting = Vec::new();
    for number in (2 * count..).step_by(2).take(8) {
        let arguments = json!({ "SINK": given.sink.url(), "N": number.to_string() });
        waiting
            .push((number, workload::start(&runs, "cancel-allow/work", "", &arguments).await.unwrap().run));
    }
    let all_held = |ledger: &[shipway_integration_tests::sink::Entry]| {
        let is_held = |number: &usize| ledger.iter().any(|entry| entry.target == format!("{number}-held"));
        waiting.iter().all(|(number, _)| is_held(number)).then_some(())
    };
    given.sink.wait("the requests that nobody answers", Duration::from_secs(60), all_held).unwrap();
    let dead = given.cluster.executor_id("executor-2").unwrap();
    let mut theirs = 0;
    for (_, run) in &waiting {
        let requests =
            given.cluster.shipway(&["events", "--stream", &format!("run-{run}"), "-o", "json"]).unwrap();
        theirs += usize::from(requests.contains(&dead));
    }
    assert!(theirs > 0, "none of the runs has work with executor-2");
    given.cluster.process("executor-2").kill().unwrap();
    if !full() {
        given.cluster.age_executor("executor-2", DEAD).unwrap();
    }
    let ends = waiting.iter().map(|(_, run)| abort(&runs, run));
    let slowest = futures::future::join_all(ends).await.into_iter().max().unwrap_or_default();
    println!("ROW E-10 executor_dead runs={} of_it={theirs} slowest={slowest:?}", waiting.len());
    if judged() {
        assert!(slowest < BOUND, "what ran has ended only after {slowest:?}");
    }
    given.cluster.verify().unwrap();
}
