//! The logs of nodes in the blob store, so that every service can read them without the host that wrote them.
//!
//! * A node's log is a list of *records*: lines, pieces of long lines, and the one that says that the log is full. Each
//!   has a number, counted from 0 over all attempts and hosts, and keeps it for ever.
//! * Records are stored in chunks while they come, one object each: `logs/<day>/<run>/<node>/<number>-<offset>.zst`,
//!   named by its first record. A name is taken once ([`object_store::PutMode::Create`]), so of two hosts that write at
//!   the same time (one of them does not know yet that it was given up) one is second and takes the next numbers.
//! * [`writer`]: who appends. [`reader`]: stored chunks, then what the host that writes has not stored yet.
//! * What is missing is shown as a gap, in its place.

mod chunk;
mod expire;
mod lines;
pub mod reader;
pub mod writer;

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path as Key};
use shipway_events::RunId;

pub use expire::Expired;
pub use lines::{LONGEST, Splitter};
pub use reader::{From, LiveTail, NoTail, NodeLogReader, Tail, TailError};
pub use writer::{End, NodeLogWriter, Source};

use crate::blobs::Blobs;
use chunk::Name;

/// All of them. Clones share the store.
#[derive(Clone, Debug)]
pub struct NodeLogs {
    store: Arc<dyn ObjectStore>,
}

/// What one entry of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A line, or the last piece of one.
    Line,
    /// A piece of a line that is longer than [`LONGEST`]; the next record goes on with it.
    Piece,
    /// The log has reached its limit: what follows was not kept.
    Full,
    /// Something is missing here. It is no record: it has the number of the next one.
    Gap,
}

/// A record without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// What was printed, without the line's end: any bytes.
    pub text: Bytes,
}

impl Record {
    /// How many bytes of the log it stands for.
    #[must_use]
    pub fn size(&self) -> u64 {
        let end = match self.kind {
            Kind::Line | Kind::Full => 1,
            Kind::Piece | Kind::Gap => 0,
        };
        self.text.len() as u64 + end
    }
}

/// A record in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the node's log.
    pub number: u64,
    /// How many bytes of the log come before it, line ends counted.
    pub offset: u64,
    /// What it is and says.
    pub record: Record,
}

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeLogError {
    /// The store did not do it.
    #[error("the store of logs failed while {attempting}")]
    Store {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: object_store::Error,
    },
    /// A chunk is not what a chunk is.
    #[error("the chunk {name} of a log is damaged: {reason}")]
    Damaged {
        /// The chunk.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

fn failed(attempting: &'static str) -> impl Fn(object_store::Error) -> NodeLogError {
    move |source| NodeLogError::Store { attempting, source }
}

impl NodeLogs {
    /// The logs beside these blobs.
    #[must_use]
    pub fn new(blobs: &Blobs) -> Self {
        Self { store: Arc::clone(blobs.store()) }
    }

    /// One who appends to a node's log. `host` names the machine, the same over its restarts.
    #[must_use]
    pub fn writer(&self, run: RunId, node: u32, host: &str) -> NodeLogWriter {
        NodeLogWriter::new(self.clone(), run, node, host.to_owned())
    }

    /// One who reads, and asks `tail` for what is not stored yet.
    #[must_use]
    pub fn reader<T: LiveTail + Clone>(&self, tail: T) -> NodeLogReader<T> {
        NodeLogReader::new(self.clone(), tail)
    }

    /// The chunks of a node's log from the record `from` on, in order, and where the log was closed.
    async fn chunks(&self, run: RunId, node: u32, from: u64) -> Result<Chunks, NodeLogError> {
        let folder = folder(run, node);
        let mut found = Chunks::default();
        let mut objects = match from {
            0 => self.store.list(Some(&folder)),
            _ => self.store.list_with_offset(Some(&folder), &folder.clone().join(Name::before(from))),
        };
        while let Some(object) = objects.try_next().await.map_err(failed("listing a log's chunks"))? {
            match object.location.filename().and_then(Name::parse) {
                Some(Name { closes: true, end, .. }) => found.closed.push(end),
                Some(name) => found.names.push(name),
                None => {}
            }
        }
        found.names.sort();
        found.closed.sort();
        Ok(found)
    }
}

/// What is stored of a node's log.
#[derive(Debug, Default)]
struct Chunks {
    names: Vec<Name>,
    closed: Vec<End>,
}

/// The day is in the path so that what is old is found without looking at what is not.
fn folder(run: RunId, node: u32) -> Key {
    Key::from_iter(["logs", &day(run).to_string(), &run.to_string(), &node.to_string()])
}

/// The day on which a run was made, counted from 1970: its id says so, since those that follow from an event or from
/// another run too begin with a time, in milliseconds.
fn day(run: RunId) -> u64 {
    let millis = u64::try_from(run.uuid().as_u128() >> 80).unwrap_or(0);
    millis / 86_400_000
}
