//! The wake: after each commit a word to all processes, on core NATS, of how far the log goes. A hint: it may be lost,
//! late or wrong.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use shipway_events::Position;
use tokio::sync::watch;

use super::{Names, Nats};
use crate::{failpoint, log::Log};

/// Commits within this time share a wake, except the first.
const GATHER: Duration = Duration::from_millis(2);

/// How long what a wake told may take to come on the stream before the database is looked at.
const PATIENCE: Duration = Duration::from_millis(200);

/// The same while the stream is not heard: commits within this time share a look.
const IMPATIENCE: Duration = Duration::from_millis(20);

/// What processes have told each other.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// What the last wake of another process said; it is sent again if it says the same.
    pub announced: Arc<watch::Sender<Position>>,
    /// The last event that came on the stream.
    pub arrived: Arc<watch::Sender<Position>>,
    /// Whether the stream is heard.
    pub listening: Arc<watch::Sender<bool>>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            announced: Arc::new(watch::Sender::new(0)),
            arrived: Arc::new(watch::Sender::new(0)),
            listening: Arc::new(watch::Sender::new(false)),
        }
    }
}

/// Tells other processes of what was appended here.
pub(super) async fn tell(nats: Nats, names: Names, sender: String, log: Arc<dyn Log>, told: Told) {
    let mut tail = log.tail();
    let mut said = *tail.borrow_and_update();
    while tail.changed().await.is_ok() {
        let head = *tail.borrow_and_update();
        let announced = *told.announced.borrow();
        // What others told of, or have on the stream, they know. A wrong announcement lasts until the next one.
        let known = said.max(*told.arrived.borrow()).max(if announced <= head { announced } else { 0 });
        if head <= known || !nats.is_connected() {
            continue;
        }
        said = head;
        failpoint!("nats.wake", continue);
        let word = Bytes::from(format!("{head} {sender}"));
        if let Err(error) = nats.client().publish(names.wake(), word).await {
            tracing::debug!(%error, "other processes could not be told of a commit; they look by themselves");
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Hears what others appended, and looks at the database if it does not come in time.
pub(super) async fn hear(nats: Nats, names: Names, own: String, log: Arc<dyn Log>, told: Told) {
    loop {
        match nats.client().subscribe(names.wake()).await {
            Ok(mut wakes) => {
                // Until when what was announced has to be here.
                let mut due: Option<(tokio::time::Instant, Position)> = None;
                loop {
                    let wait = async {
                        match due {
                            Some((at, _)) => tokio::time::sleep_until(at).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        word = wakes.next() => {
                            let Some(word) = word else { break };
                            failpoint!("nats.woken", continue);
                            let Some(head) = read(&word.payload, &own) else { continue };
                            told.announced.send_replace(head);
                            if head > *log.tail().borrow() && due.is_none() {
                                let patience = if *told.listening.borrow() { PATIENCE } else { IMPATIENCE };
                                due = Some((tokio::time::Instant::now() + patience, head));
                            }
                        }
                        () = wait => {
                            let missing = due.take().is_some_and(|(_, head)| head > *log.tail().borrow());
                            if missing && let Err(error) = log.head().await {
                                tracing::debug!(%error, "the head could not be looked at after a wake");
                            }
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "wakes could not be subscribed to; trying again"),
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// The head that a wake tells, unless it is this process' own.
fn read(payload: &[u8], own: &str) -> Option<Position> {
    let (head, sender) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    if sender == own { None } else { head.parse().ok() }
}
