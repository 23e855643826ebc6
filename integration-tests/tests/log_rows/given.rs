//! A log of a test's own, and what the rows append to it.

use std::{path::PathBuf, sync::Arc};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use shipway_eventing::{
    Blobs, Expected, Item, Log, PostgresLog, PostgresOptions, SqliteLog, SqliteOptions, Views,
};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, StreamName};
use shipway_integration_tests::postgres::{Postgres, Sync};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

pub(crate) struct Given {
    pub(crate) log: Arc<dyn Log>,
    folder: TempDir,
    server: Option<Postgres>,
    sync: Sync,
}

impl Given {
    pub(crate) async fn sqlite(sync: Sync) -> Self {
        // What is not about durability need not wait for a disk.
        let memory = PathBuf::from("/dev/shm");
        let folder = match sync {
            Sync::Off if memory.is_dir() => tempfile::tempdir_in(memory),
            _ => tempfile::tempdir(),
        };
        Self::open(folder.unwrap(), None, sync).await
    }

    pub(crate) async fn postgres(sync: Sync) -> Self {
        let server = tokio::task::block_in_place(|| {
            let server = Postgres::start(sync).unwrap();
            server.database("shipway").unwrap();
            server
        });
        Self::open(tempfile::tempdir().unwrap(), Some(server), sync).await
    }

    async fn open(folder: TempDir, server: Option<Postgres>, sync: Sync) -> Self {
        let log = open(&folder, server.as_ref(), sync).await;
        Self { log, folder, server, sync }
    }

    /// Another process' log on PostgreSQL; the same on SQLite, where there is only one.
    pub(crate) async fn another(&self) -> Arc<dyn Log> {
        match self.server {
            None => Arc::clone(&self.log),
            Some(_) => open(&self.folder, self.server.as_ref(), self.sync).await,
        }
    }

    pub(crate) async fn views(&self, name: &str) -> Views {
        match &self.server {
            None => Views::open(&self.folder.path().join(name), &*self.log).await.unwrap(),
            Some(server) => Views::connect(&server.url("shipway"), name, &*self.log).await.unwrap(),
        }
    }

    /// The PostgreSQL server.
    pub(crate) fn server(&mut self) -> &mut Postgres {
        self.server.as_mut().unwrap()
    }

    /// A log in another database of the same server, or as another role.
    pub(crate) async fn at(&self, url: &str) -> PostgresLog {
        PostgresLog::connect(url, self.options().await).await.unwrap()
    }

    /// How the log is opened.
    pub(crate) async fn options(&self) -> PostgresOptions {
        let blobs = Some(Blobs::open(&self.folder.path().join("blobs")).await.unwrap());
        PostgresOptions { blobs, allow_not_durable: self.sync == Sync::Off, ..PostgresOptions::default() }
    }

    /// The URL of the PostgreSQL database, as its superuser.
    pub(crate) fn url(&self) -> String {
        self.server.as_ref().unwrap().url("shipway")
    }

    /// A connection to it, in the log's schema.
    pub(crate) async fn superuser(&self) -> PgConnection {
        match self.direct().await {
            Direct::Postgres(connection) => connection,
            Direct::Sqlite(_) => unreachable!("the row is about PostgreSQL"),
        }
    }

    /// Straight to the database, as its superuser.
    pub(crate) async fn direct(&self) -> Direct {
        match &self.server {
            None => {
                let path = format!("sqlite://{}", self.folder.path().join("log.db").display());
                Direct::Sqlite(SqliteConnection::connect(&path).await.unwrap())
            }
            Some(server) => {
                let mut direct = PgConnection::connect(&server.url("shipway")).await.unwrap();
                sqlx::query("SET search_path = shipway_log").execute(&mut direct).await.unwrap();
                Direct::Postgres(direct)
            }
        }
    }

    /// `sqlite` or `postgresql`.
    pub(crate) fn name(&self) -> &'static str {
        if self.server.is_some() { "postgresql" } else { "sqlite" }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    pub(crate) async fn end(self) {
        self.log.close().await;
    }
}

async fn open(folder: &TempDir, server: Option<&Postgres>, sync: Sync) -> Arc<dyn Log> {
    let blobs = Some(Blobs::open(&folder.path().join("blobs")).await.unwrap());
    match server {
        None => {
            let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions { blobs }).await.unwrap();
            Arc::new(log)
        }
        Some(server) => {
            let options =
                PostgresOptions { blobs, allow_not_durable: sync == Sync::Off, ..PostgresOptions::default() };
            Arc::new(PostgresLog::connect(&server.url("shipway"), options).await.unwrap())
        }
    }
}

/// A connection of one of the two kinds.
pub(crate) enum Direct {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Direct {
    /// Runs statements that the test made.
    pub(crate) async fn run(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(direct) => drop(sqlx::raw_sql(sql).execute(direct).await.unwrap()),
            Self::Postgres(direct) => drop(sqlx::raw_sql(sql).execute(direct).await.unwrap()),
        }
    }
}

/// A source of chance whose seed the test prints.
pub(crate) fn chance(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SHIPWAY_SEED").ok().and_then(|text| text.parse().ok());
    seed.unwrap_or_else(|| rand::rng().next_u64())
}

pub(crate) fn command() -> CommandId {
    CommandId::new(uuid::Uuid::now_v7())
}

pub(crate) fn stream(name: impl AsRef<str>) -> StreamName {
    StreamName::parse(name.as_ref()).unwrap()
}

pub(crate) fn meta() -> Meta {
    Meta { actor: Actor::System("rows".into()), cause: Cause::Request, trace: None }
}

/// An event of about the size of a real one.
pub(crate) fn event(n: usize) -> NewEvent {
    let fill = "x".repeat(120);
    NewEvent { kind: "test.happened", schema: 1, data: format!("{{\"n\":{n},\"fill\":\"{fill}\"}}") }
}

pub(crate) fn item(to: &StreamName, expected: Expected, events: usize) -> Item {
    Item::one(command(), meta(), to.clone(), expected, (0..events).map(event).collect())
}

/// The value at a part (0 to 1) of a list of times, in milliseconds.
pub(crate) fn quantile(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let index = ((times.len() - 1) as f64 * part) as usize;
    times[index]
}
