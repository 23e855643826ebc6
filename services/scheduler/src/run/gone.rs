//! Attempts whose executor is gone.

use std::{collections::BTreeMap, time::Duration};

use shipway_contracts::{Code, Error};
use shipway_engine::{Command, RunState};
use shipway_events::{Cause, Fence, Meta, RunId};

use super::book::{Book, LoadError, system};
use crate::{cluster::shards::Shard, registry::Standing};

/// How long it waits before it asks again for what the log did not take.
const PAUSE: Duration = Duration::from_millis(200);

impl Book {
    /// Attempts whose executor has started again, or whose lease is over, are asked for again, or nobody can know. That
    /// they are gone is news once: what the log does not take now is asked again until it does.
    pub(crate) async fn settle(&self, run: RunId) {
        if self.give_up_gone(run).await.is_some() {
            let book = self.clone();
            self.shared.tasks.spawn(async move {
                while let Some(error) = book.give_up_gone(run).await {
                    tracing::warn!(%run, %error, "the work of an executor that is gone waits for the log");
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }

    /// Gives up what a run had with executors that will say nothing of it any more; the error if it may go better.
    async fn give_up_gone(&self, run: RunId) -> Option<Error> {
        let state = match self.look(run).await {
            Ok(state) => state,
            Err(error @ LoadError::Read { .. }) => return Some(error.into()),
            // Whoever can read it deals with it.
            Err(_) => return None,
        };
        let shard = Shard::of(state.started()?.flow, run);
        for (reason, fences) in self.gone(&state) {
            let meta = Meta { actor: system(), cause: Cause::Run(run), trace: None };
            let command = Command::AttemptsLost { fences, reason: reason.to_owned(), never_started: false };
            match self.command(run, command, meta).await {
                Ok(_) => {}
                // Another scheduler that has taken the lane has looked at it then.
                Err(_) if !self.shared.cluster.is_here(shard) => return None,
                Err(error) if error.code == Code::Unavailable => return Some(error),
                Err(error) => {
                    tracing::warn!(%run, %error, "the work of an executor that is gone could not be asked for again");
                }
            }
        }
        None
    }

    /// Whether a run waits for an executor that will say nothing any more.
    pub(crate) fn has_gone(&self, state: &RunState) -> bool {
        !self.gone(state).is_empty()
    }

    fn gone(&self, state: &RunState) -> BTreeMap<&'static str, Vec<Fence>> {
        let registry = &self.shared.registry;
        let mut gone: BTreeMap<_, Vec<Fence>> = BTreeMap::new();
        for open in state.open_attempts() {
            let (executor, stopping) = (open.attempt.executor, open.attempt.stopping);
            let standing = registry.standing(executor, open.attempt.registration);
            let Some(reason) = why_gone(standing, stopping && registry.is_silent(executor)) else {
                continue;
            };
            gone.entry(reason).or_default().push(open.fence);
        }
        gone
    }
}

/// Why an attempt's executor will say nothing of it any more; none as long as it may. `stopped` says that the attempt was
/// told to stop and must have stopped by now.
const fn why_gone(standing: Standing, stopped: bool) -> Option<&'static str> {
    match standing {
        Standing::Here if stopped => {
            Some("its executor was silent for so long that what it was told to stop has ended")
        }
        Standing::Here => None,
        Standing::StartedAgain => Some("its executor started again"),
        Standing::LeaseOver => Some("its executor was not heard of until its lease was over"),
        Standing::Unknown => Some("its executor is not known any more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_to_stop_does_not_wait_for_the_end_of_its_executors_lease() {
        assert!(why_gone(Standing::Here, true).is_some());
        assert_eq!(why_gone(Standing::Here, false), None, "what goes on may still end well");
        assert!(why_gone(Standing::LeaseOver, false).is_some());
    }
}
