//! Runs of diagnostic nodes over a real log: started, given to an executor, completed, watched, found again.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shipway_contracts::{
    Channel,
    v1::{
        AbortRunRequest, BeatRequest, CompleteRequest, Held, ListRunsRequest, RegisterRequest, Run,
        StartRunRequest, WatchRunRequest, runs_client::RunsClient, work_client::WorkClient,
    },
};
use shipway_eventing::{Expected, Feed, Item, Log, SqliteLog, SqliteOptions, Views};
use shipway_events::{Actor, Cause, CommandId, ExecutorId, Meta, NewEvent, RegistrationId, StreamName};
use shipway_nodes::Outcome;
use shipway_scheduler::{Bell, Deps, Service};
use shipway_service_kit::Lifecycle;
use tokio::sync::mpsc;
use uuid::Uuid;

struct World {
    service: Service,
    log: Arc<dyn Log>,
    runs: RunsClient<Channel>,
    work: WorkClient<Channel>,
    lifecycle: Lifecycle,
    executor: ExecutorId,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions::default()).await.unwrap();
    let durable = log.durable().await.unwrap();
    let log: Arc<dyn Log> = Arc::new(log);
    let views = Views::open(&folder.path().join("views.db"), &*log).await.unwrap();
    let (lifecycle, _failures) = Lifecycle::new();
    let nobody = Channel::local(tonic::service::Routes::default());
    let deps = Deps {
        feed: Feed::new(log.clone()),
        views,
        durable,
        projects: nobody.clone(),
        executors: Some(nobody),
        data: None,
        together: None,
        bells: None,
        lifecycle: lifecycle.clone(),
    };
    let service = Service::start(deps).await.unwrap();
    let runs = RunsClient::new(Channel::local(service.runs_server())).max_decoding_message_size(64 << 20);
    let work = WorkClient::new(Channel::local(service.work_server())).max_decoding_message_size(64 << 20);
    World { service, log, runs, work, lifecycle, executor: ExecutorId::new(Uuid::now_v7()), _folder: folder }
}

impl World {
    /// An executor that does what it is told at once.
    async fn executor(&self) -> RegistrationId {
        let registration = RegistrationId::new(Uuid::now_v7());
        let (bell, mut heard) = mpsc::unbounded_channel();
        self.service.attach(self.executor, bell);
        self.register(registration).await;
        let (work, executor) = (self.work.clone(), self.executor);
        tokio::spawn(async move {
            while let Some(bell) = heard.recv().await {
                let Bell::Assign(assignment) = bell else { continue };
                tokio::spawn(finish(work.clone(), executor, registration, assignment));
            }
        });
        registration
    }

    async fn register(&self, registration: RegistrationId) {
        let request = RegisterRequest {
            executor: self.executor.to_string(),
            registration: registration.to_string(),
            light_slots: 256,
            heavy_slots: 2,
            ..RegisterRequest::default()
        };
        self.work.clone().register(request).await.unwrap();
    }

    /// Writes to a run as a newer Shipway beside this one would.
    async fn written_by_a_newer(&self, run: &str, kind: &'static str) {
        let meta = Meta { actor: Actor::System("newer".to_owned()), cause: Cause::Clock, trace: None };
        let event = NewEvent { kind, schema: 1, data: "{}".to_owned() };
        let (command, stream) = (CommandId::new(Uuid::now_v7()), stream_of(run));
        self.log.append(Item::one(command, meta, stream, Expected::Any, vec![event])).await.unwrap();
    }

    async fn abort(&self, run: &str) -> Result<(), tonic::Status> {
        let request = AbortRunRequest {
            run: run.to_owned(),
            reason: "enough".to_owned(),
            ..AbortRunRequest::default()
        };
        self.runs.clone().abort_run(request).await.map(drop)
    }

    async fn start(&self, kind: &str, nodes: usize) -> String {
        start(self.runs.clone(), kind, nodes).await
    }
}

fn stream_of(run: &str) -> StreamName {
    StreamName::run(run.parse().unwrap())
}

