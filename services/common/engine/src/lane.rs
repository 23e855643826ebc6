//! A lane: which runs of a flow may go on. The lane's stream says it, in one commit with the run that it is about; what a
//! run does about it is decided here.
//!
//! A run asks its lane when it starts, and again whenever somebody tells it that the lane has moved. Whatever the lane
//! says of *other* runs (that they are superseded, or replaced) these learn by asking, too, or by being told to abort: a
//! run's stream has one writer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use shipway_events::{
    ConcurrencyPolicy, RunId, RunStatus,
    lane::{Admitted, Event, Left, Queued, Rejected, Replaced, Superseded},
    run,
};

use crate::{RunState, decide::Decision};

/// A lane: the fold of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    active: BTreeSet<RunId>,
    queued: VecDeque<RunId>,
    /// Active runs that are to be aborted, and for whom.
    replaced: BTreeMap<RunId, RunId>,
    /// Runs that waited, do not any more, and have not ended yet.
    dismissed: BTreeMap<RunId, Dismissed>,
}

/// Why a run that waited does not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Dismissed {
    by: RunId,
    /// It is aborted; else it is skipped.
    aborted: bool,
}

/// Where a run stands with its lane, by its own stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has not asked.
    #[default]
    Asks,
    /// It waits behind this run.
    Queued(RunId),
    /// It may go on.
    Admitted,
}

/// Somebody whom the lane has something to say to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The run's turn has come, or it is not wanted any more: it has to ask.
    Ask(RunId),
    /// The run is to be aborted, because another takes its place.
    Abort {
        /// The run.
        run: RunId,
        /// The other.
        by: RunId,
    },
}

/// What a lane says to a run that asks.
enum Answer {
    Go,
    Stay,
    Wait { behind: RunId, supersedes: Vec<RunId>, replaces: Vec<RunId> },
    Refused { by: RunId },
    Superseded { by: RunId },
    Replaced { by: RunId },
}

impl LaneState {
    /// Adds what happened.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Admitted(Admitted { run }) => {
                self.queued.retain(|queued| queued != run);
                self.active.insert(*run);
            }
            Event::Queued(Queued { run, .. }) => self.queued.push_back(*run),
            Event::Rejected(_) => {}
            Event::Superseded(Superseded { run, by }) => self.dismiss(*run, *by, false),
            Event::Replaced(Replaced { run, by }) if self.active.contains(run) => {
                self.replaced.entry(*run).or_insert(*by);
            }
            Event::Replaced(Replaced { run, by }) => self.dismiss(*run, *by, true),
            Event::Left(Left { run }) => {
                self.active.remove(run);
                self.replaced.remove(run);
                self.dismissed.remove(run);
                self.queued.retain(|queued| queued != run);
            }
        }
    }

    fn dismiss(&mut self, run: RunId, by: RunId, aborted: bool) {
        let waiting = self.queued.len();
        self.queued.retain(|queued| *queued != run);
        // Whoever has left the lane needs no dismissal, and would never be forgotten.
        if self.queued.len() < waiting {
            self.dismissed.insert(run, Dismissed { by, aborted });
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

    /// The runs that come before one that waits: the one that it waits for, and how many more; none if it does not wait.
    #[must_use]
    pub fn ahead(&self, run: RunId) -> Option<(RunId, usize)> {
        let place = self.queued.iter().position(|queued| *queued == run)?;
        let mut ahead = self.active().chain(self.queued().take(place));
        Some((ahead.next()?, ahead.count()))
    }

    /// Whom the lane has something to say to. Saying it again changes nothing.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        let first = self.queued.front().filter(|_| self.active.is_empty());
        let ask = self.dismissed.keys().chain(first).map(|run| Call::Ask(*run));
        ask.chain(self.replaced.iter().map(|(run, by)| Call::Abort { run: *run, by: *by })).collect()
    }

    fn answer(&self, run: RunId, policy: ConcurrencyPolicy) -> Answer {
        if let Some(Dismissed { by, aborted }) = self.dismissed.get(&run).copied() {
            return if aborted { Answer::Replaced { by } } else { Answer::Superseded { by } };
        }
        if self.active.contains(&run) || policy == ConcurrencyPolicy::Allow {
            return Answer::Go;
        }
        if self.queued.contains(&run) {
            let is_first = self.active.is_empty() && self.queued.front() == Some(&run);
            return if is_first { Answer::Go } else { Answer::Stay };
        }
        let waiting = || self.queued.iter().copied().collect();
        let Some(last) = self.queued.back().or(self.active.last()).copied() else { return Answer::Go };
        let first = self.active.first().copied().unwrap_or(last);
        let (supersedes, replaces) = match policy {
            ConcurrencyPolicy::Forbid => return Answer::Refused { by: first },
            ConcurrencyPolicy::Latest => (waiting(), Vec::new()),
            ConcurrencyPolicy::Replace => {
                let going_on = self.active().filter(|active| !self.replaced.contains_key(active));
                (Vec::new(), going_on.chain(self.queued()).collect())
            }
            ConcurrencyPolicy::Allow | ConcurrencyPolicy::Queue => (Vec::new(), Vec::new()),
        };
        let behind = if policy == ConcurrencyPolicy::Queue { last } else { first };
        Answer::Wait { behind, supersedes, replaces }
    }
}

