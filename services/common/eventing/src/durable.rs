//! Tables that must be as durable as the log but are no events: inbox rows, secrets, checkpoints of reactions.
//!
//! They live in the log's own database. A [`GroupWriter`] makes many small writes cheap: whatever is submitted while
//! the last commit runs is committed together, so that a caller's acknowledgement costs a share of a sync.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use sqlx::{AnyConnection, AnyPool};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use crate::database::Tx;
use crate::{
    database::{Database, Ddl},
    failing,
};

/// How many rows one commit of a group writer takes at most.
const MAX_ROWS: usize = 1_000;

/// So many groups that are one statement each are written at the same time, so that the database does not wait for the
/// next one to be put together.
const AT_ONCE: u32 = 2;

/// How many rows may wait for a group writer before further callers wait to submit.
const QUEUE: usize = 4_096;

/// The statements that made the durable tables, in their order: what is listed need not be made again (the services'
/// role may not make tables, see `infra/postgres/roles.sql`), and a backup takes the tables' shapes from here.
pub(crate) const MADE: Ddl =
    "CREATE TABLE IF NOT EXISTS made (number BIGINT PRIMARY KEY, statement TEXT NOT NULL UNIQUE)";

/// Why a durable table could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The database did not do it.
    #[error("the database failed while {attempting}")]
    Database {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// The writer has ended; nothing was written.
    #[error("the writer is closed")]
    Closed,
}

pub(crate) fn failed(attempting: &'static str) -> impl Fn(sqlx::Error) -> DurableError {
    move |source| DurableError::Database { attempting, source: Arc::new(source) }
}

/// The durable tables beside a log. Clones share the connections.
///
/// SQL is static text that both databases speak: see the notes of the crate on `json_each` and `BLOB`.
#[derive(Clone, Debug)]
pub struct Durable {
    database: Database,
    /// The same tables, for what may be lost in a power cut.
    lazy: Database,
}

impl Durable {
    pub(crate) async fn open(database: Database, lazy: Database) -> Result<Self, DurableError> {
        let durable = Self { database, lazy };
        durable.create(crate::feed::REACTION_TABLES).await?;
        Ok(durable)
    }

    /// Makes tables that are not made yet; each statement says `IF NOT EXISTS`. `BLOB` is the type of bytes on both
    /// databases. What is to stay is text, numbers and bytes: a backup knows no other types.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn create(&self, statements: &[&str]) -> Result<(), DurableError> {
        self.make(statements).await.map_err(failed("making tables"))
    }

    async fn make(&self, statements: &[&str]) -> Result<(), sqlx::Error> {
        let made: BTreeSet<String> = if self.database.has_table("made").await? {
            let all = sqlx::query_scalar("SELECT statement FROM made").fetch_all(self.pool()).await?;
            all.into_iter().collect()
        } else {
            self.database.create(&[MADE]).await?;
            BTreeSet::new()
        };
        let missing: Vec<_> = statements.iter().filter(|statement| !made.contains(**statement)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin_making().await?;
        for statement in missing {
            self.database.define(&mut tx, statement).await?;
            let note = "INSERT INTO made (number, statement)
                 SELECT coalesce(max(number), 0) + 1, $1 FROM made WHERE true
                 ON CONFLICT (statement) DO NOTHING";
            sqlx::query(note).bind(*statement).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    /// Makes the tables of everything in this crate that works beside a PostgreSQL log, so that a role that may make none
    /// can work with them.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn create_own(&self) -> Result<(), DurableError> {
        self.create(crate::feed::REACTION_TABLES).await?;
        self.create(crate::lease::TABLES).await?;
        self.create(crate::nats::RELAY_TABLES).await
    }

    /// The database itself.
    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    /// For queries. On SQLite its connections cannot write.
    #[must_use]
    pub const fn pool(&self) -> &AnyPool {
        self.database.readers()
    }

    /// For single statements that write.
    pub(crate) const fn writers(&self) -> &AnyPool {
        self.database.writers()
    }

    /// Begins a transaction that writes. On SQLite it stops all appends until it ends: keep it short, and use a
    /// [`GroupWriter`] where writes are many.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn begin(&self) -> Result<Tx, DurableError> {
        self.database.begin().await.map_err(failed("beginning a transaction"))
    }

    /// Like [`Durable::begin`], but the commit is synced with the next durable one only.
    pub(crate) async fn begin_lazy(&self) -> Result<Tx, DurableError> {
        self.lazy.begin().await.map_err(failed("beginning a transaction"))
    }

    /// For single statements whose commit is synced with the next durable one only.
    pub(crate) const fn lazy_pool(&self) -> &AnyPool {
        self.lazy.writers()
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.database.close().await;
        self.lazy.close().await;
    }
}

