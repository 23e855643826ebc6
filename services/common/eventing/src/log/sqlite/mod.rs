//! The log of the embedded default: one SQLite file in the data folder.

pub(crate) mod file;
mod schema;
mod writer;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use shipway_events::{CommandId, Position, RawEvent, StreamName, Timestamp, Version};
use sqlx::{Connection, Row, SqliteConnection, SqlitePool, sqlite::SqlitePoolOptions};
use tokio::sync::watch;

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
use file::{Checkpointer, SqliteFile};
use writer::SqliteWriter;

/// How many readers may work at the same time.
const READERS: u32 = 4;

/// How an embedded log is opened.
#[derive(Clone, Debug, Default)]
pub struct SqliteOptions {
    /// Where event data over 256 KiB goes; without it such events are refused.
    pub blobs: Option<Blobs>,
}

/// A log in a SQLite file. What it answers is synced.
///
/// The caller holds the data folder's lock ([`crate::lock`]): a second process that writes the same file would find
/// out by failing commits only.
pub struct SqliteLog {
    group: Group,
    readers: SqlitePool,
    /// Writes what may be lost: snapshots.
    lazy: SqlitePool,
    file: SqliteFile,
    blobs: Option<Blobs>,
    clock: Arc<Clock>,
    tail: watch::Receiver<Position>,
    generation: u32,
    id: String,
    checkpointer: Mutex<Option<Checkpointer>>,
}

impl SqliteLog {
    /// Opens the log in this file, which is made if it is missing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let file = SqliteFile::new(path);
        let failed = |attempting| {
            let place = file.place();
            move |source| OpenError::Database { place, attempting, source }
        };
        let mut connection = SqliteConnection::connect_with(&file.durable())
            .await
            .map_err(failed("opening the file for writing"))?;
        let (id, generation) = create(&mut connection, &file).await?;
        let head = writer::read_head(&mut connection).await.map_err(failed("reading the head"))?;
        let last_stream = sqlx::query_scalar(schema::LAST_STREAM)
            .fetch_one(&mut connection)
            .await
            .map_err(failed("counting the streams"))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(file.reading())
            .await
            .map_err(failed("opening the file for reading"))?;
        let lazy = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(file.lazy())
            .await
            .map_err(failed("opening the file for snapshots"))?;
        let checkpointer = file.keep_wal_short().await.map_err(failed("opening the file for checkpoints"))?;
        let clock = Arc::new(Clock::start(head.at));
        let (announce, tail) = watch::channel(head.position);
        let group = Group::spawn(SqliteWriter {
            connection,
            file: file.clone(),
            clock: Arc::clone(&clock),
            tail: announce,
            head,
            last_stream,
            doubtful: false,
            streams: HashMap::new(),
        });
        Ok(Self {
            group,
            readers,
            lazy,
            file,
            blobs: options.blobs,
            clock,
            tail,
            generation,
            id,
            checkpointer: Mutex::new(Some(checkpointer)),
        })
    }
}

/// Makes the tables that are missing; the log's id and generation.
async fn create(connection: &mut SqliteConnection, file: &SqliteFile) -> Result<(String, u32), OpenError> {
    let failed =
        |source| OpenError::Database { place: file.place(), attempting: "making its tables", source };
    sqlx::query(schema::CREATE)
        .bind(super::FORMAT)
        .bind(uuid::Uuid::now_v7().to_string())
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let (found, id, generation): (i64, String, u32) =
        sqlx::query_as("SELECT format, id, generation FROM log")
            .fetch_one(connection)
            .await
            .map_err(failed)?;
    super::usable(found, &file.place())?;
    Ok((id, generation))
}

fn read_failed(attempting: &'static str) -> impl FnOnce(sqlx::Error) -> ReadError {
    move |source| ReadError::Unavailable { attempting, source }
}

#[async_trait]
impl Log for SqliteLog {
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
        let read = sqlx::query(schema::READ_STREAM)
            .bind(stream.as_str())
            .bind(after.cast_signed())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers);
        let rows = failing!("db.lite.read_stream", read.await)
            .and_then(to_stored)
            .map_err(read_failed("reading a stream"))?;
        rows::events(self, rows, after, |row| row.version).await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        let rows = self.stored(after, limit).await?;
        rows::events(self, rows, after, |row| row.position).await
    }

    async fn stored(&self, after: Position, limit: usize) -> Result<Vec<Stored>, ReadError> {
        let read = sqlx::query(schema::READ)
            .bind(after.cast_signed())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers);
        failing!("db.lite.read", read.await).and_then(to_stored).map_err(read_failed("reading events"))
    }

    async fn streams(&self, after: i64, limit: usize) -> Result<Vec<(i64, String, Version)>, ReadError> {
        let read = sqlx::query_as(schema::STREAMS)
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers);
        let rows: Vec<(i64, String, i64)> =
            failing!("db.lite.streams", read.await).map_err(read_failed("reading the streams' versions"))?;
        Ok(rows.into_iter().map(|(number, name, version)| (number, name, version.cast_unsigned())).collect())
    }

    async fn head(&self) -> Result<Head, ReadError> {
        writer::read_head(&self.readers).await.map_err(read_failed("reading the head"))
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
        let list = format!("[\"{}\"]", hex::encode(command.uuid()));
        let read = sqlx::query_as(schema::ANSWERS).bind(list).fetch_all(&self.readers);
        let rows: Vec<AnswerRow> =
            failing!("db.lite.answer", read.await).map_err(read_failed("looking for a command's answer"))?;
        Ok(rows::answers(rows).remove(&command))
    }

    async fn snapshot(&self, stream: &StreamName, schema: u32) -> Result<Option<Snapshot>, ReadError> {
        let row: Option<(i64, Vec<u8>)> = sqlx::query_as(schema::SNAPSHOT)
            .bind(stream.as_str())
            .bind(schema)
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
        let _turn = self.file.gate.enter().await;
        sqlx::query(schema::PUT_SNAPSHOT)
            .bind(stream.as_str())
            .bind(schema)
            .bind(snapshot.version.cast_signed())
            .bind(seal(stream, schema, &snapshot))
            .execute(&self.lazy)
            .await
            .map_err(read_failed("keeping a snapshot"))?;
        self.file.wal.written(1);
        Ok(())
    }

    async fn large(&self, digest: &str) -> Result<String, BlobError> {
        rows::large(self.blobs.as_ref(), digest).await
    }

    fn blobs(&self) -> Option<&Blobs> {
        self.blobs.as_ref()
    }

    async fn durable(&self) -> Result<Durable, DurableError> {
        let open = async |promise, readers| {
            let shared = Some((self.file.gate.clone(), Arc::clone(&self.file.wal)));
            Database::sqlite(&self.file.path, promise, readers, shared).await
        };
        let opened = async { Ok((open(Promise::Durable, READERS).await?, open(Promise::Lazy, 1).await?)) };
        let (durable, lazy) = opened.await.map_err(crate::durable::failed("opening the durable tables"))?;
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
        let checkpointer = self.checkpointer.lock().expect("nothing panics while it holds this").take();
        if let Some(checkpointer) = checkpointer {
            checkpointer.close().await;
        }
        self.readers.close().await;
        // The last connection that closes copies what the write-ahead log holds and removes it: it is one that may write,
        // and does so before this returns, when there may soon be another file in this one's place.
        self.lazy.close().await;
    }
}

fn to_stored(rows: Vec<sqlx::sqlite::SqliteRow>) -> Result<Vec<Stored>, sqlx::Error> {
    rows.iter().map(|row| Ok(stored!(row))).collect()
}
