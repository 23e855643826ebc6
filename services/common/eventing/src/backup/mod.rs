//! Backups of a whole Shipway in one file, made while everything goes on, and how they come back.
//!
//! # What is in one
//! The log up to one position; the durable tables (inbox, secrets as they are sealed, checkpoints) as they were at that
//! position; the blobs that these name; the keys, if asked for. Read tables and snapshots are left out: they are built
//! again. So are leases and members: they are of processes that are not there any more. The file says nothing about the
//! database it came from: a backup of either mode is restored into either.
//!
//! # How it is consistent
//! One transaction sees the head and the durable tables as they are at one moment; it ends as soon as these are copied
//! (a transaction that sees the past for long slows all appends down, which rewrite one row). Events do not change: those
//! up to the head are read page by page afterwards. A blob is stored before anything names it, so what the copy names is
//! there.
//!
//! # How it comes back
//! Into an empty place only. The log is marked until it is whole again ([`OpenError::HalfRestored`]), so that nothing is
//! started on half of one. Its generation rises, so that fences given afterwards are above all that were given before,
//! although positions are used again.

mod archive;
mod filling;
mod restore;
mod tables;
mod write;

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    blobs::BlobError,
    durable::DurableError,
    log::{OpenError, ReadError},
    verify::Bad,
};

pub use restore::{Progress, Restored, restore, restore_to_servers};
pub use write::{Backup, Source, backup};

/// The format of a backup's file. (The first one held a SQLite file; it is still restored into a folder.)
const FORMAT: u32 = 2;

/// The columns of the log's own tables, in the order in which rows hold them.
const OWN: [(&str, &[&str]); 2] = [
    ("streams", &["number", "name", "version"]),
    (
        "events",
        &[
            "position", "at", "stream", "version", "items", "schema", "form", "command", "hash", "kind",
            "meta", "data",
        ],
    ),
];

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format of the file.
    format: u32,
    /// The log's id.
    pub log: String,
    /// The log's generation when the backup was made.
    pub generation: u32,
    /// The position of the last event in it.
    pub position: u64,
    /// Whether the keys are in it.
    pub keys: bool,
    /// When the last event was appended, in microseconds since 1970.
    #[serde(default)]
    pub at: i64,
    /// The hash of the last event, in hex.
    #[serde(default)]
    hash: String,
}

/// What the tables in a backup are.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tables {
    /// The statements that made the durable ones, in their order.
    statements: Vec<String>,
    /// Each with its columns, in the order in which rows hold them.
    columns: std::collections::BTreeMap<String, Vec<String>>,
}

/// The last entry: a backup without it was cut off.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    rows: u64,
    blobs: u64,
}

/// Why a backup was not made or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file to write is there already.
    #[error("{0} exists already; choose another name")]
    Exists(PathBuf),
    /// The place to restore into holds something.
    #[error("{place} is not empty (it holds {found}); restore into a new one")]
    NotEmpty {
        /// The folder or database.
        place: String,
        /// The first thing found in it.
        found: String,
    },
    /// A restore into this database was cut off.
    #[error("a restore into {place} was cut off: drop the database, make it again, and restore once more")]
    CutOff {
        /// The database.
        place: String,
    },
    /// A file could not be read or written.
    #[error("could not {attempting} {path}")]
    File {
        /// What was being attempted.
        attempting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("the archive could not be written")]
    Write(#[source] io::Error),
    /// The database could not be copied or filled.
    #[error("the log's database failed while {attempting}")]
    Database {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A durable table has a column that a backup cannot hold.
    #[error("the column {column} of table {table} has the type {kind}, which a backup does not know")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// The log was opened without blobs.
    #[error("a backup needs the blobs; none are configured")]
    NoBlobs,
    /// The log names a blob that is not there.
    #[error("the log names the blob {0}, which is missing: the blobs are damaged")]
    MissingBlob(crate::blobs::BlobId),
    /// The file is no backup, is damaged, or was made by a newer Shipway.
    #[error("{path} is not a backup that this Shipway can restore: {why}")]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The restored log could not be opened.
    #[error("the log could not be opened")]
    Open(#[from] OpenError),
    /// The blobs could not be read or written.
    #[error("the blobs could not be read or written")]
    Blobs(#[from] BlobError),
    /// The durable tables could not be made.
    #[error("the durable tables could not be made")]
    Durable(#[from] DurableError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// The restored log is not whole.
    #[error("the backup's log is damaged: {0}")]
    Damaged(Bad),
}

fn file_error(attempting: &'static str, path: &std::path::Path) -> impl Fn(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::File { attempting, path: path.clone(), source }
}

fn database_error(attempting: &'static str) -> impl Fn(sqlx::Error) -> BackupError {
    move |source| BackupError::Database { attempting, source }
}
