//! Gauges and counters with what they measure in them: work that waits, leases that are held and lost, a relay that is late.

use std::time::Duration;

use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::{PATIENCE, http},
};

use crate::exposition::Exposition;

/// A flow whose runs hold a slot of an executor with a label for as long as the test takes, and one whose runs go on one at
/// a time.
const PROJECT: &str = "kind: Project
spec: {name: values, region: local}
---
kind: Pipeline
spec:
  name: values
  projectId: values
  stages:
    - name: Labelled
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          spec:
            kind: Workflow
            spec: {type: sequential, steps: [{kind: Noop, ref: long, runsOn: [gpu], spec: {sleepMs: 3600000}}]}
    - name: Queued
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          options: {concurrencyPolicy: queue}
          spec:
            kind: Workflow
            spec: {type: sequential, steps: [{kind: Noop, ref: long, spec: {sleepMs: 3600000}}]}
    - name: Rest";

/// What a process of a cluster says at `/metrics`.
async fn read(cluster: &mut Cluster, name: &str) -> Exposition {
    let url = format!("http://{}/metrics", cluster.process(name).address());
    Exposition::read(&http().get(url).send().await.unwrap().text().await.unwrap())
}

/// Waits until that holds of what a process says, and gives it back.
async fn until(
    cluster: &mut Cluster,
    name: &str,
    what: &str,
    holds: impl Fn(&Exposition) -> bool,
) -> Exposition {
    let look = async {
        loop {
            let said = read(cluster, name).await;
            if holds(&said) {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{name} never says: {what}"))
}

fn oldest(said: &Exposition, cause: &str) -> f64 {
    said.sum("shipway_queue_oldest_seconds", &[("cause", cause)])
}

fn held(said: &Exposition, lease: &str) -> f64 {
    said.sum("shipway_leases_held", &[("lease", lease)])
}

fn lost(said: &Exposition, lease: &str) -> f64 {
    said.sum("shipway_leases_lost_total", &[("lease", lease)])
}

fn is(value: f64, expected: f64) -> bool {
    (value - expected).abs() < f64::EPSILON
}

/// The depth of the queue, and the age of what has waited longest by its cause.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_measured_by_what_it_waits_for() {
    let settings = vec![("SHIPWAY_EXECUTOR__LIGHT_SLOTS".to_owned(), "2".to_owned())];
    let shape = Shape { services: [1, 1, 1, 2, 1], settings, ..Shape::default() };
    let labelled = |cluster: &mut Cluster| {
        cluster.process("executor-2").set("SHIPWAY_EXECUTOR__LABELS", Some("gpu".to_owned()));
        Ok(())
    };
    let mut cluster = Cluster::start_on("values", shape, labelled).unwrap();
    cluster.apply(PROJECT).unwrap();
    let run = |cluster: &Cluster, flow: &str| {
        cluster.json(&["run", flow]).unwrap()["run"].as_str().unwrap().to_owned()
    };
    // First those that only one executor can have: the others would do with its room, too.
    let mut runs: Vec<_> = (0..4).map(|_| run(&cluster, "values/labelled")).collect();
    runs.extend((0..2).map(|_| run(&cluster, "values/queued")));

    // Two of the labelled ones fit; of the queued ones one has its turn. The other executor has room all the same.
    let said =
        until(&mut cluster, "scheduler-1", "two nodes wait for room, and one run for its lane", |said| {
            is(said.sum("shipway_queue_ready_nodes", &[]), 2.0)
                && oldest(said, "slot") > 0.0
                && oldest(said, "lane") > 0.0
                && oldest(said, "work") > 0.0
        })
        .await;
    assert!(is(said.sum("shipway_runs_open", &[]), 6.0));
    assert!(is(oldest(&said, "person"), 0.0), "nothing waits for a person");
    let slots =
        |said: &Exposition, state| said.sum("shipway_executor_slots", &[("size", "light"), ("state", state)]);
    until(&mut cluster, "executor-2", "its two slots are used", |said| {
        is(slots(said, "used"), 2.0) && is(slots(said, "free"), 0.0)
    })
    .await;
    until(&mut cluster, "executor-1", "at least one of its two slots is free", |said| {
        slots(said, "free") >= 1.0 && is(slots(said, "free") + slots(said, "used"), 2.0)
    })
    .await;
    let waited = oldest(&said, "slot");
    until(&mut cluster, "scheduler-1", "it waits longer", |said| oldest(said, "slot") > waited).await;

    for run in runs.iter().rev() {
        cluster.shipway(&["abort", run]).unwrap();
    }
    let said = until(&mut cluster, "scheduler-1", "nothing waits any more", |said| {
        let causes = ["slot", "lane", "work"].map(|cause| oldest(said, cause));
        is(causes.iter().sum(), 0.0) && is(said.sum("shipway_queue_ready_nodes", &[]), 0.0)
    })
    .await;
    assert!(is(said.sum("shipway_runs_open", &[]), 0.0));

    let found = [held(&said, "executor"), lost(&said, "executor"), held(&said, "relay")];
    assert!(is(found[0], 2.0) && is(found[1], 0.0) && is(found[2], 1.0), "{found:?}");
    cluster.process("executor-2").kill().unwrap();
    cluster.age_executor("executor-2", Duration::from_secs(60)).unwrap();
    until(&mut cluster, "scheduler-1", "an executor's lease is lost", |said| {
        is(lost(said, "executor"), 1.0) && is(held(said, "executor"), 1.0)
    })
    .await;
}

/// Of two schedulers one has the relay, and each has a share of the lanes. Whoever stands still loses both, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_late_and_leases_that_are_lost_are_measured() {
    let mut cluster =
        Cluster::start("leases", Shape { services: [1, 1, 2, 1, 1], ..Shape::default() }).unwrap();
    let schedulers = ["scheduler-1", "scheduler-2"];
    let mut leads = Vec::new();
    for name in schedulers {
        let said = until(&mut cluster, name, "it has a share of the lanes", |said| {
            held(said, "shard") > 0.0 && is(held(said, "executor"), 1.0)
        })
        .await;
        assert!(is(lost(&said, "shard") + lost(&said, "relay"), 0.0), "{name} has lost nothing yet");
        leads.push(held(&said, "relay"));
    }
    assert!(is(leads.iter().sum(), 1.0), "one of them has the relay: {leads:?}");
    let (leader, other) =
        if leads[0] > 0.0 { (schedulers[0], schedulers[1]) } else { (schedulers[1], schedulers[0]) };

    let late = |said: &Exposition| {
        [said.sum("shipway_relay_lag_events", &[]), said.sum("shipway_relay_lag_seconds", &[])]
    };
    cluster.process("nats-1").kill().unwrap();
    cluster.apply(PROJECT).unwrap();
    let whole = |said: &Exposition| late(said).iter().all(|lag| *lag > 0.0);
    until(&mut cluster, leader, "it is late without NATS", whole).await;
    assert!(is(late(&read(&mut cluster, other).await).iter().sum(), 0.0), "the other has nothing to relay");
    cluster.process("nats-1").start().unwrap();
    let done = |said: &Exposition| is(late(said).iter().sum(), 0.0);
    until(&mut cluster, leader, "it is at the log's end again", done).await;

    cluster.process(leader).pause().unwrap();
    until(&mut cluster, other, "it has taken over", |said| is(held(said, "relay"), 1.0)).await;
    cluster.process(leader).resume().unwrap();
    until(&mut cluster, leader, "it has lost the relay and its lanes, and has its share again", |said| {
        is(lost(said, "relay"), 1.0)
            && lost(said, "shard") > 0.0
            && is(held(said, "relay"), 0.0)
            && held(said, "shard") > 0.0
    })
    .await;
    assert!(is(lost(&read(&mut cluster, other).await, "relay"), 0.0), "who took over has lost nothing");
}
