//! Lanes that come and go, and attempts whose executor is gone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shipway_contracts::Error;
use shipway_engine::Command;
use shipway_eventing::{failing, failpoint};
use shipway_events::RunId;

use super::{AT_ONCE, shards::Shard};
use crate::{registry::Coming, run::book::LoadError, service::Shared};

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
            if let Some(moving) =
                row.moving.as_ref().filter(|moving| moving.restores || moving.failed.is_none())
                && let Ok(run) = moving.run.parse()
            {
                self.registry.comes(*target, Coming { run, restores: moving.restores });
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
                self.book.settle(run).await;
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
            self.book.settle(run).await;
            self.book.nudge(run, Command::Due).await;
        }
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
