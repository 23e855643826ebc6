//! What Git hosts hear of runs: each run that a push or a pull request started is a status of its commit, pending while
//! it goes on, then how it ended.
//!
//! A reaction follows the runs and writes one row for each ([`rows`]): what is to be said. [`send`] says it, tries again
//! with growing pauses, and gives up after a time. A run never waits for any of this. The rows are no list of work beside
//! the log: lost, they cost statuses and nothing else, and what is older than the time after which it would be given up
//! is not said at all.

mod rows;
mod send;
#[cfg(test)]
mod tests;
mod voice;
mod words;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use shipway_eventing::{
    durable::{Durable, DurableError},
    feed::{Consumer, Feed, HandleError, Reaction},
    log::Log,
};
use shipway_events::{RawEvent, StreamEvent, run};
use shipway_forge::{Client, Outbound};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use rows::TABLES as STATUS_TABLES;

pub(crate) use rows::Rows;
pub(crate) use voice::{Spoken, Voice, Voices};

/// How Git hosts are told of runs.
#[derive(Clone, Debug)]
pub struct StatusConfig {
    /// Whether they are told at all.
    pub on: bool,
    /// The address of this Shipway for people, `https://shipway.example.org`: statuses lead to the run on its
    /// page. None: to nowhere.
    pub address: Option<String>,
    /// How long a host that does not take a status is tried.
    pub give_up: Duration,
    /// Whether hosts may be at loopback and private addresses.
    pub private_addresses: bool,
}

impl Default for StatusConfig {
    fn default() -> Self {
        Self { on: true, address: None, give_up: Duration::from_secs(24 * 3600), private_addresses: true }
    }
}

/// Why nobody could be told.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The rows could not be made.
    #[error("making the table of commit statuses")]
    Table(#[from] DurableError),
    /// The HTTP client could not be made.
    #[error("making the HTTP client for Git hosts")]
    Client(#[from] reqwest::Error),
}

/// Follows the runs and tells the hosts until `stopping`.
pub(crate) async fn start(
    voices: Arc<dyn Voices>,
    feed: &Feed,
    durable: Durable,
    config: StatusConfig,
    stopping: CancellationToken,
) -> Result<Option<Consumer>, StatusError> {
    if !config.on {
        return Ok(None);
    }
    durable.create(STATUS_TABLES).await?;
    let client = Client::new(Outbound::new(config.private_addresses)?);
    let (rows, wake) = (Rows::new(durable.clone()), Arc::new(Notify::new()));
    let log = Arc::clone(feed.log());
    let follow = Follow {
        log: Arc::clone(&log),
        rows: rows.clone(),
        wake: Arc::clone(&wake),
        give_up: config.give_up,
    };
    let consumer = feed.react(&durable, Arc::new(follow)).await?;
    let sender = send::Sender { log, voices, rows, client, wake, config };
    tokio::spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = sender.run() => {}
        }
    });
    Ok(Some(consumer))
}

/// Notes what is to be said.
struct Follow {
    log: Arc<dyn Log>,
    rows: Rows,
    wake: Arc<Notify>,
    give_up: Duration,
}

#[async_trait]
impl Reaction for Follow {
    fn name(&self) -> &'static str {
        "pipelines-commit-statuses"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        // Most events of a run are neither.
        if !matches!(event.kind.as_str(), "run.started" | "run.ended") {
            return Ok(());
        }
        let until = words::until(event.at, self.give_up);
        if until <= self.log.now() {
            return Ok(());
        }
        let noted = match run::Event::from_raw(event)?.event {
            run::Event::Started(started) => match words::started(&started, event.position) {
                Some(row) => self.rows.begin(&row, event.at, until).await.map_err(HandleError::retry)?,
                None => false,
            },
            run::Event::Ended(ended) => match event.stream.id() {
                Some(run) => {
                    let (state, words) = words::ended(&ended);
                    let said = rows::Said { state, words, position: event.position };
                    self.rows.end(run, &said, event.at, until).await.map_err(HandleError::retry)?
                }
                None => false,
            },
            _ => false,
        };
        if noted {
            self.wake.notify_one();
        }
        Ok(())
    }
}
