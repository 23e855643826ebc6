//! The log: every event, in commit order, gapless, chained by hashes.
//!
//! # One append, from call to commit
//!
//! 1. [`Log::append`] gets an [`Item`]: one command's events for one or several streams, all or nothing.
//! 2. `prepare` (in the caller's task) refuses what can never be appended, writes the metadata as JSON,
//!    puts data over 256 KiB into a blob and takes each event's digest.
//! 3. `group` hands it to the one appender task of this process. The task takes whatever arrived while the
//!    last commit ran, up to 256 items or 2,000 events: one commit for many, no timer for a lone one.
//! 4. The database's `writer` commits the batch in one go. Per item: a known command id gets its old answer,
//!    a wrong version is a [`AppendError::Conflict`]; else its events get the next positions, one after the
//!    other, each with a hash over the one before (`chain`).
//!    * [`SqliteLog`]: this process is the only writer, so versions and the head are known in memory. One
//!      text of several statements begins, inserts (`json_each`) and commits: one thread crossing, one
//!      `fdatasync`. The unique indexes catch what memory did not know; then it is looked up and decided again.
//!    * [`PostgresLog`]: one call of the function `append`, which locks the head row, decides and inserts.
//! 5. A batch that fails is retried item by item, so that one bad item cannot fail its neighbours.
//! 6. The new head goes to [`Log::tail`], which wakes the feed, and each caller gets its [`Appended`].
//!
//! A caller whose reply was cut repeats the command with the same id and gets the same answer.

mod chain;
mod clock;
mod fold;
mod group;
pub mod postgres;
mod prepare;
mod rows;
pub mod sqlite;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use shipway_events::{CommandId, Meta, NewEvent, Position, RawEvent, StreamName, Timestamp, Version};
use tokio::sync::watch;

use crate::durable::{Durable, DurableError};

pub use chain::{Form, GENESIS, Stored};
pub use fold::fold;
pub use group::{Observer, Stats};
pub use postgres::{ArchiveError, Archived, Archiving, PostgresLog, PostgresOptions};
pub use prepare::{MAX_INLINE, MAX_ITEM_BYTES, MAX_ITEM_EVENTS};
pub(crate) use rows::events;
pub use sqlite::{SqliteLog, SqliteOptions};

/// The format of the tables. A log of a newer one is refused.
pub(crate) const FORMAT: i64 = 1;

/// The format that a log has while a backup is brought back into it: nothing is started on it.
pub(crate) const HALF_RESTORED: i64 = 0;

/// Whether this Shipway can use a log of this format.
fn usable(format: i64, place: &str) -> Result<(), OpenError> {
    match format {
        HALF_RESTORED => Err(OpenError::HalfRestored { place: place.to_owned() }),
        found if found > FORMAT => Err(OpenError::Newer { place: place.to_owned(), found, known: FORMAT }),
        _ => Ok(()),
    }
}

/// One command's events for one or several streams: all of them or none.
#[derive(Clone, Debug)]
pub struct Item {
    /// The command: applied once, answered the same again.
    pub command: CommandId,
    /// Who and why.
    pub meta: Meta,
    /// The events by stream; each stream at most once.
    pub writes: Vec<Write>,
}

impl Item {
    /// A command that writes to one stream.
    #[must_use]
    pub fn one(
        command: CommandId,
        meta: Meta,
        stream: StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Self {
        Self { command, meta, writes: vec![Write { stream, expected, events }] }
    }
}

/// The events that a command writes to one stream.
#[derive(Clone, Debug)]
pub struct Write {
    /// The stream.
    pub stream: StreamName,
    /// What the stream must be like.
    pub expected: Expected,
    /// The events, oldest first; at least one.
    pub events: Vec<NewEvent>,
}

/// What a stream must be like for a write to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Its last event has this version; 0: it has no event.
    Version(Version),
    /// Anything.
    Any,
    /// It has no event.
    New,
}

impl Expected {
    /// The version that it asks for, if it asks for one.
    #[must_use]
    pub const fn version(self) -> Option<Version> {
        match self {
            Self::Version(version) => Some(version),
            Self::New => Some(0),
            Self::Any => None,
        }
    }

