//! Runs a projection: batches of events and its checkpoint in one transaction each.

use std::{sync::Arc, time::Duration};

use shipway_events::{Position, RawEvent};
use tokio_util::sync::CancellationToken;

use super::{BATCH, Backoff, FAR, Feed, Form, HandleError, LONG_BATCH, Projection, wants};
use crate::{failing, lease::Epoch, views::Views};

/// After a batch, commits may gather for so long, so that a busy log costs a transaction per many events.
const PAUSE: Duration = Duration::from_millis(5);

/// How long it rests before an event that cannot be handled: another version of this service may have come.
const HOPELESS: Duration = Duration::from_secs(30);

pub(super) struct Run {
    feed: Feed,
    views: Views,
    projection: Arc<dyn Projection>,
}

impl Run {
    pub(super) fn new(feed: Feed, views: Views, projection: Arc<dyn Projection>) -> Self {
        Self { feed, views, projection }
    }

    /// Stands by while another process leads, and writes the read model while this one does.
    pub(super) async fn all(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let epoch = tokio::select! {
                () = stop.cancelled() => return,
                epoch = self.feed.leadership().gained() => epoch,
            };
            self.lead(epoch, &stop).await;
            // Who writes it now, and how far it is, only the checkpoint tells.
            self.views.not_written(self.projection.name());
        }
    }

    async fn lead(&self, epoch: Epoch, stop: &CancellationToken) {
        let (views, projection) = (&self.views, &*self.projection);
        let model = projection.name();
        let progress = self.feed.begin(model, Form::Projection);
        let mut tail = self.feed.tail();
        let mut backoff = Backoff::new();
        let mut caught_up = false;
        // Unknown at first, and again after somebody else moved it: a rebuild, or another process.
        let mut known: Option<Position> = None;
        while !stop.is_cancelled() && self.feed.leadership().epoch() == Some(epoch) {
            let Some(position) = known else {
                match views.prepare(projection).await {
                    Ok(at) => {
                        known = Some(at);
                        progress.at_of(at, *tail.borrow());
                        views.written(model, at);
                    }
                    Err(error) => {
                        tracing::warn!(model, %error, "a read model's checkpoint could not be read; trying again");
                        backoff.wait(stop).await;
                    }
                }
                continue;
            };
            let end = *tail.borrow_and_update();
            if end <= position {
                progress.caught_up();
                if !caught_up {
                    caught_up = views.take_over(projection).await.is_ok();
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.feed.leadership().lost(epoch) => return,
                    more = tail.changed() => if more.is_err() { return },
                }
                continue;
            }
            progress.behind();
            let batch = if end - position > FAR { LONG_BATCH } else { BATCH };
            match self.step(position, batch).await {
                Ok(next) => {
                    known = next;
                    let Some(position) = next else { continue };
                    progress.at_of(position, end);
                    views.written(model, position);
                    backoff = Backoff::new();
                    if *tail.borrow() < position + BATCH as u64 {
                        views.pause(PAUSE).await;
                    }
                }
                Err(error) => match &error {
                    HandleError::Retry(why) => {
                        tracing::warn!(model, position, error = %why, "a projection failed; trying again");
                        backoff.wait(stop).await;
                    }
                    HandleError::Poison(why) => {
                        tracing::error!(model, position, error = %why, "a projection cannot go on; its read model stands still");
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = self.feed.leadership().lost(epoch) => {}
                            () = tokio::time::sleep(HOPELESS) => {}
                        }
                    }
                },
            }
        }
    }

    /// Applies one batch; the new checkpoint, or none if the checkpoint is not where it was thought to be.
    async fn step(&self, position: Position, batch: usize) -> Result<Option<Position>, HandleError> {
        let (views, projection) = (&self.views, &*self.projection);
        let events = self.feed.read(position, batch).await.map_err(HandleError::retry)?;
        let Some(last) = events.last() else { return Ok(Some(position)) };
        let next = last.position;
        let kinds = projection.kinds();
        let wanted: Vec<RawEvent> =
            events.iter().filter(|event| wants(kinds, event)).map(|event| RawEvent::clone(event)).collect();
        let mut tx = views.begin().await?;
        if !views.advance(&mut tx, projection, position, next).await? {
            return Ok(None);
        }
        if !wanted.is_empty() {
            failing!("feed.project", projection.apply(&mut tx, &wanted).await)?;
        }
        tx.commit().await?;
        views.committed();
        Ok(Some(next))
    }
}
