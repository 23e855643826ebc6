//! Why a run ended as it did.

use shipway_contracts::{
    blockers::{Facts, Kind},
    v1::Blocker,
};
use shipway_engine::{MARKED_BAD, NO_EXECUTOR, ON_HOLD, RunState};
use shipway_events::{NodeStatus, RunStatus, run::Held};

use super::{at, facts};
use crate::run::present;

/// What made a run end other than well; nothing of one that goes on or has ended well.
pub(super) fn why(state: &RunState) -> Vec<Blocker> {
    let Some(ended) = state.ended() else { return Vec::new() };
    let reason = ended.reason.clone().unwrap_or_default();
    let holder = ended.by.map(|by| by.to_string()).unwrap_or_default();
    let facts = Facts { holder: holder.clone(), ..facts(state, "") };
    if let (RunStatus::Skipped, Some(held)) = (ended.status, state.last_held()) {
        return vec![held_back(state, held, facts, reason)];
    }
    let kind = match (ended.status, ended.by) {
        (RunStatus::Failure, _) => return failed(state, &reason),
        (RunStatus::Aborted, None) => Kind::Aborted,
        (RunStatus::Aborted, Some(_)) => Kind::Replaced,
        (RunStatus::Skipped, _) if state.behind().is_some() => Kind::Superseded,
        (RunStatus::Skipped, _) => Kind::Refused,
        _ => return Vec::new(),
    };
    let holder = if holder.is_empty() { holder } else { format!("run {holder}") };
    vec![Blocker { holder, since: present::text(state.ended_at()), ..kind.blocker(&facts, reason) }]
}

/// What a hold or a bad mark kept from being released.
fn held_back(state: &RunState, held: &Held, facts: Facts, words: String) -> Blocker {
    let bad =
        if held.artifact.digest.is_empty() { held.hold.to_string() } else { held.artifact.digest.clone() };
    let kind = if held.bad { Kind::Bad } else { Kind::HeldBack };
    let facts = Facts { hold: held.name.clone(), bad, ..facts };
    Blocker {
        holder: held.by.name().to_owned(),
        since: present::text(state.ended_at()),
        ..kind.blocker(&facts, words)
    }
}

/// Each node that failed, or that the run itself did.
fn failed(state: &RunState, reason: &str) -> Vec<Blocker> {
    let mut failed = Vec::new();
    for (n, node) in (0..).zip(state.nodes()) {
        if let (NodeStatus::Failure, Some(error)) = (node.status, &node.error) {
            let name = state.name_of(n);
            let words = format!("`{name}` failed: {}", error.message);
            let since = node.ended_at.map(at).unwrap_or_default();
            // Nobody could ever do it: that is said at once instead of waiting for ever.
            let labels = state.plan_node(n).map(|plan| plan.runs_on.join(",")).unwrap_or_default();
            let facts = Facts { labels, ..facts(state, &name) };
            if let (MARKED_BAD | ON_HOLD, Some(held)) = (error.code.as_str(), state.last_held()) {
                failed.push(Blocker { since, ..held_back(state, held, facts, words) });
                continue;
            }
            let kind = if error.code == NO_EXECUTOR { Kind::Labels } else { Kind::Failed };
            failed.push(Blocker { since, ..kind.blocker(&facts, words) });
        }
    }
    if failed.is_empty() {
        let since = present::text(state.ended_at());
        let blocker = Kind::Failed.blocker(&facts(state, ""), reason);
        failed.push(Blocker { since, advice: String::new(), ..blocker });
    }
    failed
}
