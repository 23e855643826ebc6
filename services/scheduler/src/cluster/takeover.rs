//! Lanes that come and go, and attempts whose executor is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shipway_contracts::Error;
use shipway_engine::{Command, RunState};
use shipway_eventing::{failing, failpoint};
use shipway_events::{Cause, Fence, Meta, RunId};

use super::{AT_ONCE, shards::Shard};
use crate::{
    registry::Standing,
    run::book::{self, LoadError},
    service::Shared,
};

/// How long it waits before it tries again what could not be read.
const PAUSE: Duration = Duration::from_millis(200);

impl Shared {
    /// Lanes have gone to other schedulers.
    pub(crate) async fn give_up(&self, shards: BTreeSet<Shard>) {
        if !shards.is_empty() {
            failpoint!("scheduler.give_up");
            self.book.leave(|shard| shards.contains(&shard)).await;
        }
    }

    /// Lanes have come here: their runs go on, and what became of their attempts is looked at.
    pub(crate) async fn take_up(self: Arc<Self>, shards: BTreeSet<Shard>) {
        loop {
            match failing!("scheduler.take_up", Error::unavailable, self.open_shards(&shards).await) {
                Ok(0) => return,
                Ok(runs) => {
                    tracing::info!(runs, "runs go on with this scheduler");
                    return;
                }
                Err(error) => tracing::warn!(%error, "runs could not be taken over; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    async fn open_shards(&self, shards: &BTreeSet<Shard>) -> Result<usize, Error> {
        // The last scheduler may have started a run a moment before it went.
        self.caught_up_in_the_end().await?;
        let places = self.all_places().await?;
        for (target, row) in &places {
            if let Some(moving) = row.moving.as_ref().filter(|moving| moving.restores)
                && let Ok(run) = moving.run.parse()
            {
                self.registry.restoring(*target, run);
            }
        }
        self.registry.set_places(places.into_iter().map(|(target, row)| (target, row.executor)).collect());
        let runs = self.open_runs().await?.into_iter().filter(|(_, shard)| shards.contains(shard));
        let opened = stream::iter(runs).map(|(run, shard)| self.open_moved(run, shard));
        opened.buffer_unordered(AT_ONCE).try_fold(0, async |sum, opened| Ok(sum + usize::from(opened))).await
    }

    /// Opens a run whose lane has come here; tells whether it is here now.
    async fn open_moved(&self, run: RunId, shard: Shard) -> Result<bool, Error> {
        if !self.cluster.is_here(shard) {
            return Ok(false);
        }
        match self.book.open_run(run).await {
            Ok(()) => {
                self.settle(run).await;
                self.book.ring(run).await;
                Ok(true)
            }
            // It has moved on meanwhile.
            Err(LoadError::Elsewhere(_)) => Ok(false),
            Err(error @ LoadError::Read { .. }) => Err(error.into()),
            Err(error) => {
                tracing::error!(%run, %error, "an open run could not be read; it is left as it is");
                Ok(false)
            }
        }
    }

    /// Looks at the attempts of every run that is open here.
    pub(crate) async fn settle_all(&self) {
        for run in self.book.open_runs() {
            self.settle(run).await;
            self.book.nudge(run, Command::Due).await;
        }
    }

    /// Attempts whose executor has started again, or whose lease is over, are asked for again, or nobody can know.
    pub(crate) async fn settle(&self, run: RunId) {
        let Ok(state) = self.book.look(run).await else { return };
        for (reason, fences) in self.gone(&state) {
            let meta = Meta { actor: book::system(), cause: Cause::Run(run), trace: None };
            let command = Command::AttemptsLost { fences, reason: reason.to_owned(), never_started: false };
            if let Err(error) = self.book.command(run, command, meta).await {
                tracing::warn!(%run, %error, "the work of an executor that is gone could not be asked for again");
            }
        }
    }

    fn gone(&self, state: &RunState) -> BTreeMap<&'static str, Vec<Fence>> {
        let mut gone: BTreeMap<_, Vec<Fence>> = BTreeMap::new();
        for open in state.open_attempts() {
            let (executor, stopping) = (open.attempt.executor, open.attempt.stopping);
            let standing = self.registry.standing(executor, open.attempt.registration);
            let Some(reason) = why_gone(standing, stopping && self.registry.is_silent(executor)) else {
                continue;
            };
            gone.entry(reason).or_default().push(open.fence);
        }
        gone
    }

    /// Runs that wait for room are tried again.
    pub(crate) fn room_came_free(&self) {
        let waiting = self.registry.take_waiting();
        if waiting.is_empty() {
            return;
        }
        let book = self.book.clone();
        tokio::spawn(async move {
            for run in waiting {
                book.nudge(run, Command::Due).await;
            }
        });
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
