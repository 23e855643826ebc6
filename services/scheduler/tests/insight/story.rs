//! Histories that are made up: runs of two stages that queue, wait, build, release, fail and are taken back, side by side.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, json};
use shipway_contracts::{
    Channel,
    v1::{
        self, GetInsightReply, GetInsightRequest,
        history_client::HistoryClient,
        project_home_server::{ProjectHome, ProjectHomeServer},
    },
};
use shipway_eventing::{Expected, Feed, Item, Log, SqliteLog, SqliteOptions, Views};
use shipway_events::{
    Actor, Cause, CommandId, ConcurrencyPolicy, EffectClass, Fence, FlowId, FreezeId, HoldId, Meta, NewEvent,
    PipelineId, ResourceId, RunId, RunStatus, StreamEvent as _, StreamName, Timestamp,
    plan::{Artifact, Plan, PlanNode},
    policy::{MarkedBad, Subject, Unmarked},
    run::{
        Admitted, ApprovalRequested, ApprovalRule, AttemptFailed, AttemptRequested, Effect, Ended, Event,
        Frozen, Held, LetGo, NodeError, NodeFailed, NodeSucceeded, Origin, Rollback, Started, Thawed,
        WaitStarted,
    },
};
use shipway_scheduler::{Deps, Service};
use shipway_service_kit::Lifecycle;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::shop::{PROJECT, commit, digest_of};

struct Home;

