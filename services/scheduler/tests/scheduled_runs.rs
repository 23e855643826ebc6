//! From a tick of a schedule, or a delivery, to its run, over a real log.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{sync::Arc, time::Duration};

use serde_json::json;
use shipway_contracts::{
    Channel,
    v1::{
        self,
        project_home_server::{ProjectHome, ProjectHomeServer},
        runs_client::RunsClient,
    },
};
use shipway_eventing::{Expected, Feed, Item, Log, SqliteLog, SqliteOptions, Views};
use shipway_events::{
    Actor, Cause, CommandId, DeliveryId, FlowId, Meta, ProjectId, RunId, RunStatus, StreamEvent as _,
    StreamName, Timestamp,
    delivery::{self, Matched, Verdict},
    run::{self, Origin, Started},
    schedule::{Event, Ticked},
};
use shipway_scheduler::{Deps, Service};
use shipway_service_kit::Lifecycle;
use tonic::{Request, Response, Status};
use uuid::Uuid;

const FLOW: &str = "0190aaaa-0000-7000-8000-000000000002";

/// Knows one flow, which has a schedule and does nothing; or which asks for what no run has.
struct Home {
    broken: bool,
}

#[tonic::async_trait]
impl ProjectHome for Home {
    async fn flow_for_run(
        &self,
        _: Request<v1::FlowForRunRequest>,
    ) -> Result<Response<v1::FlowForRunReply>, Status> {
        let outputs = if self.broken { json!({"a": "${triggers.nightly.nothing}"}) } else { json!({}) };
        let document = json!({
            "apiVersion": "v1.2",
            "triggers": [{"kind": "cron", "ref": "nightly", "spec": {"cron": "0 2 * * *"}}],
            "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [
                {"kind": "Noop", "ref": "only", "spec": {"outputs": outputs}}]}},
        });
        Ok(Response::new(v1::FlowForRunReply {
            project: ProjectId::new(Uuid::from_u128(1)).to_string(),
            flow: FLOW.to_owned(),
            path: "shop/development".to_owned(),
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

async fn tick(log: &dyn Log, at: &str) -> Ticked {
    let flow: FlowId = FLOW.parse().unwrap();
    let ticked = Ticked {
        flow,
        path: "shop/development".to_owned(),
        trigger: "nightly".to_owned(),
        scheduled_at: at.parse::<Timestamp>().unwrap(),
        summary: format!("due at {at} by `0 2 * * *` (UTC)"),
    };
    let meta = Meta { actor: Actor::System("schedule".to_owned()), cause: Cause::Clock, trace: None };
    let (command, stream) = (CommandId::new(Uuid::now_v7()), StreamName::schedule(flow));
    let event = Event::from(ticked.clone()).encode();
    log.append(Item::one(command, meta, stream, Expected::Any, vec![event])).await.unwrap();
    ticked
}

/// Every run that was started.
async fn started(log: &dyn Log) -> Vec<(Started, Meta)> {
    let events = log.read(0, 10_000).await.unwrap();
    let starts = events.iter().filter(|raw| raw.kind == "run.started");
    starts
        .map(|raw| match run::Event::from_raw(raw).unwrap() {
            shipway_events::Recorded { event: run::Event::Started(started), meta, .. } => (started, meta),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A scheduler on a log of its own.
async fn scheduler(folder: &std::path::Path, home: Home) -> (Arc<dyn Log>, Lifecycle, Service) {
    let log = SqliteLog::open(&folder.join("log.db"), SqliteOptions::default()).await.unwrap();
    let durable = log.durable().await.unwrap();
    let log: Arc<dyn Log> = Arc::new(log);
    let views = Views::open(&folder.join("views.db"), &*log).await.unwrap();
    let (lifecycle, _failures) = Lifecycle::new();
    let deps = Deps {
        feed: Feed::new(log.clone()),
        views,
        durable,
        projects: Channel::local(ProjectHomeServer::new(home)),
        executors: Some(Channel::local(tonic::service::Routes::default())),
        data: None,
        together: None,
        bells: None,
        lifecycle: lifecycle.clone(),
    };
    let service = Service::start(deps).await.unwrap();
    (log, lifecycle, service)
}

#[tokio::test]
async fn a_tick_starts_one_run_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let (log, lifecycle, _service) = scheduler(folder.path(), Home { broken: false }).await;

    // The same tick twice, as two who look at the clock would tell of it if the log let them, and the next.
    let first = tick(&*log, "2030-01-02T02:00:00Z").await;
    tick(&*log, "2030-01-02T02:00:00Z").await;
    let next = tick(&*log, "2030-01-03T02:00:00Z").await;
    let mut all = Vec::new();
    for _ in 0..1_000 {
        all = started(&*log).await;
        if all.iter().any(|(started, _)| started.run == next.run()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let [(one, meta), (other, _)] = &all[..] else { panic!("{all:#?}") };
    assert_eq!((one.run, other.run), (first.run(), next.run()));
    assert_eq!(one.origin, Origin::Schedule);
    assert_eq!(one.plan.triggers["nightly"], json!({"scheduledAt": "2030-01-02T02:00:00Z"}));
    assert_eq!(one.description, "due at 2030-01-02T02:00:00Z by `0 2 * * *` (UTC)");
    assert_eq!(one.name, first.run_name());
    assert_eq!(meta.actor, Actor::System("schedule".to_owned()));
    assert!(lifecycle.stop(Duration::from_secs(5)).await);
}

/// A delivery that matched the flow.
async fn matched(log: &dyn Log) -> RunId {
    matched_by(log, DeliveryId::new(Uuid::now_v7())).await
}

async fn matched_by(log: &dyn Log, delivery: DeliveryId) -> RunId {
    let verdict = Verdict {
        project: ProjectId::new(Uuid::from_u128(1)),
        flow: FLOW.parse().unwrap(),
        path: "shop/development".to_owned(),
        trigger: "hook".to_owned(),
        matched: true,
        reason: String::new(),
        rules: Vec::new(),
        part: 0,
        held: None,
        origin: Origin::Webhook,
        values: serde_json::Map::new(),
        triggers: serde_json::Map::new(),
        arguments: serde_json::Map::new(),
        name: Some("my-run".to_owned()),
        description: None,
        sender: None,
    };
    let run = verdict.run(delivery).unwrap();
    let event = Matched {
        delivery,
        hook: None,
        body: String::new(),
        summary: "request to shop/development".to_owned(),
        verdicts: vec![verdict],
    };
    let meta = Meta { actor: Actor::System("hook".to_owned()), cause: Cause::Request, trace: None };
    let (command, stream) = (CommandId::new(Uuid::now_v7()), StreamName::delivery(delivery));
    let event = delivery::Event::from(event).encode();
    log.append(Item::one(command, meta, stream, Expected::New, vec![event])).await.unwrap();
    run
}

/// Whoever was told a run's id finds it, though its flow is not right: it has failed, and says why.
#[tokio::test]
async fn a_run_that_cannot_be_started_has_failed_before_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let (log, lifecycle, _service) = scheduler(folder.path(), Home { broken: true }).await;
    let runs = [tick(&*log, "2030-01-02T02:00:00Z").await.run(), matched(&*log).await];
    for run in runs {
        let mut events = Vec::new();
        for _ in 0..1_000 {
            events = log.read_stream(&StreamName::run(run), 0, 10).await.unwrap();
            if !events.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let [run::Event::Started(started), run::Event::Ended(ended)] =
            &events.iter().map(|raw| run::Event::from_raw(raw).unwrap().event).collect::<Vec<_>>()[..]
        else {
            panic!("{events:#?}")
        };
        assert_eq!((started.path.as_str(), started.run), ("shop/development", run));
        assert_eq!(ended.status, RunStatus::Failure);
        let reason = ended.reason.as_deref().unwrap_or_default();
        assert!(reason.starts_with("it could not be started: ") && reason.contains("nothing"), "{reason}");
        let state = shipway_engine::RunState::fold(&events, 0).unwrap();
        assert_eq!(state.status(), RunStatus::Failure);
    }
    assert!(lifecycle.stop(Duration::from_secs(5)).await);
}

/// The answer to a webhook names its runs; who asks at once is not told that there is no such run.
#[tokio::test]
async fn a_run_that_was_promised_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (log, lifecycle, service) = scheduler(folder.path(), Home { broken: false }).await;
    let mut runs = RunsClient::new(Channel::local(service.runs_server()));
    let delivery = DeliveryId::new(Uuid::now_v7());
    let run = delivery::run_id(delivery, FLOW.parse().unwrap(), "hook");
    // Asked before there is anything of it in the log.
    let mut asking = {
        let mut runs = runs.clone();
        Box::pin(async move { runs.get_run(v1::GetRunRequest { run: run.to_string() }).await })
    };
    let early = tokio::time::timeout(Duration::from_millis(50), &mut asking).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(matched_by(&*log, delivery).await, run);
    assert_eq!(asking.await.unwrap().into_inner().id, run.to_string());

    // An id of long ago is nobody's promise: the answer does not wait.
    let old = Uuid::parse_str("0190aaaa-0000-7000-8000-00000000dead").unwrap();
    let began = tokio::time::Instant::now();
    let refused = runs.get_run(v1::GetRunRequest { run: old.to_string() }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    println!("an id of long ago was refused after {:?}", began.elapsed());
    assert!(lifecycle.stop(Duration::from_secs(5)).await);
}
