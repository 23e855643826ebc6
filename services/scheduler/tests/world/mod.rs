//! A scheduler over a real log with one executor, and a home that knows a flow for each policy.

#![expect(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::json;
use shipway_contracts::{
    Channel,
    v1::{
        self, AbortRunRequest, Assignment, CompleteRequest, GetRunRequest, ListRunsRequest, RegisterRequest,
        Run, StartRunReply, StartRunRequest,
        freezes_client::FreezesClient,
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

pub const POLICIES: [&str; 5] = ["allow", "queue", "forbid", "latest", "replace"];

/// Knows a flow for each policy, called by it: two steps, of which the first may not be interrupted.
pub struct Home;

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
        request: Request<v1::FindScopesRequest>,
    ) -> Result<Response<v1::FindScopesReply>, Status> {
        let text = request.into_inner().text;
        let (pipeline, stage) = match text.split_once('/') {
            Some((pipeline, "*")) => (pipeline, ""),
            Some(parts) => parts,
            None if matches!(text.as_str(), "" | "shop") => ("", ""),
            None => return Err(Status::not_found(format!("there is no project `{text}`"))),
        };
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

pub struct World {
    pub runs: RunsClient<Channel>,
    pub work: WorkClient<Channel>,
    pub freezes: FreezesClient<Channel>,
    pub log: Arc<dyn Log>,
    pub lifecycle: Lifecycle,
    pub heard: mpsc::UnboundedReceiver<Bell>,
    executor: ExecutorId,
    registration: RegistrationId,
    _service: Service,
}

impl World {
    /// A scheduler over the folder's log, with one executor that has much room and ends what it is told to.
    pub async fn over(folder: &Path) -> Self {
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
        let freezes = FreezesClient::new(Channel::local(service.freezes_server()));
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
        Self { runs, work, freezes, log, lifecycle, heard, executor, registration, _service: service }
    }

    pub async fn start(&self, policy: &str) -> StartRunReply {
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

    pub async fn show(&self, run: &str) -> Run {
        self.runs.clone().get_run(GetRunRequest { run: run.to_owned() }).await.unwrap().into_inner()
    }

    /// Waits until a run has a status.
    pub async fn wait(&self, run: &str, status: &str) -> Run {
        for _ in 0..2_000 {
            let shown = self.show(run).await;
            if shown.status == status {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {status}: {:#?}", self.show(run).await);
    }

    pub async fn abort(&self, run: &str) {
        let request = AbortRunRequest { run: run.to_owned(), ..AbortRunRequest::default() };
        self.runs.clone().abort_run(request).await.unwrap();
    }

    /// The next work that the executor is told of for a run's node.
    pub async fn assigned(&mut self, run: &str, node: u32) -> Assignment {
        loop {
            match self.heard.recv().await.unwrap() {
                Bell::Assign(work) if work.run == run && work.node == node => return work,
                _ => {}
            }
        }
    }

    pub async fn end(&self, work: &Assignment, outcome: &Outcome) {
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

    pub async fn listed(&self, status: &str) -> Vec<String> {
        let request = ListRunsRequest { status: status.to_owned(), ..ListRunsRequest::default() };
        let reply = self.runs.clone().list_runs(request).await.unwrap().into_inner();
        reply.runs.into_iter().map(|run| run.id).collect()
    }
}

pub fn well() -> Outcome {
    Outcome::Succeeded { outputs: serde_json::Map::new(), effects: Vec::new() }
}