    fn allows(self, actual: Version) -> bool {
        self.version().is_none_or(|version| version == actual)
    }
}

/// The answer to an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first event.
    pub first: Position,
    /// The position of the last event; the positions between are the item's own, in the order given.
    pub last: Position,
    /// When, by the log's clock: the `at` of every event of the item.
    pub at: Timestamp,
    /// The version of each written stream afterwards, in the order of the writes.
    pub versions: Vec<(StreamName, Version)>,
    /// Whether the command was known: this is the answer it got then.
    pub duplicate: bool,
}

/// Why an item was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream is not what the item expected. Nothing of the item was written.
    #[error("stream {stream} has version {actual}, not the expected {}", expected.version().unwrap_or(0))]
    Conflict {
        /// The stream.
        stream: StreamName,
        /// What was expected.
        expected: Expected,
        /// What it is.
        actual: Version,
    },
    /// The item has no event, or none for one of its streams.
    #[error("an append without events was refused: every write must have at least one")]
    Empty,
    /// The item names a stream in two of its writes.
    #[error("the append names stream {0} twice; put its events into one write")]
    RepeatedStream(StreamName),
    /// The item is larger than an item may be.
    #[error("the append has {size} {unit}, more than the {limit} that one command may write; split it")]
    TooLarge {
        /// What was counted: `events` or `bytes`.
        unit: &'static str,
        /// How many there are.
        size: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Large event data could not be put into a blob.
    #[error("large event data could not be stored as a blob")]
    Blob(#[source] crate::blobs::BlobError),
    /// The database did not take it, or its answer was lost: repeat with the same command id.
    #[error("the log's database did not answer while {attempting}; repeat the command with the same id")]
    Unavailable {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// The disk is full; nothing was written.
    #[error(
        "the disk of the log's database is full; free some space, then repeat the command with the same id"
    )]
    DiskFull {
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The log is shutting down; nothing was written.
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    /// Whether repeating the same item, with the same command id, may well go better.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::DiskFull { .. } | Self::Closed | Self::Blob(_))
    }
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database did not answer.
    #[error("the log's database did not answer while {attempting}")]
    Unavailable {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// An event is missing. The log is damaged: nothing after the gap is handed out.
    #[error("the log is damaged: position {expected} is missing (found {found}); run `shipway verify`")]
    Gap {
        /// The position (or, in a stream, the version) that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// A row does not hold what a row must.
    #[error("the log is damaged at position {position}: {what}; run `shipway verify`")]
    Damaged {
        /// Where.
        position: Position,
        /// What is wrong.
        what: String,
    },
    /// Large event data is not in the blobs.
    #[error("the data of position {position} could not be read from its blob")]
    Blob {
        /// Where.
        position: Position,
        /// Why.
        #[source]
        source: crate::blobs::BlobError,
    },
    /// The event's data was erased by a retention rule; readers skip such events' streams.
    #[error("the data of position {position} was erased by a retention rule")]
    Erased {
        /// Where.
        position: Position,
    },
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database could not be opened or set up.
    #[error("could not open the log at {place} while {attempting}")]
    Database {
        /// The file or server.
        place: String,
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// The database would acknowledge what it has not written to disk.
    #[error(
        "PostgreSQL runs with {setting} = {value}, so it would acknowledge events that a power cut loses; \
         set {setting} = on and restart it"
    )]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// The tables are missing or those of an older Shipway, and the role may not make them.
    #[error(
        "there is no log at {place} whose tables are this Shipway's, and this role may not make them: run `shipway \
         database migrate` with the URL of their owner"
    )]
    NotPrepared {
        /// The server.
        place: String,
    },
    /// A restore into this log was cut off.
    #[error(
        "a restore into the log at {place} was cut off, so it is not whole: remove it and restore the backup again"
    )]
    HalfRestored {
        /// The file or server.
        place: String,
    },
    /// The log was written by a newer Shipway.
    #[error("the log at {place} has format {found}; this Shipway knows formats up to {known}: upgrade it")]
    Newer {
        /// The file or server.
        place: String,
        /// Its format.
        found: i64,
        /// The newest known one.
        known: i64,
    },
}

