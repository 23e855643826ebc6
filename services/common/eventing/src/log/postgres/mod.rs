//! The log of the distributed mode: a schema in a PostgreSQL database.

mod sql;
mod writer;

use std::{
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use shipway_events::{CommandId, Position, RawEvent, StreamName, Timestamp, Version};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    AppendError, Appended, Head, Item, Log, Observer, OpenError, ReadError, Snapshot, Stats, Stored,
    clock::Clock,
    fold::{seal, unseal},
    group::Group,
    prepare::prepare,
    rows::{self, AnswerRow, stored},
};
use crate::{
    blobs::{BlobError, Blobs},
    database::{Database, Promise},
    durable::{Durable, DurableError},
};
use writer::PostgresWriter;

/// How often the head is looked at for what other processes appended. (No `NOTIFY`: it serialises all commits.)
const LOOK: Duration = Duration::from_millis(200);

/// How a PostgreSQL log is opened.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The schema of the log's tables; made if it is missing.
    pub schema: String,
    /// Where event data over 256 KiB goes; without it such events are refused.
    pub blobs: Option<Blobs>,
    /// How many readers may work at the same time.
    pub readers: u32,
    /// Accepts a server that acknowledges what it has not written to disk. For tests that judge something else.
    pub allow_not_durable: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { schema: "shipway_log".to_owned(), blobs: None, readers: 4, allow_not_durable: false }
    }
}

/// A log in PostgreSQL 15 or newer. Any number of processes may append.
pub struct PostgresLog {
    group: Group,
    readers: PgPool,
    url: String,
    schema: String,
    blobs: Option<Blobs>,
    clock: Arc<Clock>,
    tail: watch::Receiver<Position>,
    generation: u32,
    id: String,
    look: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresLog {
    /// Opens the log in the database of this URL, whose tables are made if they are missing.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::NotDurable`] if `fsync`, `synchronous_commit` or `full_page_writes` is off.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let connect = parse(url, &options.schema)?;
        let place = place(&connect, &options.schema);
        let failed = |attempting| {
            let place = place.clone();
            move |source| OpenError::Database { place, attempting, source }
        };
        let mut connection =
            PgConnection::connect_with(&connect).await.map_err(failed("connecting to the server"))?;
        if !options.allow_not_durable {
            refuse_not_durable(&mut connection).await?;
        }
        let (found, id, generation) = create(&mut connection, &options.schema)
            .await
            .map_err(failed("making its tables and functions"))?;
        if found > sql::FORMAT {
            return Err(OpenError::Newer { place, found, known: sql::FORMAT });
        }
        let readers = PgPoolOptions::new()
            .max_connections(options.readers)
            .connect_with(connect.clone())
            .await
            .map_err(failed("connecting readers to the server"))?;
        let head = read_head(&readers).await.map_err(failed("reading the head"))?;
        let clock = Arc::new(Clock::start(head.at));
        let (announce, tail) = watch::channel(head.position);
        let look = tokio::spawn(look(readers.clone(), announce.clone(), Arc::clone(&clock)));
        // A generic plan that scans `streams` because it was small once would be kept for ever.
        let writing = connect.clone().options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ]);
        drop(connection.close().await);
        let group = Group::spawn(PostgresWriter {
            options: writing,
            connection: None,
            clock: Arc::clone(&clock),
            tail: announce,
        });
        Ok(Self {
            group,
            readers,
            url: url.to_owned(),
            schema: options.schema,
            blobs: options.blobs,
            clock,
            tail,
            generation,
            id,
            look: Mutex::new(Some(look)),
        })
    }
}

