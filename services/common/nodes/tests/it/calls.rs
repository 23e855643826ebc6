//! Flows that run each other and need the same lock: found before anything runs, as far as names are known.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, json};
use shipway_documents::flow::Flow;
use shipway_nodes::validate::check_calls;

/// A node that runs a flow and waits for it.
fn run(id: &str) -> Value {
    let spec = json!({"templateType": "release-flow-template", "templateId": id});
    json!({"kind": "RunTemplate", "ref": "other", "spec": spec, "condition": "success"})
}

fn with(mut node: Value, field: &str, value: Value) -> Value {
    node[field] = value;
    node
}

fn workflow(steps: Value) -> Value {
    json!({"kind": "Workflow", "ref": "around", "spec": {"type": "sequential", "steps": steps}})
}

fn flow(steps: &Value) -> Flow {
    let value =
        json!({"spec": {"kind": "Workflow", "ref": "root", "spec": {"type": "sequential", "steps": steps}}});
    Flow::parse(&value).unwrap()
}

/// What is wrong with a flow of these steps, beside flows with others.
fn found(steps: Value, others: &[(&str, Value)]) -> Vec<String> {
    let others: BTreeMap<&str, Flow> = others.iter().map(|(path, steps)| (*path, flow(steps))).collect();
    let find = |id: &str| Some((id.to_owned(), Cow::Borrowed(others.get(id)?)));
    let own = flow(&steps);
    let stuck = check_calls(&own, &find);
    stuck.iter().map(|stuck| format!("{} {}", stuck.through.join(">"), stuck.problem)).collect()
}

#[test]
fn who_holds_a_lock_waits_for_no_run_that_needs_it() {
    let needs = json!([{"kind": "Noop", "ref": "migrate", "locks": ["dns", "db"], "spec": {}}]);
    let others = [("shop/production", needs.clone())];
    let held = with(run("shop/production"), "locks", json!(["db"]));
    assert_eq!(
        found(json!([held]), &others),
        [
            "shop/production error: /spec/spec/steps/0/locks: `other` holds the lock `db` until the run of shop/production has \
          ended, and `migrate` in there waits for that lock; take the lock out of one of the two flows, or do not wait for \
          the run: leave `condition` away"
        ]
    );
    // A workflow holds its locks, and those of all in it, for all in it.
    for around in [
        with(workflow(json!([run("shop/production")])), "locks", json!(["db"])),
        with(
            workflow(json!([{"kind": "Noop", "locks": ["db"], "spec": {}}, run("shop/production")])),
            "locks",
            json!(["other"]),
        ),
    ] {
        let all = found(json!([around]), &others);
        let [only] = all.as_slice() else { panic!("{all:?}") };
        assert!(
            only.contains("/spec/templateId: `around`, which this node is in, holds the lock `db`"),
            "{only}"
        );
    }

    // Through a flow between, however often these run each other.
    let second = with(run("shop/production"), "ref", json!("second"));
    let between = json!([run("shop/staging"), second]);
    let all = found(
        json!([with(run("shop/staging"), "locks", json!(["db"]))]),
        &[("shop/production", needs), ("shop/staging", between)],
    );
    let [only] = all.as_slice() else { panic!("{all:?}") };
    assert!(only.starts_with("shop/staging>shop/production "), "{only}");
    assert!(only.contains("until the run of shop/production, run through shop/staging, has ended"), "{only}");
}

#[test]
fn nothing_is_said_where_nobody_waits() {
    let needs = json!([{"kind": "Noop", "locks": ["db"], "spec": {}}]);
    let others = [("a/b", needs)];
    let held = |node: Value| with(node, "locks", json!(["db"]));
    let skipped = json!([{"kind": "Noop", "locks": ["db"], "skipNodeExecution": true, "spec": {}}]);
    let detached = json!([with(run("a/b"), "condition", Value::Null)]);
    for (steps, others) in [
        (json!([run("a/b")]), &others[..]),
        (json!([held(json!({"kind": "Noop", "spec": {}})), run("a/b")]), &others),
        (json!([with(run("a/b"), "locks", json!(["dns"]))]), &others),
        (json!([with(held(run("a/b")), "condition", Value::Null)]), &others),
        (json!([with(held(run("a/b")), "skipNodeExecution", json!("true"))]), &others),
        (json!([held(run("a/c"))]), &others),
        (json!([held(run("${args.FLOW}"))]), &others),
        (json!([with(run("a/b"), "locks", json!(["${args.LOCK}"]))]), &others),
        (json!([held(run("a/b"))]), &[("a/b", skipped)]),
        (
            json!([held(run("a/c"))]),
            &[("a/b", json!([{"kind": "Noop", "locks": ["db"], "spec": {}}])), ("a/c", detached)],
        ),
    ] {
        assert_eq!(found(steps.clone(), others), Vec::<String>::new(), "{steps}");
    }
}
