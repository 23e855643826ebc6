//! A lane: which runs of a flow may go on.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use shipway_events::{
    RunId,
    lane::{Admitted, Event, Left},
};

/// What happens to a run that is asked for while others of its flow go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// It starts beside them.
    #[default]
    Allow,
    /// It waits for its turn.
    Queue,
    /// It ends as skipped.
    Forbid,
    /// It waits, and of those that wait only the newest is kept.
    Latest,
    /// The others are aborted.
    Replace,
}

/// The state of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneState {
    active: BTreeSet<RunId>,
    queued: VecDeque<RunId>,
}

/// What can be asked of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A run wants to go on.
    Request {
        /// The run.
        run: RunId,
        /// The flow's policy.
        policy: Policy,
    },
    /// A run has ended.
    Leave {
        /// The run.
        run: RunId,
    },
}

/// Why a command was not carried out. Nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// This version does not carry the policy out.
    #[error("the concurrency policy `{}` is not supported by this version; use `allow`", name(*.0))]
    PolicyNotSupported(Policy),
}

impl LaneState {
    /// A lane without runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what happened.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Admitted(e) => {
                self.queued.retain(|run| *run != e.run);
                self.active.insert(e.run);
            }
            Event::Queued(e) => self.queued.push_back(e.run),
            Event::Rejected(e) => self.queued.retain(|run| *run != e.run),
            Event::Left(e) => {
                self.active.remove(&e.run);
                self.queued.retain(|run| *run != e.run);
            }
        }
    }

    /// The runs that may go on.
    pub fn active(&self) -> impl Iterator<Item = RunId> + '_ {
        self.active.iter().copied()
    }

    /// The runs that wait, in their order.
    pub fn queued(&self) -> impl Iterator<Item = RunId> + '_ {
        self.queued.iter().copied()
    }
}

/// Decides. An empty list says that the command changes nothing.
///
/// # Errors
/// If the policy is not supported.
pub fn decide(state: &LaneState, command: &Command) -> Result<Vec<Event>, Rejection> {
    let knows = |run: &RunId| state.active.contains(run) || state.queued.contains(run);
    match command {
        Command::Request { run, .. } if knows(run) => Ok(Vec::new()),
        Command::Request { run, policy: Policy::Allow } => Ok(vec![Admitted { run: *run }.into()]),
        Command::Request { policy, .. } => Err(Rejection::PolicyNotSupported(*policy)),
        Command::Leave { run } if knows(run) => Ok(vec![Left { run: *run }.into()]),
        Command::Leave { .. } => Ok(Vec::new()),
    }
}

const fn name(policy: Policy) -> &'static str {
    match policy {
        Policy::Allow => "allow",
        Policy::Queue => "queue",
        Policy::Forbid => "forbid",
        Policy::Latest => "latest",
        Policy::Replace => "replace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u128) -> RunId {
        format!("{:032x}", number).parse().unwrap()
    }

    fn request(number: u128, policy: Policy) -> Command {
        Command::Request { run: run(number), policy }
    }

    fn given(events: &[Event]) -> LaneState {
        let mut state = LaneState::new();
        events.iter().for_each(|event| state.evolve(event));
        state
    }

    #[test]
    fn allow_admits_beside_what_is_active_and_once() {
        let lane = given(&[Admitted { run: run(1) }.into()]);
        assert_eq!(decide(&lane, &request(2, Policy::Allow)), Ok(vec![Admitted { run: run(2) }.into()]));
        assert_eq!(decide(&lane, &request(1, Policy::Allow)), Ok(vec![]));
    }

    #[test]
    fn a_run_leaves_once() {
        let lane = given(&[Admitted { run: run(1) }.into()]);
        let left = decide(&lane, &Command::Leave { run: run(1) });
        assert_eq!(left, Ok(vec![Left { run: run(1) }.into()]));
        let lane = given(&[Admitted { run: run(1) }.into(), Left { run: run(1) }.into()]);
        assert_eq!(decide(&lane, &Command::Leave { run: run(1) }), Ok(vec![]));
        assert_eq!(lane, LaneState::new());
    }

    #[test]
    fn other_policies_are_refused_by_name() {
        let refusal = decide(&LaneState::new(), &request(1, Policy::Latest)).unwrap_err();
        let text = "the concurrency policy `latest` is not supported by this version; use `allow`";
        assert_eq!(refusal.to_string(), text);
    }
}
