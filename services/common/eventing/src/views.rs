//! Views: the read tables, written by projections alone, together with their checkpoint. They can be built again from
//! the log at any time, so they are not synced.
//!
//! A read model has a name and a version, and its tables' names bear the version (`runs_v2`). A new version is
//! built beside the old one; when it has caught up with the log, the old one's tables are dropped. After a restore
//! (another generation of the log) everything is built anew.

mod wait;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use shipway_events::Position;
use sqlx::{AnyPool, AssertSqlSafe};
use tokio::sync::{Notify, watch};

use crate::{
    database::{Database, Promise, Tx},
    failing,
    feed::{Left, Pace, Projection, part},
    log::Log,
};

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS read_models (
        name TEXT NOT NULL,
        version BIGINT NOT NULL,
        position BIGINT NOT NULL,
        tables TEXT NOT NULL,
        PRIMARY KEY (name, version)
    )",
    "CREATE TABLE IF NOT EXISTS views_of (log TEXT NOT NULL)",
];

/// How many queries may run at the same time.
const READERS: u32 = 4;

/// Why the views could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewsError {
    /// The database did not do it.
    #[error("the views' database failed while {attempting}")]
    Database {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A read model did not get to a position in time.
    #[error("the read model {model} is at position {at} and did not reach {wanted} in time")]
    Behind {
        /// The read model.
        model: String,
        /// Where it is.
        at: Position,
        /// Where it was wanted.
        wanted: Position,
    },
    /// A read model is far from a position, as when it is made anew from the log, and will not be there in time.
    #[error(
        "the read model {model} is being made from the log: it is at {}, {left}", part(*.at, *.wanted)
    )]
    Far {
        /// The read model.
        model: String,
        /// Where it is.
        at: Position,
        /// Where it was wanted.
        wanted: Position,
        /// What is left of the way.
        left: Left,
    },
}

impl ViewsError {
    /// When to ask again, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Far { left, .. } => Some(left.time),
            _ => None,
        }
    }
}

pub(crate) fn failed(attempting: &'static str) -> impl Fn(sqlx::Error) -> ViewsError {
    move |source| ViewsError::Database { attempting, source }
}

/// The read tables. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Views {
    database: Database,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The log's end, as far as it is known here.
    tail: watch::Receiver<Position>,
    /// How fast read models get on that are far behind, whoever writes them.
    paces: Mutex<BTreeMap<String, Pace>>,
    /// Transactions of projections that this process committed.
    commits: AtomicU64,
    /// Checkpoints of the read models that this process writes.
    written: Mutex<BTreeMap<String, watch::Sender<Position>>>,
    /// The checkpoints as they were seen last, whoever writes them.
    seen: watch::Sender<BTreeMap<String, Position>>,
    /// Whose turn it is to look.
    looks: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    hurry: Notify,
}

impl Views {
    /// The views of this log in a SQLite file, which is made if it is missing.
    ///
    /// # Errors
    /// [`ViewsError::Database`].
    pub async fn open(path: &Path, log: &dyn Log) -> Result<Self, ViewsError> {
        let database = Database::sqlite(path, Promise::Lazy, READERS, None).await;
        Self::of(database.map_err(failed("opening their file"))?, log).await
    }

    /// The views of this log in a schema of a PostgreSQL database, which is made if it is missing.
    ///
    /// # Errors
    /// [`ViewsError::Database`].
    pub async fn connect(url: &str, schema: &str, log: &dyn Log) -> Result<Self, ViewsError> {
        let database = Database::postgres(url, schema, Promise::Lazy, 2 * READERS).await;
        Self::of(database.map_err(failed("connecting to the server"))?, log).await
    }

    async fn of(database: Database, log: &dyn Log) -> Result<Self, ViewsError> {
        database.create(TABLES).await.map_err(failed("making their own tables"))?;
        let views = Self { database, shared: Arc::new(Shared::of(log)) };
        views
            .adopt(&format!("{}/{}", log.id(), log.generation()))
            .await
            .map_err(failed("comparing their log"))?;
        Ok(views)
    }