#[tonic::async_trait]
impl ProjectHome for Home {
    async fn flow_for_run(
        &self,
        _: Request<v1::FlowForRunRequest>,
    ) -> Result<Response<v1::FlowForRunReply>, Status> {
        Err(Status::unimplemented("not of this test"))
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
        _: Request<v1::FindScopesRequest>,
    ) -> Result<Response<v1::FindScopesReply>, Status> {
        let scope = v1::Scope {
            project: PROJECT.to_string(),
            project_slug: "shop".to_owned(),
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

pub(crate) struct Story {
    random: u64,
    log: Arc<dyn Log>,
    history: HistoryClient<Channel>,
    lifecycle: Lifecycle,
    runs: Vec<Run>,
    ended: Vec<RunId>,
    marks: Vec<HoldId>,
    _service: Service,
    _folder: tempfile::TempDir,
}

/// A run that goes on.
struct Run {
    id: RunId,
    queued: bool,
    frozen: bool,
    /// What each node does: nothing, an attempt at a work, or a wait.
    nodes: [Option<&'static str>; 4],
    steps: u64,
}

impl Story {
    pub(crate) async fn new(seed: u64) -> Self {
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
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            log,
            history: HistoryClient::new(Channel::local(service.history_server())),
            lifecycle,
            runs: Vec::new(),
            ended: Vec::new(),
            marks: Vec::new(),
            _service: service,
            _folder: folder,
        }
    }

    /// A number below a limit: the same ones for the same seed.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    /// What happens, one thing after another.
    pub(crate) async fn happens(&mut self) {
        for _ in 0..120 {
            match self.below(20) {
                0..4 if self.runs.len() < 4 => self.start().await,
                4 => self.mark().await,
                _ if self.runs.is_empty() => self.start().await,
                _ => {
                    let count = self.runs.len() as u64;
                    let n = usize::try_from(self.below(count)).unwrap();
                    self.step(n).await;
                }
            }
        }
    }

    async fn start(&mut self) {
        let id = RunId::new(Uuid::now_v7());
        let (pipeline, path) = match self.below(7) {
            0 => (None, "build/shop/web"),
            1..4 => (Some(PipelineId::new(Uuid::from_u128(5))), "shop/staging"),
            _ => (Some(PipelineId::new(Uuid::from_u128(5))), "shop/production"),
        };
        let queued = self.below(3) == 0;
        let root =
            PlanNode { reference: "all".to_owned(), kind: "Workflow".to_owned(), ..PlanNode::default() };
        let started = Started {
            rollback: None,
            run: id,
            project: PROJECT,
            pipeline,
            flow: FlowId::new(Uuid::from_u128(12)),
            path: path.to_owned(),
            flow_version: 1,
            name: "a run".to_owned(),
            description: String::new(),
            origin: Origin::Git,
            author: None,
            parent: None,
            policy: if queued { ConcurrencyPolicy::Queue } else { ConcurrencyPolicy::Allow },
            rollback: self.rollback(pipeline.is_some()),
            plan: Plan { nodes: vec![root], ..Plan::default() },
        };
        let event = Event::from(started).encode();
        self.append(StreamName::run(id), event).await;
        self.runs.push(Run { id, queued, frozen: false, nodes: [None; 4], steps: 0 });
    }

    /// Some runs take back what an earlier one has released, or do not say which one.
    fn rollback(&mut self, may: bool) -> Option<Rollback> {
        if !may || self.below(6) > 0 {
            return None;
        }
        let n = self.below(self.ended.len() as u64 + 1);
        let of = self.ended.get(usize::try_from(n).unwrap()).copied();
        Some(Rollback { of, at: Timestamp::from_micros(5), ..Rollback::default() })
    }

    async fn step(&mut self, n: usize) {
        let (what, node) = (self.below(10), self.below(4));
        let node = u32::try_from(node).unwrap();
        let (version, good, which) = (self.below(6), self.below(5) > 0, self.below(5));
        let commit = commit(u32::try_from(version).unwrap() + 1);
        let run = &mut self.runs[n];
        run.steps += 1;
        let doing = run.nodes[node as usize];
        let event: Event = match (run.queued, what, doing) {
            (true, 0..5, _) => {
                run.queued = false;
                Admitted {}.into()
            }
            (true, ..) => ended(RunStatus::Skipped).into(),
            (_, 0, _) if run.frozen => {
                run.frozen = false;
                Thawed {}.into()
            }
            (_, 0, _) => {
                run.frozen = true;
                frozen().into()
            }
            (_, 9, _) if run.steps > 4 => {
                ended(if good { RunStatus::Success } else { RunStatus::Failure }).into()
            }
            (_, _, None) => {
                let work = ["build", "release", "await", "wait", "ask"][usize::try_from(which).unwrap()];
                let is_held = work == "release" && what == 1;
                run.nodes[node as usize] = Some(if is_held { "held" } else { work });
                match work {
                    "wait" => WaitStarted { node, watch: json!("x"), deadline: None }.into(),
                    "ask" => ApprovalRequested { node, rule: ApprovalRule::default(), deadline: None }.into(),
                    _ if is_held => held(node, &commit).into(),
                    _ => requested(node, work).into(),
                }
            }
            (_, _, Some("held")) => {
                run.nodes[node as usize] = None;
                LetGo { node }.into()
            }
            (_, _, Some(work)) => {
                run.nodes[node as usize] = None;
                let fence = Some(Fence::default());
                let error = |code: &str| NodeError {
                    code: code.to_owned(),
                    message: "it did not do".to_owned(),
                    transient: false,
                };
                match (good, work) {
                    (false, "release") => NodeFailed { node, fence, error: error("unhealthy") }.into(),
                    (false, "build") => AttemptFailed { node, fence, error: error("build_failed") }.into(),
                    _ => NodeSucceeded {
                        node,
                        fence,
                        outputs: Map::new(),
                        effects: effects(work, &commit, which),
                    }
                    .into(),
                }
            }
        };
        let id = run.id;
        if matches!(event, Event::Ended(_)) {
            self.runs.remove(n);
            self.ended.push(id);
        }
        self.append(StreamName::run(id), event.encode()).await;
    }

    async fn mark(&mut self) {
        let mark = HoldId::new(Uuid::now_v7());
        let taken_back = self.below(3) == 0;
        if let Some(mark) = self.marks.pop().filter(|_| taken_back) {
            let event = shipway_events::policy::Event::from(Unmarked { mark, reason: String::new() });
            return self.append(StreamName::policy(PROJECT), event.encode()).await;
        }
        let commit = commit(u32::try_from(self.below(6)).unwrap() + 1);
        let subject = Subject { digest: digest_of(&commit), service: "web".to_owned(), commit };
        let marked =
            MarkedBad { mark, run: None, artifacts: vec![subject], reason: "loses orders".to_owned() };
        self.marks.push(mark);
        self.append(StreamName::policy(PROJECT), shipway_events::policy::Event::from(marked).encode()).await;
    }

    async fn append(&self, stream: StreamName, event: NewEvent) {
        let meta = Meta { actor: Actor::System("test".to_owned()), cause: Cause::Clock, trace: None };
        let item = Item::one(CommandId::new(Uuid::now_v7()), meta, stream, Expected::Any, vec![event]);
        self.log.append(item).await.unwrap();
    }

    pub(crate) async fn insight(&mut self, request: GetInsightRequest) -> Result<GetInsightReply, Status> {
        Ok(self.history.get_insight(request).await?.into_inner())
    }

    pub(crate) async fn log(&self) -> Vec<shipway_events::RawEvent> {
        self.log.read(0, 100_000).await.unwrap()
    }

    pub(crate) async fn over(self) {
        assert!(self.lifecycle.stop(Duration::from_secs(5)).await);
    }
}

fn ended(status: RunStatus) -> Ended {
    Ended { status, reason: None, by: None }
}

fn frozen() -> Frozen {
    Frozen {
        freeze: FreezeId::new(Uuid::from_u128(9)),
        name: "weekend".to_owned(),
        by: Actor::nobody(),
        reason: String::new(),
        until: None,
        stops_all: true,
    }
}

fn artifact(commit: &str) -> Artifact {
    Artifact {
        digest: digest_of(commit),
        build: format!("b-{}", &commit[..8]),
        service: "web".to_owned(),
        commit: commit.to_owned(),
        branch: "main".to_owned(),
    }
}

fn held(node: u32, commit: &str) -> Held {
    Held {
        node,
        target: "web-production".to_owned(),
        artifact: artifact(commit),
        hold: HoldId::new(Uuid::from_u128(9)),
        name: "after-1".to_owned(),
        bad: false,
        by: Actor::nobody(),
        reason: "broken".to_owned(),
        until: None,
    }
}

fn requested(node: u32, work: &str) -> AttemptRequested {
    AttemptRequested {
        node,
        attempt: 1,
        executor: Uuid::from_u128(7).to_string().parse().unwrap(),
        registration: Uuid::from_u128(8).to_string().parse().unwrap(),
        effect: EffectClass::Keyed,
        work: json!({ "work": work }),
        deadline: None,
        detached: false,
    }
}

/// What work changes: builds know when their commit was written, most of them.
fn effects(work: &str, commit: &str, which: u64) -> Vec<Effect> {
    let artifact = artifact(commit);
    match work {
        "build" => {
            let authored = (which > 0).then(|| Timestamp::from_micros(1_700_000_000_000_000));
            vec![Effect::Built { artifact, authored }]
        }
        "release" => {
            let target = ResourceId::new(Uuid::from_u128(20 + u128::from(which % 2)));
            vec![Effect::Released { target, slug: "web".to_owned(), artifact }]
        }
        _ => Vec::new(),
    }
}
