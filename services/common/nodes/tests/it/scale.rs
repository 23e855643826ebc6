//! Large documents: what a check costs grows with the document and no faster.

use std::{
    borrow::Cow,
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use shipway_documents::{
    Code,
    expr::{Lookup, Scope, resolve_partly},
    flow::Flow,
    parse,
};
use shipway_nodes::lint::{Knowledge, lint, lint_document};

/// A flow of so many nodes, most of which name the one before; the last one names what `last` says.
fn chain(kind: &str, count: usize, last: &str) -> String {
    let mut steps = String::new();
    for n in 0..count {
        let (before, comma) = (n.saturating_sub(1), if n == 0 { "" } else { ",\n" });
        let value = match n {
            0 => "${args.REGION}".to_owned(),
            n if n + 1 == count => last.to_owned(),
            _ => format!("${{refs.n{before}.a}}"),
        };
        let waits =
            if kind == "graph" && n > 0 { format!(r#""dependsOn":["n{before}"],"#) } else { String::new() };
        // Writing to a text cannot fail.
        let _ = write!(
            steps,
            r#"{comma}{{"kind":"Noop","ref":"n{n}",{waits}"spec":{{"sleepMs":1,"outputs":{{"a":"{value}"}}}}}}"#
        );
    }
    format!(
        r#"{{"arguments":{{"REGION":"eu"}},"spec":{{"kind":"Workflow","spec":{{"type":"{kind}","steps":[{steps}]}}}}}}"#
    )
}

/// What a run starts with: arguments, and the nodes that come later.
struct Start<'a>(&'a Map<String, Value>);

impl Scope for Start<'_> {
    fn arg(&self, name: &str) -> Lookup<'_> {
        Lookup::from_option(self.0.get(name), Vec::new)
    }

    fn reference(&self, _reference: &str) -> Lookup<'_> {
        Lookup::Later
    }

    fn trigger(&self, _reference: &str) -> Lookup<'_> {
        Lookup::Value(Cow::Owned(Value::Null))
    }
}

/// Reads, checks and resolves a document, as starting a run does.
fn measure(text: &str) -> (Duration, Vec<Code>) {
    let since = Instant::now();
    let document = parse("flow.json", text).unwrap();
    let problems = lint_document(&document, Knowledge::default());
    let (flow, _) = Flow::examine(shipway_documents::DocumentType::ReleaseFlow, &document.value, false);
    let flow = flow.unwrap();
    let arguments = flow.argument_values(&Map::new(), &Map::new()).unwrap();
    let resolved: Vec<Value> = flow
        .nodes()
        .iter()
        .map(|placed| resolve_partly(&placed.node.spec, &Start(&arguments), &placed.node.pointer).unwrap())
        .collect();
    assert_eq!(resolved[1]["outputs"]["a"], json!("eu"));
    (since.elapsed(), problems.iter().map(|problem| problem.code).collect())
}

#[test]
fn five_thousand_nodes_are_read_checked_and_resolved_at_once() {
    let judged = std::env::var_os("SHIPWAY_FULL").is_some() && !cfg!(debug_assertions);
    let best = |text: &str| (0..if judged { 5 } else { 1 }).map(|_| measure(text).0).min().unwrap();
    for kind in ["sequential", "graph"] {
        let good = chain(kind, 5_000, "${refs.n4998.a}");
        let bad = chain(kind, 5_000, "${refs.n4998.a} ${refs.nn.a}");
        let named = |code: &Code| *code == Code::RefUnknown;
        assert!(!measure(&good).1.iter().any(named));
        assert_eq!(measure(&bad).1.iter().filter(|code| named(code)).count(), 1);
        let (good, bad) = (best(&good), best(&bad));
        println!("LINT nodes=5000 type={kind} ms={} with_error_ms={}", good.as_millis(), bad.as_millis());
        if judged {
            assert!(good < Duration::from_millis(150), "{kind}: {good:?}");
            assert!(bad < Duration::from_millis(150), "{kind}, with an error: {bad:?}");
        }
    }
}

#[test]
fn what_a_graph_waits_for_is_known_over_any_way() {
    let text = chain("graph", 3_000, "${refs.n0.a}");
    let (_, codes) = measure(&text);
    assert!(!codes.contains(&Code::RefLater), "the last step waits for the first over all others");
    let text = chain("graph", 3_000, "${refs.n0.a}").replace(r#""dependsOn":["n1500"],"#, "");
    let (_, codes) = measure(&text);
    assert!(codes.contains(&Code::RefLater), "the way is cut");
}

#[test]
fn thousands_of_errors_in_one_line_are_all_told() {
    let text = chain("sequential", 2_000, "x").replace("refs.n", "refs.m").replace('\n', "");
    let since = Instant::now();
    let report = lint("flow.json", &text, Knowledge::default());
    let shown = report.to_string();
    println!("LINT errors={} in one line ms={}", report.problems.len(), since.elapsed().as_millis());
    assert!(report.problems.iter().filter(|problem| problem.code == Code::RefUnknown).count() == 1_998);
    assert!(shown.lines().all(|line| line.chars().count() < 300));
}

#[test]
fn more_nodes_than_a_run_may_have_are_too_many() {
    let steps: Vec<Value> = (0..10_000).map(|_| json!({"kind": "Noop", "spec": {}})).collect();
    let flow = json!({"spec": {"kind": "Workflow", "spec": {"type": "parallel", "steps": steps}}});
    let report = lint("flow.json", &flow.to_string(), Knowledge::default());
    let codes: Vec<_> = report.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [Code::FlowTooLarge]);
}
