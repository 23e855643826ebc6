//! One way to write tables of either database through sqlx's `Any`, used by the views and the durable tables.
//!
//! SQL is static text in what both databases speak: `$1`, TEXT, BIGINT microseconds, `ON CONFLICT`, `RETURNING`;
//! sets come as JSON through `json_each($1)` with `value->>'field'`, bytes in them through `unhex`. Two things are
//! translated for PostgreSQL: the column type `BLOB` (its `BYTEA`) and those two functions, which are made there.

use std::{ops::DerefMut, path::Path, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use crate::{
    failing,
    gate::{Gate, Turn},
    log::sqlite::file::Wal,
};

/// A text of a table's set-up, and what it is called in errors.
pub(crate) type Ddl = &'static str;

/// Held while tables are made in PostgreSQL: `IF NOT EXISTS` alone fails for one of two that come at once.
const POSTGRES_LOCK: &str =
    "SET LOCAL lock_timeout = '30s'; DO $$ BEGIN PERFORM pg_advisory_xact_lock(7311021946); END $$";

/// What SQLite has and PostgreSQL has not, by the name that tells whether it is there.
const POSTGRES_FUNCTIONS: [(&str, &str); 2] = [
    (
        "json_each(text)",
        "CREATE OR REPLACE FUNCTION json_each(list text) RETURNS TABLE (key bigint, value jsonb)
            LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
            AS $$ SELECT i - 1, v FROM jsonb_array_elements(list::jsonb) WITH ORDINALITY x (v, i) $$",
    ),
    (
        "unhex(text)",
        "CREATE OR REPLACE FUNCTION unhex(digits text) RETURNS bytea
            LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
            AS $$ SELECT decode(digits, 'hex') $$",
    ),
];

/// What every connection to PostgreSQL is told. A plan is never worth compiling here. A few rows are looked up in large
/// tables, by an index: of the list that a statement brings it takes a thousand to be in it, and would read the whole
/// table for a join with so many. Nothing waits for ever, and nothing that a paused process left open keeps others waiting.
const POSTGRES_OPTIONS: &str = "options[jit]=off&options[enable_hashjoin]=off&options[enable_mergejoin]=off\
     &options[statement_timeout]=30s&options[lock_timeout]=5s&options[idle_in_transaction_session_timeout]=10s";

/// How long a caller waits for a connection to PostgreSQL before it hears that there is none.
const POSTGRES_ACQUIRE: Duration = Duration::from_secs(4);

/// A connection to PostgreSQL that was idle for so long is asked whether it still is one before it is used.
const POSTGRES_IDLE: Duration = Duration::from_secs(1);

/// What is written at random places, as indexes of keys are, is read from the file again when it does not fit: in KB.
const CACHE: &str = "PRAGMA cache_size = -16000";

/// What a statement that may fail half way has to remember lies in memory: a file in a folder of the machine's would be
/// written for each, outside of the data folder and on a disk that may be full.
const NEAR: &str = "PRAGMA temp_store = MEMORY";

/// Tables of either database. Clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    readers: AnyPool,
    writers: AnyPool,
    /// SQLite only: what else writes the same file.
    file: Option<(Gate, std::sync::Arc<Wal>)>,
    postgres: bool,
}

/// How much a SQLite commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// On disk.
    Durable,
    /// In order; a power cut may take the last ones.
    Lazy,
}

