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
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

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
