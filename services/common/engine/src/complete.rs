//! What becomes of an attempt: its executor says so, or is lost.

use std::collections::BTreeSet;

use shipway_events::{
    EffectClass, Fence,
    run::{self, Effect, NodeError},
};
use shipway_nodes::workload::Outcome;

use crate::{Rejection, Resolution, Standing, attempt::End, decide::Decision, retry};

/// An open attempt's circumstances, as far as its end depends on them.
#[derive(Clone, Copy)]
struct Open {
    node: u32,
    fence: Fence,
    effect: EffectClass,
    detached: bool,
    stopping: bool,
    timed_out: bool,
    trailing: bool,
}

impl Decision<'_> {
    pub(crate) fn complete(&mut self, node: u32, fence: Fence, outcome: &Outcome) -> Result<(), Rejection> {
        if self.state.node(node).is_none() {
            return Err(Rejection::NoSuchNode(node));
        }
        match self.state.standing(node, fence) {
            Standing::Unknown => return Err(Rejection::NoSuchAttempt { node, fence }),
            Standing::Current => {
                if let Some(open) = self.open(node, fence) {
                    self.take(open, outcome);
                }
            }
            Standing::Held => self.take_held(node, fence, outcome),
            Standing::Stale => self.reject(node, fence, "the attempt was given up before its outcome came"),
            Standing::Taken if self.contradicts(node, fence, outcome) => {
                self.reject(node, fence, "the attempt's outcome was taken before, and was another");
            }
            Standing::Taken => {}
        }
        Ok(())
    }

    /// Attempts whose executor will say nothing any more.
    pub(crate) fn attempts_lost(&mut self, fences: &[Fence], reason: &str, never_started: bool) {
        let fences: BTreeSet<Fence> = fences.iter().copied().collect();
        let lost: Vec<(u32, Fence)> =
            self.state.open_attempts().map(|open| (open.node, open.fence)).collect();
        for (node, fence) in lost.into_iter().filter(|(_, fence)| fences.contains(fence)) {
            if let Some(open) = self.open(node, fence) {
                self.lose(open, reason, never_started);
            }
        }
    }

    pub(crate) fn resolve(&mut self, node: u32, resolution: &Resolution) -> Result<(), Rejection> {
        let held = self.state.held.contains(&node).then(|| self.state.at(node).held).flatten();
        let Some(fence) = held else { return Err(Rejection::NothingToResolve(node)) };
        match resolution {
            Resolution::Happened => self.take_held(node, fence, &succeeded()),
            Resolution::Failed(message) => {
                let error =
                    NodeError { code: "resolved".to_owned(), message: message.clone(), transient: false };
                self.take_held(node, fence, &Outcome::Failed { error });
            }
            // Nothing starts any more where its workflow is stopped: what had not happened will not.
            Resolution::Again if self.state.cancelled(node).is_some() && !self.state.at(node).trailing => {
                self.record(run::NodeAborted { node, fence: Some(fence) });
            }
            Resolution::Again => {
                let reason = "a person found that it had not happened".to_owned();
                self.record(run::AttemptLost { node, fence, reason, never_started: true });
            }
        }
        Ok(())
    }

    /// What waits for its time is due now: the same attempt, no sooner than this.
    pub(crate) fn try_now(&mut self, node: u32) -> Result<(), Rejection> {
        let state = self.state.node(node).ok_or(Rejection::NoSuchNode(node))?;
        // Once its time has come it only waits for room.
        if state.due.is_none_or(|due| due <= self.now) {
            return Err(Rejection::NothingToRetry(self.state.name_of(node)));
        }
        self.record(run::RetryScheduled { node, attempt: state.next_attempt, at: self.now });
        Ok(())
    }

    /// The outcome of an attempt that runs.
    fn take(&mut self, open: Open, outcome: &Outcome) {
        let Open { node, fence, .. } = open;
        match outcome {
            Outcome::Started { outputs } => {
                if open.detached && !open.stopping && !open.trailing {
                    self.record(run::NodeStarted { node, fence, outputs: outputs.clone() });
                }
            }
            Outcome::Succeeded { effects, .. } if open.trailing => {
                self.free(node);
                self.ended_later(node, fence, effects, None);
            }
            Outcome::Succeeded { effects, .. } if open.timed_out => {
                self.free(node);
                if !effects.is_empty() {
                    self.ended_later(node, fence, effects, None);
                }
                self.fail_timed_out(node, Some(fence));
            }
            Outcome::Succeeded { outputs, effects } => {
                self.free(node);
                self.record(run::NodeSucceeded {
                    node,
                    fence: Some(fence),
                    outputs: outputs.clone(),
                    effects: effects.clone(),
                });
            }
            Outcome::Failed { error } => {
                self.free(node);
                self.failed(open, error);
            }
            Outcome::Stopped if open.stopping => {
                self.free(node);
                self.stopped(open);
            }
            Outcome::Stopped => self.lose(open, "the executor stopped it without being asked", false),
            Outcome::Refused { reason } => self.lose(open, reason, true),
            Outcome::Unknown { reason }
                if matches!(open.effect, EffectClass::Keyed | EffectClass::Fenced) =>
            {
                self.lose(open, reason, false);
            }
            Outcome::Unknown { reason } => self.unknown(open, reason),
        }
    }

    /// The outcome of an attempt that was thought never to be heard of again.
    fn take_held(&mut self, node: u32, fence: Fence, outcome: &Outcome) {
        let closed = self.state.at(node).closed;
        match outcome {
            Outcome::Succeeded { effects, .. } if closed => self.ended_later(node, fence, effects, None),
            Outcome::Failed { error } if closed => self.ended_later(node, fence, &[], Some(error.clone())),
            Outcome::Succeeded { outputs, effects } => self.record(run::NodeSucceeded {
                node,
                fence: Some(fence),
                outputs: outputs.clone(),
                effects: effects.clone(),
            }),
            Outcome::Failed { error } => {
                self.record(run::NodeFailed { node, fence: Some(fence), error: error.clone() });
            }
            Outcome::Refused { reason } if !closed => {
                let reason = reason.clone();
                self.record(run::AttemptLost { node, fence, reason, never_started: true });
            }
            Outcome::Refused { .. }
            | Outcome::Started { .. }
            | Outcome::Stopped
            | Outcome::Unknown { .. } => {}
        }
    }

    fn failed(&mut self, open: Open, error: &NodeError) {
        let Open { node, fence, .. } = open;
        if open.trailing {
            return self.ended_later(node, fence, &[], Some(error.clone()));
        }
        if open.timed_out {
            return self.fail_timed_out(node, Some(fence));
        }
        // What is let finish although its run gives way is not tried again.
        if open.stopping || self.state.cancelled(node).is_some() {
            return self.record(run::NodeFailed { node, fence: Some(fence), error: error.clone() });
        }
        self.fail_or_retry(node, Some(fence), error);
    }

    /// An attempt went badly: another follows if the node's rule says so and its time allows it.
    pub(crate) fn fail_or_retry(&mut self, node: u32, fence: Option<Fence>, error: &NodeError) {
        let state = self.state.at(node);
        let rule = self.state.plan_node(node).and_then(|plan| plan.retry.as_ref());
        let seed = self.state.started().map_or(0, |started| retry::seed(started.run, node, state.attempts));
        let again = retry::pause(rule, error.transient, state.attempts, seed)
            .map(|pause| self.now.plus(pause))
            .filter(|at| state.deadline.is_none_or(|deadline| *at < deadline));
        let attempt = state.attempts + 1;
        let error = error.clone();
        match again {
            None => self.record(run::NodeFailed { node, fence, error }),
            Some(at) => {
                self.record(run::AttemptFailed { node, fence, error });
                self.record(run::RetryScheduled { node, attempt, at });
            }
        }
    }

    /// What was told to stop has stopped, or its executor's time is over.
    fn stopped(&mut self, open: Open) {
        let Open { node, fence, .. } = open;
        if open.trailing {
            let message = "stopped, because its run was aborted".to_owned();
            let error = NodeError { code: "aborted".to_owned(), message, transient: false };
            self.ended_later(node, fence, &[], Some(error));
        } else if open.timed_out {
            self.fail_timed_out(node, Some(fence));
        } else {
            self.record(run::NodeAborted { node, fence: Some(fence) });
        }
    }

    fn lose(&mut self, open: Open, reason: &str, never_started: bool) {
        if open.effect == EffectClass::Once && !never_started {
            return self.unknown(open, reason);
        }
        self.free(open.node);
        if open.stopping {
            return self.stopped(open);
        }
        let reason = reason.to_owned();
        self.record(run::AttemptLost { node: open.node, fence: open.fence, reason, never_started });
    }

    fn unknown(&mut self, open: Open, reason: &str) {
        let Open { node, fence, .. } = open;
        self.free(node);
        let reason = format!("what it did cannot be known: {reason}");
        if open.trailing {
            let error = NodeError { code: "unknown".to_owned(), message: reason, transient: false };
            return self.ended_later(node, fence, &[], Some(error));
        }
        self.record(run::NodeUnknown { node, fence, reason });
    }

    pub(crate) fn fail_timed_out(&mut self, node: u32, fence: Option<Fence>) {
        let limit = self.state.plan_node(node).and_then(|plan| plan.timeout_seconds).unwrap_or_default();
        let last = self.state.at(node).error.as_ref();
        let last =
            last.map(|error| format!("; its last attempt failed: {}", error.message)).unwrap_or_default();
        let message = format!("not done within its timeoutDuration of {limit} s{last}");
        let error = NodeError { code: "timeout".to_owned(), message, transient: false };
        self.record(run::NodeFailed { node, fence, error });
    }

    fn ended_later(&mut self, node: u32, fence: Fence, effects: &[Effect], error: Option<NodeError>) {
        self.record(run::NodeEndedLater { node, fence, effects: effects.to_vec(), error });
    }

    fn reject(&mut self, node: u32, fence: Fence, reason: &str) {
        if !self.state.rejected.contains(&(node, fence)) {
            self.record(run::OutcomeRejected { node, fence, reason: reason.to_owned() });
        }
    }

    /// The attempt's slot is free for what comes next.
    fn free(&mut self, node: u32) {
        if let Some(attempt) = self.state.assignment(node) {
            self.slots.give_back(attempt.executor, attempt.registration, attempt.heavy);
        }
    }

    fn contradicts(&self, node: u32, fence: Fence, outcome: &Outcome) -> bool {
        let end = self.state.at(node).past.iter().find(|(past, _)| *past == fence).map(|(_, end)| *end);
        match outcome {
            Outcome::Succeeded { .. } => end == Some(End::Failed),
            Outcome::Failed { .. } => end == Some(End::Succeeded),
            _ => false,
        }
    }

    fn open(&self, node: u32, fence: Fence) -> Option<Open> {
        let state = self.state.at(node);
        let attempt = state.attempt.as_ref().filter(|attempt| attempt.fence == Some(fence))?;
        Some(Open {
            node,
            fence,
            effect: attempt.effect,
            detached: attempt.detached,
            stopping: attempt.stopping,
            timed_out: state.timed_out,
            trailing: state.trailing,
        })
    }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { outputs: serde_json::Map::new(), effects: Vec::new() }
}
