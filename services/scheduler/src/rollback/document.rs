//! The document of a rollback: its steps, behind the approvals and locks of the flow that goes back. No input or output.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value, json};
use shipway_contracts::{Code, Error};
use shipway_documents::{
    expr::{Lookup, Scope, resolve},
    flow::{Flow, Node, is_lock_name},
};
use shipway_events::plan::Artifact;

use super::reverse::Step;

/// The flow that takes the steps. `own` is the document of the stage's flow: whoever has to approve its releases has to
/// approve what takes them back, and its locks are held. `overrides` are values of its arguments.
///
/// # Errors
/// If who has to approve is not known before the flow runs.
pub(super) fn document(steps: &[Step], own: &Value, overrides: &Map<String, Value>) -> Result<Value, Error> {
    let flow = Flow::parse(own).map_err(|problems| Error::internal(&problems))?;
    let nodes = || flow.nodes().into_iter().map(|placed| placed.node);
    let locks: BTreeSet<&String> =
        nodes().flat_map(|node| &node.locks).filter(|name| is_lock_name(name)).collect();
    let arguments = Arguments { flow: &flow, overrides };
    let gates = nodes().filter(|node| node.kind == "Approval").enumerate();
    let mut all = gates.map(|(n, node)| gate(n + 1, node, &arguments)).collect::<Result<Vec<_>, _>>()?;
    let is_release = |step: &Step| matches!(step, Step::Release { .. });
    let end = steps.iter().position(is_release).unwrap_or(steps.len());
    let (before, releases) = steps.split_at(end);
    // While all goes on as it is: if that fails, nothing was touched.
    let loads: Vec<_> = before.iter().filter_map(load).collect();
    if !loads.is_empty() {
        all.push(workflow("load", loads));
    }
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
    Ok(Value::Object(document))
}

/// What is known of a flow that does not run: the values of its arguments that nobody has to give.
struct Arguments<'a> {
    flow: &'a Flow,
    overrides: &'a Map<String, Value>,
}

impl Scope for Arguments<'_> {
    fn arg(&self, name: &str) -> Lookup<'_> {
        let argument = self.flow.arguments.iter().find(|argument| argument.name == name);
        let value = self.overrides.get(name).or_else(|| argument?.default.as_ref());
        // A value that is not of its type is a flow's that cannot run either.
        let value = value.and_then(|value| argument.map_or(Some(value.clone()), |it| it.accept(value).ok()));
        value.map_or(Lookup::Missing { known: Vec::new() }, |value| Lookup::Value(Cow::Owned(value)))
    }

    fn reference(&self, _: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }

    fn trigger(&self, _: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }
}

/// An approval of the flow as one of its rollback.
fn gate(number: usize, node: &Node, arguments: &Arguments<'_>) -> Result<Value, Error> {
    let mut own = json!({ "spec": node.spec });
    if let Some(timeout) = &node.timeout {
        own["timeoutDuration"] = timeout.clone();
    }
    let mut gate = resolve(&own, arguments, "").map_err(|problems| {
        let why: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        // A rollback must not be the way around who has to approve.
        let message = format!(
            "`{}` says who approves by what is known only while the flow runs ({}): a rollback cannot ask for that; run \
             the flow with the earlier build instead, `shipway run … --release <target>=<build>`",
            node.reference,
            why.join("; ")
        );
        Error::new(Code::FailedPrecondition, message)
    })?;
    gate["kind"] = json!("Approval");
    gate["ref"] = json!(format!("approve-{number}"));
    Ok(gate)
}

fn workflow(name: &str, steps: Vec<Value>) -> Value {
    json!({"kind": "Workflow", "ref": name, "spec": {"type": "sequential", "steps": steps}})
}

/// The backup that a restore puts in place, loaded beforehand.
fn load(step: &Step) -> Option<Value> {
    let Step::Restore { addon, backup } = step else { return None };
    Some(json!({
        "kind": "Action", "ref": format!("load-{addon}"), "condition": "success",
        "spec": {"kind": "AddonBackup", "spec": {"type": "load", "data": {"addonId": addon, "backupId": backup}}},
    }))
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
            "arguments": {"TEAM": "ops", "N": {"type": "number", "default": 3}},
            "spec": {"kind": "Workflow", "locks": ["data"], "spec": {"steps": [
                {"kind": "Approval", "ref": "lead", "timeoutDuration": 600,
                    "spec": {"amount": 2, "approvers": ["lead"], "excludeAuthor": true}},
                {"kind": "LoopWorkflow", "spec": {"steps": [
                    {"kind": "Approval", "ref": "late", "spec": {"amount": "${args.N}", "approvers": ["${args.TEAM}"]}},
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
        let document = document(&steps, &own, &Map::new()).unwrap();
        assert_eq!(document["options"], json!({"concurrencyPolicy": "queue"}));
        let root = &document["spec"];
        assert_eq!(root["locks"], json!(["data", "host"]));
        let names = |node: &Value| -> Vec<String> {
            let steps = node["spec"]["steps"].as_array().unwrap();
            steps.iter().map(|step| step["ref"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(root), ["approve-1", "approve-2", "load", "change", "web"]);
        let gate = |n: usize| &root["spec"]["steps"][n];
        assert_eq!(gate(0)["spec"], json!({"amount": 2, "approvers": ["lead"], "excludeAuthor": true}));
        assert_eq!(gate(0)["timeoutDuration"], 600);
        assert_eq!(gate(1)["spec"], json!({"amount": 3, "approvers": ["ops"]}));
        assert_eq!(names(gate(2)), ["load-db"]);
        assert_eq!(names(gate(3)), ["stop-web", "restore-db", "again-web"]);
        let overrides = json!({"TEAM": "leads"}).as_object().unwrap().clone();
        let other = super::document(&steps, &own, &overrides).unwrap();
        assert_eq!(other["spec"]["spec"]["steps"][1]["spec"], json!({"amount": 3, "approvers": ["leads"]}));
    }

    #[test]
    fn a_rollback_is_no_way_around_who_approves() {
        for unknown in ["${refs.first.approvedBy}", "${args.TEAM}", "${triggers.push.author}"] {
            let own = json!({
                "arguments": {"TEAM": {"type": "string", "required": true}},
                "spec": {"kind": "Workflow", "spec": {"steps": [
                    {"kind": "Approval", "ref": "late", "spec": {"amount": 2, "approvers": [unknown]}},
                ]}},
            });
            let refused = document(&[], &own, &Map::new()).unwrap_err();
            assert_eq!(refused.code, Code::FailedPrecondition);
            let Error { message, .. } = refused;
            assert!(
                message.starts_with("`late` says who approves by what is known only while the flow runs"),
                "{message}"
            );
            assert!(message.contains("--release <target>=<build>"), "{message}");
        }
    }
}
