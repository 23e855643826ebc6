//! What a trigger makes of a push: a verdict in words.

use serde_json::{Map, Value, json};
use shipway_events::{FlowId, ProjectId, delivery::Verdict, run::Origin};

use super::{
    glob,
    push::{Push, short},
    repository::RepositoryKey,
    trigger::{Kind, PushRule, Trigger},
};

/// A trigger with the flow that it can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTrigger {
    /// The flow's project.
    pub project: ProjectId,
    /// The flow.
    pub flow: FlowId,
    /// The flow by the names people use: `shop/development`.
    pub path: String,
    /// Whether the flow's triggers are switched off.
    pub paused: bool,
    /// Arguments of the flow that may not come in a query string.
    pub secret_arguments: Vec<String>,
    /// The trigger.
    pub trigger: Trigger,
}

/// What each trigger that names this repository makes of a push to it.
pub fn judge_push<'a>(
    push: &Push,
    repository: &RepositoryKey,
    triggers: impl IntoIterator<Item = &'a FlowTrigger>,
) -> Vec<Verdict> {
    triggers
        .into_iter()
        .filter_map(|candidate| match &candidate.trigger.kind {
            Kind::Push(rule) if rule.key == *repository => Some(push_verdict(push, candidate, rule)),
            _ => None,
        })
        .collect()
}

fn push_verdict(push: &Push, candidate: &FlowTrigger, rule: &PushRule) -> Verdict {
    let mut verdict = blank(candidate, Origin::Git);
    match matched_by(push, candidate, rule) {
        Ok((branch, after, reason)) => {
            verdict.matched = true;
            verdict.reason = reason;
            verdict.values = object(json!({ "branch": branch, "sha": after, "repoUrl": rule.repository }));
        }
        Err(reason) => verdict.reason = reason,
    }
    verdict
}

/// The branch, the commit and the reason in words, or why it does not match.
fn matched_by<'p>(
    push: &'p Push,
    candidate: &FlowTrigger,
    rule: &PushRule,
) -> Result<(&'p str, &'p str, String), String> {
    if !push.repositories.iter().any(|address| RepositoryKey::of(address) == rule.key) {
        let named = push.repositories.first().map_or("no repository", String::as_str);
        return Err(format!("the delivery is about {named}, the trigger names {}", rule.repository));
    }
    let Some(branch) = push.branch() else {
        return Err(format!("{} is not a branch", push.reference));
    };
    let Some(after) = push.target() else {
        return Err(format!("branch {branch} was deleted: there is nothing to run"));
    };
    if candidate.trigger.manual_only {
        return Err("the trigger is for runs by hand only (manualOnly)".to_owned());
    }
    if candidate.paused {
        return Err(format!("the flow {} is paused: its Git triggers are off", candidate.path));
    }
    let Some(pattern) = rule.branches.iter().find(|pattern| glob::matches(pattern, branch)) else {
        return Err(match rule.branches.as_slice() {
            [] => {
                "the trigger has no branch rule, and none never matches; give `*` for every branch".to_owned()
            }
            rules => format!("branch {branch} matches none of the rules {}", listed(rules)),
        });
    };
    if let Some((commit, flag)) = flagged(push, &rule.flags) {
        return Err(format!("commit {} says `{flag}`", short(commit)));
    }
    if rule.by_path {
        return Err(
            "the trigger has path rules, which this version cannot check; take `filePaths` away or start \
                    the run by hand"
                .to_owned(),
        );
    }
    Ok((branch, after, format!("branch {branch} matches the rule {pattern}")))
}

/// The first commit of the push whose message holds a flag, and the flag.
fn flagged<'a>(push: &'a Push, flags: &'a [String]) -> Option<(&'a str, &'a str)> {
    push.messages().find_map(|commit| {
        let flag = flags.iter().find(|flag| !flag.is_empty() && commit.message.contains(flag.as_str()))?;
        Some((commit.id.as_str(), flag.as_str()))
    })
}

/// A verdict that does not match, with nothing said yet.
pub(crate) fn blank(candidate: &FlowTrigger, origin: Origin) -> Verdict {
    Verdict {
        project: candidate.project,
        flow: candidate.flow,
        path: candidate.path.clone(),
        trigger: candidate.trigger.reference.clone(),
        matched: false,
        reason: String::new(),
        origin,
        values: Map::new(),
        triggers: Map::new(),
        arguments: Map::new(),
        name: None,
        description: None,
    }
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn listed(rules: &[String]) -> String {
    let shown: Vec<String> = rules.iter().map(|rule| format!("`{rule}`")).collect();
    shown.join(", ")
}
