//! A scheduler over a log of its own, with an executor that ends what it is told to, and somebody who does what
//! blockers say.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use shipway_contracts::{
    Channel,
    blockers::Kind,
    v1::{
        self, AbortRunRequest, Assignment, BeatRequest, Blocker, CompleteRequest, CreateFreezeRequest,
        GetRunRequest, Held, JudgeNodeRequest, LiftFreezeRequest, ListRunsRequest, MarkBadRequest,
        PlaceHoldRequest, RegisterRequest, ReleaseHoldRequest, ResolveNodeRequest, RetryNodeRequest, Run,
        StartRunRequest, UnmarkBadRequest, WhyReply, WhyRequest,
        freezes_client::FreezesClient,
        holds_client::HoldsClient,
        project_home_server::{ProjectHome, ProjectHomeServer},
        runs_client::RunsClient,
        work_client::WorkClient,
    },
};
use shipway_eventing::{Feed, Log, SqliteLog, SqliteOptions, Views};
use shipway_events::{ExecutorId, ProjectId, RegistrationId};
use shipway_nodes::Outcome;
use shipway_scheduler::{Bell, Deps, Service};
use shipway_service_kit::Lifecycle;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    has,
    shop::{self, commit, digest_of},
    succeeded,
};

/// The executor that is there from the beginning.
pub(super) const EXECUTOR: ExecutorId = ExecutorId::new(Uuid::from_u128(7));

/// The flows, by their stage's name: policy and steps. All steps are in a parallel workflow unless it says otherwise.
fn flow(name: &str) -> Value {
    let noop = |name: &str| json!({"kind": "Noop", "ref": name, "spec": {}});
    let with = |mut node: Value, key: &str, value: Value| {
        node[key] = value;
        node
    };
    let gate =
        |spec: Value| json!({"kind": "Approval", "ref": "gate", "spec": spec, "timeoutDuration": 3600});
    let (policy, order, steps) = match name {
        "gate" => ("allow", "parallel", vec![gate(json!({"amount": 1}))]),
        "gated-queue" => {
            ("queue", "parallel", vec![gate(json!({"amount": 1, "approvers": ["release-lead"]}))])
        }
        "parent" => {
            let spec = json!({"templateType": "release-flow-template", "templateId": "shop/gate"});
            let node = json!({"kind": "RunTemplate", "ref": "next", "spec": spec, "condition": "success"});
            ("allow", "parallel", vec![node])
        }
        "condition" => {
            let data = json!({"url": "http://127.0.0.1:1/ready"});
            let spec = json!({"kind": "Http", "spec": {"type": "success", "data": data}});
            ("allow", "parallel", vec![json!({"kind": "Condition", "ref": "ready", "spec": spec})])
        }
        "steps" => {
            ("allow", "sequential", vec![with(noop("one"), "condition", json!("success")), noop("second")])
        }
        "labels" => ("allow", "parallel", vec![with(noop("one"), "runsOn", json!(["gpu"]))]),
        "retry" => {
            let rule = json!({"maxAttempts": 3, "backoff": "fixed", "delay": 3600});
            ("allow", "parallel", vec![with(noop("one"), "retry", rule)])
        }
        "lock" => ("allow", "parallel", vec![with(noop("one"), "locks", json!(["db"]))]),
        "once" => ("allow", "parallel", vec![with(noop("one"), "effect", json!("once"))]),
        "two" => ("allow", "parallel", vec![noop("one"), noop("other")]),
        "replace" => ("replace", "parallel", vec![with(noop("one"), "interruptible", json!(false))]),
        policy @ ("queue" | "forbid" | "latest") => (policy, "parallel", vec![noop("one")]),
        _ => ("allow", "parallel", vec![noop("one")]),
    };
    json!({
        "apiVersion": "v1.2",
        "options": {"concurrencyPolicy": policy},
        "spec": {"kind": "Workflow", "spec": {"type": order, "steps": steps}},
    })
}