/// Only names that need no quoting reach SQL text.
fn parse(url: &str, schema: &str) -> Result<PgConnectOptions, OpenError> {
    let invalid = |source| OpenError::Database {
        place: format!("schema {schema}"),
        attempting: "reading the server's URL and the schema's name",
        source,
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if schema.is_empty() || !schema.chars().all(plain) {
        let hint = "a schema's name has only lower case letters, digits and `_`";
        return Err(invalid(sqlx::Error::Configuration(hint.into())));
    }
    Ok(PgConnectOptions::from_str(url)
        .map_err(invalid)?
        // Compiling a plan costs a hundred times what running it does here.
        .options([("search_path", schema), ("jit", "off")])
        .application_name("shipway")
        .disable_statement_logging())
}

fn place(options: &PgConnectOptions, schema: &str) -> String {
    let database = options.get_database().unwrap_or("postgres");
    format!("{}:{}/{database}, schema {schema}", options.get_host(), options.get_port())
}

async fn refuse_not_durable(connection: &mut PgConnection) -> Result<(), OpenError> {
    let settings: Vec<(String, String)> =
        sqlx::query_as(sql::SETTINGS).fetch_all(connection).await.map_err(|source| OpenError::Database {
            place: "the server".to_owned(),
            attempting: "reading its settings",
            source,
        })?;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value = settings.iter().find(|(name, _)| name == setting).map_or("unknown", |(_, value)| value);
        if matches!(value, "off" | "unknown") {
            return Err(OpenError::NotDurable { setting, value: value.to_owned() });
        }
    }
    Ok(())
}

async fn create(connection: &mut PgConnection, schema: &str) -> Result<(i64, String, u32), sqlx::Error> {
    let mut setup = connection.begin().await?;
    sqlx::query(sql::LOCK).execute(&mut *setup).await?;
    let make_schema = AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
    sqlx::raw_sql(make_schema).execute(&mut *setup).await?;
    sqlx::raw_sql(sql::SCHEMA).execute(&mut *setup).await?;
    sqlx::query(sql::IDENTIFY)
        .bind(sql::FORMAT)
        .bind(uuid::Uuid::now_v7().to_string())
        .execute(&mut *setup)
        .await?;
    let (format, id, generation): (i64, String, i64) =
        sqlx::query_as(sql::IDENTITY).fetch_one(&mut *setup).await?;
    setup.commit().await?;
    let generation = u32::try_from(generation).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok((format, id, generation))
}

async fn read_head(readers: &PgPool) -> Result<Head, sqlx::Error> {
    let row = sqlx::query(sql::HEAD).fetch_one(readers).await?;
    let hash: Vec<u8> = row.try_get("hash")?;
    let hash =
        hash.try_into().map_err(|_| sqlx::Error::Protocol("the head's hash is not 32 bytes".into()))?;
    let position = row.try_get::<i64, _>("position")?.cast_unsigned();
    Ok(Head { position, hash, at: Timestamp::from_micros(row.try_get("at")?) })
}

/// Learns of what others appended, and what time it is for the database.
async fn look(readers: PgPool, tail: watch::Sender<Position>, clock: Arc<Clock>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match sqlx::query_as::<_, (i64, i64)>(sql::LOOK).fetch_one(&readers).await {
            Ok((position, now)) => {
                clock.observe(Timestamp::from_micros(now));
                announce(&tail, position.cast_unsigned());
            }
            Err(sqlx::Error::PoolClosed) => return,
            Err(error) => tracing::debug!(%error, "the head could not be looked at; trying again"),
        }
    }
}

/// Wakes the readers, unless they know of it. Never goes back.
fn announce(tail: &watch::Sender<Position>, position: Position) {
    tail.send_if_modified(|known| {
        let more = *known < position;
        *known = position.max(*known);
        more
    });
}

fn read_failed(attempting: &'static str) -> impl FnOnce(sqlx::Error) -> ReadError {
    move |source| ReadError::Unavailable { attempting, source }
}

impl Drop for PostgresLog {
    fn drop(&mut self) {
        if let Ok(task) = self.look.get_mut()
            && let Some(task) = task.take()
        {
            task.abort();
        }
    }
}

fn to_stored(rows: Vec<sqlx::postgres::PgRow>) -> Result<Vec<Stored>, sqlx::Error> {
    rows.iter().map(|row| Ok(stored!(row))).collect()
}

