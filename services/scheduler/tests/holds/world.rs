//! A scheduler over a real log that knows the shop, with an executor that does all it is told as soon as somebody looks.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use shipway_contracts::{
    Channel,
    v1::{
        self, Assignment, CompleteRequest, GetRunRequest, Hold, LetReleaseRequest, ListHoldsReply,
        ListHoldsRequest, ListRunsRequest, RegisterRequest, RollbackRequest, Run, StartRollbackRequest,
        holds_client::HoldsClient,
        project_home_server::{ProjectHome, ProjectHomeServer},
        rollbacks_client::RollbacksClient,
        runs_client::RunsClient,
        work_client::WorkClient,
    },
};
use shipway_eventing::{Expected, Feed, Item, Log, SqliteLog, SqliteOptions, Views};
use shipway_events::{
    Actor, Cause, CommandId, ExecutorId, Fence, Meta, RegistrationId, RunId, StreamEvent as _, StreamName,
    plan::Artifact,
    run::{self, Effect, NodeEndedLater},
};
use shipway_scheduler::{Bell, Deps, Service};
use shipway_service_kit::Lifecycle;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    PlaceHoldRequest, ReleaseHoldRequest, StartRunRequest, commit, digest_of, push,
    shop::{self, PAUSE},
};

struct Home;

#[tonic::async_trait]
impl ProjectHome for Home {
    async fn flow_for_run(
        &self,
        request: Request<v1::FlowForRunRequest>,
    ) -> Result<Response<v1::FlowForRunReply>, Status> {
        let asked = request.into_inner().flow;
        let paths = ["shop/staging", "shop/production", "shop/direct", "shop/again"];
        let mut flows = paths.into_iter().filter_map(shop::flow);
        let found = flows.find(|flow| flow.path == asked || flow.flow == asked);
        found.map(Response::new).ok_or_else(|| Status::not_found(asked))
    }

    async fn fetch_secrets(
        &self,
        _: Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<v1::FetchSecretsReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }

    async fn account_for_comment(
        &self,
        _: Request<v1::AccountForCommentRequest>,
    ) -> Result<Response<v1::AccountForCommentReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }

    async fn find_scopes(
        &self,
        request: Request<v1::FindScopesRequest>,
    ) -> Result<Response<v1::FindScopesReply>, Status> {
        let text = request.into_inner().text;
        let (pipeline, stage) = text.split_once('/').unwrap_or_default();
        let scope = v1::Scope {
            project: shop::PROJECT.to_string(),
            project_slug: "shop".to_owned(),
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            ..v1::Scope::default()
        };
        Ok(Response::new(v1::FindScopesReply { scopes: vec![scope] }))
    }

    async fn hooks_for_triggers(
        &self,
        _: Request<v1::HooksForTriggersRequest>,
    ) -> Result<Response<v1::HooksForTriggersReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }
}