/// What a run's events of one commit mean to its lane: to be committed with them. With any policy but `allow` at the version
/// of the lane that was decided on.
#[must_use]
pub fn steps(run: RunId, events: &[run::Event]) -> Vec<Event> {
    let mut steps = Vec::new();
    let mut asks = false;
    for event in events {
        match event {
            run::Event::Started(started) if started.policy == ConcurrencyPolicy::Allow => {
                steps.push(Admitted { run }.into());
            }
            run::Event::Started(_) => asks = true,
            run::Event::Queued(queued) => {
                asks = false;
                steps.push(Queued { run, behind: queued.behind }.into());
                let gone = queued.supersedes.iter().map(|&gone| Superseded { run: gone, by: run }.into());
                steps.extend(gone);
                let gone = queued.replaces.iter().map(|&gone| Replaced { run: gone, by: run }.into());
                steps.extend(gone);
            }
            run::Event::Admitted(_) => {
                asks = false;
                steps.push(Admitted { run }.into());
            }
            // It came with its start, and the lane has never let it in.
            run::Event::Ended(ended) if asks => {
                let reason = ended.reason.clone().unwrap_or_default();
                steps.push(Rejected { run, reason, by: ended.by }.into());
            }
            run::Event::Ended(_) => steps.push(Left { run }.into()),
            _ => {}
        }
    }
    steps
}

impl Decision<'_> {
    /// A run that has not had its turn asks its lane: it goes on, waits, or ends.
    pub(crate) fn ask_lane(&mut self) {
        let Some((run, policy)) = self.state.waits_for_lane().then(|| self.state.lane_key()).flatten() else {
            return;
        };
        let is_new = self.state.turn == Turn::Asks;
        // Without having read the lane nobody decides for one that is in it.
        let Some(mut lane) = self.slots.lane().cloned().or_else(|| is_new.then(LaneState::default)) else {
            return;
        };
        while self.state.waits_for_lane() {
            let from = self.events.len();
            match lane.answer(run, policy) {
                Answer::Stay => break,
                Answer::Go => self.record(run::Admitted {}),
                Answer::Wait { behind, supersedes, replaces } => {
                    self.record(run::Queued { behind, supersedes, replaces });
                }
                Answer::Refused { by } => {
                    let does = if lane.active.contains(&by) { "is active" } else { "waits for its turn" };
                    self.skip_run(format!("run {by} {does}"), by);
                }
                Answer::Superseded { by } => self.skip_run(format!("superseded by run {by}"), by),
                Answer::Replaced { by } => {
                    self.record(run::Aborting { reason: format!("replaced by run {by}"), by: Some(by) });
                }
            }
            steps(run, &self.events[from..]).iter().for_each(|step| lane.evolve(step));
        }
        self.slots.set_lane(lane);
    }

    fn skip_run(&mut self, reason: String, by: RunId) {
        self.record(run::Ended { status: RunStatus::Skipped, reason: Some(reason), by: Some(by) });
    }
}

impl RunState {
    /// Whether nothing of the run may have its turn yet, because its lane has not let it in: a decision about it needs to
    /// know the lane.
    #[must_use]
    pub fn waits_for_lane(&self) -> bool {
        self.started.is_some()
            && self.turn != Turn::Admitted
            && self.ended.is_none()
            && self.aborting.is_none()
    }

    /// The run that came before it when it was queued; none if it was not, or has had its turn since.
    #[must_use]
    pub const fn behind(&self) -> Option<RunId> {
        match self.turn {
            Turn::Queued(behind) => Some(behind),
            Turn::Asks | Turn::Admitted => None,
        }
    }

    fn lane_key(&self) -> Option<(RunId, ConcurrencyPolicy)> {
        self.started().map(|started| (started.run, started.policy))
    }
}

/// Why a run has not had its turn: the run that it waits for, and how many more come before it.
#[must_use]
pub fn waits_in_words(first: RunId, more: usize) -> String {
    let more = match more {
        0 => String::new(),
        1 => " and 1 more".to_owned(),
        more => format!(" and {more} more"),
    };
    format!("waits for its turn behind run {first}{more}; `shipway show {first}` says what holds that up")
}

#[cfg(test)]
mod tests;