    /// Views of another log, or of another generation of it, say nothing about this one.
    async fn adopt(&self, log: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.database.begin_making().await?;
        let known: Option<String> =
            sqlx::query_scalar("SELECT log FROM views_of").fetch_optional(&mut *tx).await?;
        if known.as_deref() == Some(log) {
            return Ok(());
        }
        let models: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT name, version, tables FROM read_models").fetch_all(&mut *tx).await?;
        for (name, version, tables) in models {
            remove(&mut tx, &name, version, &tables).await?;
        }
        sqlx::query("DELETE FROM views_of").execute(&mut *tx).await?;
        sqlx::query("INSERT INTO views_of (log) VALUES ($1)").bind(log).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// For queries. On SQLite its connections cannot write.
    #[must_use]
    pub const fn pool(&self) -> &AnyPool {
        self.database.readers()
    }

    /// The checkpoint of each read model's newest version.
    async fn positions(&self) -> Result<BTreeMap<String, Position>, ViewsError> {
        let read = sqlx::query_as("SELECT name, position FROM read_models ORDER BY name, version")
            .fetch_all(self.pool());
        let rows: Vec<(String, i64)> =
            failing!("db.views.positions", read.await).map_err(failed("reading the checkpoints"))?;
        let at: BTreeMap<_, _> =
            rows.into_iter().map(|(name, position)| (name, position.cast_unsigned())).collect();
        at.iter().for_each(|(model, position)| self.seen(model, *position));
        Ok(at)
    }

    /// The checkpoint of the newest version of a read model; 0 if there is none.
    ///
    /// # Errors
    /// [`ViewsError::Database`].
    pub async fn position(&self, model: &str) -> Result<Position, ViewsError> {
        let read = sqlx::query_scalar(
            "SELECT position FROM read_models WHERE name = $1 ORDER BY version DESC LIMIT 1",
        )
        .bind(model)
        .fetch_optional(self.pool());
        let position: Option<i64> =
            failing!("db.views.position", read.await).map_err(failed("reading a checkpoint"))?;
        let position = position.map_or(0, i64::cast_unsigned);
        self.seen(model, position);
        Ok(position)
    }

    /// Empties a read model. Its consumer, running or started later, builds it again from the start of the log.
    ///
    /// # Errors
    /// [`ViewsError::Database`].
    pub async fn rebuild(&self, projection: &dyn Projection) -> Result<(), ViewsError> {
        let rebuild = async {
            let mut tx = self.database.begin().await?;
            let version = i64::from(projection.version());
            remove(&mut tx, projection.name(), version, &projection.tables().join(" ")).await?;
            self.make(&mut tx, projection).await?;
            tx.commit().await
        };
        rebuild.await.map_err(failed("emptying a read model"))
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Makes the read model's tables if they are missing; its checkpoint.
    pub(crate) async fn prepare(&self, projection: &dyn Projection) -> Result<Position, ViewsError> {
        let prepare = async {
            let mut tx = self.database.begin_making().await?;
            let known = checkpoint(&mut tx, projection).await?;
            if known.is_none() {
                self.make(&mut tx, projection).await?;
            }
            tx.commit().await?;
            Ok(known.unwrap_or(0))
        };
        prepare.await.map_err(failed("making a read model's tables"))
    }

    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.database.begin().await
    }

    /// Moves a checkpoint inside a transaction; false if it is not where it is thought to be.
    pub(crate) async fn advance(
        &self,
        tx: &mut Tx,
        projection: &dyn Projection,
        from: Position,
        to: Position,
    ) -> Result<bool, sqlx::Error> {
        let advance = sqlx::query(
            "UPDATE read_models SET position = $1 WHERE name = $2 AND version = $3 AND position = $4",
        )
        .bind(to.cast_signed())
        .bind(projection.name())
        .bind(i64::from(projection.version()))
        .bind(from.cast_signed())
        .execute(&mut **tx);
        let moved = failing!("db.views.advance", advance.await)?;
        Ok(moved.rows_affected() == 1)
    }

    /// Drops older versions of a read model that has caught up.
    pub(crate) async fn take_over(&self, projection: &dyn Projection) -> Result<(), ViewsError> {
        let take_over = async {
            let mut tx = self.database.begin().await?;
            let older: Vec<(i64, String)> =
                sqlx::query_as("SELECT version, tables FROM read_models WHERE name = $1 AND version < $2")
                    .bind(projection.name())
                    .bind(i64::from(projection.version()))
                    .fetch_all(&mut *tx)
                    .await?;
            for (version, tables) in older {
                tracing::info!(model = projection.name(), version, "dropping an old version of a read model");
                remove(&mut tx, projection.name(), version, &tables).await?;
            }
            tx.commit().await
        };
        take_over.await.map_err(failed("dropping an old read model"))
    }

    /// How many transactions of projections this process has committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Counts a projection's commit.
    pub(crate) fn committed(&self) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells those who wait where a read model is.
    pub(crate) fn written(&self, model: &str, position: Position) {
        self.seen(model, position);
        let mut written = self.shared.written.lock().expect("nothing panics while it holds this");
        match written.get(model) {
            Some(at) => drop(at.send_replace(position)),
            None => drop(written.insert(model.to_owned(), watch::Sender::new(position))),
        }
    }

    /// This process does not write the read model any more: those who wait look at its checkpoint.
    pub(crate) fn not_written(&self, model: &str) {
        self.shared.written.lock().expect("nothing panics while it holds this").remove(model);
    }

    /// Lets commits gather for a moment, unless somebody waits for a position.
    pub(crate) async fn pause(&self, for_at_most: Duration) {
        let hurry = self.shared.hurry.notified();
        if self.shared.waiting.load(Ordering::Acquire) == 0 {
            drop(tokio::time::timeout(for_at_most, hurry).await);
        }
    }

    async fn make(&self, tx: &mut Tx, projection: &dyn Projection) -> Result<(), sqlx::Error> {
        for statement in projection.schema() {
            self.database.define(tx, statement).await?;
        }
        sqlx::query("INSERT INTO read_models (name, version, position, tables) VALUES ($1, $2, 0, $3)")
            .bind(projection.name())
            .bind(i64::from(projection.version()))
            .bind(projection.tables().join(" "))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

async fn checkpoint(tx: &mut Tx, projection: &dyn Projection) -> Result<Option<Position>, sqlx::Error> {
    let read = sqlx::query_scalar("SELECT position FROM read_models WHERE name = $1 AND version = $2")
        .bind(projection.name())
        .bind(i64::from(projection.version()))
        .fetch_optional(&mut **tx);
    let position: Option<i64> = failing!("db.views.checkpoint", read.await)?;
    Ok(position.map(i64::cast_unsigned))
}

/// Drops a read model's checkpoint and its tables (names that a projection's code gave). The checkpoint first, as a
/// projection does, so that the two wait for each other instead of locking each other out.
async fn remove(tx: &mut Tx, name: &str, version: i64, tables: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM read_models WHERE name = $1 AND version = $2")
        .bind(name)
        .bind(version)
        .execute(&mut **tx)
        .await?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for table in tables.split_whitespace().filter(|table| table.chars().all(plain)) {
        let drop = AssertSqlSafe(format!("DROP TABLE IF EXISTS {table}"));
        sqlx::raw_sql(drop).execute(&mut **tx).await?;
    }
    Ok(())
}

impl Shared {
    fn of(log: &dyn Log) -> Self {
        Self {
            tail: log.tail(),
            paces: Mutex::default(),
            commits: AtomicU64::default(),
            written: Mutex::default(),
            seen: watch::Sender::default(),
            looks: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::default(),
            hurry: Notify::default(),
        }
    }
}
