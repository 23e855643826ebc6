//! What an operator sees: traces over all services, metrics that dashboards and alerts name, readiness.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod exposition;
mod lines;
mod old_logs;
mod push;
mod ready;
mod receiver;
mod tails;
mod values;

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::ensure;
use exposition::Exposition;
use push::{push, push_to_cluster};
use receiver::{Receiver, Span};
use serde_json::Value;
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::{Shipway, http, wait},
};

/// The span of a delivery's request.
const REQUEST: &str = "POST /hooks/{source}/{hook}";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a push leads to, each by its id: the delivery is the sender's child; the run's start points back to the
/// delivery, each attempt to what it follows from; the effect is the attempt's child.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_traced_from_its_sender_to_the_effect() {
    let receiver = Receiver::start().await;
    let mut shipway = Shipway::up_with("traced", &["--otlp", &receiver.url]).unwrap();
    let run = push(&shipway, Some(&format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
    assert_eq!(shipway.ended(&run).unwrap()["status"], "success");

    traced(&receiver, &run, |span, cause| span.links == [cause.place()]);

    shipway.stop().unwrap();
    let metrics = receiver.metrics();
    assert!(metrics.contains("shipway_runs_ended_total"), "metrics are sent too: {metrics:?}");
}

/// The same where each part is a process of its own, and what happens comes to the others by JetStream.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_traced_over_all_processes_of_a_cluster() {
    let receiver = Receiver::start().await;
    let settings = vec![("SHIPWAY_TELEMETRY__OTLP".to_owned(), receiver.url.clone())];
    let cluster = Cluster::start("traced", Shape { settings, ..Shape::default() }).unwrap();
    let run = push_to_cluster(&cluster, &format!("00-{TRACE}-00f067aa0ba902b7-01")).await;
    wait("the run's end", || Ok((cluster.json(&["show", &run])?["status"] == "success").then_some(())))
        .unwrap();
    // Between two processes there is the call that brought it, which is in the trace of its caller.
    let found =
        traced(&receiver, &run, |span, cause| span.links.iter().map(|(trace, _)| trace).eq([&cause.trace]));
    let of = |span: &Span| span.service.0.clone();
    let instances: BTreeSet<_> = receiver.spans().into_iter().map(|span| span.service).collect();
    assert!(instances.iter().filter(|(name, _)| name == "executor").count() == 2, "{instances:?}");
    assert_eq!([of(&found.request), of(&found.start)], ["triggers", "scheduler"]);
    for (attempt, effect) in &found.attempts {
        assert_eq!([of(attempt), of(effect)], ["executor", "executor"]);
    }
}

/// What a push led to.
struct Found {
    request: Span,
    start: Span,
    /// Each with its effect.
    attempts: Vec<(Span, Span)>,
}

/// Waits for all spans of a push and of its run, and checks how they hang together. `follows` says whether a span points
/// to what it follows from.
fn traced(receiver: &Receiver, run: &String, follows: fn(&Span, &Span) -> bool) -> Found {
    let of_run = |name: &str, spans: &[Span]| -> Vec<Span> {
        spans.iter().filter(|span| span.name == name && span.attribute("run") == Some(run)).cloned().collect()
    };
    let spans = wait("the spans of three effects", || {
        let spans = receiver.spans();
        let there = |name: &str| spans.iter().any(|span| span.name == name);
        let (attempts, starts) = (of_run("attempt", &spans).len(), of_run("start", &spans).len());
        let whole = attempts >= 3 && starts > 0 && there("delivery") && there(REQUEST);
        ensure!(whole, "{attempts} attempts, {starts} starts, and {:?}", names(&spans));
        Ok(Some(spans))
    })
    .unwrap();
    let request = spans
        .iter()
        .find(|span| span.name == REQUEST && span.trace == TRACE)
        .expect("the request is in its sender's trace");
    assert_eq!(request.parent, "00f067aa0ba902b7");
    let delivery = spans.iter().find(|span| span.name == "delivery").unwrap();
    assert_eq!((&delivery.trace, &delivery.parent), (&request.trace, &request.id));

    // A scheduler that cannot be reached yet is asked again: then there are several.
    let starts = of_run("start", &spans);
    for start in &starts {
        assert_ne!(start.trace, delivery.trace, "a run outlives its request: it is a trace of its own");
        assert_eq!(start.links, [delivery.place()]);
    }

    let attempts = of_run("attempt", &spans);
    let effects = of_run("effect", &spans);
    assert_eq!((attempts.len(), effects.len()), (3, 3));
    let begins = |attempt: &Span| starts.iter().find(|start| follows(attempt, start));
    let first = attempts.iter().find_map(|attempt| Some((attempt, begins(attempt)?)));
    let (first, start) = first.unwrap_or_else(|| panic!("no attempt points to {starts:#?}: {attempts:#?}"));
    for attempt in attempts.iter().filter(|attempt| attempt.id != first.id) {
        assert!(
            follows(attempt, first),
            "what follows points to what it follows from: {attempt:?} {first:?}"
        );
    }
    let mut pairs = Vec::new();
    for effect in &effects {
        let attempt = attempts.iter().find(|attempt| attempt.id == effect.parent).unwrap();
        assert_eq!(effect.trace, attempt.trace);
        for field in ["run", "node", "fence"] {
            assert!(effect.attribute(field).is_some(), "{field}: {effect:?}");
            assert_eq!(effect.attribute(field), attempt.attribute(field));
        }
        pairs.push((attempt.clone(), effect.clone()));
    }
    Found { request: request.clone(), start: start.clone(), attempts: pairs }
}