#[async_trait]
impl Log for PostgresLog {
    async fn append(&self, item: Item) -> Result<Appended, AppendError> {
        let item = prepare(item, self.blobs.as_ref()).await?;
        self.group.append(vec![item]).await.pop().unwrap_or(Err(AppendError::Closed))
    }

    async fn append_all(&self, items: Vec<Item>) -> Vec<Result<Appended, AppendError>> {
        super::prepare::append_all(items, self.blobs.as_ref(), &self.group).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RawEvent>, ReadError> {
        let rows = sqlx::query(sql::READ_STREAM)
            .bind(stream.as_str())
            .bind(after.cast_signed())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .and_then(to_stored)
            .map_err(read_failed("reading a stream"))?;
        rows::events(self, rows, after, |row| row.version).await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        let rows = self.stored(after, limit).await?;
        rows::events(self, rows, after, |row| row.position).await
    }

    async fn stored(&self, after: Position, limit: usize) -> Result<Vec<Stored>, ReadError> {
        sqlx::query(sql::READ)
            .bind(after.cast_signed())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .and_then(to_stored)
            .map_err(read_failed("reading events"))
    }

    async fn streams(&self, after: i64, limit: usize) -> Result<Vec<(i64, String, Version)>, ReadError> {
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(sql::STREAMS)
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(read_failed("reading the streams' versions"))?;
        Ok(rows.into_iter().map(|(number, name, version)| (number, name, version.cast_unsigned())).collect())
    }

    async fn head(&self) -> Result<Head, ReadError> {
        read_head(&self.readers).await.map_err(read_failed("reading the head"))
    }

    fn tail(&self) -> watch::Receiver<Position> {
        self.tail.clone()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    async fn command_result(&self, command: CommandId) -> Result<Option<Appended>, ReadError> {
        let rows: Vec<AnswerRow> = sqlx::query_as(sql::ANSWER)
            .bind(command.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(read_failed("looking for a command's answer"))?;
        Ok(rows::answers(rows).remove(&command))
    }

    async fn snapshot(&self, stream: &StreamName, schema: u32) -> Result<Option<Snapshot>, ReadError> {
        let row: Option<(i64, Vec<u8>)> = sqlx::query_as(sql::SNAPSHOT)
            .bind(stream.as_str())
            .bind(i64::from(schema))
            .fetch_optional(&self.readers)
            .await
            .map_err(read_failed("reading a snapshot"))?;
        Ok(row.and_then(|(version, sealed)| unseal(stream, schema, version.cast_unsigned(), sealed)))
    }

    async fn put_snapshot(
        &self,
        stream: &StreamName,
        schema: u32,
        snapshot: Snapshot,
    ) -> Result<(), ReadError> {
        let put = async {
            let mut transaction = self.readers.begin().await?;
            sqlx::query("SET LOCAL synchronous_commit = off").execute(&mut *transaction).await?;
            sqlx::query(sql::PUT_SNAPSHOT)
                .bind(stream.as_str())
                .bind(i64::from(schema))
                .bind(snapshot.version.cast_signed())
                .bind(seal(stream, schema, &snapshot))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        put.await.map_err(read_failed("keeping a snapshot"))
    }

    async fn large(&self, digest: &str) -> Result<String, BlobError> {
        rows::large(self.blobs.as_ref(), digest).await
    }

    async fn durable(&self) -> Result<Durable, DurableError> {
        let open = async |promise, connections| {
            Database::postgres(&self.url, &self.schema, promise, connections).await
        };
        let opened = async { Ok((open(Promise::Durable, 4).await?, open(Promise::Lazy, 1).await?)) };
        let (durable, lazy) =
            opened.await.map_err(crate::durable::failed("connecting to the durable tables"))?;
        Durable::open(durable, lazy).await
    }

    fn stats(&self) -> Stats {
        self.group.stats()
    }

    fn observe(&self, observer: Arc<dyn Observer>) {
        self.group.observe(observer);
    }

    async fn close(&self) {
        self.group.close().await;
        let look = self.look.lock().expect("nothing panics while it holds this").take();
        if let Some(task) = look {
            task.abort();
            drop(task.await);
        }
        self.readers.close().await;
    }
}
