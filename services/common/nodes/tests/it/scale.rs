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
    let full = std::env::var_os("SHIPWAY_FULL").is_some();
    let judged = full && !cfg!(debug_assertions);
    let (nodes, times) = (if full { 5_000 } else { 500 }, if judged { 5 } else { 1 });
    let best = |text: &str, errors: usize| {
        let measured = (0..times).map(|_| measure(text));
        let measured = measured.inspect(|(_, codes)| {
            assert_eq!(codes.iter().filter(|code| **code == Code::RefUnknown).count(), errors);
        });
        measured.map(|(took, _)| took).min().unwrap()
    };
    for kind in ["sequential", "graph"] {
        let before = nodes - 2;
        let good = best(&chain(kind, nodes, &format!("${{refs.n{before}.a}}")), 0);
        let bad = best(&chain(kind, nodes, &format!("${{refs.n{before}.a}} ${{refs.nn.a}}")), 1);
        println!("LINT nodes={nodes} type={kind} ms={} with_error_ms={}", good.as_millis(), bad.as_millis());
        if judged {
            assert!(good < Duration::from_millis(150), "{kind}: {good:?}");
            assert!(bad < Duration::from_millis(150), "{kind}, with an error: {bad:?}");
        }
    }
}

/// Documents that are wrong all over, or wide, or deep: none costs more than its size.
#[test]
fn no_shape_of_a_document_costs_more_than_its_size() {
    let full = std::env::var_os("SHIPWAY_FULL").is_some();
    let nodes = if full { 5_000 } else { 300 };
    let noop = |n: usize| json!({"kind": "Noop", "ref": format!("n{n}"), "spec": {"outputs": {"a": 1}}});
    let flow = |kind: &str, steps: Vec<Value>| {
        let arguments: Map<String, Value> = (0..200).map(|n| (format!("ARGUMENT_{n}"), json!("x"))).collect();
        json!({"arguments": arguments, "spec": {"kind": "Workflow", "spec": {"type": kind, "steps": steps}}})
    };
    let with = |n: usize, name: &str, value: Value| {
        let mut node = noop(n);
        node[name] = value;
        node
    };
    let half = nodes / 2;
    let waiting: Vec<String> = (0..half).map(|n| format!("n{n}")).collect();
    let refs: String = (0..half).map(|n| format!("${{refs.n{n}.a}}")).collect();
    let mut join: Vec<Value> = (0..half).map(noop).collect();
    join.push(
        json!({"kind": "Noop", "ref": "join", "dependsOn": waiting, "spec": {"outputs": {"all": refs}}}),
    );
    let mut deep = json!((0..nodes).map(noop).collect::<Vec<_>>());
    for _ in 0..14 {
        deep = json!([{"kind": "Workflow", "spec": {"type": "parallel", "steps": deep}}]);
    }
    let unknown = |n: usize| json!({"outputs": {"a": format!("${{refs.x{n}.a}} ${{args.ARGUMENT_x}}")}});
    let optional = |n: usize| json!({"outputs": {"a": format!("${{fn.if(args.NOT_{n}, 1, 2)}}")}});
    let shapes = [
        (
            "unknown-waits",
            flow("graph", (0..nodes).map(|n| with(n, "dependsOn", json!([format!("m{n}")]))).collect()),
        ),
        ("unknown-names", flow("sequential", (0..nodes).map(|n| with(n, "spec", unknown(n))).collect())),
        (
            "optional-arguments",
            flow("sequential", (0..nodes).map(|n| with(n, "spec", optional(n))).collect()),
        ),
        ("wide-join", flow("graph", join)),
        ("deep", flow("sequential", deep.as_array().unwrap().clone())),
    ];
    for (name, document) in shapes {
        let text = document.to_string();
        let since = Instant::now();
        let report = lint("flow.json", &text, Knowledge::default());
        let took = since.elapsed();
        println!(
            "LINT shape={name} nodes={nodes} problems={} ms={}",
            report.problems.len(),
            took.as_millis()
        );
        if full && !cfg!(debug_assertions) {
            assert!(took < Duration::from_millis(500), "{name}: {took:?}");
        }
        assert!(report.problems.len() <= 2 * nodes + 210, "{name}");
    }
}

#[test]
fn what_a_graph_waits_for_is_known_over_any_way() {
    let text = chain("graph", 300, "${refs.n0.a}");
    let (_, codes) = measure(&text);
    assert!(!codes.contains(&Code::RefLater), "the last step waits for the first over all others");
    let text = chain("graph", 300, "${refs.n0.a}").replace(r#""dependsOn":["n150"],"#, "");
    let (_, codes) = measure(&text);
    assert!(codes.contains(&Code::RefLater), "the way is cut");
}

#[test]
fn thousands_of_errors_in_one_line_are_all_told() {
    let text = chain("sequential", 400, "x").replace("refs.n", "refs.m").replace('\n', "");
    let since = Instant::now();
    let report = lint("flow.json", &text, Knowledge::default());
    let shown = report.to_string();
    println!("LINT errors={} in one line ms={}", report.problems.len(), since.elapsed().as_millis());
    assert!(report.problems.iter().filter(|problem| problem.code == Code::RefUnknown).count() == 398);
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
