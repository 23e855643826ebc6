//! A SQLite file that several parts of this process write: how connections to it are made, its gate, and its
//! write-ahead log, which is copied into the file off the commits' path.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use crate::gate::Gate;

/// After about so many written pages the write-ahead log is copied into the file.
const CHECKPOINT_PAGES: usize = 2_000;

/// A write-ahead log of so many pages (32 MiB) must be copied to its end, so that it starts again from its
/// beginning: writers wait for that, once, for what was written during the copying before.
const FULL_PAGES: i64 = 8_192;

/// Pages that a small transaction writes besides its own rows'.
const PAGES_PER_COMMIT: usize = 4;

/// A file's writers share this. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct SqliteFile {
    pub path: Arc<PathBuf>,
    pub gate: Gate,
    pub wal: Arc<Wal>,
}

impl SqliteFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: Arc::new(path.to_owned()), gate: Gate::default(), wal: Arc::default() }
    }

    pub(crate) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&*self.path)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5))
            // As in `database.rs`.
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging()
    }

    /// For whoever may acknowledge what it commits.
    pub(crate) fn durable(&self) -> SqliteConnectOptions {
        // Checkpoints are made by a task of their own.
        self.options()
            .create_if_missing(true)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", "0")
    }

    /// For what may be lost in a power cut: in order, but synced with the next durable commit only.
    pub(crate) fn lazy(&self) -> SqliteConnectOptions {
        self.options().synchronous(SqliteSynchronous::Normal).pragma("wal_autocheckpoint", "0")
    }

    pub(crate) fn reading(&self) -> SqliteConnectOptions {
        self.options().read_only(true).row_buffer_size(512).pragma("cache_size", "-1000")
    }

    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Starts the task that copies the write-ahead log into the file.
    pub(crate) async fn keep_wal_short(&self) -> Result<Checkpointer, sqlx::Error> {
        let connection = self.options().pragma("wal_autocheckpoint", "0").connect().await?;
        let (alive, ended) = oneshot::channel();
        Ok(Checkpointer { alive, task: tokio::spawn(keep_short(self.clone(), connection, ended)) })
    }
}

/// The task that copies a write-ahead log into its file. Dropped, the task ends and its connection closes a little later.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    alive: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Checkpointer {
    /// Ends the task; on return its connection is closed.
    pub(crate) async fn close(self) {
        drop(self.alive);
        drop(self.task.await);
    }
}

/// How much was written since the last copying.
#[derive(Debug, Default)]
pub(crate) struct Wal {
    pages: AtomicUsize,
    wake: Notify,
}

impl Wal {
    /// Tells of a commit with so many rows.
    pub(crate) fn written(&self, rows: usize) {
        if self.pages.fetch_add(rows + PAGES_PER_COMMIT, Ordering::Relaxed) > CHECKPOINT_PAGES {
            self.wake.notify_one();
        }
    }
}

async fn keep_short(file: SqliteFile, mut connection: SqliteConnection, mut ended: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            () = file.wal.wake.notified() => {}
            _ = &mut ended => break,
        }
        file.wal.pages.store(0, Ordering::Relaxed);
        match checkpoint(&mut connection).await {
            Ok(pages) if pages < FULL_PAGES => {}
            Ok(_) => {
                let _turn = file.gate.enter().await;
                drop(checkpoint(&mut connection).await);
            }
            Err(error) => {
                tracing::warn!(%error, "the log's write-ahead log could not be copied; trying again later");
            }
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the connection for checkpoints could not be closed cleanly");
    }
}

/// Copies what can be copied without stopping anybody; the write-ahead log's length in pages.
async fn checkpoint(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(connection).await?;
    row.try_get(1)
}
