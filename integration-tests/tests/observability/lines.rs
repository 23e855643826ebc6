//! The processes' own logs as JSON lines: whoever asks for a run and a node finds what they say of an attempt.

use std::fs;

use serde_json::{Map, Value};
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::wait,
};

/// A node that ends well, and one that does not.
const PROJECT: &str = "kind: Project
spec: {name: lines, region: local}
---
kind: Pipeline
spec:
  name: lines
  projectId: lines
  stages:
    - name: Work
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: good, spec: {}}
                - {kind: Noop, ref: bad, spec: {fail: as it was told}}
    - name: Rest";

/// All that a process has said.
fn said(cluster: &mut Cluster, name: &str) -> Vec<Map<String, Value>> {
    let text = fs::read_to_string(cluster.process(name).folder().join("log")).unwrap();
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
    whole.lines().map(read).collect()
}

#[test]
fn lines_about_an_attempt_have_its_run_and_node() {
    let settings = [("JSON", "true"), ("FILTER", "info,shipway_executor=debug")];
    let settings = settings.map(|(key, value)| (format!("SHIPWAY_TELEMETRY__{key}"), value.to_owned()));
    let shape = Shape { services: [1; 5], settings: settings.into(), ..Shape::default() };
    let mut cluster = Cluster::start("lines", shape).unwrap();
    cluster.apply(PROJECT).unwrap();
    let run = cluster.json(&["run", "lines/work"]).unwrap()["run"].as_str().unwrap().to_owned();
    let ended = wait("the run's end", || {
        let shown = cluster.json(&["show", &run])?;
        Ok((shown["concluded"] == true).then_some(shown))
    })
    .unwrap();
    assert_eq!(ended["status"], "failure", "{ended:#}");

    for (node, outcome, level) in [("good", "succeeded", "DEBUG"), ("bad", "failed", "INFO")] {
        let shown = ended["nodes"].as_array().unwrap().iter().find(|shown| shown["ref"] == node).unwrap();
        let lines = said(&mut cluster, "executor-1");
        let found = lines.iter().find(|line| {
            line["message"] == "an attempt has ended"
                && line.get("run") == Some(&Value::from(run.as_str()))
                && line.get("node") == Some(&shown["index"])
        });
        let found = found.unwrap_or_else(|| panic!("no line is about {node} ({shown:#}): {lines:#?}"));
        assert_eq!((&found["outcome"], &found["level"]), (&outcome.into(), &level.into()), "{found:#?}");
        assert_eq!(found["service"], "executor");
        assert!(found["fence"].is_u64() && found["attempt"] == 1, "{found:#?}");
        assert!(found["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{found:#?}");
    }
    // Every process says all that it says so.
    for name in cluster.services() {
        let lines = said(&mut cluster, &name);
        assert!(!lines.is_empty(), "{name} says nothing");
        let service = name.split('-').next().unwrap();
        assert!(
            lines.iter().all(|line| line["service"] == service && line.contains_key("message")),
            "{name}"
        );
    }
}
