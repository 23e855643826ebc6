//! A triggers service on a real log in a temporary folder, with a home of hooks that the test fills.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use shipway_contracts::{
    Channel,
    v1::{self, project_home_server::ProjectHome, triggers_client::TriggersClient},
};
use shipway_eventing::{
    Durable, Expected, Feed, Item, Log, PostgresLog, PostgresOptions, SqliteLog, SqliteOptions,
};
use shipway_events::{
    Actor, Cause, CommandId, Meta, ProjectId, StreamEvent as _, StreamName,
    delivery::{Event, Matched},
    org,
};
use shipway_triggers::{Config, Deps, Service, signature::hub_signature};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::postgres::{Postgres, Sync};

/// The hook of the repository, its secret, and the hook of the flow.
pub(crate) const HOOK: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const SECRET: &str = "a secret of the test";
pub(crate) const FLOW_HOOK: &str = "66666666-7777-4888-9999-000000000000";
pub(crate) const PROJECT: &str = "0190aaaa-0000-7000-8000-000000000001";
pub(crate) const FLOW: &str = "0190aaaa-0000-7000-8000-000000000002";
pub(crate) const REPOSITORY: &str = "https://github.com/acme/shop";

#[derive(Clone, Default)]
pub(crate) struct Home(Arc<Mutex<v1::HooksForTriggersReply>>);

impl Home {
    pub(crate) fn change(&self, change: impl FnOnce(&mut v1::HooksForTriggersReply)) {
        change(&mut self.0.lock().unwrap());
    }

    /// A repository's hook and one trigger for the branch `main`.
    pub(crate) fn with_repository(repository: &str) -> Self {
        let home = Self::default();
        home.change(|reply| {
            reply.hooks.push(git_hook(HOOK, repository));
            reply.triggers.push(on_push("main-push", repository, &["main", "release/*"], true));
        });
        home
    }
}

pub(crate) fn git_hook(id: &str, repository: &str) -> v1::HookRecord {
    v1::HookRecord {
        id: id.to_owned(),
        project: PROJECT.to_owned(),
        kind: "git".to_owned(),
        repo_url: repository.to_owned(),
        secrets: vec![SECRET.to_owned(), "an older secret".to_owned()],
        ..v1::HookRecord::default()
    }
}

pub(crate) fn flow_hook() -> v1::HookRecord {
    v1::HookRecord {
        id: FLOW_HOOK.to_owned(),
        project: PROJECT.to_owned(),
        kind: "flow".to_owned(),
        flow: FLOW.to_owned(),
        ..v1::HookRecord::default()
    }
}

pub(crate) fn trigger(json: &Value) -> v1::TriggerRecord {
    v1::TriggerRecord {
        project: PROJECT.to_owned(),
        flow: FLOW.to_owned(),
        path: "shop/development".to_owned(),
        flow_version: 1,
        trigger_json: json.to_string(),
        paused: false,
        secret_arguments: vec!["password".to_owned()],
    }
}

pub(crate) fn on_push(
    reference: &str,
    repository: &str,
    branches: &[&str],
    flags: bool,
) -> v1::TriggerRecord {
    trigger(&json!({"kind": "vcs-push", "ref": reference, "spec": {
        "vcs": {"repoUrl": repository}, "branchNamePatterns": branches,
        "commitMessageFlags": {"enabled": flags}}}))
}

#[tonic::async_trait]
impl ProjectHome for Home {
    async fn flow_for_run(
        &self,
        _: tonic::Request<v1::FlowForRunRequest>,
    ) -> Result<Response<v1::FlowForRunReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }

    async fn fetch_secrets(
        &self,
        _: tonic::Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<v1::FetchSecretsReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }

    async fn account_for_comment(
        &self,
        _: tonic::Request<v1::AccountForCommentRequest>,
    ) -> Result<Response<v1::AccountForCommentReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }

    async fn find_scopes(
        &self,
        _: tonic::Request<v1::FindScopesRequest>,
    ) -> Result<Response<v1::FindScopesReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }

    async fn hooks_for_triggers(
        &self,
        request: tonic::Request<v1::HooksForTriggersRequest>,
    ) -> Result<Response<v1::HooksForTriggersReply>, Status> {
        let position = request.into_inner().at_least;
        Ok(Response::new(v1::HooksForTriggersReply { position, ..self.0.lock().unwrap().clone() }))
    }
}

