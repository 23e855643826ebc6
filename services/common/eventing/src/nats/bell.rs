//! The bell: tells an executor at once that there is work for it, or that it must stop some. A hint that may be lost:
//! what an executor is to hold and to stop, the answers to its beats say.

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, unconstrained},
};

use super::{Names, Nats, SetUpError, streams};
use crate::failpoint;

/// How long after a failure the stream is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// How much may be heard and not yet taken.
const WAITING: usize = 1_024;

/// Rings executors' bells. Clones share the connection.
#[derive(Clone, Debug)]
pub struct BellRinger {
    nats: Nats,
    names: Names,
    _upkeep: std::sync::Arc<Upkeep>,
}

#[derive(Debug)]
struct Upkeep(JoinHandle<()>);

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl BellRinger {
    /// A ringer that makes the stream of the bell whenever the server is there without it.
    #[must_use]
    pub fn new(nats: &Nats, names: &Names) -> Self {
        let upkeep = tokio::spawn(keep(nats.clone(), names.clone()));
        Self { nats: nats.clone(), names: names.clone(), _upkeep: std::sync::Arc::new(Upkeep(upkeep)) }
    }

    /// Tells an executor of work; the bytes are whatever the two agree on, at most about 1 MB. Does not wait, neither
    /// for the network nor for an ack. False: nothing was sent.
    pub fn ring(&self, executor: &str, work: Bytes) -> bool {
        self.publish(self.names.work(executor), work)
    }

    /// Tells an executor, on core NATS, that it must stop something. Otherwise like [`BellRinger::ring`].
    pub fn stop(&self, executor: &str, what: Bytes) -> bool {
        self.publish(self.names.control(executor), what)
    }

    /// Once handed to the client it is sent; what the client has no room for is not worth waiting for.
    fn publish(&self, subject: String, payload: Bytes) -> bool {
        failpoint!(blocking "nats.ring", return false);
        // Unconstrained: to a task that has done much without a rest the client says that it has no room when it has.
        let sent = || unconstrained(self.nats.client().publish(subject, payload)).now_or_never();
        self.nats.is_connected() && matches!(sent(), Some(Ok(())))
    }
}

/// Makes the stream after each time that the server came, and looks after it now and then.
async fn keep(nats: Nats, names: Names) {
    let mut link = nats.link();
    loop {
        nats.connected().await;
        link.mark_unchanged();
        if let Err(error) = streams::ensure(&nats, streams::work(&names)).await {
            if error.is_final() {
                tracing::error!(%error, "executors are not told of work; they ask for it");
            } else {
                tracing::debug!(%error, "the stream of the bell could not be made; trying again");
            }
        }
        drop(tokio::time::timeout(Duration::from_secs(2), link.changed()).await);
    }
}

/// What an executor heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is work.
    Work(Bytes),
    /// Something must stop.
    Stop(Bytes),
    /// Something may have been missed: the executor should beat at once. Also the first thing that is heard.
    Missed,
}

/// An executor's side of the bell. Dropped, it ends.
#[derive(Debug)]
pub struct BellReceiver {
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl BellReceiver {
    /// Listens for an executor, now or as soon as the server is there.
    #[must_use]
    pub fn new(nats: &Nats, names: &Names, executor: &str) -> Self {
        let (tell, heard) = mpsc::channel(WAITING);
        let ear = Ear {
            nats: nats.clone(),
            stream: names.work_stream(),
            work: names.work(executor),
            control: names.control(executor),
            tell,
        };
        Self { heard, task: tokio::spawn(ear.run()) }
    }

    /// The next thing that is heard. Waits for ever while nothing is: beats go on by their own clock.
    pub async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}

impl Drop for BellReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Ear {
    nats: Nats,
    stream: String,
    work: String,
    control: String,
    tell: mpsc::Sender<Heard>,
}

impl Ear {
    async fn run(self) {
        loop {
            let times = self.nats.connected().await;
            match self.hear(times).await {
                Ok(()) => {}
                Err(error) if error.is_final() => {
                    tracing::error!(%error, "the bell is not heard; work comes with the answers to beats");
                }
                Err(error) => tracing::debug!(%error, "the bell is not heard; trying again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Hears until something may have been missed.
    async fn hear(&self, times: u64) -> Result<(), SetUpError> {
        let away = |source| SetUpError::Away { what: format!("the subject {}", self.control), source };
        let subscribed = self.nats.client().subscribe(self.control.clone()).await;
        let mut control = subscribed.map_err(|error| away(error.into()))?;
        let listening = streams::listen(&self.nats, &self.stream, &self.work).await;
        let mut work = match listening {
            Ok(work) => work.boxed(),
            // Without the stream at least stops are heard.
            Err(error) if !error.is_final() => {
                tracing::debug!(%error, "the stream of the bell is not there");
                let later = futures::stream::once(async {
                    tokio::time::sleep(2 * AGAIN).await;
                    Err(async_nats::jetstream::consumer::push::MessagesError::new(
                        async_nats::jetstream::consumer::push::MessagesErrorKind::MissingHeartbeat,
                    ))
                });
                later.boxed()
            }
            Err(error) => return Err(error),
        };
        // What was rung before this moment was not heard.
        self.say(Heard::Missed).await;
        let mut last = 0;
        loop {
            tokio::select! {
                message = work.next() => {
                    let Some(Ok(message)) = message else { return Ok(()) };
                    let sequence = message.info().map(|info| info.consumer_sequence).unwrap_or(last + 1);
                    if sequence != last + 1 {
                        self.say(Heard::Missed).await;
                    }
                    last = sequence;
                    self.say(Heard::Work(message.message.payload)).await;
                }
                message = control.next() => {
                    let Some(message) = message else { return Ok(()) };
                    self.say(Heard::Stop(message.payload)).await;
                }
                () = self.nats.interrupted(times) => return Ok(()),
            }
        }
    }

    async fn say(&self, heard: Heard) {
        // Failed: it was not heard.
        failpoint!("nats.heard", return);
        // Nobody listens any more only while this task is about to end.
        drop(self.tell.send(heard).await);
    }
}
