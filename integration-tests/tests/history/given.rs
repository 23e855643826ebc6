//! A log of a test's own with a scheduler on it.

use std::{sync::Arc, time::Duration};

use shipway_contracts::{
    Channel,
    v1::{ListRunsRequest, history_client::HistoryClient, runs_client::RunsClient},
};
use shipway_eventing::{Blobs, Feed, Log, PostgresLog, PostgresOptions, SqliteLog, SqliteOptions, Views};
use shipway_integration_tests::postgres::{Postgres, Sync};
use shipway_scheduler::{Deps, Service};
use shipway_service_kit::Lifecycle;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::made::Histories;

/// A log, and the server that it is on.
pub(crate) struct Given {
    pub(crate) log: Arc<dyn Log>,
    folder: TempDir,
    server: Option<Postgres>,
}

/// A scheduler on it.
pub(crate) struct World {
    pub(crate) given: Given,
    pub(crate) runs: RunsClient<Channel>,
    pub(crate) history: HistoryClient<Channel>,
    lifecycle: Lifecycle,
    _service: Service,
}

impl Given {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Some(Blobs::open(&folder.path().join("blobs")).await.unwrap());
        let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions { blobs }).await.unwrap();
        Self { log: Arc::new(log), folder, server: None }
    }

    pub(crate) async fn postgres() -> Self {
        let server = tokio::task::block_in_place(|| {
            let server = Postgres::start(Sync::Off).unwrap();
            server.database("shipway").unwrap();
            server
        });
        let folder = tempfile::tempdir().unwrap();
        let blobs = Some(Blobs::open(&folder.path().join("blobs")).await.unwrap());
        if !crate::full() {
            // A table that is small is often best read whole. What is read whole all the same has no index.
            let mut direct = PgConnection::connect(&server.url("shipway")).await.unwrap();
            let off = "ALTER DATABASE shipway SET enable_seqscan = off";
            sqlx::query(off).execute(&mut direct).await.unwrap();
        }
        let options = PostgresOptions { blobs, allow_not_durable: true, ..PostgresOptions::default() };
        let log = PostgresLog::connect(&server.url("shipway"), options).await.unwrap();
        Self { log: Arc::new(log), folder, server: Some(server) }
    }

    /// `sqlite` or `postgresql`.
    pub(crate) fn name(&self) -> &'static str {
        if self.server.is_some() { "postgresql" } else { "sqlite" }
    }

    /// A connection to the read tables of PostgreSQL; none on SQLite.
    pub(crate) async fn direct(&self) -> Option<PgConnection> {
        let server = self.server.as_ref()?;
        let mut direct = PgConnection::connect(&server.url("shipway")).await.unwrap();
        sqlx::query("SET search_path = views").execute(&mut direct).await.unwrap();
        Some(direct)
    }

    /// Makes the read table of runs so many times as large as the log says: what is over again and again, later each time.
    pub(crate) async fn multiply(&self, histories: &Histories, times: u64) {
        let (positions, micros) = histories.span();
        let sql = format!(
            "WITH RECURSIVE c(c) AS (SELECT 1 UNION ALL SELECT c + 1 FROM c WHERE c < {})
            INSERT INTO runs_3 (run, position, project, flow, path, pipeline, stage, name, sought, description,
                flow_version, origin, author, branch, commit_sha, delivery, parent, status, reason, created, ended,
                going_on, triggers)
            SELECT run || '/' || c, position + c * {positions}, project, flow, path, pipeline, stage, name, sought,
                description, flow_version, origin, author, branch, commit_sha, delivery, parent, status, reason,
                created + c * {micros}, ended + c * {micros}, going_on, triggers
            FROM c CROSS JOIN runs_3 WHERE ended <> 0 ORDER BY 2",
            times - 1
        );
        let sql = AssertSqlSafe(sql);
        if let Some(mut direct) = self.direct().await {
            sqlx::raw_sql(sql).execute(&mut direct).await.unwrap();
            sqlx::raw_sql("VACUUM ANALYZE runs_3").execute(&mut direct).await.unwrap();
        } else {
            let path = format!("sqlite://{}", self.folder.path().join("views.db").display());
            let mut direct = SqliteConnection::connect(&path).await.unwrap();
            sqlx::raw_sql("PRAGMA cache_size = -400000").execute(&mut direct).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut direct).await.unwrap();
            sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut direct).await.unwrap();
        }
    }

    /// Starts a scheduler; its read tables hold all of the log when it is there.
    pub(crate) async fn start(self) -> World {
        let views = match &self.server {
            None => Views::open(&self.folder.path().join("views.db"), &*self.log).await,
            Some(server) => Views::connect(&server.url("shipway"), "views", &*self.log).await,
        };
        let (lifecycle, _failures) = Lifecycle::new();
        let nobody = Channel::local(tonic::service::Routes::default());
        let deps = Deps {
            feed: Feed::new(self.log.clone()),
            views: views.unwrap(),
            durable: self.log.durable().await.unwrap(),
            projects: nobody.clone(),
            executors: Some(nobody),
            data: None,
            together: None,
            bells: None,
            lifecycle: lifecycle.clone(),
        };
        let service = Service::start(deps).await.unwrap();
        let runs = RunsClient::new(Channel::local(service.runs_server())).max_decoding_message_size(64 << 20);
        let history = HistoryClient::new(Channel::local(service.history_server()));
        let world = World { given: self, runs, history, lifecycle, _service: service };
        // A question waits some seconds for the read tables, and says so if that is not enough.
        while let Err(status) = world.runs.clone().list_runs(ListRunsRequest::default()).await {
            assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        }
        world
    }
}

impl World {
    pub(crate) async fn end(self) {
        self.lifecycle.stop(Duration::from_secs(5)).await;
        self.given.log.close().await;
    }
}
