//! Appends what was made of each delivery: one event, once, however often this stops in between.
//!
//! The rows say what is to be appended; the command's id follows from the delivery, so that a second try changes
//! nothing. Rows are marked when their events are in the log.

use std::{sync::Arc, time::Duration};

use shipway_eventing::{AppendError, Expected, Item, Log, failing, failpoint};
use shipway_events::{
    Actor, Cause, DeliveryId, Meta, StreamEvent as _, StreamName,
    delivery::{Approval, Approved, Event, Matched, approve_command, match_command},
};
use tokio_util::sync::CancellationToken;

use crate::inbox::{Inbox, InboxError, Stored};

/// How many events are appended together.
const BATCH: i64 = 128;

/// How often it looks although nothing was stored here.
const LOOK: Duration = Duration::from_secs(1);

/// Pauses after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Runs until the service stops.
pub(crate) async fn run(inbox: Inbox, log: Arc<dyn Log>, stop: CancellationToken) {
    let mut pause = PAUSES.0;
    loop {
        let next = match append_stored(&inbox, &*log).await {
            Ok(0) => {
                pause = PAUSES.0;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = inbox.stored.notified() => continue,
                    // Another process may have stored some and died before it got here.
                    () = tokio::time::sleep(LOOK) => continue,
                }
            }
            Ok(_) => Ok(()),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = next {
            tracing::warn!(
                error = &problem as &dyn std::error::Error,
                "deliveries wait to be matched; trying again"
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
        if stop.is_cancelled() {
            return;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum MatchError {
    #[error("the inbox could not be used")]
    Inbox(#[from] InboxError),
    #[error("the verdicts of delivery {delivery} could not be appended")]
    Append {
        delivery: DeliveryId,
        #[source]
        source: AppendError,
    },
}

/// Appends the oldest rows' events and marks the rows; how many there were.
async fn append_stored(inbox: &Inbox, log: &dyn Log) -> Result<usize, MatchError> {
    let rows = failing!("triggers.match", inbox.to_match(BATCH).await)?;
    if rows.is_empty() {
        return Ok(0);
    }
    failpoint!("triggers.append");
    let deliveries: Vec<DeliveryId> = rows.iter().map(|row| row.delivery).collect();
    let appended = log.append_all(rows.into_iter().map(item).collect()).await;
    let mut done = Vec::with_capacity(deliveries.len());
    let mut failed = None;
    for (delivery, outcome) in deliveries.into_iter().zip(appended) {
        match outcome {
            Ok(_) => done.push(delivery),
            Err(source) => failed = failed.or(Some(MatchError::Append { delivery, source })),
        }
    }
    let count = done.len();
    if count > 0 {
        failing!("triggers.matched", inbox.matched(done).await)?;
    }
    failed.map_or(Ok(count), Err)
}

fn item(row: Stored) -> Item {
    let Stored { delivery, hook, digest, summary, verdicts, approved, trace } = row;
    let held = verdicts.iter().find_map(|verdict| verdict.held.clone()).filter(|_| approved);
    let (actor, command, event) = match held.and_then(|held| held.approval.map(|by| (held.head, by))) {
        Some((head, Approval { by, secrets })) => {
            let event = Approved { delivery, hook, summary, by: by.clone(), head, secrets, verdicts };
            (by, approve_command(delivery), Event::from(event))
        }
        None => {
            let actor = match hook {
                Some(hook) => Actor::Hook(hook.to_string()),
                None => Actor::System("triggers".to_owned()),
            };
            let event = Matched { delivery, hook, body: digest, summary, verdicts };
            (actor, match_command(delivery), Event::from(event))
        }
    };
    let meta = Meta { actor, cause: Cause::Delivery(delivery), trace };
    // The command's id makes it once; nobody else writes the stream.
    Item::one(command, meta, StreamName::delivery(delivery), Expected::Any, vec![event.encode()])
}
