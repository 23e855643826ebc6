//! Waiting for read models, and not waiting for those that are far.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, atomic::Ordering},
    time::{Duration, Instant},
};

use shipway_events::Position;
use tokio::sync::watch;

use super::{Shared, Views, ViewsError};
use crate::feed::{Left, Pace};

/// How often one who waits asks whether the rest of the way is too long to wait for.
const ASK: Duration = Duration::from_millis(250);

/// How often a checkpoint that another process moves is looked at.
const LOOK: Duration = Duration::from_millis(20);

impl Views {
    /// Waits until these read models hold everything up to a position (of a command's answer). It does not wait for what
    /// will take longer than that at the pace that a read model has.
    ///
    /// # Errors
    /// [`ViewsError::Behind`] if they do not in time, [`ViewsError::Far`] as soon as that is clear,
    /// [`ViewsError::Database`].
    pub async fn wait_for(
        &self,
        models: &[&str],
        wanted: Position,
        within: Duration,
    ) -> Result<(), ViewsError> {
        let deadline = tokio::time::Instant::now() + within;
        let _waiting = Waiting::begin(&self.shared);
        for model in models {
            tokio::select! {
                biased;
                reached = self.reached(model, wanted) => {
                    reached?;
                    continue;
                }
                () = self.is_far(model, wanted, within) => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
            let at = self.position(model).await?;
            if at < wanted {
                let model = (*model).to_owned();
                return Err(match self.left(&model, wanted) {
                    Some(left) => ViewsError::Far { model, at, wanted, left },
                    None => ViewsError::Behind { model, at, wanted },
                });
            }
        }
        Ok(())
    }

    /// Waits until these read models hold everything up to a position, however long that takes.
    ///
    /// # Errors
    /// [`ViewsError::Database`].
    pub async fn wait_long_for(&self, models: &[&str], wanted: Position) -> Result<(), ViewsError> {
        let _waiting = Waiting::begin(&self.shared);
        for model in models {
            self.reached(model, wanted).await?;
        }
        Ok(())
    }

    /// Returns once it is clear that a read model will not get to a position within this time.
    async fn is_far(&self, model: &str, wanted: Position, within: Duration) {
        while self.left(model, wanted).is_none_or(|left| left.time <= within) {
            tokio::time::sleep(ASK).await;
        }
    }

    fn left(&self, model: &str, wanted: Position) -> Option<Left> {
        self.paces().get(model)?.left(wanted)
    }

    fn paces(&self) -> MutexGuard<'_, BTreeMap<String, Pace>> {
        self.shared.paces.lock().expect("nothing panics while it holds this")
    }

    /// Somebody saw how far a read model is.
    pub(super) fn seen(&self, model: &str, position: Position) {
        let end = *self.shared.tail.borrow();
        let mut paces = self.paces();
        match paces.get_mut(model) {
            Some(pace) => pace.seen(position, end, Instant::now()),
            None => paces.entry(model.to_owned()).or_default().seen(position, end, Instant::now()),
        }
    }

    /// Waits without end for a read model to get to a position, whichever process writes it.
    async fn reached(&self, model: &str, wanted: Position) -> Result<(), ViewsError> {
        let written = {
            let written = self.shared.written.lock().expect("nothing panics while it holds this");
            written.get(model).map(watch::Sender::subscribe)
        };
        // It ends without that if this process does not write it any more.
        if let Some(mut written) = written
            && written.wait_for(|at| *at >= wanted).await.is_ok()
        {
            return Ok(());
        }
        // However many wait, one of them looks for all: a database that is late would get later by their questions.
        let mut seen = self.shared.seen.subscribe();
        let told = async {
            let there = |at: &BTreeMap<String, Position>| at.get(model).is_some_and(|at| *at >= wanted);
            seen.wait_for(there).await.map(drop)
        };
        tokio::select! {
            biased;
            Ok(()) = told => Ok(()),
            _turn = self.shared.looks.lock() => self.look_until(model, wanted).await,
        }
    }

    /// Looks at the checkpoints again and again, and tells all who wait.
    async fn look_until(&self, model: &str, wanted: Position) -> Result<(), ViewsError> {
        loop {
            let now = self.positions().await?;
            let reached = now.get(model).copied().unwrap_or(0) >= wanted;
            self.shared.seen.send_if_modified(|seen| {
                let moved = *seen != now;
                *seen = now;
                moved
            });
            if reached {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Somebody waits for a position: consumers do not pause.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        shared.hurry.notify_waiters();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever waits next must not take an old look for a new one: a read model may be emptied meanwhile.
            self.0.seen.send_if_modified(|seen| {
                seen.clear();
                false
            });
        }
    }
}
