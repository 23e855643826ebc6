//! The relay: publishes every event of the log to the stream, by position, in order.
//!
//! One process does it, elected by a lease. It is woken by commits of its own process and by wakes of others, reads the
//! rows after its position and publishes them with at most [`IN_FLIGHT`] acks outstanding. Each publish names the
//! sequence that the stream must have reached (`Nats-Expected-Last-Sequence`), so two relays cannot interleave: the
//! stale one gets error 10071, asks for its lease, and steps down. The first publish after a look at the stream goes
//! alone, so that two with different ideas of where to begin part before either has more than one on the way.
//!
//! Where to go on it learns from the stream's last message, which must prove itself by the log's hash at its position.
//! Whenever something may have to be published again, the generation rises: a part of the message ids, so that the
//! server's memory of ids swallows nothing. The stream is never purged; one that can no longer be gone on with is made
//! anew (`refusals`).

mod publish;
mod refusals;
mod resync;
mod row;

use std::{sync::Arc, time::Duration};

use shipway_events::Position;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{MAX_MESSAGE, Nats, SetUpError, StreamSettings, message::Origin, streams};
use crate::{
    Feed, Leadership,
    durable::{Durable, DurableError},
    lease::Epoch,
};
use refusals::Refusals;
pub(crate) use row::TABLES;
use row::{Place, Rows};

/// How many messages may be on their way without an ack.
pub(super) const IN_FLIGHT: usize = 256;

/// How long after a failure the stream is looked at again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long after finding that only an operator can mend it.
const MUCH_LATER: Duration = Duration::from_secs(5);

/// What the relay of this process does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// Whether it is the one that is to publish, whatever keeps it from that.
    pub leads: bool,
    /// How often it led and found that it does not any more, without having given it up.
    pub lost: u64,
    /// Whether it is the one that publishes.
    pub publishes: bool,
    /// The position of the last event that it knows to be on the stream.
    pub position: Position,
    /// The generation of what it publishes; rises when the store was lost or changed under it.
    pub generation: u32,
    /// How often it looked at the stream to learn where to go on.
    pub resyncs: u64,
    /// How often a publish was refused because another had published (error 10071).
    pub refused: u64,
    /// How often it made a damaged stream anew.
    pub made_anew: u64,
}

/// The relay of this process. Dropped, it ends.
#[derive(Debug)]
pub struct Relay {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    status: watch::Receiver<RelayStatus>,
    failure: watch::Receiver<Option<Arc<SetUpError>>>,
}

impl Relay {
    /// Starts it: it publishes the feed's log while this process leads. `durable` is the log's.
    ///
    /// # Errors
    /// If its table cannot be made.
    pub async fn start(
        nats: &Nats,
        feed: &Feed,
        durable: &Durable,
        leadership: Leadership,
        settings: StreamSettings,
    ) -> Result<Self, DurableError> {
        durable.create(TABLES).await?;
        let origin = Origin::of(&**feed.log());
        let (tell, status) = watch::channel(RelayStatus::default());
        let (fail, failure) = watch::channel(None);
        let work = Work {
            nats: nats.clone(),
            feed: feed.clone(),
            rows: Rows { durable: durable.clone(), stream: origin.names.events_stream() },
            origin,
            leadership,
            settings,
            status: tell,
            failure: fail,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(work.run(stop.clone()));
        Ok(Self { stop, task: Some(task), status, failure })
    }

    /// What it does; changes with it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<RelayStatus> {
        self.status.clone()
    }

    /// Waits until the stream is found to be what only an operator can mend. The relay then tries again now and then; a
    /// service should end with this error.
    pub async fn failed(&self) -> Arc<SetUpError> {
        let mut failure = self.failure.clone();
        loop {
            if let Some(error) = failure.borrow_and_update().clone() {
                return error;
            }
            if failure.changed().await.is_err() {
                // It has ended: it finds nothing any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Lets it end and waits for that.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the relay ended badly");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Work {
    nats: Nats,
    feed: Feed,
    rows: Rows,
    origin: Origin,
    leadership: Leadership,
    settings: StreamSettings,
    status: watch::Sender<RelayStatus>,
    failure: watch::Sender<Option<Arc<SetUpError>>>,
}

/// Why publishing stopped.
#[derive(Debug)]
enum Stop {
    /// Another leads.
    Superseded,
    /// The stream has to be looked at again.
    LookAgain(String),
    /// The same, because the server refused what should have gone on at the stream's end (error 10071).
    Refused(String),
    /// Only an operator can mend it.
    Final(SetUpError),
}

impl Work {
    async fn run(self, stop: CancellationToken) {
        loop {
            let epoch = tokio::select! {
                () = stop.cancelled() => return,
                epoch = self.leadership.gained() => epoch,
            };
            self.status.send_modify(|status| status.leads = true);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.leadership.lost(epoch) => {}
                () = self.lead(epoch) => {}
            }
            self.status.send_modify(|status| {
                status.leads = false;
                status.lost += 1;
                status.publishes = false;
            });
        }
    }

    /// Publishes until another leads.
    async fn lead(&self, epoch: Epoch) {
        let mut place = None;
        let mut warned = String::new();
        let mut refusals = Refusals::default();
        while self.leadership.epoch() == Some(epoch) {
            self.nats.connected().await;
            let stopped = match self.resync(epoch, place.as_ref()).await {
                Ok((found, proven)) => {
                    let before = found.clone();
                    let after = place.insert(found);
                    let stopped = self.publish(epoch, after).await;
                    if refusals.count(&before, proven, after, &stopped) {
                        self.delete_stream(&before).await;
                        refusals = Refusals::default();
                    }
                    stopped
                }
                Err(stop) => stop,
            };
            self.status.send_modify(|status| status.publishes = false);
            match stopped {
                Stop::Superseded => {
                    tracing::warn!("another relay publishes; this one steps down");
                    self.leadership.doubt();
                    tokio::time::sleep(AGAIN).await;
                }
                Stop::LookAgain(why) | Stop::Refused(why) => {
                    // Once, however long it lasts.
                    if why == warned {
                        tracing::debug!(why, "the relay looks at the stream again");
                    } else {
                        tracing::warn!(why, "the relay looks at the stream again");
                        warned = why;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                Stop::Final(error) => {
                    tracing::error!(%error, "events cannot be published; they are read from the log alone");
                    self.failure.send_replace(Some(Arc::new(error)));
                    tokio::time::sleep(MUCH_LATER).await;
                }
            }
        }
    }
}

impl Work {
    /// Deletes a stream that refuses to be gone on with; the next look makes it anew.
    async fn delete_stream(&self, end: &Place) {
        let name = self.origin.names.events_stream();
        tracing::warn!(
            stream = name,
            sequence = end.sequence,
            "the stream of events is damaged: it refuses to go on where it ends; making it anew from the log"
        );
        match self.nats.jetstream().delete_stream(&name).await {
            Ok(_) => self.status.send_modify(|status| status.made_anew += 1),
            Err(error) => {
                tracing::warn!(%error, stream = name, "the damaged stream could not be deleted; trying again");
            }
        }
    }
}

impl From<SetUpError> for Stop {
    fn from(error: SetUpError) -> Self {
        if error.is_final() { Self::Final(error) } else { Self::LookAgain(chain(&error)) }
    }
}

impl From<DurableError> for Stop {
    fn from(error: DurableError) -> Self {
        Self::LookAgain(chain(&error))
    }
}

impl From<crate::ReadError> for Stop {
    fn from(error: crate::ReadError) -> Self {
        Self::LookAgain(chain(&error))
    }
}

/// An error with what led to it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
