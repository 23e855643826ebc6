//! A log of a test's own, and short words for what tests append.

use std::{path::PathBuf, sync::Arc};

use shipway_eventing::{
    AppendError, Appended, Blobs, Expected, Item, Log, PostgresLog, PostgresOptions, SqliteLog, SqliteOptions,
};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, RawEvent, StreamName};

use crate::postgres::{Postgres, Sync};

pub(crate) struct Fixture {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Option<Postgres>,
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = open(&folder.path().join("log.db"), None).await;
        Self { log, folder, server: None }
    }

    pub(crate) async fn postgres() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = tokio::task::block_in_place(|| Postgres::start(Sync::Off)).unwrap();
        let url = server.database("shipway").unwrap();
        let log = open(&folder.path().join("log.db"), Some(&url)).await;
        Self { log, folder, server: Some(server) }
    }

    /// A second log on the same database. On SQLite the first must be closed.
    pub(crate) async fn again(&self) -> Arc<dyn Log> {
        open(&self.sqlite_file(), self.url().as_deref()).await
    }

    pub(crate) fn sqlite_file(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    pub(crate) fn url(&self) -> Option<String> {
        self.server.as_ref().map(|server| server.url("shipway"))
    }

    pub(crate) async fn append(
        &self,
        to: &str,
        expected: Expected,
        events: usize,
    ) -> Result<Appended, AppendError> {
        self.log.append(item(to, expected, events)).await
    }

    pub(crate) async fn read_all(&self) -> Vec<RawEvent> {
        self.log.read(0, 1_000_000).await.unwrap()
    }

    pub(crate) async fn end(self) {
        self.log.close().await;
    }
}

async fn open(file: &std::path::Path, url: Option<&str>) -> Arc<dyn Log> {
    let blobs = Some(Blobs::open(&file.with_file_name("blobs")).await.unwrap());
    match url {
        None => Arc::new(SqliteLog::open(file, SqliteOptions { blobs }).await.unwrap()),
        Some(url) => {
            let options = PostgresOptions { blobs, allow_not_durable: true, ..PostgresOptions::default() };
            Arc::new(PostgresLog::connect(url, options).await.unwrap())
        }
    }
}

pub(crate) fn command() -> CommandId {
    CommandId::new(uuid::Uuid::now_v7())
}

pub(crate) fn stream(name: &str) -> StreamName {
    StreamName::parse(name).unwrap()
}

pub(crate) fn meta() -> Meta {
    Meta { actor: Actor::Person("ann".into()), cause: Cause::Request, trace: None }
}

pub(crate) fn event(data: impl Into<String>) -> NewEvent {
    NewEvent { kind: "test.happened", schema: 3, data: data.into() }
}

pub(crate) fn item(to: &str, expected: Expected, events: usize) -> Item {
    let events = (0..events).map(|n| event(format!("{{\"n\":{n}}}"))).collect();
    Item::one(command(), meta(), stream(to), expected, events)
}
