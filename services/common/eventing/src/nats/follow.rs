//! Hears the stream of events and hands them to the feed.
//!
//! A message counts only if it goes on where the last one ended and the log's chain of hashes says so; then it is what
//! the log holds, and the feed's consumers need not read it from there. Anything else (a gap, a damaged or a foreign
//! message, a vanished stream, missed heartbeats) costs a look at the head: consumers then read from the log.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{Message, consumer::push};
use futures::StreamExt;
use shipway_events::RawEvent;
use tokio::{sync::watch, task::JoinHandle};

use super::{Nats, SetUpError, message::Origin, streams, wake};
use crate::{
    failpoint,
    feed::Recent,
    log::{Head, Log},
};

/// How often the head is looked at while the stream of events is heard.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is looked at while it is not.
const LOOK_ALONE: Duration = Duration::from_millis(200);

/// How many messages that have arrived are handed on together.
const TOGETHER: usize = 256;

/// How long after a failure the stream is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// What a feed has of NATS. Dropped, its tasks end.
pub(crate) struct Following {
    pub told: wake::Told,
    tasks: Vec<JoinHandle<()>>,
}

impl Following {
    pub(crate) fn start(nats: &Nats, log: &Arc<dyn Log>, recent: &Arc<Recent>) -> Self {
        let origin = Origin::of(&**log);
        let names = origin.names.clone();
        let told = wake::Told::new();
        let own = uuid::Uuid::now_v7().simple().to_string();
        let follower = Follower {
            nats: nats.clone(),
            origin,
            log: Arc::clone(log),
            recent: Arc::clone(recent),
            told: told.clone(),
            anchor: None,
        };
        let tasks = vec![
            tokio::spawn(pace(told.listening.subscribe(), Arc::clone(log))),
            tokio::spawn(wake::tell(nats.clone(), names.clone(), own.clone(), Arc::clone(log), told.clone())),
            tokio::spawn(wake::hear(nats.clone(), names, own, Arc::clone(log), told.clone())),
            tokio::spawn(follower.run()),
        ];
        Self { told, tasks }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Looks at the log more often while the stream is not heard.
async fn pace(mut listening: watch::Receiver<bool>, log: Arc<dyn Log>) {
    loop {
        let heard = *listening.borrow_and_update();
        log.look_every(if heard { LOOK } else { LOOK_ALONE });
        if listening.changed().await.is_err() {
            return;
        }
    }
}

struct Follower {
    nats: Nats,
    origin: Origin,
    log: Arc<dyn Log>,
    recent: Arc<Recent>,
    told: wake::Told,
    /// The event after which the next message must come; none: the head will tell.
    anchor: Option<Head>,
}

impl Follower {
    async fn run(mut self) {
        let stream = self.origin.names.events_stream();
        loop {
            let times = self.nats.connected().await;
            failpoint!("nats.listen", continue);
            match streams::listen(&self.nats, &stream, "").await {
                Ok(messages) => {
                    tracing::debug!(stream, "listening to events");
                    self.told.listening.send_replace(true);
                    self.hear(messages, times).await;
                    self.told.listening.send_replace(false);
                }
                Err(error @ SetUpError::Differs { .. }) => {
                    tracing::error!(%error, "events are read from the log alone");
                }
                Err(error) => tracing::debug!(%error, "the stream of events is not there; trying again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Takes messages until the consumer has to be made anew.
    async fn hear(&mut self, messages: push::Messages, times: u64) {
        self.anchor = None;
        let mut messages = messages.ready_chunks(TOGETHER);
        loop {
            let chunk = tokio::select! {
                chunk = messages.next() => chunk,
                () = self.nats.interrupted(times) => return,
            };
            let Some(chunk) = chunk else { return };
            failpoint!("nats.events", return);
            let mut events = Vec::with_capacity(chunk.len());
            let mut going_on = true;
            for message in chunk {
                match message {
                    Ok(message) => self.take(&message, &mut events).await,
                    Err(error) => {
                        tracing::debug!(%error, "the stream of events went silent; listening anew");
                        going_on = false;
                    }
                }
            }
            self.hand_on(&mut events).await;
            if !going_on {
                return;
            }
        }
    }

    /// Adds the message's event to those that go on without a gap; or begins anew at the log's end.
    async fn take(&mut self, message: &Message, events: &mut Vec<Arc<RawEvent>>) {
        let Some(incoming) = self.origin.read(message.headers.as_ref(), &message.payload) else { return };
        if incoming.generation != self.origin.generation {
            return;
        }
        let anchor = match self.anchor {
            Some(anchor) => anchor,
            None => match self.begin().await {
                Some(anchor) => anchor,
                None => return,
            },
        };
        let position = incoming.row.position;
        if position <= anchor.position {
            return;
        }
        let follows = incoming.previous == anchor.position
            && position == anchor.position + 1
            && incoming.follows(&anchor.hash);
        let (Ok(hash), true) = (<[u8; 32]>::try_from(incoming.row.hash.as_slice()), follows) else {
            tracing::debug!(
                position,
                after = anchor.position,
                "a message does not go on where the last one ended"
            );
            self.hand_on(events).await;
            self.begin().await;
            return;
        };
        let at = shipway_events::Timestamp::from_micros(incoming.row.at);
        self.anchor = Some(Head { position, hash, at });
        match incoming.whole.then(|| incoming.row.into_event()) {
            Some(Ok(event)) => events.push(Arc::new(event)),
            // Its data is elsewhere: consumers read it from the log.
            _ => {
                self.hand_on(events).await;
                self.told.arrived.send_replace(position);
                self.log.heard(position);
            }
        }
    }

    /// Takes the log's end for where messages go on.
    async fn begin(&mut self) -> Option<Head> {
        let head = self.log.head().await;
        self.anchor =
            head.inspect_err(|error| tracing::debug!(%error, "the head could not be looked at")).ok();
        self.anchor
    }

    /// Gives events to the feed, then tells that they are there.
    async fn hand_on(&self, events: &mut Vec<Arc<RawEvent>>) {
        let Some(last) = events.last().map(|event| event.position) else { return };
        self.recent.offer(std::mem::take(events)).await;
        self.told.arrived.send_replace(last);
        self.log.heard(last);
    }
}
