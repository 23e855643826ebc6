//! Runs of flows with each concurrency policy over a real log: who goes on, who waits for whom, who gives way, and what a
//! restart makes of it.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::json;
use shipway_contracts::{
    Channel,
    v1::{
        self, AbortRunRequest, Assignment, CompleteRequest, GetRunRequest, ListRunsRequest, RegisterRequest,
        Run, StartRunReply, StartRunRequest,
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

const POLICIES: [&str; 5] = ["allow", "queue", "forbid", "latest", "replace"];

/// Knows a flow for each policy, called by it: two steps, of which the first may not be interrupted.
struct Home;

#[tonic::async_trait]
impl ProjectHome for Home {
    async fn flow_for_run(
        &self,
        request: Request<v1::FlowForRunRequest>,
    ) -> Result<Response<v1::FlowForRunReply>, Status> {
        let path = request.into_inner().flow;
        let policy = path.rsplit('/').next().unwrap_or_default();
        let number = POLICIES
            .iter()
            .position(|known| *known == policy)
            .ok_or_else(|| Status::not_found(path.clone()))?;
        let document = json!({
            "apiVersion": "v1.2",
            "options": {"concurrencyPolicy": policy},
            "spec": {"kind": "Workflow", "spec": {"type": "parallel", "steps": [
                {"kind": "Noop", "ref": "migrate", "interruptible": false, "spec": {}},
                {"kind": "Noop", "ref": "rest", "spec": {}}]}},
        });
        Ok(Response::new(v1::FlowForRunReply {
            project: ProjectId::new(Uuid::from_u128(1)).to_string(),
            flow: Uuid::from_u128(100 + number as u128).to_string(),
            path,
            version: 1,
            document_json: document.to_string(),
            stage: "Development".to_owned(),
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
        _: Request<v1::FindScopesRequest>,
    ) -> Result<Response<v1::FindScopesReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }

    async fn hooks_for_triggers(
        &self,
        _: Request<v1::HooksForTriggersRequest>,
    ) -> Result<Response<v1::HooksForTriggersReply>, Status> {
        Err(Status::unimplemented("not of this test"))
    }
}

struct World {
    runs: RunsClient<Channel>,
    work: WorkClient<Channel>,
    lifecycle: Lifecycle,
    heard: mpsc::UnboundedReceiver<Bell>,
    executor: ExecutorId,
    registration: RegistrationId,
    _service: Service,
}

impl World {
    /// A scheduler over the folder's log, with one executor that has much room and ends what it is told to.
    async fn over(folder: &Path) -> Self {
        let log = SqliteLog::open(&folder.join("log.db"), SqliteOptions::default()).await.unwrap();
        let durable = log.durable().await.unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let views = Views::open(&folder.join("views.db"), &*log).await.unwrap();
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
        let runs = RunsClient::new(Channel::local(service.runs_server()));
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
        Self { runs, work, lifecycle, heard, executor, registration, _service: service }
    }

    async fn start(&self, policy: &str) -> StartRunReply {
        let request = StartRunRequest {
            command: Uuid::now_v7().to_string(),
            flow: format!("shop/{policy}"),
            ..StartRunRequest::default()
        };
        let reply = self.runs.clone().start_run(request.clone()).await.unwrap().into_inner();
        assert!(reply.problems.is_empty(), "{:?}", reply.problems);
        let again = self.runs.clone().start_run(request).await.unwrap().into_inner();
        assert_eq!(
            (&again.run, &again.status),
            (&reply.run, &reply.status),
            "the same command is the same run"
        );
        reply
    }

    async fn show(&self, run: &str) -> Run {
        self.runs.clone().get_run(GetRunRequest { run: run.to_owned() }).await.unwrap().into_inner()
    }

    /// Waits until a run has a status.
    async fn wait(&self, run: &str, status: &str) -> Run {
        for _ in 0..2_000 {
            let shown = self.show(run).await;
            if shown.status == status {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {status}: {:#?}", self.show(run).await);
    }

    async fn abort(&self, run: &str) {
        let request = AbortRunRequest { run: run.to_owned(), ..AbortRunRequest::default() };
        self.runs.clone().abort_run(request).await.unwrap();
    }

    /// The next work that the executor is told of for a run's node.
    async fn assigned(&mut self, run: &str, node: u32) -> Assignment {
        loop {
            match self.heard.recv().await.unwrap() {
                Bell::Assign(work) if work.run == run && work.node == node => return work,
                _ => {}
            }
        }
    }

    async fn end(&self, work: &Assignment, outcome: &Outcome) {
        let request = CompleteRequest {
            run: work.run.clone(),
            node: work.node,
            fence: work.fence,
            outcome_json: serde_json::to_string(outcome).unwrap(),
            executor: self.executor.to_string(),
            registration: self.registration.to_string(),
        };
        self.work.clone().complete(request).await.unwrap();
    }

    async fn listed(&self, status: &str) -> Vec<String> {
        let request = ListRunsRequest { status: status.to_owned(), ..ListRunsRequest::default() };
        let reply = self.runs.clone().list_runs(request).await.unwrap().into_inner();
        reply.runs.into_iter().map(|run| run.id).collect()
    }
}

fn well() -> Outcome {
    Outcome::Succeeded { outputs: serde_json::Map::new(), effects: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_for_their_turn_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    let one = world.start("queue").await;
    let (two, three) = (world.start("queue").await, world.start("queue").await);
    assert_eq!([&one.status, &two.status, &three.status], ["running", "queued", "queued"]);
    let words = |first: &str, more: &str| {
        format!("waits for its turn behind run {first}{more}; `shipway show {first}` says what holds that up")
    };
    assert_eq!(world.show(&two.run).await.reason, words(&one.run, ""));
    assert_eq!(world.show(&three.run).await.reason, words(&one.run, " and 1 more"));
    assert_eq!(world.listed("queued").await, [three.run.as_str(), two.run.as_str()]);
    assert_eq!(world.start("allow").await.status, "running", "a lane is a flow's own");
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
    drop(world);

    // The executor has started again, too: it is given anew what runs.
    let mut world = World::over(folder.path()).await;
    let works = [world.assigned(&one.run, 1).await, world.assigned(&one.run, 2).await];
    assert_eq!(world.wait(&two.run, "queued").await.reason, words(&one.run, ""));
    world.abort(&two.run).await;
    assert_eq!(world.show(&two.run).await.status, "aborted", "what waits ends at once");
    assert_eq!(world.show(&three.run).await.reason, words(&one.run, ""));
    world.abort(&one.run).await;
    for work in &works {
        world.end(work, &Outcome::Stopped).await;
    }
    world.wait(&one.run, "aborted").await;
    let three = world.wait(&three.run, "running").await;
    assert_eq!(three.reason, "");
    assert!(world.listed("queued").await.is_empty());
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn forbid_and_latest_end_what_they_do_not_want_and_say_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let (one, two) = (world.start("forbid").await, world.start("forbid").await);
    assert_eq!([&one.status, &two.status], ["running", "skipped"]);
    let two = world.show(&two.run).await;
    assert_eq!((two.reason, two.concluded), (format!("run {} is active", one.run), true));
    for node in [1, 2] {
        let work = world.assigned(&one.run, node).await;
        world.end(&work, &well()).await;
    }
    world.wait(&one.run, "success").await;
    assert_eq!(world.start("forbid").await.status, "running");

    let one = world.start("latest").await;
    let (two, three) = (world.start("latest").await, world.start("latest").await);
    let two = world.wait(&two.run, "skipped").await;
    assert_eq!(two.reason, format!("superseded by run {}", three.run));
    for node in [1, 2] {
        let work = world.assigned(&one.run, node).await;
        world.end(&work, &well()).await;
    }
    world.wait(&three.run, "running").await;
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_aborts_the_others_and_lets_finish_what_may_not_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let one = world.start("replace").await;
    let migrate = world.assigned(&one.run, 1).await;
    let rest = world.assigned(&one.run, 2).await;
    let two = world.start("replace").await;
    assert_eq!(two.status, "queued");
    let three = world.start("replace").await;
    let two = world.wait(&two.run, "aborted").await;
    assert_eq!(two.reason, format!("replaced by run {}", three.run));

    let shown = world.wait(&one.run, "aborting").await;
    assert!(shown.nodes[1].waiting_for.contains("is let finish"), "{:?}", shown.nodes[1]);
    loop {
        if matches!(world.heard.recv().await.unwrap(), Bell::Stop(fence) if fence.raw() == rest.fence) {
            break;
        }
    }
    world.end(&rest, &Outcome::Stopped).await;
    assert_eq!(world.show(&three.run).await.status, "queued");
    world.end(&migrate, &well()).await;
    let one = world.wait(&one.run, "aborted").await;
    let ends: Vec<_> = one.nodes.iter().map(|node| node.status.as_str()).collect();
    assert_eq!(ends, ["aborted", "success", "aborted"]);
    world.wait(&three.run, "running").await;
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}
