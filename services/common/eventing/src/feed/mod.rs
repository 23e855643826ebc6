//! The feed: events handed to consumers in the order of the log, none left out.
//!
//! A consumer is a name, a filter by kind of stream, a checkpoint in a database and a handler. There are two forms:
//!
//! * [`Projection`]: writes read tables. Its tables and its checkpoint move in one transaction, so each event has its
//!   effect once.
//! * [`Reaction`]: turns an event into commands. Its checkpoint is saved a little later than the effect, so after a
//!   crash some events are handled again: the commands' ids are derived from the event, which makes that harmless.
//!
//! Where several processes have the same consumers, one of them leads and runs them ([`Feed::with_leadership`]). The
//! checkpoint stays the truth: a leader that was asleep and does not know yet that another took over cannot move a
//! projection's from where it is not, nor a reaction's back.
//!
//! Delivery is not the handler's business: what fails for now is tried again with growing delay, what will never go
//! well is parked (reactions) or stops the consumer with an alarm (projections, which must not skip anything).

mod pace;
mod progress;
mod projection;
mod reaction;
mod recent;
mod rows;
mod source;

use std::time::Duration;

use async_trait::async_trait;
use shipway_events::RawEvent;
use sqlx::AnyConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use pace::Pace;
pub use pace::{FAR, Left, part};
pub use progress::{Consumers, Form, Standing};
pub use reaction::Parked;
pub(crate) use reaction::TABLES as REACTION_TABLES;
pub(crate) use recent::Recent;
pub use rows::{Cell, Rows};
pub use source::Feed;

/// How many events a projection applies in one transaction.
pub const BATCH: usize = 500;

/// How many while it is far behind: nobody waits for the next ones, and each transaction costs.
const LONG_BATCH: usize = 2_000;

/// Writes the tables of one read model.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// The read model's name.
    fn name(&self) -> &'static str;

    /// The version of its tables and of what is in them; raised with every change of either.
    fn version(&self) -> u32;

    /// The tables' names, each with the version in it: `runs_v1`.
    fn tables(&self) -> &'static [&'static str];

    /// The statements that make the tables and their indexes, in what both databases speak.
    fn schema(&self) -> &'static [&'static str];

    /// The kinds of streams that it reads; none: all.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Applies events, oldest first, inside the transaction that also moves the checkpoint. Must depend on nothing
    /// but the tables and the events. Types that it does not know it leaves alone.
    ///
    /// # Errors
    /// See [`HandleError`]; nothing of the batch is kept.
    async fn apply(&self, tx: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError>;
}

/// Turns events into commands, or wakes what waits for them.
#[async_trait]
pub trait Reaction: Send + Sync + 'static {
    /// The consumer's name: its checkpoint's key, so it never changes.
    fn name(&self) -> &'static str;

    /// The kinds of streams that it reads; none: all.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Handles one event; may be called again for the same one.
    ///
    /// # Errors
    /// See [`HandleError`].
    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError>;
}

/// Why a handler could not handle.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// It may go well later: tried again, for ever, with growing delay.
    #[error("{0}")]
    Retry(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It will never go well. A reaction's event is parked and the next one handled; a projection stops.
    #[error("{0}")]
    Poison(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HandleError {
    /// It may go well later.
    pub fn retry(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Retry(error.into())
    }

    /// It will never go well.
    pub fn poison(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Poison(error.into())
    }
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        Self::retry(error)
    }
}

impl From<shipway_events::DecodeError> for HandleError {
    /// What only a newer Shipway can read waits for it, and whatever comes after; damage waits for nobody.
    fn from(error: shipway_events::DecodeError) -> Self {
        match error {
            shipway_events::DecodeError::Unknown { .. } => Self::retry(error),
            shipway_events::DecodeError::Shape { .. } => Self::poison(error),
        }
    }
}

/// A running consumer. Dropped, it ends at its next pause.
#[derive(Debug)]
pub struct Consumer {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Consumer {
    fn spawn(run: impl FnOnce(CancellationToken) -> futures::future::BoxFuture<'static, ()>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(stop.clone()));
        Self { stop, task: Some(task) }
    }

    /// Lets it finish what it is at, and waits for that.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "a consumer ended badly");
        }
    }

    /// Whether it has ended, which it does by itself only if it panicked.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Growing delays between tries.
struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    /// Short enough that whatever waits for a consumer goes on soon after what was away is back.
    const LONGEST: Duration = Duration::from_millis(1_500);

    const fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Waits; false if the consumer is to stop.
    async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let delay = self.next();
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }

    fn next(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(Self::LONGEST);
        delay
    }
}

fn wants(kinds: &[&str], event: &RawEvent) -> bool {
    kinds.is_empty() || kinds.contains(&event.stream.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_something_was_away_it_is_tried_again_soon() {
        let mut backoff = Backoff::new();
        let delays: Vec<Duration> = (0..100).map(|_| backoff.next()).collect();
        assert_eq!(delays[..2], [50, 100].map(Duration::from_millis));
        assert!(delays.iter().all(|delay| *delay < Duration::from_secs(2)), "{delays:?}");
    }
}
