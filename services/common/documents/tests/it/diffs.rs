//! Differences of documents: by name, not by line.

use proptest::prelude::*;
use serde_json::{Value, json};
use shipway_documents::{
    diff::{Difference, Fate, diff},
    parse,
};

fn flow(steps: &Value) -> Value {
    json!({"apiVersion": "v1.2", "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}}})
}

fn workflow(name: &str, steps: &Value) -> Value {
    json!({"kind": "Workflow", "ref": name, "spec": {"type": "parallel", "steps": steps}})
}

fn node(name: &str) -> Value {
    json!({"kind": "Noop", "ref": name, "spec": {}})
}

/// One line a node: what happened to it.
fn told(difference: &Difference) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &difference.nodes {
        let mut line = match change.fate {
            Fate::Added => format!("+ {}", change.name),
            Fate::Removed => format!("- {}", change.name),
            Fate::Changed => format!("~ {}", change.name),
        };
        if let Some(from) = &change.renamed_from {
            line.push_str(&format!(" was {from}"));
        }
        if let Some(from) = &change.moved_from {
            line.push_str(&format!(" from {}", from.join("/")));
            line.push_str(&format!(" to {}", change.workflows.join("/")));
        }
        if change.fate == Fate::Changed {
            for field in &change.fields {
                line.push_str(&format!(" {}", field.label));
            }
        }
        lines.push(line);
    }
    lines
}

#[test]
fn nodes_are_known_by_their_names() {
    let (a, b, c) = (node("a"), node("b"), node("c"));
    let mut a2 = a.clone();
    a2["spec"]["message"] = json!("hello");
    let mut renamed = b.clone();
    renamed["ref"] = json!("z");
    let cases = [
        (json!([a, b, c]), json!([a, b, c]), vec![]),
        (json!([a, b]), json!([a, c, b]), vec!["+ c"]),
        (json!([a, c, b]), json!([a, b]), vec!["- c"]),
        (json!([c, a]), json!([a]), vec!["- c"]),
        (json!([a, b, c]), json!([a2, b, c]), vec!["~ a spec.message"]),
        (json!([a, b, c]), json!([c, a, b]), vec!["~ c from workflow to workflow"]),
        (json!([a, b, c]), json!([b, c, a2]), vec!["~ a from workflow to workflow spec.message"]),
        (json!([a, b]), json!([a, renamed]), vec!["~ z was b"]),
        (
            json!([a, workflow("w", &json!([b])), c]),
            json!([workflow("w", &json!([b, a])), c]),
            vec!["~ a from workflow to workflow/w"],
        ),
        (
            json!([workflow("w", &json!([a, b]))]),
            json!([a, b]),
            vec!["- w", "~ a from workflow/w to workflow", "~ b from workflow/w to workflow"],
        ),
        (json!([a]), json!([{"kind": "Approval", "ref": "a", "spec": {}}]), vec!["~ a kind"]),
    ];
    for (before, after, expected) in cases {
        assert_eq!(told(&diff(&flow(&before), &flow(&after))), expected, "{before} -> {after}");
    }
}

#[test]
fn nodes_without_a_name_are_known_by_what_they_are_about() {
    let job = |id: &str, extra: i64| json!({"kind": "JobRun", "spec": {"jobId": id, "n": extra}});
    let cases = [
        (
            json!([job("a", 1), job("b", 1)]),
            json!([job("b", 2), job("a", 1)]),
            vec!["~ job-run-b from workflow to workflow spec.n"],
        ),
        (json!([job("a", 1), job("a", 2)]), json!([job("a", 2)]), vec!["- job-run-a"]),
        (json!([job("a", 1)]), json!([job("a", 1), job("a", 1)]), vec!["+ job-run-a-2"]),
    ];
    for (before, after, expected) in cases {
        assert_eq!(told(&diff(&flow(&before), &flow(&after))), expected, "{before} -> {after}");
    }
}

#[test]
fn what_is_around_the_nodes_is_compared_too() {
    let before = json!({
        "arguments": {"A": "1", "B": {"type": "string", "default": "x"}, "C": 1},
        "options": {"concurrencyPolicy": "queue"},
        "triggers": [{"ref": "app", "repoUrl": "u", "branchRestrictions": ["main"]}, {"ref": "old"}],
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": []}},
        "teardownSpec": {"spec": {"kind": "Workflow", "spec": {"steps": [node("t")]}}, "failurePolicy": "ignore"},
    });
    let mut after = before.clone();
    after["arguments"] = json!({"A": "1", "B": {"type": "string", "default": "y"}, "D": null});
    after["options"] = json!({"concurrencyPolicy": "latest", "paused": true});
    after["triggers"] = json!([{"ref": "hook", "kind": "webhook"}, {"ref": "app", "repoUrl": "u", "branchRestrictions": ["main", "dev"]}]);
    after["spec"]["spec"]["type"] = json!("parallel");
    after["teardownSpec"]["failurePolicy"] = json!("abort");
    after["teardownSpec"]["spec"]["spec"]["steps"] = json!([]);
    let difference = diff(&before, &after);
    let named = |changes: &[shipway_documents::diff::NamedChange]| -> Vec<String> {
        changes
            .iter()
            .map(|change| format!("{:?} {} {}", change.fate, change.name, change.fields[0].label))
            .collect()
    };
    assert_eq!(named(&difference.arguments), ["Changed B default", "Added D ", "Removed C "]);
    assert_eq!(difference.arguments[1].fields[0].after, Some(Value::Null));
    assert_eq!(
        named(&difference.triggers),
        ["Added hook ", "Changed app branchRestrictions", "Removed old "]
    );
    let fields: Vec<_> = difference.fields.iter().map(|change| change.pointer.as_str()).collect();
    assert_eq!(fields, ["/options/concurrencyPolicy", "/options/paused", "/teardownSpec/failurePolicy"]);
    assert_eq!(told(&difference), ["~ workflow spec.type", "- t"]);
    let json = serde_json::to_value(&difference).unwrap();
    assert_eq!(serde_json::from_value::<Difference>(json).unwrap(), difference);
}

#[test]
fn declared_resources_and_nested_flows_are_compared_by_name() {
    let text = "\
kind: DeploymentService
spec:
  name: web
  ports: [{name: http, internalPort: 80}, {name: admin, internalPort: 81}]
---
kind: Pipeline
spec:
  name: shop
  stages:
  - name: Development
    flow: {spec: {kind: Workflow, spec: {steps: [{kind: Noop, ref: a}]}}}
  - name: Production
";
    let after = text
        .replace(
            "{name: http, internalPort: 80}, {name: admin, internalPort: 81}",
            "{name: admin, internalPort: 82}",
        )
        .replace("ref: a", "ref: a, when: always");
    let (before, after) = (parse("a.yaml", text).unwrap(), parse("b.yaml", &after).unwrap());
    let difference = diff(&before.value, &after.value);
    assert_eq!(
        told(&difference),
        [
            "~ deployment-service-web spec.ports[admin].internalPort spec.ports[http]",
            "~ pipeline-shop spec.stages[Development].flow.spec.spec.steps[a].when",
        ]
    );
    assert_eq!(difference.nodes[1].fields[0].pointer, "/spec/stages/0/flow/spec/spec/steps/0/when");
}

fn any_steps() -> impl Strategy<Value = Value> {
    let leaf = (0..6_u8, 0..2_u8, any::<bool>()).prop_map(|(name, spec, named)| {
        let mut node = json!({"kind": "Noop", "spec": {"n": spec, "id": format!("t{name}")}});
        if named {
            node["ref"] = json!(format!("n{name}"));
        }
        json!([node])
    });
    leaf.prop_recursive(3, 12, 4, |inner| {
        (prop::collection::vec(inner, 0..4), 0..3_u8).prop_map(|(lists, name)| {
            let steps: Vec<Value> =
                lists.into_iter().flat_map(|list| list.as_array().unwrap().clone()).collect();
            json!([workflow(&format!("w{name}"), &steps.into())])
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_document_does_not_differ_from_itself(steps in any_steps()) {
        prop_assert!(diff(&flow(&steps), &flow(&steps)).is_empty());
    }

    /// Nothing is told twice or lost: what is new and what is gone add up, and the other way round they change
    /// places.
    #[test]
    fn a_difference_accounts_for_every_node(before in any_steps(), after in any_steps()) {
        let (before, after) = (flow(&before), flow(&after));
        let count = |value: &Value| value.to_string().matches("\"kind\":").count();
        let fates = |difference: &Difference, fate| difference.nodes.iter().filter(|node| node.fate == fate).count();
        let (there, back) = (diff(&before, &after), diff(&after, &before));
        let (added, removed) = (fates(&there, Fate::Added), fates(&there, Fate::Removed));
        prop_assert_eq!(count(&before) + added, count(&after) + removed);
        prop_assert_eq!((fates(&back, Fate::Removed), fates(&back, Fate::Added)), (added, removed));
        prop_assert_eq!(there.is_empty(), before == after, "{:?}", told(&there));
    }
}
