//! The log, its feed, checkpoints, projections and blobs.
//!
//! * [`log`]: what happened, in commit order. Start here: it tells how one append goes from call to commit.
//! * [`verify`](mod@verify): proves it whole.
//! * [`feed`]: hands events to projections and reactions; [`views`]: the read tables that projections write.
//! * [`durable`]: tables as durable as the log that hold no events (inbox, secrets), with group commit.
//! * [`lease`]: who may do what only one process may do, and who is there; [`leadership`]: who leads, on top of it.
//! * [`nats`]: how several processes learn of events at once: relay, subscriber, bell. The log needs none of it.
//! * [`blobs`]: bytes by their digest. [`backup`]: everything in one file, and back. [`lock`]: the embedded data folder.
//! * [`node_logs`]: what nodes print. [`failpoints`]: where tests make calls fail, in builds for tests alone.
//!
//! # SQL for both databases
//! Static text with `$1`, TEXT, BIGINT (times in microseconds), `ON CONFLICT` and `RETURNING`; no booleans. Sets come as
//! one JSON argument: `… FROM json_each($1)` with `value->>'field'` (a text: cast numbers), bytes in them as hex through
//! `unhex`. On PostgreSQL both functions are made beside the tables, and the column type `BLOB` becomes its `BYTEA`.
//! An `INSERT … SELECT … ON CONFLICT` needs a `WHERE true`, or SQLite takes `ON` for a join's.

pub mod backup;
pub mod blobs;
mod database;
pub mod durable;
pub mod failpoints;
pub mod feed;
mod gate;
pub mod leadership;
pub mod lease;
pub mod lock;
pub mod log;
pub mod nats;
pub mod node_logs;
mod people;
pub mod verify;
pub mod views;

pub use blobs::{BlobId, BlobOptions, Blobs};
pub use durable::{Durable, DurableError, GroupWrite, GroupWriter, Tx};
pub use feed::{Consumer, Feed, HandleError, Projection, Reaction};
pub use leadership::Leadership;
pub use lease::{Epoch, Holder, Leases, Member};
pub use lock::{DataLock, LockError};
pub use log::{
    AppendError, Appended, ArchiveError, Archived, Archiving, Expected, Head, Item, Log, Observer, OpenError,
    PostgresLog, PostgresOptions, ReadError, Snapshot, SqliteLog, SqliteOptions, Stats, Write, fold,
};
pub use nats::{Nats, NatsOptions, Relay};
pub use node_logs::NodeLogs;
pub use people::{People, PeopleError};
pub use views::{Views, ViewsError};
