//! The judge of simulated lanes: what must be true at every step, and once all runs are over.

use std::collections::BTreeSet;

use shipway_engine::{invariants, lane::LaneState};
use shipway_events::{
    ConcurrencyPolicy, NodeStatus, RunId, RunStatus,
    lane::{Admitted, Event as Lane, Queued, Rejected, Replaced, Superseded},
    run::Event,
};

use super::{World, scheduler::fold};

impl World {
    /// What a step may be, by the policy.
    pub(super) fn obeys(&self, before: &LaneState, step: &Lane) -> Result<(), String> {
        let after = &self.observed;
        let (active, queued) = (after.active().count(), after.queued().count());
        if self.policy != ConcurrencyPolicy::Allow && active > 1 {
            return Err(format!("{active} runs are active at once after {step:?}"));
        }
        match (self.policy, step) {
            (ConcurrencyPolicy::Allow, Lane::Admitted(_) | Lane::Left(_)) => Ok(()),
            (ConcurrencyPolicy::Forbid, Lane::Queued(_)) => {
                Err(format!("{step:?} in a lane that queues nobody"))
            }
            (ConcurrencyPolicy::Forbid, Lane::Rejected(Rejected { by, .. })) => {
                match before.active().find(|active| Some(*active) == *by) {
                    Some(_) => Ok(()),
                    None => Err(format!("{step:?}, which is not active in {before:?}")),
                }
            }
            (ConcurrencyPolicy::Latest, Lane::Superseded(_)) if queued > 1 => {
                Err(format!("{queued} runs wait after {step:?}"))
            }
            (ConcurrencyPolicy::Queue, Lane::Superseded(_) | Lane::Replaced(_))
            | (ConcurrencyPolicy::Latest, Lane::Replaced(_))
            | (ConcurrencyPolicy::Replace, Lane::Superseded(_))
            | (_, Lane::Rejected(_)) => Err(format!("{step:?} is nothing that the policy does")),
            (_, Lane::Admitted(Admitted { run })) => match before.queued().next() {
                Some(first) if first != *run => Err(format!("{run} was let in before {first}")),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What a run and its lane say of it is the same.
    pub(super) fn check(&mut self, run: RunId) {
        let state = &self.runs[&run];
        let is_active = self.observed.active().any(|active| active == run);
        let goes_on = !state.waits_for_lane() && state.ended().is_none();
        if is_active != goes_on {
            let what = format!("{run} is {} and its lane says {:?}", state.status(), self.observed);
            self.broken(what);
        }
    }

    /// What must be true once all runs are over.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        for (run, log) in &self.streams {
            invariants::check_history(log, 0).map_err(|broken| format!("{run}: {broken}"))?;
            let ends = log.iter().filter(|recorded| matches!(recorded.event, Event::Ended(_))).count();
            if ends != 1 {
                return Err(format!("{run} has ended {ends} times"));
            }
        }
        if self.observed != LaneState::default() || fold(&self.lane) != self.observed {
            return Err(format!("the lane is not empty at the end: {:?}", self.observed));
        }
        let order = self.order();
        let newest = order.last().copied();
        for (run, state) in &self.runs {
            let by = state.ended().and_then(|ended| ended.by);
            let status = state.status();
            match status {
                RunStatus::Success => self.report.success += 1,
                RunStatus::Skipped => self.report.skipped += 1,
                RunStatus::Aborted => self.report.aborted += 1,
                other => return Err(format!("{run} ended as {other}")),
            }
            let place = |run: RunId| order.iter().position(|asked| *asked == run);
            let newer = || by.is_some_and(|by| place(by) > place(*run));
            let may = match (self.policy, status) {
                (_, RunStatus::Success) => by.is_none(),
                (ConcurrencyPolicy::Forbid, RunStatus::Skipped) => by.is_some(),
                (ConcurrencyPolicy::Latest, RunStatus::Skipped)
                | (ConcurrencyPolicy::Replace, RunStatus::Aborted) => newer() && Some(*run) != newest,
                _ => false,
            };
            if !may {
                return Err(format!("{run} ended as {status}, by {by:?}"));
            }
            let migrate = state.node(1).map(|node| node.status);
            if !matches!(migrate, Some(NodeStatus::Success | NodeStatus::Skipped)) {
                return Err(format!("what may not be interrupted in {run} is {migrate:?}"));
            }
        }
        self.judge_words()
    }

    /// The runs in the order in which they asked.
    fn order(&self) -> Vec<RunId> {
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        for step in &self.lane {
            if let Lane::Admitted(Admitted { run })
            | Lane::Queued(Queued { run, .. })
            | Lane::Rejected(Rejected { run, .. }) = step
                && seen.insert(*run)
            {
                order.push(*run);
            }
        }
        order
    }

    /// Nobody gives way unless the lane says so, and whoever is told does.
    fn judge_words(&self) -> Result<(), String> {
        for step in &self.lane {
            let (Lane::Superseded(Superseded { run, by }) | Lane::Replaced(Replaced { run, by })) = step
            else {
                continue;
            };
            let ended = self.runs[run].ended().and_then(|ended| ended.by);
            // One that had ended by itself before it heard of it gave way to nobody.
            let waited = matches!(step, Lane::Superseded(_));
            if ended.is_some_and(|ended| ended != *by) || (waited && ended.is_none()) {
                return Err(format!("{run} gave way to {ended:?}, and its lane says {by}"));
            }
        }
        Ok(())
    }
}
