//! A log with durable tables and blobs of a test's own, writers at work on it, and an empty place to restore into.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use shipway_eventing::{
    BlobId, Blobs, Durable, Expected, GroupWrite, GroupWriter, Item, Log, PostgresLog, PostgresOptions,
    SqliteLog, SqliteOptions,
    backup::{BackupError, Progress, Restored, Source, restore, restore_to_servers},
};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, StreamName};
use sqlx::AnyConnection;
use tokio::task::JoinHandle;

use crate::postgres::{Postgres, Sync};

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS test_inbox (id TEXT PRIMARY KEY, body BLOB, received BIGINT NOT NULL, note TEXT)",
    "CREATE INDEX IF NOT EXISTS test_inbox_received ON test_inbox (received)",
];

/// An open log.
pub(crate) struct Given {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) durable: Durable,
    pub(crate) folder: tempfile::TempDir,
    server: Option<Postgres>,
}

/// Where nothing is yet.
pub(crate) struct Empty {
    pub(crate) folder: tempfile::TempDir,
    server: Option<Postgres>,
}

impl Given {
    pub(crate) async fn sqlite() -> Self {
        Self::empty_folder().open().await
    }

    pub(crate) async fn postgres() -> Self {
        Self::empty_server().open().await
    }

    pub(crate) fn empty_folder() -> Empty {
        Empty { folder: tempfile::tempdir().unwrap(), server: None }
    }

    pub(crate) fn empty_server() -> Empty {
        let server = Postgres::start(Sync::Off).unwrap();
        server.database("shipway").unwrap();
        Empty { folder: tempfile::tempdir().unwrap(), server: Some(server) }
    }

    pub(crate) fn source(&self, keys: Option<&Path>) -> Source {
        Source { log: self.log.clone(), durable: self.durable.clone(), keys: keys.map(Path::to_owned) }
    }

    pub(crate) async fn restore(
        &self,
        archive: &Path,
        tell: impl FnMut(Progress) + Send,
    ) -> Result<Restored, BackupError> {
        restore_at(&self.folder, self.server.as_ref(), archive, tell).await
    }

    /// Everything up to a position is as it was where the backup comes from.
    pub(crate) async fn is_what_was_up_to(&self, original: &Self, position: u64) {
        let rows = self.log.stored(0, 1_000_000).await.unwrap();
        assert_eq!(rows.len() as u64, position);
        let before = original.log.stored(0, rows.len()).await.unwrap();
        assert!(rows == before, "every row of the log is the same");
        let inbox = "SELECT id, body, received, note FROM test_inbox ORDER BY received";
        type Row = (String, Option<Vec<u8>>, i64, Option<String>);
        let ours: Vec<Row> = sqlx::query_as(inbox).fetch_all(self.durable.pool()).await.unwrap();
        let theirs: Vec<Row> = sqlx::query_as(inbox).fetch_all(original.durable.pool()).await.unwrap();
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) =
            (ours.into_iter().collect(), theirs.into_iter().collect());
        assert!(ours.is_subset(&theirs), "every row of the inbox is the same");
        let ids: BTreeSet<_> = ours.into_iter().map(|row| row.0).collect();
        let checkpoints = "SELECT consumer, position FROM checkpoints";
        let points: Vec<(String, i64)> =
            sqlx::query_as(checkpoints).fetch_all(self.durable.pool()).await.unwrap();
        assert!(!points.is_empty() && points.iter().all(|(_, at)| at.cast_unsigned() <= position));
        let events = self.log.read(0, 1_000_000).await.unwrap();
        let blobs = self.log.blobs().unwrap();
        for event in events {
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            // An inbox row is written before an event names it, and so is an artifact.
            if let Some(id) = data["inbox"].as_str() {
                assert!(ids.contains(id), "{id}");
            }
            if let Some(id) = data["artifact"].as_str() {
                let id: BlobId = id.parse().unwrap();
                assert!(!blobs.get(&id).await.unwrap().is_empty());
            }
        }
    }

    pub(crate) async fn end(self) {
        self.durable.close().await;
        self.log.close().await;
    }
}

impl Empty {
    pub(crate) fn url(&self) -> Option<String> {
        self.server.as_ref().map(|server| server.url("shipway"))
    }

    pub(crate) async fn restore(
        &self,
        archive: &Path,
        tell: impl FnMut(Progress) + Send,
    ) -> Result<Restored, BackupError> {
        restore_at(&self.folder, self.server.as_ref(), archive, tell).await
    }

