//! The log, its feed, checkpoints, projections and blobs.
//!
//! Start at [`log`]: it tells how one append goes from call to commit.

pub mod blobs;
mod gate;
pub mod log;
pub mod verify;

pub use blobs::{BlobId, Blobs};
pub use log::{
    AppendError, Appended, Expected, Head, Item, Log, OpenError, PostgresLog, PostgresOptions, ReadError,
    Snapshot, SqliteLog, SqliteOptions, Stats, Write,
};