impl Database {
    /// Tables in a SQLite file. `shared`: the gate and write-ahead log of a file that others write too.
    pub(crate) async fn sqlite(
        path: &Path,
        promise: Promise,
        readers: u32,
        shared: Option<(Gate, std::sync::Arc<Wal>)>,
    ) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let url = sqlite_url(path);
        let synced = if promise == Promise::Durable { "FULL" } else { "NORMAL" };
        let mut set_up = format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synced}; {CACHE}; {NEAR}");
        if shared.is_some() {
            set_up.push_str("; PRAGMA wal_autocheckpoint = 0");
        }
        let writers = pool(1, set_up).connect_with(options(&url)?).await?;
        let readers = pool(readers, format!("PRAGMA query_only = on; PRAGMA cache_size = -1000; {NEAR}"))
            .connect_lazy_with(options(&url)?);
        let file = Some(shared.unwrap_or_default());
        Ok(Self { readers, writers, file, postgres: false })
    }

    /// Tables in a schema of a PostgreSQL database, which is made if it is missing.
    pub(crate) async fn postgres(
        url: &str,
        schema: &str,
        promise: Promise,
        connections: u32,
    ) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || !schema.chars().all(plain) {
            let hint = "a schema's name has only lower case letters, digits and `_`";
            return Err(sqlx::Error::Configuration(hint.into()));
        }
        let separator = if url.contains('?') { '&' } else { '?' };
        let mut url = format!("{url}{separator}options[search_path]={schema}&{POSTGRES_OPTIONS}");
        if promise == Promise::Lazy {
            url.push_str("&options[synchronous_commit]=off");
        }
        let all = postgres_pool(connections).connect_with(options(&url)?).await?;
        let database = Self { readers: all.clone(), writers: all, file: None, postgres: true };
        database.prepare_schema(schema).await?;
        Ok(database)
    }

    /// Makes a schema and its functions, as far as they are missing: whoever may not make any can still use them.
    async fn prepare_schema(&self, schema: &str) -> Result<(), sqlx::Error> {
        let there = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
        let there: i64 = sqlx::query_scalar(there).bind(schema).fetch_one(&self.readers).await?;
        let mut missing = Vec::new();
        for (name, statement) in POSTGRES_FUNCTIONS {
            let known = "SELECT count(*) FROM pg_proc WHERE oid = to_regprocedure($1)";
            let known: i64 = sqlx::query_scalar(known).bind(name).fetch_one(&self.readers).await?;
            if known == 0 {
                missing.push(statement);
            }
        }
        if there == 1 && missing.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        tx.execute(sqlx::raw_sql(POSTGRES_LOCK)).await?;
        let make_schema = AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
        if there == 0 {
            tx.execute(sqlx::raw_sql(make_schema)).await?;
        }
        for statement in missing {
            tx.execute(sqlx::raw_sql(statement)).await?;
        }
        tx.commit().await
    }

    /// Whether this is PostgreSQL.
    pub(crate) const fn is_postgres(&self) -> bool {
        self.postgres
    }

    /// Whether there is a table of this name.
    pub(crate) async fn has_table(&self, table: &str) -> Result<bool, sqlx::Error> {
        let count = if self.postgres {
            "SELECT count(*) FROM pg_class WHERE oid = to_regclass($1)"
        } else {
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
        };
        let count: i64 = sqlx::query_scalar(count).bind(table).fetch_one(&self.readers).await?;
        Ok(count > 0)
    }

    /// For queries.
    pub(crate) const fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// For single statements that write.
    pub(crate) const fn writers(&self) -> &AnyPool {
        &self.writers
    }

    /// Begins a transaction that writes. On SQLite it is the only one of this process until it ends.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let Some((gate, wal)) = &self.file else {
            let transaction = failing!("db.begin", begun(&self.writers, None).await)?;
            return Ok(Tx { transaction, file: None });
        };
        let turn = gate.enter().await;
        let transaction = failing!("db.lite.begin", self.writers.begin_with("BEGIN IMMEDIATE").await)?;
        Ok(Tx { transaction, file: Some((turn, std::sync::Arc::clone(wal))) })
    }

    /// Makes tables in one transaction.
    pub(crate) async fn create(&self, statements: &[Ddl]) -> Result<(), sqlx::Error> {
        let mut tx = self.begin_making().await?;
        for statement in statements {
            self.define(&mut tx, statement).await?;
        }
        tx.commit().await
    }

    /// Begins a transaction that makes tables; no other process makes any meanwhile.
    pub(crate) async fn begin_making(&self) -> Result<Tx, sqlx::Error> {
        let mut tx = self.begin().await?;
        if self.postgres {
            tx.execute(sqlx::raw_sql(POSTGRES_LOCK)).await?;
        }
        Ok(tx)
    }

    /// Runs one statement that makes something, inside a transaction.
    pub(crate) async fn define(
        &self,
        connection: &mut AnyConnection,
        statement: &str,
    ) -> Result<(), sqlx::Error> {
        let statement =
            if self.postgres { statement.replace(" BLOB", " BYTEA") } else { statement.to_owned() };
        connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// Begins a transaction, to the end of its beginning even if nobody waits for it any more. Sqlx forgets a `BEGIN` whose
/// answer was not waited for: whoever got the connection next would work inside of that transaction, be seen by nobody
/// else, hold its locks and never commit.
pub(crate) async fn begun<DB: sqlx::Database>(
    pool: &sqlx::Pool<DB>,
    statement: Option<&'static str>,
) -> Result<Transaction<'static, DB>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move {
        match statement {
            None => pool.begin().await,
            Some(statement) => pool.begin_with(statement).await,
        }
    });
    match begun.await {
        Ok(begun) => begun,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        // The runtime ends.
        Err(_) => Err(sqlx::Error::PoolClosed),
    }
}

