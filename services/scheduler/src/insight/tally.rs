//! Where a run's time goes, event by event.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shipway_events::{ConcurrencyPolicy, run::Event};

/// What a run does at a moment, in the order of [`State::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for its turn in its lane.
    Queue,
    /// It waits for people.
    Approval,
    /// A freeze or a hold keeps it, and nothing of it runs.
    Held,
    /// Something is built.
    Build,
    /// It waits for anything else: a condition, another run, room, the next attempt.
    Wait,
    /// Something else runs.
    Running,
}

impl State {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Queue, Self::Approval, Self::Held, Self::Build, Self::Wait, Self::Running];

    /// Its name in answers.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Approval => "approval",
            Self::Held => "held",
            Self::Build => "build",
            Self::Wait => "wait",
            Self::Running => "running",
        }
    }
}

/// What work is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Work {
    Build,
    Await,
    Other,
}

/// A run that goes on, as its events so far tell it. It is kept with the read model until the run has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// The project, pipeline and stage.
    pub(crate) place: [String; 3],
    /// When it started, in microseconds.
    pub(crate) started: i64,
    /// The time up to which all is counted.
    at: i64,
    /// A health check has failed in it.
    pub(crate) unhealthy: bool,
    queued: bool,
    frozen: bool,
    open: BTreeMap<u32, Work>,
    asking: BTreeSet<u32>,
    waiting: BTreeSet<u32>,
    held: BTreeSet<u32>,
    /// Microseconds in each state, in their order.
    pub(crate) spent: [i64; State::ALL.len()],
}

impl Tally {
    /// Of a run there, of which nothing is known yet.
    pub(crate) fn of(place: [String; 3]) -> Self {
        Self { place, ..Self::default() }
    }

    /// Adds an event. What the run has done since the one before is what it did then.
    pub(crate) fn add(&mut self, event: &Event, at: i64) {
        if !matches!(event, Event::Started(_)) {
            self.spent[self.state() as usize] += at.saturating_sub(self.at).max(0);
        }
        self.at = at;
        match event {
            Event::Started(started) => {
                self.started = at;
                self.queued = started.policy != ConcurrencyPolicy::Allow;
            }
            Event::Admitted(_) => self.queued = false,
            Event::Frozen(_) => self.frozen = true,
            Event::Thawed(_) => self.frozen = false,
            Event::Held(held) => drop(self.held.insert(held.node)),
            Event::LetGo(gone) => drop(self.held.remove(&gone.node)),
            Event::AttemptRequested(asked) => {
                self.leave(asked.node);
                let work = match asked.work.get("work").and_then(serde_json::Value::as_str) {
                    Some("build") => Work::Build,
                    Some("await") => Work::Await,
                    _ => Work::Other,
                };
                self.open.insert(asked.node, work);
            }
            Event::ApprovalRequested(asked) => drop(self.asking.insert(asked.node)),
            Event::WaitStarted(wait) => drop(self.waiting.insert(wait.node)),
            Event::ChildRequested(child) => drop(self.waiting.insert(child.node)),
            Event::NodeFailed(failed) => {
                self.unhealthy |= failed.error.code == UNHEALTHY;
                self.leave(failed.node);
            }
            Event::NodeStarted(e) => self.leave(e.node),
            Event::NodeSucceeded(e) => self.leave(e.node),
            Event::NodeSkipped(e) => self.leave(e.node),
            Event::NodeAborted(e) => self.leave(e.node),
            Event::NodeUnknown(e) => self.leave(e.node),
            Event::AttemptFailed(e) => self.leave(e.node),
            Event::AttemptLost(e) => self.leave(e.node),
            _ => {}
        }
    }

    /// A node does nothing of what it did.
    fn leave(&mut self, node: u32) {
        self.open.remove(&node);
        for set in [&mut self.asking, &mut self.waiting, &mut self.held] {
            set.remove(&node);
        }
    }

    /// What it does now: of several things the one that moves it.
    fn state(&self) -> State {
        let works = |work: Work| self.open.values().any(|open| *open == work);
        match () {
            () if self.queued => State::Queue,
            () if works(Work::Build) => State::Build,
            () if works(Work::Other) => State::Running,
            () if self.frozen || !self.held.is_empty() => State::Held,
            () if !self.asking.is_empty() => State::Approval,
            () => State::Wait,
        }
    }
}

/// The code of a release whose health checks failed.
pub(crate) const UNHEALTHY: &str = "unhealthy";

/// Whether an event of a run says anything here; most do not have to be read.
pub(crate) fn matters(kind: &str) -> bool {
    !matches!(
        kind,
        "run.resumed"
            | "run.queued"
            | "run.freeze_overridden"
            | "run.hold_overridden"
            | "run.workflow_entered"
            | "run.loop_entered"
            | "run.retry_scheduled"
            | "run.approval_given"
            | "run.approval_rejected"
            | "run.child_cancelled"
            | "run.node_timed_out"
            | "run.outcome_rejected"
            | "run.aborting"
    ) && !kind.starts_with("run.noted_")
}