/// Knows every flow.
struct Home {
    paused: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl ProjectHome for Home {
    async fn flow_for_run(
        &self,
        request: Request<v1::FlowForRunRequest>,
    ) -> Result<Response<v1::FlowForRunReply>, Status> {
        let asked = request.into_inner().flow;
        let name = asked.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some(flow) = shop::flow(&format!("shop/{name}")) {
            return Ok(Response::new(flow));
        }
        Ok(Response::new(v1::FlowForRunReply {
            project: ProjectId::new(Uuid::from_u128(1)).to_string(),
            flow: Uuid::from_u128(name.bytes().fold(1, |number, byte| number * 31 + u128::from(byte)))
                .to_string(),
            path: format!("shop/{name}"),
            version: 1,
            document_json: flow(&name).to_string(),
            stage: "Development".to_owned(),
            paused: self.paused.load(Ordering::Relaxed),
            ..v1::FlowForRunReply::default()
        }))
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
            project: ProjectId::new(Uuid::from_u128(1)).to_string(),
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

pub(super) struct World {
    pub(super) runs: RunsClient<Channel>,
    freezes: FreezesClient<Channel>,
    holds: HoldsClient<Channel>,
    _service: Service,
    work: WorkClient<Channel>,
    lifecycle: Lifecycle,
    heard: mpsc::UnboundedReceiver<Bell>,
    /// What the executor was told of last, by run and node.
    given: HashMap<(String, u32), Assignment>,
    registration: RegistrationId,
    paused: Arc<AtomicBool>,
    folder: tempfile::TempDir,
}

impl World {
    /// With one executor, which has two slots, or none.
    pub(super) async fn with(executors: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions::default()).await.unwrap();
        let durable = log.durable().await.unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let views = Views::open(&folder.path().join("views.db"), &*log).await.unwrap();
        let (lifecycle, _failures) = Lifecycle::new();
        let paused = Arc::new(AtomicBool::new(false));
        let service = Service::start(Deps {
            feed: Feed::new(log.clone()),
            views,
            durable,
            projects: Channel::local(ProjectHomeServer::new(Home { paused: paused.clone() })),
            executors: Some(Channel::local(tonic::service::Routes::default())),
            data: None,
            together: None,
            bells: None,
            lifecycle: lifecycle.clone(),
        })
        .await
        .unwrap();
        let (bell, heard) = mpsc::unbounded_channel();
        service.attach(EXECUTOR, bell);
        let world = Self {
            runs: RunsClient::new(Channel::local(service.runs_server())),
            work: WorkClient::new(Channel::local(service.work_server())),
            freezes: FreezesClient::new(Channel::local(service.freezes_server())),
            holds: HoldsClient::new(Channel::local(service.holds_server())),
            _service: service,
            lifecycle,
            heard,
            given: HashMap::new(),
            registration: RegistrationId::new(Uuid::now_v7()),
            paused,
            folder,
        };
        if executors > 0 {
            world.register(EXECUTOR, world.registration, "").await;
        }
        world
    }

    async fn register(&self, executor: ExecutorId, registration: RegistrationId, labels: &str) {
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned);
        let request = RegisterRequest {
            executor: executor.to_string(),
            registration: registration.to_string(),
            light_slots: 2,
            heavy_slots: 2,
            labels: labels.collect(),
            ..RegisterRequest::default()
        };
        self.work.clone().register(request).await.unwrap();
    }

    pub(super) async fn start(&mut self, name: &str) -> String {
        let request = StartRunRequest {
            command: Uuid::now_v7().to_string(),
            flow: format!("shop/{name}"),
            ..StartRunRequest::default()
        };
        let reply = self.runs.start_run(request).await.unwrap().into_inner();
        assert!(reply.problems.is_empty(), "{:#?}", reply.problems);
        reply.run
    }

    pub(super) async fn abort(&mut self, run: &str) {
        let request = AbortRunRequest { run: run.to_owned(), ..AbortRunRequest::default() };
        self.runs.abort_run(request).await.unwrap();
    }

    async fn show(&mut self, run: &str) -> Run {
        self.runs.get_run(GetRunRequest { run: run.to_owned() }).await.unwrap().into_inner()
    }

    /// Waits until a run has a status.
    pub(super) async fn until(&mut self, run: &str, status: &str) {
        for _ in 0..2_000 {
            if self.show(run).await.status == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {status}: {:#?}", self.show(run).await);
    }

    pub(super) async fn why(&mut self, what: &str, node: &str) -> Result<WhyReply, Status> {
        let request = WhyRequest { what: what.to_owned(), node: node.to_owned(), ..WhyRequest::default() };
        Ok(self.runs.why(request).await?.into_inner())
    }

    /// Waits until the answer has a blocker of this kind.
    pub(super) async fn until_told(&mut self, what: &str, node: &str, kind: Kind) -> Blocker {
        for _ in 0..2_000 {
            let reply = self.why(what, node).await.unwrap();
            if let Some(found) = reply.blockers.into_iter().find(|blocker| blocker.kind == kind.as_str()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {}: {:#?}", kind.as_str(), self.why(what, node).await);
    }

    pub(super) async fn until_not_told(&mut self, what: &str, node: &str, told: &Blocker) {
        for _ in 0..2_000 {
            if !has(&self.why(what, node).await.unwrap(), told) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("still: {:#?}", self.why(what, node).await);
    }

    /// A list waits for the read tables.
    pub(super) async fn caught_up(&mut self) {
        self.runs.list_runs(ListRunsRequest::default()).await.unwrap();
    }

    /// The work that the executor is told of for a run's node.
    pub(super) async fn assigned(&mut self, run: &str, node: u32) -> Assignment {
        let key = (run.to_owned(), node);
        while !self.given.contains_key(&key) {
            if let Bell::Assign(work) = self.heard.recv().await.unwrap() {
                self.given.insert((work.run.clone(), work.node), work);
            }
        }
        self.given[&key].clone()
    }

    /// The executor ends what it was told of.
    pub(super) async fn end(&mut self, run: &str, node: u32, outcome: Outcome) {
        let work = self.assigned(run, node).await;
        let request = CompleteRequest {
            run: work.run,
            node,
            fence: work.fence,
            outcome_json: serde_json::to_string(&outcome).unwrap(),
            executor: EXECUTOR.to_string(),
            registration: self.registration.to_string(),
        };
        // What comes next comes with the answer.
        for next in self.work.complete(request).await.unwrap().into_inner().next {
            self.given.insert((next.run.clone(), next.node), next);
        }
    }

    /// The executor has stopped what it was told to.
    pub(super) async fn confirm_stops(&mut self, run: &str) {
        let stopping = |run: Run| run.nodes.into_iter().filter(|node| node.status == "aborting");
        for node in stopping(self.show(run).await) {
            self.end(run, node.index, Outcome::Stopped).await;
        }
    }

    /// The executor says that a process of a run's first step does not end.
    pub(super) async fn does_not_end(&mut self, run: &str, process: u32) {
        let fence = self.assigned(run, 1).await.fence;
        let request = BeatRequest {
            executor: EXECUTOR.to_string(),
            registration: self.registration.to_string(),
            held: vec![Held { fence, run: run.to_owned(), process, ..Held::default() }],
            ..BeatRequest::default()
        };
        let reply = self.work.beat(request).await.unwrap().into_inner();
        assert_eq!(reply.stop, [fence]);
    }

    /// Freezes the stage `one`, or stops all that begins in it.
    pub(super) async fn freeze(&mut self, stops_all: bool) {
        let request = CreateFreezeRequest {
            command: Uuid::now_v7().to_string(),
            scope: "shop/one".to_owned(),
            name: "friday".to_owned(),
            stops_all,
            ..CreateFreezeRequest::default()
        };
        self.freezes.create_freeze(request).await.unwrap();
    }

    /// Holds the first commit of the shop back from a stage.
    pub(super) async fn hold(&mut self, scope: &str) {
        let request = PlaceHoldRequest {
            command: Uuid::now_v7().to_string(),
            scope: scope.to_owned(),
            name: "after-1".to_owned(),
            reason: "broken".to_owned(),
            commit: commit(1),
            ..PlaceHoldRequest::default()
        };
        self.holds.place_hold(request).await.unwrap();
    }

    /// Marks what is built of the shop's first commit bad.
    pub(super) async fn mark_bad(&mut self) {
        self.caught_up().await;
        let request = MarkBadRequest {
            command: Uuid::now_v7().to_string(),
            what: digest_of(&commit(1)),
            reason: "broken".to_owned(),
            ..MarkBadRequest::default()
        };
        self.holds.mark_bad(request).await.unwrap();
    }

    /// The executor builds what a run of the shop asks for, so that its release has its turn.
    pub(super) async fn release_there(&mut self, run: &str) {
        let work = self.assigned(run, 1).await;
        self.end(run, 1, shop::done(&work)).await;
    }

    pub(super) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Does what a blocker says, as somebody would who pastes it. Gives back the run that this has started, if it has.
    pub(super) async fn act(&mut self, told: &Blocker) -> Option<String> {
        let words: Vec<&str> = told.action.split_whitespace().collect();
        let command = Uuid::now_v7().to_string();
        let run = |run: &str| run.to_owned();
        match words[..] {
            ["shipway", "approve", of, node] => {
                let request = JudgeNodeRequest {
                    command,
                    run: run(of),
                    node: node.to_owned(),
                    ..JudgeNodeRequest::default()
                };
                self.runs.approve_node(request).await.unwrap();
            }
            ["shipway", "retry", of, node] => {
                let request = RetryNodeRequest { command, run: run(of), node: node.to_owned() };
                self.runs.retry_node(request).await.unwrap();
            }
            ["shipway", "resolve", of, node, "--happened"] => {
                let request = ResolveNodeRequest {
                    command,
                    run: run(of),
                    node: node.to_owned(),
                    outcome: "happened".to_owned(),
                    ..ResolveNodeRequest::default()
                };
                self.runs.resolve_node(request).await.unwrap();
            }
            ["shipway", "unfreeze", freeze] => {
                let freeze = freeze.to_owned();
                let request = LiftFreezeRequest { command, freeze, ..LiftFreezeRequest::default() };
                self.freezes.lift_freeze(request).await.unwrap();
            }
            ["shipway", "unhold", hold] => {
                let hold = hold.to_owned();
                let request = ReleaseHoldRequest { command, hold, ..ReleaseHoldRequest::default() };
                self.holds.release_hold(request).await.unwrap();
            }
            ["shipway", "good", what] => {
                let what = what.to_owned();
                let request = UnmarkBadRequest { command, what, ..UnmarkBadRequest::default() };
                self.holds.unmark_bad(request).await.unwrap();
                // What has failed is started again.
                let again = self.start("direct").await;
                self.release_there(&again).await;
                self.assigned(&again, 2).await;
                return Some(again);
            }
            ["shipway", "abort", of] => {
                self.abort(of).await;
                self.confirm_stops(of).await;
            }
            ["shipway", "run", path] => return Some(self.start(path.trim_start_matches("shop/")).await),
            ["shipway", "flow", "resume", "shop/one"] => self.paused.store(false, Ordering::Relaxed),
            ["shipway", "serve", "executor", ref labels @ ..] => {
                let labels = labels.last().map_or("", |word| word.trim_start_matches("executor.labels="));
                let (executor, start) = (ExecutorId::new(Uuid::from_u128(8)), Uuid::now_v7());
                self.register(executor, RegistrationId::new(start), labels).await;
                // Nobody could ever have done it: what failed so is started again.
                if !labels.is_empty() {
                    return Some(self.start("labels").await);
                }
            }
            ["kill", "-9", "77"] => self.confirm_stops(&told.run).await,
            // It clears by itself: whoever has it in hand goes on.
            [] if told.kind == Kind::Stop.as_str() => self.confirm_stops(&told.run).await,
            [] => self.end(&told.run, 1, succeeded()).await,
            _ => panic!("nobody knows how to do this: {told:#?}"),
        }
        None
    }

    pub(super) async fn over(self) {
        assert!(self.lifecycle.stop(Duration::from_secs(5)).await);
        self.folder.close().unwrap();
    }
}
