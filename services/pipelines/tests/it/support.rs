//! A service on a data folder of its own.

use std::{ops::RangeInclusive, path::Path, sync::Arc};

use shipway_contracts::{
    Channel,
    v1::{
        ApplyReply, ApplyRequest, Change, FlowForRunReply, FlowForRunRequest, HooksForTriggersReply,
        HooksForTriggersRequest, SetOverrideRequest, SourceFile, accounts_client::AccountsClient,
        change::Verb, pipelines_client::PipelinesClient, project_home_client::ProjectHomeClient,
        projects_client::ProjectsClient,
    },
};
use shipway_eventing::{
    feed::Feed,
    log::{Log, SqliteLog, SqliteOptions},
    views::Views,
};
use shipway_events::RawEvent;
use shipway_pipelines::{Deps, Service, start};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const SHOP: &str = include_str!("shop.yaml");

pub(crate) struct Lab {
    dir: TempDir,
    pub(crate) log: Arc<dyn Log>,
    service: Service,
    stop: CancellationToken,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap(), free_range()).await
    }

    async fn on(dir: TempDir, ports: RangeInclusive<u16>) -> Self {
        let log = SqliteLog::open(&dir.path().join("log.db"), SqliteOptions::default()).await.unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let stop = CancellationToken::new();
        let service = instance(&log, dir.path(), "views.db", ports, &stop).await;
        Self { dir, log, service, stop }
    }

    /// A second instance of the service on the same log.
    pub(crate) async fn second(&self) -> Service {
        instance(&self.log, self.folder(), "second.db", free_range(), &self.stop).await
    }

    /// The same data folder after the end of the process.
    pub(crate) async fn restarted(mut self) -> Self {
        self.stop.cancel();
        self.log.close().await;
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::on(dir, free_range()).await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    pub(crate) fn projects(&self) -> ProjectsClient<Channel> {
        ProjectsClient::new(Channel::local(self.service.projects_server()))
    }

    pub(crate) fn accounts(&self) -> AccountsClient<Channel> {
        AccountsClient::new(Channel::local(self.service.accounts_server()))
    }

    pub(crate) fn pipelines(&self) -> PipelinesClient<Channel> {
        PipelinesClient::new(Channel::local(self.service.pipelines_server()))
    }

    pub(crate) fn home(&self) -> ProjectHomeClient<Channel> {
        ProjectHomeClient::new(Channel::local(self.service.project_home_server()))
    }

    pub(crate) async fn send(&self, request: ApplyRequest) -> ApplyReply {
        self.projects().apply(request).await.unwrap().into_inner()
    }

    /// Applies one file; its problems are in the reply.
    pub(crate) async fn apply(&self, text: &str) -> ApplyReply {
        self.send(request(&[("shop.yaml", text)])).await
    }

    /// Applies one file that has nothing wrong.
    pub(crate) async fn applied(&self, text: &str) -> ApplyReply {
        let reply = self.apply(text).await;
        assert!(reply.problems.is_empty(), "{:#?}", reply.problems);
        reply
    }

    pub(crate) async fn flow(&self, flow: &str) -> Result<FlowForRunReply, tonic::Status> {
        let request =
            FlowForRunRequest { flow: flow.to_owned(), at_least: 0, ..FlowForRunRequest::default() };
        self.home().flow_for_run(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn hooks(&self) -> HooksForTriggersReply {
        self.home().hooks_for_triggers(HooksForTriggersRequest { at_least: 0 }).await.unwrap().into_inner()
    }

    pub(crate) async fn set(
        &self,
        flow: &str,
        argument: &str,
        value: &str,
        plain: bool,
    ) -> Result<u64, tonic::Status> {
        let request = SetOverrideRequest {
            command: command(),
            project: String::new(),
            flow: flow.to_owned(),
            argument: argument.to_owned(),
            value: value.to_owned(),
            plain,
        };
        self.projects().set_override(request).await.map(|reply| reply.into_inner().position)
    }

    pub(crate) async fn events(&self) -> Vec<RawEvent> {
        self.log.read(0, 10_000).await.unwrap()
    }

    pub(crate) async fn head(&self) -> u64 {
        self.log.head().await.unwrap().position
    }
}

async fn instance(
    log: &Arc<dyn Log>,
    folder: &Path,
    views: &str,
    ports: RangeInclusive<u16>,
    stop: &CancellationToken,
) -> Service {
    let deps = Deps {
        statuses: shipway_pipelines::StatusConfig::default(),
        log: log.clone(),
        feed: Feed::new(log.clone()),
        durable: log.durable().await.unwrap(),
        views: Views::open(&folder.join(views), &**log).await.unwrap(),
        keys: folder.join("keys"),
        ports,
        local_repositories: true,
    };
    start(deps, stop.clone()).await.unwrap()
}

pub(crate) fn command() -> String {
    Uuid::now_v7().to_string()
}

pub(crate) fn request(files: &[(&str, &str)]) -> ApplyRequest {
    let files = files.iter().map(|(name, text)| SourceFile { name: (*name).into(), text: (*text).into() });
    ApplyRequest { command: command(), files: files.collect(), ..ApplyRequest::default() }
}

/// `create DeploymentService web-dev: port 7500 (http)`, the port left out.
pub(crate) fn lines(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let verb = match change.verb() {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Unchanged => "unchanged",
            Verb::Remove => "remove",
            Verb::Unspecified => "?",
        };
        let note = if change.note.is_empty() || change.note.starts_with("port ") {
            String::new()
        } else {
            format!(": {}", change.note)
        };
        format!("{verb} {} {}{note}", change.kind, change.id)
    };
    changes.iter().map(line).collect()
}

/// Some ports above those that systems hand out by themselves, other ones for each test.
fn free_range() -> RangeInclusive<u16> {
    let from = 10_000 + (Uuid::new_v4().as_u128() % 200) as u16 * 100;
    from..=from + 99
}