pub(crate) struct World {
    pub(crate) runs: RunsClient<Channel>,
    pub(crate) holds: HoldsClient<Channel>,
    pub(crate) rollbacks: RollbacksClient<Channel>,
    work: WorkClient<Channel>,
    log: Arc<dyn Log>,
    lifecycle: Lifecycle,
    heard: mpsc::UnboundedReceiver<Bell>,
    executor: ExecutorId,
    registration: RegistrationId,
    _service: Service,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions::default()).await.unwrap();
        let durable = log.durable().await.unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let views = Views::open(&folder.path().join("views.db"), &*log).await.unwrap();
        let (lifecycle, _failures) = Lifecycle::new();
        let deps = Deps {
            feed: Feed::new(log.clone()),
            views,
            durable,
            projects: Channel::local(ProjectHomeServer::new(Home)),
            executors: Some(Channel::local(tonic::service::Routes::default())),
            data: None,
            together: None,
            bells: None,
            lifecycle: lifecycle.clone(),
        };
        let service = Service::start(deps).await.unwrap();
        let work = WorkClient::new(Channel::local(service.work_server()));
        let (executor, registration) =
            (ExecutorId::new(Uuid::from_u128(7)), RegistrationId::new(Uuid::now_v7()));
        let (bell, heard) = mpsc::unbounded_channel();
        service.attach(executor, bell);
        let request = RegisterRequest {
            executor: executor.to_string(),
            registration: registration.to_string(),
            light_slots: 256,
            heavy_slots: 2,
            ..RegisterRequest::default()
        };
        work.clone().register(request).await.unwrap();
        Self {
            runs: RunsClient::new(Channel::local(service.runs_server())),
            holds: HoldsClient::new(Channel::local(service.holds_server())),
            rollbacks: RollbacksClient::new(Channel::local(service.rollbacks_server())),
            work,
            log,
            lifecycle,
            heard,
            executor,
            registration,
            _service: service,
            _folder: folder,
        }
    }

    /// A hold called `after-1`, because something is broken.
    pub(crate) async fn hold(
        &self,
        scope: &str,
        with: impl FnOnce(&mut PlaceHoldRequest),
    ) -> Result<Hold, Status> {
        let mut request = PlaceHoldRequest {
            command: Uuid::now_v7().to_string(),
            scope: scope.to_owned(),
            name: "after-1".to_owned(),
            reason: "broken".to_owned(),
            ..PlaceHoldRequest::default()
        };
        with(&mut request);
        let reply = self.holds.clone().place_hold(request).await?.into_inner();
        Ok(reply.hold.unwrap())
    }

    pub(crate) async fn release(&self, hold: &str) -> Result<(), Status> {
        let request = ReleaseHoldRequest {
            command: Uuid::now_v7().to_string(),
            hold: hold.to_owned(),
            ..ReleaseHoldRequest::default()
        };
        self.holds.clone().release_hold(request).await.map(drop)
    }

    pub(crate) async fn list(&self) -> ListHoldsReply {
        self.holds.clone().list_holds(ListHoldsRequest::default()).await.unwrap().into_inner()
    }

    pub(crate) async fn let_release(&self, run: &str, reason: &str) -> Result<(), Status> {
        let request = LetReleaseRequest {
            run: run.to_owned(),
            reason: reason.to_owned(),
            ..LetReleaseRequest::default()
        };
        self.holds.clone().let_release(request).await.map(drop)
    }

    /// As if a run had made so many builds of another service since.
    pub(crate) async fn also_built(&self, run: &str, builds: u32) {
        let built = |n: u32| Effect::Built {
            artifact: Artifact {
                digest: digest_of(&commit(n)),
                build: format!("b-other-{n}"),
                service: "other".to_owned(),
                commit: commit(n),
                branch: "main".to_owned(),
            },
            authored: None,
        };
        let ended = NodeEndedLater {
            node: 1,
            fence: Fence::from_raw(1),
            effects: (0..builds).map(built).collect(),
            error: None,
        };
        let event = run::Event::NodeEndedLater(ended).encode();
        let meta = Meta { actor: Actor::nobody(), cause: Cause::Request, trace: None };
        let (command, stream) = (CommandId::new(Uuid::now_v7()), StreamName::run(run.parse().unwrap()));
        self.log.append(Item::one(command, meta, stream, Expected::Any, vec![event])).await.unwrap();
    }

    /// Starts a flow by hand.
    pub(crate) async fn start(&mut self, flow: &str, despite_hold: &str) -> Result<String, Status> {
        let request = StartRunRequest {
            command: Uuid::now_v7().to_string(),
            flow: flow.to_owned(),
            despite_hold: despite_hold.to_owned(),
            ..StartRunRequest::default()
        };
        let reply = self.runs.start_run(request).await?.into_inner();
        assert!(reply.problems.is_empty(), "{:#?}", reply.problems);
        Ok(reply.run)
    }

    /// Rolls a stage back without a hold on what is left, for it is gone back to again.
    pub(crate) async fn roll_back(&mut self, flow: &str, despite_hold: &str) -> Result<String, Status> {
        let what = RollbackRequest { flow: flow.to_owned(), ..RollbackRequest::default() };
        let request = StartRollbackRequest {
            command: Uuid::now_v7().to_string(),
            what: Some(what),
            no_hold: true,
            despite_hold: despite_hold.to_owned(),
            ..StartRollbackRequest::default()
        };
        let reply = self.rollbacks.start_rollback(request).await?.into_inner();
        Ok(reply.run.unwrap().run)
    }

    /// Pushes a commit that a flow wants, and waits for what becomes of its run.
    pub(crate) async fn pushed(&mut self, path: &str, branch: &str, n: u32) -> Run {
        let run = push(&*self.log, path, branch, &commit(n), None).await;
        self.settled(&run.to_string()).await
    }

    /// The same for a run that has a name.
    pub(crate) async fn pushed_as(&mut self, path: &str, name: &str, n: u32) -> Run {
        let run: RunId = push(&*self.log, path, "main", &commit(n), Some(name)).await;
        self.settled(&run.to_string()).await
    }

    /// Does the work of a run until it has ended or waits for somebody. What others read of it is there then.
    pub(crate) async fn settled(&mut self, run: &str) -> Run {
        for _ in 0..4_000 {
            self.do_all().await;
            // One that was pushed is promised, and may not be there yet.
            let request = GetRunRequest { run: run.to_owned() };
            if let Ok(shown) = self.runs.get_run(request).await {
                let shown = shown.into_inner();
                if shown.concluded || shown.status == "waiting" {
                    self.runs.list_runs(ListRunsRequest::default()).await.unwrap();
                    return shown;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("run {run} does not come to an end");
    }

    /// Does the work of all runs until this one has a status.
    pub(crate) async fn until(&mut self, run: &str, status: &str) {
        for _ in 0..4_000 {
            self.do_all().await;
            let request = GetRunRequest { run: run.to_owned() };
            if self.runs.get_run(request).await.unwrap().into_inner().status == status {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("run {run} is never {status}");
    }

    async fn do_all(&mut self) {
        let mut work: Vec<Assignment> = Vec::new();
        loop {
            while let Ok(bell) = self.heard.try_recv() {
                if let Bell::Assign(assignment) = bell {
                    work.push(assignment);
                }
            }
            let Some(next) = work.pop() else { return };
            let request = CompleteRequest {
                run: next.run.clone(),
                node: next.node,
                fence: next.fence,
                outcome_json: serde_json::to_string(&shop::done(&next)).unwrap(),
                executor: self.executor.to_string(),
                registration: self.registration.to_string(),
            };
            work.extend(self.work.complete(request).await.unwrap().into_inner().next);
        }
    }

    /// Waits until the log's clock has come to a time.
    pub(crate) async fn over_at(&self, until: jiff::Timestamp) {
        while self.log.now().micros() <= until.as_microsecond() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How many events of policies there are.
    pub(crate) async fn count(&self) -> usize {
        let all = self.log.read(0, 10_000).await.unwrap();
        all.iter().filter(|raw| raw.stream.kind() == "policy").count()
    }

    /// All events of a type, with the run that each is of.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        let all = self.log.read(0, 10_000).await.unwrap();
        let of_kind = all.iter().filter(|raw| raw.kind == kind);
        of_kind
            .map(|raw| {
                let mut data: Value = serde_json::from_str(&raw.data).unwrap();
                data["run"] = raw.stream.id().unwrap_or_default().into();
                data
            })
            .collect()
    }

    /// The commits that a service was given, in their order.
    pub(crate) async fn released(&self, slug: &str) -> Vec<String> {
        let done = self.events("run.node_succeeded").await;
        let effects = done.iter().filter_map(|event| event["effects"].as_array()).flatten();
        let here = effects.filter(|effect| effect["effect"] == "released" && effect["slug"] == slug);
        here.map(|effect| effect["artifact"]["commit"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn over(self) {
        assert!(self.lifecycle.stop(Duration::from_secs(5)).await);
    }
}
