//! Runs a projection: batches of events and its checkpoint in one transaction each.

use std::{sync::Arc, time::Duration};

use shipway_events::{Position, RawEvent};
use tokio_util::sync::CancellationToken;

use super::{BATCH, Backoff, Feed, HandleError, Projection, progress::Progress, wants};
use crate::views::Views;

/// After a batch, commits may gather for so long, so that a busy log costs a transaction per many events.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn run(
    feed: Feed,
    views: Views,
    projection: Arc<dyn Projection>,
    mut position: Position,
    progress: Arc<Progress>,
    stop: CancellationToken,
) {
    let model = projection.name();
    let mut tail = feed.tail();
    let mut backoff = Backoff::new();
    let mut caught_up = false;
    loop {
        let end = *tail.borrow_and_update();
        if end <= position {
            progress.caught_up();
            if !caught_up {
                caught_up = views.take_over(&*projection).await.is_ok();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                more = tail.changed() => if more.is_err() { return },
            }
            continue;
        }
        if stop.is_cancelled() {
            return;
        }
        progress.behind();
        match step(&feed, &views, &*projection, position).await {
            Ok(Some(next)) => {
                position = next;
                progress.at(position);
                views.written(model, position);
                backoff = Backoff::new();
                if *tail.borrow() < position + BATCH as u64 {
                    views.pause(PAUSE).await;
                }
            }
            // Somebody else moved it: a rebuild, or another process.
            Ok(None) => match views.prepare(&*projection).await {
                Ok(at) => position = at,
                Err(error) => {
                    tracing::warn!(model, %error, "a read model's checkpoint could not be read; trying again");
                    if !backoff.wait(&stop).await {
                        return;
                    }
                }
            },
            Err(error) => {
                match &error {
                    HandleError::Retry(why) => {
                        tracing::warn!(model, position, error = %why, "a projection failed; trying again");
                    }
                    HandleError::Poison(why) => {
                        tracing::error!(model, position, error = %why, "a projection cannot go on; its read model stands still");
                    }
                }
                if !backoff.wait(&stop).await {
                    return;
                }
            }
        }
    }
}

/// Applies one batch; the new checkpoint, or none if the checkpoint is not where it was thought to be.
async fn step(
    feed: &Feed,
    views: &Views,
    projection: &dyn Projection,
    position: Position,
) -> Result<Option<Position>, HandleError> {
    let events = feed.read(position, BATCH).await.map_err(HandleError::retry)?;
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
        projection.apply(&mut tx, &wanted).await?;
    }
    tx.commit().await?;
    views.committed();
    Ok(Some(next))
}