/// The end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The position of the last event; 0 if there is none.
    pub position: Position,
    /// The hash of the last event; [`GENESIS`] if there is none.
    pub hash: [u8; 32],
    /// When the last event was appended.
    pub at: Timestamp,
}

/// A cached state of a stream. It may be thrown away at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream's version that the state is of.
    pub version: Version,
    /// The state, as its owner encoded it.
    pub state: Vec<u8>,
}

/// An append-only log of events. What it answers is durable.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Appends one command's events. Commits of concurrent callers are made together.
    ///
    /// # Errors
    /// See [`AppendError`]; with any of them nothing of the item is in the log, except
    /// [`AppendError::Unavailable`], after which only a repetition with the same command id can tell.
    async fn append(&self, item: Item) -> Result<Appended, AppendError>;

    /// Appends several commands' events, in this order, handed to one commit together (up to its limits). Each
    /// item succeeds or fails by itself; a later one sees the earlier ones' versions.
    async fn append_all(&self, items: Vec<Item>) -> Vec<Result<Appended, AppendError>>;

    /// The events of a stream with versions above `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// See [`ReadError`]; a stream that does not exist has no events.
    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RawEvent>, ReadError>;

    /// The events with positions above `after`, oldest first, at most `limit`. Their positions are
    /// `after + 1`, `after + 2`, …: a gap is an error, never skipped.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError>;

    /// The rows as they are stored, unchecked, for `verify`: positions above `after`, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] and [`ReadError::Damaged`].
    async fn stored(&self, after: Position, limit: usize) -> Result<Vec<Stored>, ReadError>;

    /// The recorded version of each stream with a number above `after`, at most `limit`, by number: for `verify`.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    async fn streams(&self, after: i64, limit: usize) -> Result<Vec<(i64, String, Version)>, ReadError>;

    /// The end of the log, asked of the database. The tail is then not behind it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    async fn head(&self) -> Result<Head, ReadError>;

    /// The end of the log as this process knows it; changes when events were appended by anyone.
    fn tail(&self) -> watch::Receiver<Position>;

    /// Raises the tail: there are events up to this position, known from the log's own rows or proven by their hashes.
    /// Does nothing where no other process appends.
    fn heard(&self, _position: Position) {}

    /// How often the database is looked at for what other processes appended, where there are any. It is looked at once
    /// at each change.
    fn look_every(&self, _pause: Duration) {}

    /// The log's clock: the database's, carried forward on the monotonic clock. Never falls.
    fn now(&self) -> Timestamp;

    /// The id that the log got when it was made; a restored copy keeps it.
    fn id(&self) -> &str;

    /// Raised by every restore from a backup; leads fences and message ids.
    fn generation(&self) -> u32;

    /// The answer that a command got, if it was applied.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    async fn command_result(&self, command: CommandId) -> Result<Option<Appended>, ReadError>;

    /// The cached state of a stream that was made with this schema number of the state, undamaged; see [`fold`].
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; the caller then folds the stream from its start.
    async fn snapshot(&self, stream: &StreamName, schema: u32) -> Result<Option<Snapshot>, ReadError>;

    /// Caches a state of a stream. One with an older version or of another schema is replaced; a stream that
    /// does not exist is ignored. Not synced: losing it costs a longer fold.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; nothing is lost then.
    async fn put_snapshot(
        &self,
        stream: &StreamName,
        schema: u32,
        snapshot: Snapshot,
    ) -> Result<(), ReadError>;

    /// The blob with this digest (lower case hex), as text: large event data.
    ///
    /// # Errors
    /// If there is no such blob or its content has another digest.
    async fn large(&self, digest: &str) -> Result<String, crate::blobs::BlobError>;

    /// The blobs that large event data is in, if the log was opened with any.
    fn blobs(&self) -> Option<&crate::blobs::Blobs>;

    /// The durable tables in the log's database.
    ///
    /// # Errors
    /// If the database cannot be connected to again.
    async fn durable(&self) -> Result<Durable, DurableError>;

    /// What this process' appender did so far.
    fn stats(&self) -> Stats;

    /// Tells somebody what this process' appender does from now on. Only the first call counts.
    fn observe(&self, observer: Arc<dyn Observer>);

    /// Waits for what is being appended, refuses more and closes the database.
    async fn close(&self);
}