async fn start(mut runs: RunsClient<Channel>, kind: &str, nodes: usize) -> String {
    let steps: Vec<_> =
        (0..nodes).map(|n| serde_json::json!({"kind": "Noop", "ref": format!("n{n}"), "spec": {}})).collect();
    let document = serde_json::json!({"apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": kind, "steps": steps}}});
    let request = StartRunRequest {
        command: Uuid::now_v7().to_string(),
        document_json: document.to_string(),
        ..StartRunRequest::default()
    };
    let reply = runs.start_run(request).await.unwrap().into_inner();
    assert!(reply.problems.is_empty(), "{:?}", reply.problems);
    reply.run
}

async fn ended(mut runs: RunsClient<Channel>, run: &str) -> Run {
    let mut watch = runs.watch_run(WatchRunRequest { run: run.to_owned() }).await.unwrap().into_inner();
    while let Some(run) = watch.message().await.unwrap() {
        if run.concluded {
            return run;
        }
    }
    panic!("the watch ended before the run");
}

async fn finish(
    mut work: WorkClient<Channel>,
    executor: ExecutorId,
    registration: RegistrationId,
    assignment: shipway_contracts::v1::Assignment,
) {
    let mut next = vec![assignment];
    while let Some(assignment) = next.pop() {
        let outcome = Outcome::Succeeded { outputs: serde_json::Map::new(), effects: Vec::new() };
        let request = CompleteRequest {
            run: assignment.run,
            node: assignment.node,
            fence: assignment.fence,
            outcome_json: serde_json::to_string(&outcome).unwrap(),
            executor: executor.to_string(),
            registration: registration.to_string(),
        };
        next.extend(work.complete(request).await.unwrap().into_inner().next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_nodes_in_sequence_and_side_by_side_ends() {
    let world = world().await;
    world.executor().await;
    for (kind, nodes) in [("sequential", 10), ("parallel", 1000)] {
        let run = world.start(kind, nodes).await;
        let run = ended(world.runs.clone(), &run).await;
        assert_eq!(run.status, "success");
        assert_eq!(run.nodes.len(), nodes + 1);
        assert!(run.nodes.iter().all(|node| node.status == "success"));
    }
    let listed = world.runs.clone().list_runs(ListRunsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.runs.len(), 2);
    world.lifecycle.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_an_earlier_start_is_asked_for_again() {
    let world = world().await;
    let (bell, mut heard) = mpsc::unbounded_channel();
    world.service.attach(world.executor, bell);
    world.register(RegistrationId::new(Uuid::now_v7())).await;
    let run = world.start("sequential", 2).await;
    let Some(Bell::Assign(first)) = heard.recv().await else { panic!("no work") };
    let registration = world.executor().await;
    let run = ended(world.runs.clone(), &run).await;
    assert_eq!(run.status, "success");
    assert_eq!(run.nodes[1].attempt, 1, "a lost attempt is no failed one");
    let late = CompleteRequest {
        run: run.id.clone(),
        node: first.node,
        fence: first.fence,
        outcome_json: serde_json::to_string(&Outcome::Stopped).unwrap(),
        executor: world.executor.to_string(),
        registration: registration.to_string(),
    };
    world.work.clone().complete(late).await.unwrap();
    assert_eq!(ended(world.runs.clone(), &run.id).await.status, "success", "a late word changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_room_waits_and_can_be_stopped() {
    let world = world().await;
    let run = world.start("sequential", 1).await;
    let request =
        AbortRunRequest { run: run.clone(), reason: "not today".to_owned(), ..AbortRunRequest::default() };
    world.runs.clone().abort_run(request).await.unwrap();
    let run = ended(world.runs.clone(), &run).await;
    assert_eq!((run.status.as_str(), run.reason.as_str()), ("aborted", "not today"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_shipway_wrote_is_passed_over_if_it_is_a_note_and_else_stops_its_run_alone() {
    let world = world().await;
    let (noted, forked, other) = (
        world.start("sequential", 1).await,
        world.start("sequential", 1).await,
        world.start("sequential", 1).await,
    );
    world.written_by_a_newer(&noted, "run.noted_weather").await;
    world.abort(&noted).await.unwrap();
    assert_eq!(ended(world.runs.clone(), &noted).await.status, "aborted");

    world.written_by_a_newer(&forked, "run.forked").await;
    let before = world.log.read_stream(&stream_of(&forked), 0, 100).await.unwrap();
    for _ in 0..2 {
        // It may be asked again, of a newer one.
        assert_eq!(world.abort(&forked).await.unwrap_err().code(), tonic::Code::Unavailable);
    }
    let why = world.abort(&forked).await.unwrap_err();
    assert!(why.message().contains("newer Shipway"), "{why}");
    world.abort(&other).await.unwrap();
    assert_eq!(ended(world.runs.clone(), &other).await.status, "aborted");
    assert_eq!(world.log.read_stream(&stream_of(&forked), 0, 100).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_brings_what_the_bell_did_not() {
    let world = world().await;
    let registration = RegistrationId::new(Uuid::now_v7());
    world.register(registration).await;
    let run = world.start("sequential", 1).await;
    let beat = BeatRequest {
        executor: world.executor.to_string(),
        registration: registration.to_string(),
        held: vec![Held { fence: 77, ..Held::default() }],
        ..BeatRequest::default()
    };
    let reply = world.work.clone().beat(beat).await.unwrap().into_inner();
    assert!(reply.known);
    assert_eq!(reply.stop, [77], "what is nobody's is stopped");
    let [assignment] = reply.hold.try_into().unwrap();
    finish(world.work.clone(), world.executor, registration, assignment).await;
    assert_eq!(ended(world.runs.clone(), &run).await.status, "success");
}

/// Nobody may ever have told the executor of what is to stop: whoever had given it the work died before that.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_aborted_before_its_executor_heard_of_its_work_ends() {
    let world = world().await;
    let registration = RegistrationId::new(Uuid::now_v7());
    world.register(registration).await;
    let run = world.start("sequential", 1).await;
    world.abort(&run).await.unwrap();
    let beat = BeatRequest {
        executor: world.executor.to_string(),
        registration: registration.to_string(),
        ..BeatRequest::default()
    };
    let reply = world.work.clone().beat(beat.clone()).await.unwrap().into_inner();
    assert!(reply.hold.is_empty() && reply.stop.is_empty(), "{reply:?}");
    let [assignment] = reply.end.try_into().unwrap();
    let held = Held { fence: assignment.fence, run: run.clone(), ..Held::default() };
    let reply = world.work.clone().beat(BeatRequest { held: vec![held], ..beat.clone() }).await.unwrap();
    assert!(reply.get_ref().end.is_empty(), "what is held is stopped as ever");
    let stopped = CompleteRequest {
        run: run.clone(),
        node: assignment.node,
        fence: assignment.fence,
        outcome_json: serde_json::to_string(&Outcome::Stopped).unwrap(),
        executor: world.executor.to_string(),
        registration: registration.to_string(),
    };
    world.work.clone().complete(stopped).await.unwrap();
    assert_eq!(ended(world.runs.clone(), &run).await.status, "aborted");
    let reply = world.work.clone().beat(beat).await.unwrap().into_inner();
    assert!(reply.end.is_empty(), "{reply:?}");
}

/// Prints what a node costs here; judged by `scripts/bench`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints times; run it by name"]
async fn cost_of_a_node() {
    let world = world().await;
    world.executor().await;
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        let run = world.start("sequential", 10).await;
        ended(world.runs.clone(), &run).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("W1 per node p50 {:?} p99 {:?}", times[100] / 10, times[198] / 10);
    let start = Instant::now();
    let all: Vec<_> = (0..100)
        .map(|_| {
            let runs = world.runs.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let run = self::start(runs.clone(), "sequential", 10).await;
                    ended(runs.clone(), &run).await;
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    println!("W2 nodes/s {:.0}", 10_000.0 / start.elapsed().as_secs_f64());
    for nodes in [100, 1000] {
        let start = Instant::now();
        let run = world.start("parallel", nodes).await;
        ended(world.runs.clone(), &run).await;
        println!("W3 {nodes} {:?}", start.elapsed());
    }
}