/// A transaction that writes; dropped without [`Tx::commit`] it never was. Use it as a connection.
#[derive(Debug)]
pub struct Tx {
    transaction: Transaction<'static, Any>,
    file: Option<(Turn, std::sync::Arc<Wal>)>,
}

impl Tx {
    /// Makes what was written stand.
    ///
    /// # Errors
    /// If the database does not commit; then nothing was written, or (if the answer was lost) all of it.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        failing!("db.commit", self.transaction.commit().await)?;
        if let Some((_, wal)) = &self.file {
            wal.written(0);
        }
        Ok(())
    }
}

impl std::ops::Deref for Tx {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

fn pool(connections: u32, set_up: String) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(false)
        // A commit that the disk refused has ended SQLite's transaction but not sqlx's: such a connection never begins
        // another one, and is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .after_connect(move |connection, _| {
            let set_up = sqlx::raw_sql(AssertSqlSafe(set_up.clone()));
            Box::pin(async move { connection.execute(set_up).await.map(drop) })
        })
}

/// Connections that were cut are made again; one that may have been is asked first.
fn postgres_pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(POSTGRES_ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < POSTGRES_IDLE || connection.ping().await.is_ok()) })
        })
}

fn options(url: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    Ok(url.parse::<AnyConnectOptions>()?.disable_statement_logging())
}

/// The file as a URL; every byte that means something in one is escaped.
fn sqlite_url(path: &Path) -> String {
    use std::{fmt::Write, os::unix::ffi::OsStrExt};
    let mut url = String::from("sqlite://");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").expect("writing to a text cannot fail");
        }
    }
    url.push_str("?mode=rwc");
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_with_odd_characters_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b%20?c#d ü.db");
        let database = Database::sqlite(&path, Promise::Lazy, 1, None).await.unwrap();
        database.create(&["CREATE TABLE t (a TEXT, b BLOB)"]).await.unwrap();
        let mut tx = database.begin().await.unwrap();
        sqlx::query("INSERT INTO t SELECT value->>'a', unhex(value->>'b') FROM json_each($1)")
            .bind(r#"[{"a":"x","b":"0aff"}]"#)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let row: (String, Vec<u8>) =
            sqlx::query_as("SELECT a, b FROM t").fetch_one(database.readers()).await.unwrap();
        assert_eq!(row, ("x".into(), vec![0x0a, 0xff]));
        assert!(path.exists());
        database.close().await;
    }

    #[tokio::test]
    async fn what_a_statement_has_to_remember_is_no_file_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let database = Database::sqlite(&path, Promise::Durable, 1, None).await.unwrap();
        let in_memory = 2_i64;
        for pool in [database.readers(), database.writers()] {
            let store: i64 = sqlx::query_scalar("PRAGMA temp_store").fetch_one(pool).await.unwrap();
            assert_eq!(store, in_memory);
        }
        database.close().await;
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_not_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::sqlite(&folder.path().join("t.db"), Promise::Durable, 1, None).await.unwrap();
        database.create(&["CREATE TABLE t (a TEXT)"]).await.unwrap();
        let mut tx = database.begin().await.unwrap();
        // As SQLite does by itself when the disk fails.
        tx.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
        tx.commit().await.unwrap_err();
        let mut tx = database.begin().await.unwrap();
        tx.execute(sqlx::raw_sql("INSERT INTO t VALUES ('x')")).await.unwrap();
        tx.commit().await.unwrap();
        database.close().await;
    }
}
