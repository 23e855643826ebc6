//! The document of a rollback: its steps, behind the approvals and locks of the flow that goes back. No input or output.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use shipway_documents::{flow::is_lock_name, is_expression};
use shipway_events::plan::Artifact;

use super::reverse::Step;

/// The flow that takes the steps. `own` is the document of the stage's flow: whoever has to approve its releases has to
/// approve what takes them back, and its locks are held.
pub(super) fn document(steps: &[Step], own: &Value, warnings: &mut Vec<String>) -> Value {
    let (mut gates, mut locks) = (Vec::new(), BTreeSet::new());
    look(own.get("spec").unwrap_or(&Value::Null), &mut gates, &mut locks, warnings);
    let is_release = |step: &Step| matches!(step, Step::Release { .. });
    let end = steps.iter().position(is_release).unwrap_or(steps.len());
    let (before, releases) = steps.split_at(end);
    let mut all = gates;
    if !before.is_empty() {
        all.push(workflow("change", before.iter().map(node).collect()));
    }
    all.extend(releases.iter().map(node));
    let mut root = workflow("rollback", all);
    if !locks.is_empty() {
        root["locks"] = json!(locks);
    }
    let mut document = Map::new();
    document.insert("apiVersion".to_owned(), json!("v1.2"));
    if let Some(policy) = own.pointer("/options/concurrencyPolicy") {
        document.insert("options".to_owned(), json!({ "concurrencyPolicy": policy }));
    }
    document.insert("spec".to_owned(), root);
    Value::Object(document)
}

fn workflow(name: &str, steps: Vec<Value>) -> Value {
    json!({"kind": "Workflow", "ref": name, "spec": {"type": "sequential", "steps": steps}})
}

/// Finds the approvals and the locks of a flow, in its order.
fn look(node: &Value, gates: &mut Vec<Value>, locks: &mut BTreeSet<String>, warnings: &mut Vec<String>) {
    let names = node.get("locks").and_then(Value::as_array).into_iter().flatten();
    locks.extend(names.filter_map(Value::as_str).filter(|name| is_lock_name(name)).map(str::to_owned));
    if node.get("kind").and_then(Value::as_str) == Some("Approval") {
        let mut spec = node.get("spec").cloned().unwrap_or(Value::Null);
        let name = format!("approve-{}", gates.len() + 1);
        if holds_expression(&spec) {
            let own = node.get("ref").and_then(Value::as_str).unwrap_or("an approval");
            warnings.push(format!(
                "`{own}` says with an expression who approves: of a rollback, anybody's one approval is asked for instead"
            ));
            spec = json!({"amount": 1});
        }
        gates.push(json!({"kind": "Approval", "ref": name, "spec": spec}));
    }
    for step in node.pointer("/spec/steps").and_then(Value::as_array).into_iter().flatten() {
        look(step, gates, locks, warnings);
    }
}

fn holds_expression(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(holds_expression),
        Value::Object(members) => members.values().any(holds_expression),
        value => is_expression(value),
    }
}

fn node(step: &Step) -> Value {
    match step {
        Step::Stop(service) => json!({
            "kind": "Action", "ref": format!("stop-{service}"), "condition": "running",
            "spec": {"kind": "Service", "spec": {"type": "stop", "data": {"serviceId": service}}},
        }),
        Step::Restore { addon, backup } => json!({
            "kind": "Action", "ref": format!("restore-{addon}"), "condition": "success",
            "spec": {
                "kind": "AddonBackup",
                "spec": {"type": "restore", "data": {"addonId": addon, "backupId": backup, "keep": true}},
            },
        }),
        Step::StartAgain { service, artifact } => {
            let mut again = release(service, false, artifact);
            again["ref"] = json!(format!("again-{service}"));
            again["when"] = json!("failure");
            again
        }
        Step::Release { target, is_job, artifact } => release(target, *is_job, artifact),
    }
}

/// Exactly this build, which is there: nothing is built for a rollback.
fn release(target: &str, is_job: bool, artifact: &Artifact) -> Value {
    let kind = if is_job { "job" } else { "service" };
    json!({
        "kind": "Release", "ref": target, "condition": "running",
        "spec": {
            "type": "build",
            "origin": {"id": artifact.service, "build": artifact.build},
            "target": {"id": target, "type": kind},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(build: &str) -> Artifact {
        let text = |text: &str| text.to_owned();
        Artifact {
            digest: text("sha256:1"),
            build: text(build),
            service: text("builder"),
            commit: text("c"),
            branch: text("main"),
        }
    }

    #[test]
    fn approvals_and_locks_of_the_flow_are_those_of_its_rollback() {
        let own = json!({
            "options": {"concurrencyPolicy": "queue"},
            "spec": {"kind": "Workflow", "locks": ["data"], "spec": {"steps": [
                {"kind": "Approval", "ref": "lead", "spec": {"amount": 2, "approvers": ["lead"]}},
                {"kind": "Workflow", "spec": {"steps": [
                    {"kind": "Approval", "ref": "late", "spec": {"amount": "${args.N}"}},
                    {"kind": "JobRun", "locks": ["${args.LOCK}", "host"], "spec": {}},
                ]}},
            ]}},
        });
        let steps = [
            Step::Stop("web".to_owned()),
            Step::Restore { addon: "db".to_owned(), backup: "bk-1".to_owned() },
            Step::StartAgain { service: "web".to_owned(), artifact: artifact("b-2") },
            Step::Release { target: "web".to_owned(), is_job: false, artifact: artifact("b-1") },
        ];
        let mut warnings = Vec::new();
        let document = document(&steps, &own, &mut warnings);
        assert_eq!(document["options"], json!({"concurrencyPolicy": "queue"}));
        let root = &document["spec"];
        assert_eq!(root["locks"], json!(["data", "host"]));
        let names = |node: &Value| -> Vec<String> {
            let steps = node["spec"]["steps"].as_array().unwrap();
            steps.iter().map(|step| step["ref"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(root), ["approve-1", "approve-2", "change", "web"]);
        assert_eq!(root["spec"]["steps"][0]["spec"], json!({"amount": 2, "approvers": ["lead"]}));
        assert_eq!(root["spec"]["steps"][1]["spec"], json!({"amount": 1}));
        assert_eq!(names(&root["spec"]["steps"][2]), ["stop-web", "restore-db", "again-web"]);
        assert!(warnings[0].starts_with("`late` says with an expression"), "{warnings:?}");
        assert!(shipway_documents::flow::Flow::parse(&document).is_ok());
    }
}