/// How a group of rows is written.
#[async_trait]
pub trait GroupWrite: Send + Sync + 'static {
    /// What a caller submits.
    type Row: Send + Sync + 'static;
    /// What a caller gets back once its row is on disk.
    type Outcome: Send + 'static;

    /// Whether no row here depends on another one, and no other group has to come before them or after them: any of them
    /// may be written without the rest. They are written without a transaction around them then, each statement by
    /// itself (three round trips fewer, or as many thread switches), and a server works at several groups.
    fn stand_alone(&self, _rows: &[Self::Row]) -> bool {
        false
    }

    /// Writes the rows inside a transaction, best with one statement over a set (`json_each($1)`): one outcome per
    /// row, in their order. Rows may repeat a key.
    ///
    /// # Errors
    /// If the database fails; the group is then tried again row by row.
    async fn write(
        &self,
        tx: &mut AnyConnection,
        rows: &[Self::Row],
    ) -> Result<Vec<Self::Outcome>, sqlx::Error>;
}

/// Commits what was submitted while the last commit ran. Clones feed the same task, which ends with the last.
pub struct GroupWriter<W: GroupWrite> {
    queue: mpsc::Sender<Submitted<W>>,
}

impl<W: GroupWrite> Clone for GroupWriter<W> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

struct Submitted<W: GroupWrite> {
    row: W::Row,
    reply: oneshot::Sender<Result<W::Outcome, DurableError>>,
}

impl<W: GroupWrite> GroupWriter<W> {
    /// Starts the writer's task.
    #[must_use]
    pub fn spawn(durable: Durable, write: W) -> Self {
        let (queue, submitted) = mpsc::channel(QUEUE);
        tokio::spawn(run(durable, Arc::new(write), submitted));
        Self { queue }
    }

    /// Writes a row; on return it is on disk.
    ///
    /// # Errors
    /// [`DurableError`]; after [`DurableError::Database`] the row may have been written if the answer was lost.
    pub async fn submit(&self, row: W::Row) -> Result<W::Outcome, DurableError> {
        let (reply, outcome) = oneshot::channel();
        self.queue.send(Submitted { row, reply }).await.map_err(|_| DurableError::Closed)?;
        outcome.await.unwrap_or(Err(DurableError::Closed))
    }
}

async fn run<W: GroupWrite>(durable: Durable, write: Arc<W>, mut submitted: mpsc::Receiver<Submitted<W>>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE as usize));
    // Nobody closes it.
    while let Ok(turn) = turns.clone().acquire_owned().await {
        let mut group = Vec::new();
        if submitted.recv_many(&mut group, MAX_ROWS).await == 0 {
            return;
        }
        let (rows, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.row, one.reply)).unzip();
        if durable.database().is_postgres() && write.stand_alone(&rows) {
            let (durable, write) = (durable.clone(), write.clone());
            tokio::spawn(async move {
                settle(&durable, &*write, &rows, replies).await;
                drop(turn);
            });
        } else {
            // Alone: what was submitted before it is written before it.
            let _others = turns.acquire_many(AT_ONCE - 1).await;
            settle(&durable, &*write, &rows, replies).await;
        }
    }
}

/// Writes a group and answers whoever waits for it.
async fn settle<W: GroupWrite>(
    durable: &Durable,
    write: &W,
    rows: &[W::Row],
    replies: Vec<oneshot::Sender<Result<W::Outcome, DurableError>>>,
) {
    let outcomes = match commit(durable, write, rows).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if rows.len() == 1 => vec![Err(error)],
        Err(error) => {
            tracing::warn!(%error, rows = rows.len(), "a group of rows failed; trying again row by row");
            let mut outcomes = Vec::with_capacity(rows.len());
            for row in rows {
                let one = commit(durable, write, std::slice::from_ref(row)).await;
                outcomes.push(one.and_then(|mut one| one.pop().ok_or(DurableError::Closed)));
            }
            outcomes
        }
    };
    for (reply, outcome) in replies.into_iter().zip(outcomes) {
        // A caller that went away does not want to know.
        drop(reply.send(outcome));
    }
}

async fn commit<W: GroupWrite>(
    durable: &Durable,
    write: &W,
    rows: &[W::Row],
) -> Result<Vec<W::Outcome>, DurableError> {
    let written = failed("writing a group of rows");
    if write.stand_alone(rows) {
        let mut connection = durable.writers().acquire().await.map_err(&written)?;
        return failing!("db.group.once", write.write(&mut connection, rows).await).map_err(written);
    }
    let mut tx = durable.begin().await?;
    let outcomes = failing!("db.group.write", write.write(&mut tx, rows).await).map_err(written)?;
    tx.commit().await.map_err(failed("committing a group of rows"))?;
    Ok(outcomes)
}