/// Where a service keeps what it keeps: a folder, and a database server if it is not SQLite.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    server: Option<Postgres>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: None }
    }

    pub(crate) fn postgresql() -> Self {
        let server = tokio::task::block_in_place(|| Postgres::start(Sync::Off)).unwrap();
        server.database("shipway").unwrap();
        Self { folder: tempfile::tempdir().unwrap(), server: Some(server) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether several processes may work on it.
    pub(crate) const fn is_shared(&self) -> bool {
        self.server.is_some()
    }

    /// The database server, if there is one.
    pub(crate) fn server(&mut self) -> &mut Postgres {
        self.server.as_mut().unwrap()
    }

    pub(crate) async fn log(&self) -> Arc<dyn Log> {
        let Some(server) = &self.server else {
            let file = self.path().join("log.db");
            return Arc::new(SqliteLog::open(&file, SqliteOptions::default()).await.unwrap());
        };
        let options = PostgresOptions { allow_not_durable: true, ..PostgresOptions::default() };
        Arc::new(PostgresLog::connect(&server.url("shipway"), options).await.unwrap())
    }
}

pub(crate) struct World {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) durable: Durable,
    pub(crate) service: Service,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn config() -> Config {
    Config {
        rate: None,
        rate_in_all: None,
        reconcile_every: None,
        ask_time: Duration::from_secs(20),
        ..Config::default()
    }
}

impl World {
    pub(crate) async fn start(place: &Place, home: &Home, config: Config) -> Self {
        let (folder, log) = (place.path(), place.log().await);
        let durable = log.durable().await.unwrap();
        let stop = CancellationToken::new();
        let deps = Deps {
            feed: Feed::new(log.clone()),
            log: log.clone(),
            durable: durable.clone(),
            home: Channel::local(v1::project_home_server::ProjectHomeServer::new(home.clone())),
            keys: folder.join("keys"),
            scratch: folder.join("scratch"),
            spool: folder.join("spool"),
            leadership: shipway_eventing::Leadership::always(),
            config,
        };
        let service = shipway_triggers::start(deps, stop.clone()).await.unwrap();
        Self { log, durable, service, stop }
    }

    pub(crate) fn router(&self) -> Router {
        self.service.router()
    }

    /// Ends everything, as far as a process that is told to.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.service.stopped().await;
        self.durable.close().await;
        self.log.close().await;
    }

    /// Every `Matched` event in the log.
    pub(crate) async fn matched(&self) -> Vec<Matched> {
        let events = self.log.read(0, 100_000).await.unwrap();
        let deliveries = events.iter().filter(|event| event.stream.kind() == "delivery");
        deliveries
            .map(|raw| match Event::from_raw(raw).unwrap().event {
                Event::Matched(matched) => matched,
                Event::Approved(approved) => panic!("nobody approves in this test: {approved:?}"),
            })
            .collect()
    }

    /// Waits until the log holds so many `Matched` events and no row waits for one.
    pub(crate) async fn matched_are(&self, count: usize) -> Vec<Matched> {
        let mut last = Vec::new();
        for _ in 0..1000 {
            last = self.matched().await;
            if last.len() == count && self.rows("WHERE state = 'stored'").await == 0 {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} deliveries matched instead of {count}: {last:#?}", last.len());
    }

    /// How many rows the inbox has.
    pub(crate) async fn rows(&self, which: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM inbox {which}"));
        sqlx::query_scalar(query).fetch_one(self.durable.pool()).await.unwrap()
    }

    /// What every change of a project looks like from here.
    pub(crate) async fn touch_project(&self) {
        touch(&*self.log).await;
    }

    pub(crate) async fn list(&self, after: &str, limit: u32) -> v1::ListDeliveriesReply {
        let page = Some(v1::Page { after: after.to_owned(), limit });
        let request = v1::ListDeliveriesRequest { page, filter: None };
        self.api().list_deliveries(request).await.unwrap().into_inner()
    }

    pub(crate) fn api(&self) -> TriggersClient<Channel> {
        TriggersClient::new(Channel::local(self.service.triggers_server()))
    }
}

/// What every change of a project looks like from here.
pub(crate) async fn touch(log: &dyn Log) {
    let event = org::ProjectCreated {
        project: ProjectId::new(Uuid::now_v7()),
        slug: "x".to_owned(),
        name: "X".to_owned(),
        description: String::new(),
    };
    tell_org(log, org::Event::ProjectCreated(event)).await;
}

/// Appends what another service would.
pub(crate) async fn tell_org(log: &dyn Log, event: org::Event) {
    let meta = Meta { actor: Actor::Person("test".to_owned()), cause: Cause::Request, trace: None };
    let command = CommandId::new(Uuid::now_v7());
    log.append(Item::one(command, meta, StreamName::org(), Expected::Any, vec![event.encode()]))
        .await
        .unwrap();
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn runs(&self) -> usize {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{}", self.text);
        self.json()["runs"].as_array().unwrap().len()
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

/// A signed push delivery.
pub(crate) fn delivery(body: &str, id: &str) -> Request<Body> {
    delivery_to(HOOK, body, id)
}

/// The same to another hook.
pub(crate) fn delivery_to(hook: &str, body: &str, id: &str) -> Request<Body> {
    let signature = hub_signature(SECRET.as_bytes(), body.as_bytes());
    Request::post(format!("/hooks/github/{hook}"))
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", signature)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

pub(crate) fn push_body(repository: &str, branch: &str, before: &str, after: &str) -> String {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": before, "after": after,
        "created": before == ZERO, "deleted": after == ZERO, "forced": false,
        "commits": [], "repository": {"clone_url": repository}, "sender": {"login": "ada"},
        "head_commit": (after != ZERO).then(|| json!({"id": after, "message": "A change"})),
    })
    .to_string()
}

pub(crate) const ZERO: &str = "0000000000000000000000000000000000000000";

pub(crate) fn commit(number: u64) -> String {
    format!("{:040x}", number + 1)
}

/// A bare repository and a clone that pushes to it.
pub(crate) struct Git {
    pub(crate) bare: PathBuf,
    work: PathBuf,
}

impl Git {
    pub(crate) fn new(folder: &Path) -> Self {
        let git = Self { bare: folder.join("shop.git"), work: folder.join("work") };
        run(folder, &["init", "-q", "--bare", "-b", "main", git.bare.to_str().unwrap()]);
        run(folder, &["init", "-q", "-b", "main", git.work.to_str().unwrap()]);
        run(&git.work, &["remote", "add", "origin", git.bare.to_str().unwrap()]);
        git
    }

    pub(crate) fn address(&self) -> String {
        self.bare.to_str().unwrap().to_owned()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        run(&self.work, arguments)
    }

    /// Writes a file of the work tree.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.work.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits without pushing; the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits and pushes.
    pub(crate) fn push(&self, message: &str) -> String {
        let commit = self.commit(message);
        self.git(&["push", "-q", "origin", "HEAD"]);
        commit
    }
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
