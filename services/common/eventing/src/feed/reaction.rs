//! Runs a reaction: event after event, its checkpoint saved now and then.

use std::{sync::Arc, time::Duration};

use shipway_events::{Position, RawEvent};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{BATCH, Backoff, Feed, Form, HandleError, Reaction, progress::Progress, wants};
use crate::{
    durable::{Durable, DurableError},
    failing,
    lease::Epoch,
};

/// How old a saved checkpoint may get while events are handled. What it costs after a crash is handling again.
const SAVE: Duration = Duration::from_millis(500);

pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS checkpoints (consumer TEXT PRIMARY KEY, position BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS parked (
        consumer TEXT NOT NULL,
        position BIGINT NOT NULL,
        error TEXT NOT NULL,
        PRIMARY KEY (consumer, position)
    )",
];

/// An event that a reaction could not handle and never will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The reaction.
    pub consumer: String,
    /// The event's position.
    pub position: Position,
    /// Why.
    pub error: String,
}

impl Durable {
    /// The events that reactions could not handle, in order: each needs a person.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn parked(&self) -> Result<Vec<Parked>, DurableError> {
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT consumer, position, error FROM parked ORDER BY position, consumer")
                .fetch_all(self.pool())
                .await
                .map_err(crate::durable::failed("listing parked events"))?;
        let parked = |(consumer, position, error): (String, i64, String)| Parked {
            consumer,
            position: position.cast_unsigned(),
            error,
        };
        Ok(rows.into_iter().map(parked).collect())
    }
}

pub(super) async fn checkpoint(durable: &Durable, consumer: &str) -> Result<Position, DurableError> {
    let read = sqlx::query_scalar("SELECT position FROM checkpoints WHERE consumer = $1")
        .bind(consumer)
        .fetch_optional(durable.pool());
    let position: Option<i64> = failing!("db.reaction.checkpoint", read.await)
        .map_err(crate::durable::failed("reading a checkpoint"))?;
    Ok(position.map_or(0, i64::cast_unsigned))
}

pub(super) async fn run(feed: Feed, durable: Durable, reaction: Arc<dyn Reaction>, stop: CancellationToken) {
    let mut backoff = Backoff::new();
    while !stop.is_cancelled() {
        let epoch = tokio::select! {
            () = stop.cancelled() => return,
            epoch = feed.leadership().gained() => epoch,
        };
        // Another process may have moved it.
        let position = match checkpoint(&durable, reaction.name()).await {
            Ok(position) => position,
            Err(error) => {
                tracing::warn!(consumer = reaction.name(), %error, "a checkpoint could not be read; trying again");
                backoff.wait(&stop).await;
                continue;
            }
        };
        backoff = Backoff::new();
        let progress = feed.begin(reaction.name(), Form::Reaction);
        progress.at(position);
        let mut run = Run {
            feed: feed.clone(),
            durable: durable.clone(),
            reaction: Arc::clone(&reaction),
            epoch,
            position,
            saved: position,
            due: Instant::now(),
            progress,
            stop: stop.clone(),
        };
        run.all().await;
        run.save().await;
    }
}

/// How long a reaction rests after events that were none of its own.
const PAUSE: Duration = Duration::from_millis(5);

struct Run {
    feed: Feed,
    durable: Durable,
    reaction: Arc<dyn Reaction>,
    epoch: Epoch,
    position: Position,
    saved: Position,
    /// When the checkpoint is saved next, if it has moved.
    due: Instant,
    progress: Arc<Progress>,
    stop: CancellationToken,
}