fn names(spans: &[Span]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

/// Nothing that dashboards and alerts name is made up.
#[tokio::test(flavor = "multi_thread")]
async fn what_dashboards_and_alerts_name_is_there() {
    let shipway = Shipway::up("measured").unwrap();
    let run = push(&shipway, None).await;
    assert_eq!(shipway.ended(&run).unwrap()["status"], "success");
    let url = format!("{}/metrics", shipway.url().unwrap());
    let text = http().get(&url).send().await.unwrap().text().await.unwrap();
    let live = Exposition::read(&text);

    let infra = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra");
    let mut expressions = Vec::new();
    for file in std::fs::read_dir(infra.join("grafana")).unwrap() {
        let path = file.unwrap().path();
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let before = expressions.len();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap().to_owned();
                live.check_legend(&name, &expression, target["legendFormat"].as_str().unwrap());
                expressions.push((name.clone(), expression));
            }
        }
        assert!(expressions.len() > before, "{name} shows nothing");
    }
    let alerts = std::fs::read_to_string(infra.join("prometheus/alerts.yml")).unwrap();
    let rules = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    expressions.extend(rules.map(|rule| ("alerts.yml".to_owned(), rule.to_owned())));
    assert!(expressions.len() > 40, "{}", expressions.len());
    for (file, expression) in &expressions {
        live.check(file, expression);
    }

    let count = |name: &str, labels: &[(&str, &str)]| live.sum(name, labels);
    assert!(count("shipway_deliveries_total", &[("verdict", "matched")]) >= 1.0);
    assert!(count("shipway_runs_started_total", &[]) >= 1.0);
    assert!(count("shipway_runs_ended_total", &[("status", "success")]) >= 1.0);
    assert!(count("shipway_attempts_total", &[("kind", "noop"), ("outcome", "succeeded")]) >= 3.0);
    assert!(count("shipway_log_events_total", &[]) >= 10.0);
    assert!(count("shipway_log_commit_duration_seconds_count", &[]) >= 1.0);
    assert!(count("shipway_requests_total", &[("method", "/shipway.v1.Runs/GetRun"), ("code", "Ok")]) >= 1.0);
    assert!(
        count("shipway_requests_total", &[("method", "POST /hooks/{source}/{hook}"), ("code", "202")]) >= 1.0
    );
    assert!(count("shipway_executor_slots", &[("state", "free")]) > 0.0);
    assert!((count("shipway_watchdog_stuck_runs", &[])).abs() < f64::EPSILON);
    assert!(!live.has_label_value("shipway_view_lag_events", "view", ""), "read models are named");
}

/// Alerts are right by Prometheus' own judge, and each has a case.
#[test]
fn alerts_fire_when_they_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/prometheus");
    let (alerts, cases) = ("alerts.yml", "alerts.test.yml");
    for words in [["check", "rules", alerts], ["test", "rules", cases]] {
        let output =
            Command::new("promtool").args(words).current_dir(&folder).output().unwrap_or_else(|error| {
                panic!("promtool cannot be started ({error}): install the package `prometheus`")
            });
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "promtool {}:\n{said}", words.join(" "));
    }
    let text = std::fs::read_to_string(folder.join(alerts)).unwrap();
    let tested = std::fs::read_to_string(folder.join(cases)).unwrap();
    for name in text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tested.contains(&format!("- alertname: {name}\n")), "{name} has no case");
    }
}

/// A running Shipway is ready and names what it has looked at.
#[tokio::test]
async fn readiness_names_its_checks() {
    let shipway = Shipway::up("ready").unwrap();
    let url = shipway.url().unwrap();
    let alive = http().get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!(alive.status(), 200);
    let answer = http().get(format!("{url}/readyz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let said: Value = answer.json().await.unwrap();
    assert_eq!(said["ready"], true, "{said}");
    for check in ["log", "consumers", "scheduler"] {
        assert_eq!(said["checks"][check]["ok"], true, "{check}: {said}");
    }
}
