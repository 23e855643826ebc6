//! Where consumers get events from: the log's tail, read once per process however many consumers there are.

use std::{collections::VecDeque, sync::Arc};

use shipway_events::{Position, RawEvent};
use tokio::sync::{Mutex, watch};

use super::{Consumer, Form, Projection, Reaction, Standing, progress::Consumers, projection, reaction};
use crate::{
    durable::{Durable, DurableError},
    log::{Log, ReadError},
    views::{Views, ViewsError},
};

/// How many of the newest events are kept for consumers that are a little behind.
const KEPT: usize = 4_096;

/// The feed of one log. Clones share what was read.
#[derive(Clone)]
pub struct Feed {
    log: Arc<dyn Log>,
    recent: Arc<Mutex<VecDeque<Arc<RawEvent>>>>,
    consumers: Consumers,
}

impl Feed {
    /// The feed of this log.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, recent: Arc::default(), consumers: Consumers::default() }
    }

    /// Starts a projection: it builds its read model up to the log's end and keeps it there.
    ///
    /// # Errors
    /// If its tables cannot be made.
    pub async fn project(
        &self,
        views: &Views,
        projection: Arc<dyn Projection>,
    ) -> Result<Consumer, ViewsError> {
        let position = views.prepare(&*projection).await?;
        let progress = self.consumers.begin(projection.name(), Form::Projection, position);
        let (feed, views) = (self.clone(), views.clone());
        Ok(Consumer::spawn(move |stop| {
            Box::pin(projection::run(feed, views, projection, position, progress, stop))
        }))
    }

    /// Starts a reaction where its checkpoint is; a new one at the start of the log.
    ///
    /// # Errors
    /// If its checkpoint cannot be read.
    pub async fn react(
        &self,
        durable: &Durable,
        reaction: Arc<dyn Reaction>,
    ) -> Result<Consumer, DurableError> {
        let position = reaction::checkpoint(durable, reaction.name()).await?;
        let progress = self.consumers.begin(reaction.name(), Form::Reaction, position);
        let (feed, durable) = (self.clone(), durable.clone());
        Ok(Consumer::spawn(move |stop| {
            Box::pin(reaction::run(feed, durable, reaction, position, progress, stop))
        }))
    }

    /// The end of the log as far as it is known here; changes with every commit.
    #[must_use]
    pub fn tail(&self) -> watch::Receiver<Position> {
        self.log.tail()
    }

    /// How far each consumer of this feed is, in the order in which they began.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        self.consumers().standing(&*self.log)
    }

    /// The consumers of this feed, for whoever looks at them without keeping the log open.
    #[must_use]
    pub fn consumers(&self) -> Consumers {
        self.consumers.clone()
    }

    /// The log that this is the feed of.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The events after a position, oldest first, gapless, at most `limit`.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<RawEvent>>, ReadError> {
        // Whoever comes first reads what is new; the others wait for it and find it here.
        let mut recent = self.recent.lock().await;
        let kept = |recent: &VecDeque<Arc<RawEvent>>| -> Option<(Position, Position)> {
            Some((recent.front()?.position, recent.back()?.position))
        };
        let (first, last) = kept(&recent).unwrap_or((Position::MAX, 0));
        let end = *self.log.tail().borrow();
        if after < last && after + 1 >= first {
            return Ok(some(&recent, after - (first - 1), limit));
        }
        // What was put off for a moment while the log went on far is not worth keeping up with from behind.
        if after == last || (after > last && end.saturating_sub(after) <= KEPT as u64) || recent.is_empty() {
            let new = self.log.read(after, limit.clamp(1, KEPT)).await?;
            if after != last {
                recent.clear();
            }
            recent.extend(new.into_iter().map(Arc::new));
            let excess = recent.len().saturating_sub(KEPT);
            drop(recent.drain(..excess));
            let first = kept(&recent).map_or(after + 1, |(first, _)| first);
            return Ok(some(&recent, after.saturating_sub(first - 1), limit));
        }
        drop(recent);
        let events = self.log.read(after, limit).await?;
        Ok(events.into_iter().map(Arc::new).collect())
    }
}

fn some(recent: &VecDeque<Arc<RawEvent>>, skip: u64, limit: usize) -> Vec<Arc<RawEvent>> {
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    recent.iter().skip(skip).take(limit).cloned().collect()
}
