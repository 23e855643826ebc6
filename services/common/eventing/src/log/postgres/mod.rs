//! The log of the distributed mode: a schema in a PostgreSQL database.

mod archive;
mod connect;
mod sql;
mod writer;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use shipway_events::{CommandId, Position, RawEvent, StreamName, Timestamp, Version};
use sqlx::{PgPool, Row};
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
    failing,
};
use archive::Archive;
use connect::{Server, within};
use writer::PostgresWriter;

pub use archive::{ArchiveError, Archived, Archiving};

/// How often the head is looked at for what other processes appended, unless somebody else tells of that and the pause
/// is made longer. (No `NOTIFY`: it serialises all commits.)
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
    /// How many connections the durable tables have.
    pub connections: u32,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How many events a partition has, where the log's tables are made now.
    pub partition_events: u64,
    /// Accepts a server that acknowledges what it has not written to disk. For tests that judge something else.
    pub allow_not_durable: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "shipway_log".to_owned(),
            blobs: None,
            readers: 4,
            connections: 4,
            connect_timeout: Duration::from_secs(3),
            partition_events: 10_000_000,
            allow_not_durable: false,
        }
    }
}

/// A log in PostgreSQL 15 or newer. Any number of processes may append.
pub struct PostgresLog {
    group: Group,
    server: Server,
    readers: PgPool,
    archive: Arc<Archive>,
    url: String,
    schema: String,
    connections: u32,
    blobs: Option<Blobs>,
    clock: Arc<Clock>,
    tail: watch::Sender<Position>,
    pause: watch::Sender<Duration>,
    generation: u32,
    id: String,
    look: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresLog {
    /// Opens the log in the database of this URL (one server, or one address before several), whose tables are made if
    /// they are missing. From then on connections that are cut are made again, for ever; meanwhile every call fails
    /// within seconds, with an error that says that it may be repeated.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::NotDurable`] if `fsync`, `synchronous_commit` or `full_page_writes` is off.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let server = Server::new(url, &options)?;
        let failed = |attempting| server.failed(attempting);
        let (id, generation) = server.prepare(options.allow_not_durable).await?;
        let readers =
            server.readers(options.readers).await.map_err(failed("connecting readers to the server"))?;
        let head = read_head(&readers).await.map_err(failed("reading the head"))?;
        let looked: Looked = within(sqlx::query_as(sql::LOOK).fetch_one(&readers))
            .await
            .map_err(failed("looking at the time and for archived events"))?;
        let clock = Clock::at(Timestamp::from_micros(looked.1));
        clock.observe(head.at);
        let clock = Arc::new(clock);
        let tail = watch::Sender::new(head.position);
        let (pause, paused) = watch::channel(LOOK);
        let archive = Arc::new(Archive::default());
        archive.learn(looked.2);
        let look = tokio::spawn(look(
            readers.clone(),
            tail.clone(),
            Arc::clone(&clock),
            Arc::clone(&archive),
            paused,
        ));
        let group = Group::spawn(PostgresWriter {
            server: server.clone(),
            connection: None,
            clock: Arc::clone(&clock),
            tail: tail.clone(),
        });
        Ok(Self {
            group,
            server,
            readers,
            archive,
            url: url.to_owned(),
            schema: options.schema,
            connections: options.connections,
            blobs: options.blobs,
            clock,
            tail,
            pause,
            generation,
            id,
            look: Mutex::new(Some(look)),
        })
    }
}

async fn read_head(readers: &PgPool) -> Result<Head, sqlx::Error> {
    let row = failing!("db.pg.head", within(sqlx::query(sql::HEAD).fetch_one(readers)).await)?;
    let hash: Vec<u8> = row.try_get("hash")?;
    let hash =
        hash.try_into().map_err(|_| sqlx::Error::Protocol("the head's hash is not 32 bytes".into()))?;
    let position = row.try_get::<i64, _>("position")?.cast_unsigned();
    Ok(Head { position, hash, at: Timestamp::from_micros(row.try_get("at")?) })
}

/// What is found at a look at the database.
type Looked = (i64, i64, i64, Option<i64>);

/// Learns of what others appended and archived, and what time it is for the database; has the next partition made before
/// anybody needs it.
async fn look(
    readers: PgPool,
    tail: watch::Sender<Position>,
    clock: Arc<Clock>,
    archive: Arc<Archive>,
    mut pause: watch::Receiver<Duration>,
) {
    loop {
        let looked = within(sqlx::query_as::<_, Looked>(sql::LOOK).fetch_one(&readers));
        match failing!("db.pg.look", looked.await) {
            Ok((position, now, ended, room)) => {
                clock.correct(Timestamp::from_micros(now));
                archive.learn(ended);
                announce(&tail, position.cast_unsigned());
                if let Some(room) = room {
                    make_partitions(&readers, room).await;
                }
            }
            Err(sqlx::Error::PoolClosed) => return,
            Err(error) => tracing::debug!(%error, "the head could not be looked at; trying again"),
        }
        let rest = *pause.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            changed = pause.changed() => if changed.is_err() { return },
        }
    }
}

