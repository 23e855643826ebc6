//! The triggers of flows in the typed form, for the service that receives deliveries. Pure.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use shipway_contracts::v1::TriggerRecord;
use shipway_documents::flow::{
    CronTrigger, Flow as Document, GitTrigger, TriggerSource, TypedKind, TypedTrigger,
};
use shipway_events::FlowId;

use crate::{
    domain::{Flow, Override},
    world::Project,
};

/// Every trigger of the project's flows, in their newest versions, with the tokens that documents chose.
pub(crate) fn records(project: &Project, tokens: &HashMap<FlowId, String>) -> Vec<TriggerRecord> {
    let mut records = Vec::new();
    for flow in project.state.flows.values() {
        let Some(newest) = flow.newest() else { continue };
        let Ok(document) = Document::parse(&newest.document) else {
            tracing::error!(flow = %flow.id, path = flow.path(), "a flow's stored document cannot be read; nothing starts it");
            continue;
        };
        let id = flow.id.to_string();
        for trigger in typed(&document, tokens.get(&flow.id).map(String::as_str)) {
            records.push(TriggerRecord {
                project: project.id.to_string(),
                flow: id.clone(),
                path: flow.path(),
                flow_version: newest.version,
                trigger_json: trigger.to_string(),
                paused: project.state.is_paused(flow),
                secret_arguments: secret_arguments(project, flow, &document),
            });
        }
    }
    records
}

/// A document's triggers as the service that receives deliveries reads them.
#[must_use]
pub fn typed(document: &Document, token: Option<&str>) -> Vec<Value> {
    let webhook = |reference: &str| {
        let mut spec = Map::new();
        if let Some(token) = token {
            spec.insert("token".to_owned(), token.into());
        }
        json!({"kind": "webhook", "ref": reference, "spec": spec})
    };
    let mut all: Vec<Value> = document
        .triggers
        .iter()
        .map(|trigger| match &trigger.source {
            TriggerSource::Git(git) => commits(&trigger.reference, git),
            TriggerSource::Webhook(_) => webhook(&trigger.reference),
            TriggerSource::Typed(typed) => match &typed.schedule {
                Some(cron) => schedule(&trigger.reference, cron),
                None => other(&trigger.reference, typed),
            },
        })
        .collect();
    if document.webhook.as_ref().is_some_and(|own| own.enabled) {
        all.push(webhook("webhook"));
    }
    all
}

fn schedule(reference: &str, cron: &CronTrigger) -> Value {
    json!({
        "kind": "cron",
        "ref": reference,
        "spec": {"cron": cron.cron, "timezone": cron.timezone, "missed": cron.missed.as_str()},
    })
}

/// The form of release flows: pushes and pull requests.
fn commits(reference: &str, git: &GitTrigger) -> Value {
    json!({
        "kind": "git",
        "ref": reference,
        "manualOnly": git.manual_only,
        "vcsService": git.vcs_service,
        "accountLogin": git.account_login,
        "repoUrl": git.repo_url,
        "branchRestrictions": git.branch_restrictions,
        "prRestrictions": git.pr_restrictions,
        "pathIgnoreRules": git.path_ignore_rules,
        "isAllowList": git.is_allow_list,
        "ciIgnoreFlagsEnabled": !git.ci_ignore_flags.is_empty(),
        "ciIgnoreFlags": git.ci_ignore_flags,
        "ignoreDrafts": git.ignore_drafts,
    })
}

/// Any other typed trigger. Defaults are already in what was read, so every list is switched on.
fn other(reference: &str, typed: &TypedTrigger) -> Value {
    let git = &typed.git;
    let branches = match typed.kind {
        TypedKind::PullRequestLabel => json!({"enabled": true, "names": git.pr_restrictions}),
        _ => json!(git.pr_restrictions),
    };
    json!({
        "kind": typed.kind.as_str(),
        "ref": reference,
        "manualOnly": git.manual_only,
        "spec": {
            "vcs": {
                "vcsService": git.vcs_service, "accountLogin": git.account_login, "repoUrl": git.repo_url,
            },
            "branchNamePatterns": branches,
            "labelNamePatterns": typed.labels,
            "commitMessageFlags": {"enabled": !git.ci_ignore_flags.is_empty(), "flags": git.ci_ignore_flags},
            "filePaths": {
                "enabled": !git.path_ignore_rules.is_empty(),
                "allowList": git.is_allow_list,
                "paths": git.path_ignore_rules,
            },
            "ignoreDrafts": git.ignore_drafts,
        },
    })
}

fn secret_arguments(project: &Project, flow: &Flow, document: &Document) -> Vec<String> {
    let declared =
        document.arguments.iter().filter(|argument| argument.secret).map(|argument| &argument.name);
    let overridden = project.state.overrides.get(&flow.id).into_iter().flatten();
    let overridden =
        overridden.filter(|(_, value)| matches!(value, Override::Secret(_))).map(|(name, _)| name);
    let mut all: Vec<String> = declared.chain(overridden).cloned().collect();
    all.sort();
    all.dedup();
    all
}