impl Run {
    async fn all(&mut self) {
        let mut tail = self.feed.tail();
        let mut backoff = Backoff::new();
        while self.goes_on() {
            if *tail.borrow_and_update() <= self.position {
                self.progress.caught_up();
                let unsaved = self.saved < self.position;
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = self.feed.leadership().lost(self.epoch) => return,
                    more = tail.changed() => if more.is_err() { return },
                    () = tokio::time::sleep_until(self.due), if unsaved => self.save().await,
                }
                continue;
            }
            self.progress.behind();
            match self.feed.read(self.position, BATCH).await {
                Ok(events) => {
                    backoff = Backoff::new();
                    let kinds = self.reaction.kinds();
                    let ours = events.iter().any(|event| wants(kinds, event));
                    for event in events {
                        if !self.one(&event).await {
                            return;
                        }
                    }
                    if !ours {
                        // A busy log that says nothing of ours is looked at now and then, not at every commit.
                        tokio::select! {
                            () = self.stop.cancelled() => return,
                            () = tokio::time::sleep(PAUSE) => {}
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(consumer = self.reaction.name(), %error, "the log could not be read; trying again");
                    if !backoff.wait(&self.stop).await {
                        return;
                    }
                }
            }
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.is_cancelled() && self.feed.leadership().epoch() == Some(self.epoch)
    }

    /// Handles one event until it is done; false if the consumer is to stop before.
    async fn one(&mut self, event: &RawEvent) -> bool {
        let consumer = self.reaction.name();
        let mut backoff = Backoff::new();
        while wants(self.reaction.kinds(), event) {
            match failing!("feed.react", self.reaction.handle(event).await) {
                Ok(()) => break,
                Err(HandleError::Retry(error)) => {
                    tracing::warn!(consumer, position = event.position, %error, "a reaction failed; trying again");
                }
                Err(HandleError::Poison(error)) => {
                    tracing::error!(consumer, position = event.position, %error, "a reaction cannot handle this event; it is parked");
                    match self.park(event.position, &error.to_string()).await {
                        Ok(()) => break,
                        Err(error) => {
                            tracing::warn!(consumer, %error, "an event could not be parked; trying again")
                        }
                    }
                }
            }
            if !backoff.wait(&self.stop).await || !self.goes_on() {
                return false;
            }
        }
        if self.saved == self.position {
            self.due = Instant::now() + SAVE;
        }
        self.position = event.position;
        self.progress.at(self.position);
        if Instant::now() >= self.due {
            self.save().await;
        }
        self.goes_on()
    }

    async fn save(&mut self) {
        if self.saved == self.position {
            return;
        }
        match self.try_save().await {
            Ok(()) => self.saved = self.position,
            Err(error) => {
                tracing::warn!(consumer = self.reaction.name(), %error, "a checkpoint could not be saved; trying again");
                self.due = Instant::now() + SAVE;
            }
        }
    }

    /// Only ever forwards: a position that another process saved meanwhile was handled too.
    async fn try_save(&self) -> Result<(), DurableError> {
        let mut tx = self.durable.begin_lazy().await?;
        let save = sqlx::query(
            "INSERT INTO checkpoints (consumer, position) VALUES ($1, $2)
             ON CONFLICT (consumer) DO UPDATE SET position = excluded.position
                 WHERE checkpoints.position < excluded.position",
        )
        .bind(self.reaction.name())
        .bind(self.position.cast_signed());
        failing!("db.reaction.save", save.execute(&mut *tx).await)
            .map_err(crate::durable::failed("saving a checkpoint"))?;
        tx.commit().await.map_err(crate::durable::failed("saving a checkpoint"))
    }

    async fn park(&self, position: Position, error: &str) -> Result<(), DurableError> {
        let mut tx = self.durable.begin().await?;
        sqlx::query(
            "INSERT INTO parked (consumer, position, error) VALUES ($1, $2, $3)
             ON CONFLICT (consumer, position) DO UPDATE SET error = excluded.error",
        )
        .bind(self.reaction.name())
        .bind(position.cast_signed())
        .bind(error)
        .execute(&mut *tx)
        .await
        .map_err(crate::durable::failed("parking an event"))?;
        tx.commit().await.map_err(crate::durable::failed("parking an event"))
    }
}
