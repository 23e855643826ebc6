//! A flow's schedule on two of each service: the flow starts at its time, and once. It waits for a minute to begin, so that
//! it runs under `--full` alone; that a tick is one event whoever looks is tested where schedules are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::Value;
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::wait,
};

use crate::given::full;

/// The time that applying the flow may take.
const AHEAD: Duration = Duration::from_secs(10);

fn project(minute: u64) -> String {
    format!(
        r#"
kind: Project
spec: {{name: clock, region: local}}
---
kind: Pipeline
spec:
  name: clock
  projectId: clock
  stages:
    - name: Development
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          triggers: [{{kind: cron, ref: hourly, spec: {{cron: "{minute} * * * *"}}}}]
          spec:
            kind: Workflow
            spec: {{type: sequential, steps: [{{kind: Noop, spec: {{}}}}]}}
    - name: Staging
    - name: Production
"#
    )
}

fn schedule(cluster: &Cluster) -> Result<Value> {
    Ok(cluster.json(&["schedules"])?["schedules"][0].clone())
}

fn runs(cluster: &Cluster) -> Result<Vec<Value>> {
    let runs = cluster.json(&["runs", "clock/development"])?;
    Ok(runs["runs"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_flow_starts_at_its_time_once_whoever_looks() {
    if !full() {
        println!("a flow's schedule on a cluster is not awaited: SHIPWAY_FULL=1 does");
        return;
    }
    let shape = Shape { services: [1, 2, 2, 1, 1], ..Shape::default() };
    let cluster = Cluster::start("schedules", shape).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let minute = (now + AHEAD).as_secs() / 60 + 1;
    cluster.apply(&project(minute % 60)).unwrap();
    let known = wait("the schedule", || Ok(Some(schedule(&cluster)?).filter(|one| !one.is_null()))).unwrap();
    assert!(known["last"].as_str().unwrap_or_default().is_empty(), "{known}");

    let run = wait("the run", || Ok(runs(&cluster)?.first().filter(|run| run["concluded"] == true).cloned()))
        .unwrap();
    assert_eq!((&run["status"], &run["origin"]), (&"success".into(), &"schedule".into()), "{run}");
    let started: jiff::Timestamp = run["createdAt"].as_str().unwrap().parse().unwrap();
    let due = i64::try_from(minute * 60).unwrap();
    assert!(started.as_second() >= due, "{run}");
    println!("SCHEDULE late={:?}", started.duration_since(jiff::Timestamp::from_second(due).unwrap()));
    // Both have looked again by then.
    let after = wait("the next time", || {
        Ok(Some(schedule(&cluster)?).filter(|one| !one["last"].as_str().unwrap_or_default().is_empty()))
    })
    .unwrap();
    assert_eq!(after["lastRun"], run["id"], "{after}");
    assert_eq!(runs(&cluster).unwrap().len(), 1);
    cluster.verify().unwrap();
}