    pub(crate) async fn open(self) -> Given {
        let blobs = Some(Blobs::open(&self.folder.path().join("blobs")).await.unwrap());
        let log: Arc<dyn Log> = match self.url() {
            None => {
                let file = self.folder.path().join("log.db");
                Arc::new(SqliteLog::open(&file, SqliteOptions { blobs }).await.unwrap())
            }
            Some(url) => {
                let options =
                    PostgresOptions { blobs, allow_not_durable: true, ..PostgresOptions::default() };
                Arc::new(PostgresLog::connect(&url, options).await.unwrap())
            }
        };
        let durable = log.durable().await.unwrap();
        durable.create(TABLES).await.unwrap();
        Given { log, durable, folder: self.folder, server: self.server }
    }
}

async fn restore_at(
    folder: &tempfile::TempDir,
    server: Option<&Postgres>,
    archive: &Path,
    tell: impl FnMut(Progress) + Send,
) -> Result<Restored, BackupError> {
    let Some(server) = server else { return restore(archive, folder.path(), tell).await };
    let blobs = Some(Blobs::open(&folder.path().join("blobs")).await.unwrap());
    let options = PostgresOptions { blobs, allow_not_durable: true, ..PostgresOptions::default() };
    restore_to_servers(archive, &server.url("shipway"), options, None, tell).await
}

/// Several writers at work: each writes an inbox row, then an event that names it, then its checkpoint.
pub(crate) struct Writers {
    log: Arc<dyn Log>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn start(given: &Given) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(0));
        let inbox = GroupWriter::spawn(given.durable.clone(), Inbox);
        let task = |writer| {
            let (log, durable) = (given.log.clone(), given.durable.clone());
            let (stop, next, inbox) = (stop.clone(), next.clone(), inbox.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    inbox.submit(n).await.unwrap();
                    let artifact = log.blobs().unwrap().put(format!("artifact {n}")).await.unwrap();
                    let fill = "ü\"\n".repeat(if n % 40 == 0 { 100_000 } else { 10 });
                    let data = serde_json::json!({
                        "inbox": format!("{n:08}"), "artifact": artifact.as_str(), "fill": fill,
                    });
                    let at = log.append(with(n, data.to_string())).await.unwrap().last;
                    let mut tx = durable.begin().await.unwrap();
                    let save = "INSERT INTO checkpoints (consumer, position) VALUES ($1, $2)
                         ON CONFLICT (consumer) DO UPDATE SET position = excluded.position";
                    let save = sqlx::query(save).bind(format!("writer {writer}")).bind(at.cast_signed());
                    save.execute(&mut *tx).await.unwrap();
                    tx.commit().await.unwrap();
                }
            })
        };
        Self { log: given.log.clone(), stop: stop.clone(), tasks: (0..4).map(task).collect() }
    }

    pub(crate) async fn until(&self, position: u64) {
        self.log.tail().wait_for(|at| *at >= position).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Rows with bytes, text and nothing in them.
struct Inbox;

#[async_trait]
impl GroupWrite for Inbox {
    type Row = u64;
    type Outcome = ();

    async fn write(&self, tx: &mut AnyConnection, rows: &[u64]) -> Result<Vec<()>, sqlx::Error> {
        for n in rows {
            let sql = "INSERT INTO test_inbox (id, body, received, note) VALUES ($1, $2, $3, $4)";
            sqlx::query(sql)
                .bind(format!("{n:08}"))
                .bind((n % 3 > 0).then(|| n.to_le_bytes().repeat(100)))
                .bind(n.cast_signed())
                .bind((n % 2 == 0).then(|| format!("a \"note\"\n{n}")))
                .execute(&mut *tx)
                .await?;
        }
        Ok(vec![(); rows.len()])
    }
}

pub(crate) fn item(n: u64, size: usize) -> Item {
    with(n, format!("{{\"fill\":\"{n} {}\"}}", "x".repeat(size)))
}

fn with(n: u64, data: String) -> Item {
    let meta = Meta { actor: Actor::System("test".into()), cause: Cause::Clock, trace: None };
    let event = NewEvent { kind: "test.happened", schema: 1, data };
    let stream = StreamName::parse(&format!("run-{n}")).unwrap();
    Item::one(CommandId::new(uuid::Uuid::now_v7()), meta, stream, Expected::New, vec![event])
}
