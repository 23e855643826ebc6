//! The log, its feed, checkpoints, projections and blobs.
//!
//! Start at [`log`]: it tells how one append goes from call to commit.

pub mod backup;
pub mod blobs;
mod database;
pub mod durable;
pub mod feed;
mod gate;
pub mod lock;
pub mod log;
pub mod verify;
pub mod views;

pub use blobs::{BlobId, Blobs};
pub use durable::{Durable, DurableError, GroupWrite, GroupWriter, Tx};
pub use feed::{Consumer, Feed, HandleError, Projection, Reaction};
pub use lock::{DataLock, LockError};
pub use log::{
    AppendError, Appended, Expected, Head, Item, Log, OpenError, PostgresLog, PostgresOptions, ReadError,
    Snapshot, SqliteLog, SqliteOptions, Stats, Write, fold,
};
pub use views::{Views, ViewsError};
