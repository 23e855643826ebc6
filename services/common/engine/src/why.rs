//! Why a run is not done: what each open node waits for.

use shipway_events::{EffectClass, ExecutorId, NodeStatus, Timestamp};

use crate::RunState;

/// What holds a node up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The node's index in the plan.
    pub node: u32,
    /// The node by the name that people use.
    pub reference: String,
    /// What it waits for.
    pub blocked: Blocked,
    /// Since when.
    pub since: Timestamp,
    /// All of it in words for people, with what would clear it.
    pub words: String,
}

/// What a node can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// An executor's free slot.
    Slot {
        /// It needs one with a process.
        heavy: bool,
        /// The only executor that will do.
        only: Option<ExecutorId>,
    },
    /// An executor at work on it.
    Work {
        /// The executor.
        executor: ExecutorId,
    },
    /// An executor that is to stop it.
    Stop {
        /// The executor.
        executor: ExecutorId,
    },
    /// A time.
    Time {
        /// When it goes on.
        until: Timestamp,
    },
    /// A condition.
    Condition,
    /// A person.
    Person,
    /// The steps before it.
    Steps {
        /// How many of them have not ended.
        open: u32,
    },
}

/// What holds up each node that is not done, in the order of the plan. Nodes in workflows whose turn has not
/// come are left out: their workflow is in the list.
#[must_use]
pub fn why(state: &RunState, now: Timestamp) -> Vec<Blocker> {
    (0..).zip(state.nodes()).filter_map(|(node, _)| blocker(state, node, now)).collect()
}

fn blocker(state: &RunState, n: u32, now: Timestamp) -> Option<Blocker> {
    let node = state.node(n)?;
    let name = &state.name_of(n);
    let (blocked, words) = match (&node.attempt, node.status) {
        (Some(attempt), _) if attempt.stopping => {
            let executor = attempt.executor;
            (
                Blocked::Stop { executor },
                format!("`{name}` was told to stop; executor {executor} has not confirmed"),
            )
        }
        (Some(attempt), NodeStatus::Waiting) => {
            let limit = attempt.deadline.map(|at| format!(", at most until {at}")).unwrap_or_default();
            (Blocked::Condition, format!("`{name}` waits for its condition{limit}"))
        }
        (Some(attempt), _) => {
            let (executor, number) = (attempt.executor, attempt.number);
            let for_seconds = now.since(attempt.requested_at).as_secs();
            let words =
                format!("`{name}` runs on executor {executor} for {for_seconds} s (attempt {number})");
            (Blocked::Work { executor }, words)
        }
        (None, _) if node.closed && !node.trailing => return None,
        (None, NodeStatus::Waiting) => (Blocked::Condition, format!("`{name}` waits for its condition")),
        (None, NodeStatus::Unknown) => {
            let reason = node.reason.as_deref().unwrap_or("what it did cannot be known");
            (Blocked::Person, format!("`{name}`: {reason}; say what became of it, or abort the run"))
        }
        (None, NodeStatus::Pending) => return steps_before(state, n, name),
        (None, _) => match node.due.filter(|due| *due > now) {
            Some(until) => {
                let error =
                    node.error.as_ref().map(|e| format!("; it failed: {}", e.message)).unwrap_or_default();
                (Blocked::Time { until }, format!("`{name}` is tried again at {until}{error}"))
            }
            None if state.agenda.contains(n) || node.due.is_some() => slot(state, n, name),
            None => return None,
        },
    };
    Some(Blocker { node: n, reference: name.clone(), blocked, since: node.since, words })
}

fn slot(state: &RunState, n: u32, name: &str) -> (Blocked, String) {
    let heavy = state.agenda.heavy.contains(&n);
    let (pinned, host) = state.node(n).map_or((None, None), |node| (node.pinned, node.waits_for));
    let only = pinned.or(host);
    let labels = state.plan_node(n).map_or(&[][..], |plan| plan.runs_on.as_slice());
    let words = match (pinned, host) {
        (Some(only), _) => format!(
            "`{name}` waits for executor {only}: an effect of class `{}` is asked about where it was tried",
            EffectClass::Checked
        ),
        (None, Some(host)) => format!("`{name}` waits for executor {host}: its target is on that host"),
        (None, None) if !labels.is_empty() => {
            format!("`{name}` waits for an executor with a free slot and the labels {}", labels.join(", "))
        }
        (None, None) if heavy => format!("`{name}` waits for an executor with a free process slot"),
        (None, None) => format!("`{name}` waits for an executor with a free slot"),
    };
    (Blocked::Slot { heavy, only }, words)
}

/// A step of a workflow that was entered waits for the steps before it.
fn steps_before(state: &RunState, n: u32, name: &str) -> Option<Blocker> {
    let parent = state.plan_node(n)?.parent?;
    let around = state.node(parent)?;
    let is_last = state.shape.places[n as usize].is_last;
    let open = if is_last { around.scope.first_open } else { state.node(n)?.before };
    (around.status == NodeStatus::Running && open > 0).then(|| Blocker {
        node: n,
        reference: name.to_owned(),
        blocked: Blocked::Steps { open },
        since: around.since,
        words: format!("`{name}` waits for {open} step{} before it", if open == 1 { "" } else { "s" }),
    })
}
