//! What triggers tell a run.

use std::collections::BTreeMap;

use shipway_documents::flow::{Flow, TriggerSource, TypedKind};

use crate::Outputs;

/// The values of each trigger.
pub(super) fn triggers(flow: &Flow) -> BTreeMap<&str, Outputs> {
    let mut all: BTreeMap<&str, Outputs> = BTreeMap::new();
    if flow.webhook.is_some() {
        all.insert("webhook", webhook_values());
    }
    all.extend(flow.triggers.iter().map(|one| (one.reference.as_str(), trigger_values(&one.source))));
    all
}

/// What is known of a pull request, and of a push as far as it has one.
const PULL_REQUEST: &[&str] = &["branch", "sha", "repoUrl", "pullRequestId", "title", "targetBranch"];

/// The values that a trigger of this kind has.
#[must_use]
pub fn trigger_values(source: &TriggerSource) -> Outputs {
    match source {
        TriggerSource::Git(_) => Outputs::of(PULL_REQUEST, &[]),
        TriggerSource::Typed(typed) => match typed.kind {
            TypedKind::PullRequest => Outputs::of(PULL_REQUEST, &[]),
            TypedKind::PullRequestLabel => {
                let with_label: Vec<&str> = PULL_REQUEST.iter().copied().chain(["label"]).collect();
                Outputs::of(&with_label, &[])
            }
            TypedKind::Release => Outputs::of(&["tag", "sha", "repoUrl", "title"], &[]),
            TypedKind::CheckSuite => {
                Outputs::of(&["branch", "sha", "repoUrl", "pullRequestId", "targetBranch"], &[])
            }
            TypedKind::Cron => Outputs::of(&["scheduledAt"], &[]),
        },
        TriggerSource::Webhook(_) => webhook_values(),
    }
}

fn webhook_values() -> Outputs {
    Outputs::of(&["body.*"], &[])
}
