//! A run as the API shows it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shipway_contracts::v1;
use shipway_engine::{Blocked, Blocker, RunState, applied, why};
use shipway_events::{ExecutorId, Position, Timestamp, plan::PlanNode};

use crate::rollback;

/// The whole run, with its nodes.
pub(crate) fn run(state: &RunState, position: Position, now: Timestamp) -> v1::Run {
    let all = (0..).take(state.nodes().len());
    v1::Run { nodes: nodes(state, all, now), ..head(state, position) }
}

/// The run without its nodes.
pub(crate) fn head(state: &RunState, position: Position) -> v1::Run {
    let Some(started) = state.started() else { return v1::Run::default() };
    let reason =
        state.ended().and_then(|ended| ended.reason.clone()).or_else(|| state.aborting().map(str::to_owned));
    let reason = reason.or_else(|| state.frozen().map(shipway_engine::held_in_words));
    v1::Run {
        id: started.run.to_string(),
        path: started.path.clone(),
        project: started.project.to_string(),
        flow: started.flow.to_string(),
        flow_version: started.flow_version,
        name: started.name.clone(),
        description: started.description.clone(),
        status: state.status().to_string(),
        concluded: state.ended().is_some(),
        origin: format!("{:?}", started.origin).to_lowercase(),
        created_at: text(state.started_at()),
        ended_at: text(state.ended_at()),
        reason: reason.unwrap_or_default(),
        position,
        triggers_json: json(&started.plan.triggers),
        fields_json: json(&started.plan.given.fields),
        releases_json: json(&started.plan.given.releases),
        again: started.plan.given.again.map(|run| run.to_string()).unwrap_or_default(),
        plan: state.plan_hash().to_owned(),
        parent: started.parent.as_ref().map(|parent| parent.run.to_string()).unwrap_or_default(),
        applied: applied(state),
        resumes: state.resumed().map(|resumed| resumed.of.to_string()).unwrap_or_default(),
        resumed_from: state.resumed().map(|resumed| resumed.from.clone()).unwrap_or_default(),
        kind: rollback::kind(started.pipeline.is_some(), started.rollback.is_some()).to_owned(),
        rollback: started.rollback.as_ref().map(rollback::mark),
        author: started.author.as_ref().map(|author| author.name().to_owned()).unwrap_or_default(),
        ..v1::Run::default()
    }
}

/// Some of its nodes, with what they wait for.
pub(crate) fn nodes(state: &RunState, wanted: impl Iterator<Item = u32>, now: Timestamp) -> Vec<v1::Node> {
    let mut waits = BTreeMap::new();
    for blocker in why(state, now) {
        // What runs needs no explanation.
        if !matches!(blocker.blocked, Blocked::Work { .. }) {
            waits.insert(blocker.node, blocker.words);
        }
    }
    let shown = wanted.filter_map(|index| {
        let mut shown = node(state, state.plan_node(index)?, index);
        if let Some(words) = waits.remove(&index) {
            shown.waiting_for = words;
        }
        Some(shown)
    });
    shown.collect()
}

/// The executor that a node waits for, or that is at work on it.
pub(crate) fn waits_for(blocker: &Blocker) -> Option<ExecutorId> {
    match blocker.blocked {
        Blocked::Slot { only, .. } => only,
        Blocked::Work { executor } | Blocked::Finish { executor } | Blocked::Stop { executor } => {
            Some(executor)
        }
        Blocked::Freeze { .. }
        | Blocked::Hold { .. }
        | Blocked::Time { .. }
        | Blocked::Condition
        | Blocked::Person
        | Blocked::Approval { .. }
        | Blocked::Run { .. }
        | Blocked::Lock { .. }
        | Blocked::Lane { .. }
        | Blocked::Steps { .. }
        | Blocked::Nothing => None,
    }
}

fn node(state: &RunState, plan: &PlanNode, index: u32) -> v1::Node {
    let mut shown = v1::Node {
        index,
        r#ref: state.name_of(index),
        kind: plan.kind.clone(),
        parent: plan.parent.and_then(|parent| i32::try_from(parent).ok()).unwrap_or(-1),
        max_attempts: plan.retry.as_ref().map_or(0, |retry| retry.max_attempts),
        summary: summary(plan),
        ..v1::Node::default()
    };
    let Some(node) = state.node(index) else { return shown };
    shown.status = node.status.to_string();
    shown.started_at = text(node.started_at);
    shown.ended_at = text(node.ended_at);
    shown.attempt = node.attempts;
    shown.kept = node.kept;
    shown.next_attempt_at = text(node.due);
    if let Some(error) = &node.error {
        (shown.error_code, shown.error_message) = (error.code.clone(), error.message.clone());
    }
    if let Some(outputs) = &node.outputs {
        shown.outputs_json = json(outputs);
    }
    shown.waiting_for = node.reason.as_deref().unwrap_or_default().to_owned();
    if let Some(later) = &node.later {
        shown.later = match &later.error {
            None => "ended well later".to_owned(),
            Some(error) => format!("failed later: {}", error.message),
        };
    }
    shown
}

/// What a node is about, in a few words: `shop-web-dev`, `shop-web-dev → shop-web-staging`.
fn summary(plan: &PlanNode) -> String {
    let at = |pointer: &str| named(plan.spec.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    match plan.kind.as_str() {
        "Build" => at("/id"),
        "Release" => format!("{} → {}", at("/origin/id"), at("/target/id")),
        "JobRun" => at("/jobId"),
        "AddonBackup" => at("/addonId"),
        "Addon" => at("/name"),
        "Workflow" => at("/type"),
        "Message" => at("/kind"),
        "Action" => ["/spec/data/command", "/spec/type"]
            .map(at)
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        "Condition" => at("/kind"),
        "RunTemplate" => at("/templateId"),
        "LoopWorkflow" => "loop".to_owned(),
        _ => String::new(),
    }
}

/// What another node will say is shown by that node's name: `build` for `${refs.build.id}`.
fn named(text: &str) -> String {
    let node = text.strip_prefix("${refs.").and_then(|rest| rest.split(['.', '}']).next());
    node.unwrap_or(text).to_owned()
}

/// A map as JSON; nothing for an empty one.
pub(crate) fn json(map: &Map<String, Value>) -> String {
    if map.is_empty() { String::new() } else { serde_json::to_string(map).unwrap_or_default() }
}

pub(crate) fn text(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_node_is_shown_by_that_nodes_name() {
        assert_eq!(named("${refs.build.nfObjectId}"), "build");
        assert_eq!(named("shop-web"), "shop-web");
    }
}
