//! What a run has changed in the world by now: an abort stops what follows, and takes nothing back.

use shipway_events::{NodeStatus, Timestamp, plan::Artifact, run::Effect};

use crate::RunState;

/// What each node has changed, in words for people, in the order of the nodes' ends. Whatever only looks, waits or asks is
/// left out.
#[must_use]
pub fn applied(state: &RunState) -> Vec<String> {
    let mut all: Vec<(Timestamp, u32)> = Vec::new();
    for (n, node) in (0_u32..).zip(state.nodes()) {
        let (at, well) = match &node.later {
            Some(later) => (Some(later.at), later.error.is_none()),
            None => (node.ended_at, node.status == NodeStatus::Success && !node.trailing),
        };
        let unknown = node.status == NodeStatus::Unknown;
        let changed =
            state.effects.contains_key(&n) || (changes(state, n) && node.attempts > 0 && (well || unknown));
        if let Some(at) = at.or_else(|| unknown.then_some(node.since)).filter(|_| changed) {
            all.push((at, n));
        }
    }
    all.sort_unstable();
    all.into_iter().flat_map(|(_, n)| words(state, n)).collect()
}

impl RunState {
    /// What a node has changed in the world by now.
    #[must_use]
    pub fn effects_of(&self, node: u32) -> &[Effect] {
        self.effects.get(&node).map_or(&[], Vec::as_slice)
    }
}

/// Whether a node of this kind changes anything where it says nothing of what it changes.
fn changes(state: &RunState, n: u32) -> bool {
    let kind = state.plan_node(n).map_or("", |node| node.kind.as_str());
    state.is_leaf(n) && !matches!(kind, "Condition" | "Approval" | "Noop" | "LoopData")
}

fn words(state: &RunState, n: u32) -> Vec<String> {
    let name = state.name_of(n);
    if let Some(effects) = state.effects.get(&n) {
        return effects.iter().map(|effect| format!("{name}: {}", effect_in_words(effect))).collect();
    }
    let kind = state.plan_node(n).map_or("", |node| node.kind.as_str());
    let unknown = state.node(n).filter(|node| node.status == NodeStatus::Unknown);
    vec![match unknown.map(|node| node.reason.as_deref().unwrap_or("nobody can know what it did")) {
        Some(reason) => format!("{name}: perhaps, {reason}"),
        None => format!("{name}: carried out ({kind})"),
    }]
}

fn effect_in_words(effect: &Effect) -> String {
    let of = |artifact: &Artifact| {
        let commit = artifact.commit.get(..7).unwrap_or(&artifact.commit);
        format!("build {} of commit {commit}", artifact.build)
    };
    match effect {
        Effect::Released { slug, artifact, .. } => format!("released `{slug}` with {}", of(artifact)),
        Effect::Built { artifact, .. } => format!("made {}", of(artifact)),
        Effect::AddonStarted { slug, let_go, .. } if !let_go.is_empty() => {
            format!("let go of what `{slug}` was before: {}", let_go.join(", "))
        }
        Effect::AddonStarted { slug, .. } => format!("started or changed the addon `{slug}`"),
        Effect::BackedUp { addon, backup, .. } => format!("backed up `{addon}` as {backup}"),
        Effect::Restored { addon, backup, kept: None, .. } => format!("restored `{addon}` from {backup}"),
        Effect::Restored { addon, backup, kept: Some(kept), .. } => {
            format!("restored `{addon}` from {backup}; what it was before is kept as {kept}")
        }
        Effect::JobRan { job, job_run, .. } => format!("ran the job `{job}` as {job_run}"),
    }
}