async fn make_partitions(readers: &PgPool, upto: i64) {
    let made = sqlx::query_scalar::<_, i64>(sql::MAKE_PARTITIONS).bind(upto).fetch_one(readers);
    match within(made).await {
        Ok(beyond) => tracing::info!(beyond, "the log has its next partition"),
        // There is room for as many events as a partition has; it is tried again at every look.
        Err(error) => tracing::error!(%error, "the log's next partition could not be made; trying again"),
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
        let read = within(
            sqlx::query(sql::READ_STREAM)
                .bind(stream.as_str())
                .bind(after.cast_signed())
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&self.readers),
        );
        let rows = failing!("db.pg.read_stream", read.await)
            .and_then(to_stored)
            .map_err(read_failed("reading a stream"))?;
        let rows = self.after_archived(stream, after, limit, rows).await?;
        rows::events(self, rows, after, |row| row.version).await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        let rows = self.stored(after, limit).await?;
        rows::events(self, rows, after, |row| row.position).await
    }

    async fn stored(&self, mut after: Position, limit: usize) -> Result<Vec<Stored>, ReadError> {
        let mut all = Vec::new();
        while all.len() < limit && self.archive.is_after(after) {
            let rows = match self.archived(after, limit - all.len()).await {
                // Whoever reads on hears of it, at the position where it is.
                Err(_) if !all.is_empty() => return Ok(all),
                rows => rows?,
            };
            let Some(last) = rows.last() else { break };
            after = last.position;
            all.extend(rows);
        }
        let room = limit - all.len();
        let read = within(
            sqlx::query(sql::READ)
                .bind(after.cast_signed())
                .bind(i64::try_from(room).unwrap_or(i64::MAX))
                .fetch_all(&self.readers),
        );
        let rows =
            failing!("db.pg.read", read.await).and_then(to_stored).map_err(read_failed("reading events"))?;
        if all.is_empty() {
            return Ok(rows);
        }
        all.extend(rows);
        Ok(all)
    }

    async fn streams(&self, after: i64, limit: usize) -> Result<Vec<(i64, String, Version)>, ReadError> {
        let read = within(
            sqlx::query_as(sql::STREAMS)
                .bind(after)
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&self.readers),
        );
        let rows: Vec<(i64, String, i64)> =
            failing!("db.pg.streams", read.await).map_err(read_failed("reading the streams' versions"))?;
        Ok(rows.into_iter().map(|(number, name, version)| (number, name, version.cast_unsigned())).collect())
    }

    async fn head(&self) -> Result<Head, ReadError> {
        let head = read_head(&self.readers).await.map_err(read_failed("reading the head"))?;
        announce(&self.tail, head.position);
        Ok(head)
    }

    fn tail(&self) -> watch::Receiver<Position> {
        self.tail.subscribe()
    }

    fn heard(&self, position: Position) {
        announce(&self.tail, position);
    }

    fn look_every(&self, pause: Duration) {
        self.pause.send_if_modified(|known| std::mem::replace(known, pause) != pause);
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
        let read = within(sqlx::query_as(sql::ANSWER).bind(command.to_string()).fetch_all(&self.readers));
        let rows: Vec<AnswerRow> =
            failing!("db.pg.answer", read.await).map_err(read_failed("looking for a command's answer"))?;
        Ok(rows::answers(rows).remove(&command))
    }

    async fn snapshot(&self, stream: &StreamName, schema: u32) -> Result<Option<Snapshot>, ReadError> {
        let row: Option<(i64, Vec<u8>)> = within(
            sqlx::query_as(sql::SNAPSHOT)
                .bind(stream.as_str())
                .bind(i64::from(schema))
                .fetch_optional(&self.readers),
        )
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
            let mut transaction = crate::database::begun(&self.readers, None).await?;
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
        within(put).await.map_err(read_failed("keeping a snapshot"))
    }

    async fn large(&self, digest: &str) -> Result<String, BlobError> {
        rows::large(self.blobs.as_ref(), digest).await
    }

    fn blobs(&self) -> Option<&Blobs> {
        self.blobs.as_ref()
    }

    async fn durable(&self) -> Result<Durable, DurableError> {
        let open = async |promise, connections| {
            Database::postgres(&self.url, &self.schema, promise, connections).await
        };
        let opened =
            async { Ok((open(Promise::Durable, self.connections).await?, open(Promise::Lazy, 2).await?)) };
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
