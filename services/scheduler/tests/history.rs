//! Runs as they were: after every event and at every time what a naive replay says, page by page of one moment, and two of
//! them side by side.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use shipway_contracts::{
    Channel,
    v1::{
        AbortRunRequest, CompareRunsRequest, CompleteRequest, GetRunRequest, OpenRunReply, OpenRunRequest,
        Page, RegisterRequest, Run, StartRunRequest, WatchRunRequest, history_client::HistoryClient,
        runs_client::RunsClient, work_client::WorkClient,
    },
};
use shipway_engine::RunState;
use shipway_eventing::{Feed, Log, SqliteLog, SqliteOptions, Views};
use shipway_events::{ExecutorId, RawEvent, RegistrationId, StreamName, run::NodeError};
use shipway_nodes::Outcome;
use shipway_scheduler::{Bell, Deps, Service};
use shipway_service_kit::Lifecycle;
use tokio::sync::mpsc;
use uuid::Uuid;

struct World {
    service: Service,
    log: Arc<dyn Log>,
    runs: RunsClient<Channel>,
    history: HistoryClient<Channel>,
    work: WorkClient<Channel>,
    lifecycle: Lifecycle,
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
    let history = HistoryClient::new(Channel::local(service.history_server()));
    let work = WorkClient::new(Channel::local(service.work_server())).max_decoding_message_size(64 << 20);
    World { service, log, runs, history, work, lifecycle, _folder: folder }
}

impl World {
    /// An executor that does what it is told at once; the first attempt at every fifth node fails.
    async fn executor(&self) {
        let (executor, registration) = (ExecutorId::new(Uuid::now_v7()), RegistrationId::new(Uuid::now_v7()));
        let (bell, mut heard) = mpsc::unbounded_channel();
        self.service.attach(executor, bell);
        let request = RegisterRequest {
            executor: executor.to_string(),
            registration: registration.to_string(),
            light_slots: 256,
            heavy_slots: 2,
            ..RegisterRequest::default()
        };
        self.work.clone().register(request).await.unwrap();
        let work = self.work.clone();
        tokio::spawn(async move {
            while let Some(bell) = heard.recv().await {
                let Bell::Assign(assignment) = bell else { continue };
                let mut next = vec![assignment];
                while let Some(assignment) = next.pop() {
                    let fails = assignment.node % 5 == 0 && assignment.attempt == 1;
                    let request = CompleteRequest {
                        run: assignment.run,
                        node: assignment.node,
                        fence: assignment.fence,
                        outcome_json: serde_json::to_string(&outcome(fails)).unwrap(),
                        executor: executor.to_string(),
                        registration: registration.to_string(),
                    };
                    next.extend(work.clone().complete(request).await.unwrap().into_inner().next);
                }
            }
        });
    }

    async fn start(&self, kind: &str, nodes: usize, name: &str) -> String {
        let step = |n| {
            json!({"kind": "Noop", "ref": format!("n{n}"), "spec": {},
                "retry": {"maxAttempts": 2, "backoff": "fixed", "delay": 0}})
        };
        let steps: Vec<Value> = (0..nodes).map(step).collect();
        let document = json!({"apiVersion": "v1.2",
            "spec": {"kind": "Workflow", "spec": {"type": kind, "steps": steps}}});
        let request = StartRunRequest {
            command: Uuid::now_v7().to_string(),
            document_json: document.to_string(),
            name: name.to_owned(),
            ..StartRunRequest::default()
        };
        let reply = self.runs.clone().start_run(request).await.unwrap().into_inner();
        assert!(reply.problems.is_empty(), "{:?}", reply.problems);
        reply.run
    }

    async fn ended(&self, run: &str) -> Run {
        let request = WatchRunRequest { run: run.to_owned() };
        let mut watch = self.runs.clone().watch_run(request).await.unwrap().into_inner();
        while let Some(run) = watch.message().await.unwrap() {
            if run.concluded {
                return run;
            }
        }
        panic!("the watch ended before the run");
    }

    async fn events(&self, run: &str) -> Vec<RawEvent> {
        self.log.read_stream(&StreamName::run(run.parse().unwrap()), 0, 100_000).await.unwrap()
    }

    async fn open(&self, request: OpenRunRequest) -> Result<OpenRunReply, tonic::Status> {
        self.history.clone().open_run(request).await.map(tonic::Response::into_inner)
    }

    async fn after(&self, run: &str, event: u64) -> OpenRunReply {
        let page = Some(Page { limit: 500, ..Page::default() });
        let request = OpenRunRequest { run: run.to_owned(), event, page, ..OpenRunRequest::default() };
        self.open(request).await.unwrap()
    }

    async fn at(&self, run: &str, at: &str) -> Result<OpenRunReply, tonic::Status> {
        let page = Some(Page { limit: 500, ..Page::default() });
        let (run, at) = (run.to_owned(), at.to_owned());
        self.open(OpenRunRequest { run, at, page, ..OpenRunRequest::default() }).await
    }
}

fn outcome(fails: bool) -> Outcome {
    if fails {
        let error =
            NodeError { code: "busy".to_owned(), message: "not the first time".to_owned(), transient: true };
        return Outcome::Failed { error };
    }
    let outputs = serde_json::Map::from_iter([("done".to_owned(), json!(true))]);
    Outcome::Succeeded { outputs, effects: Vec::new() }
}

/// Where each node stands after some events, read off the events without any state: what has not been given to an executor
/// is left out.
fn replay(events: &[RawEvent]) -> BTreeMap<u64, &'static str> {
    let mut nodes = BTreeMap::new();
    for event in events {
        let status = match event.kind.as_str() {
            "run.attempt_requested" => "running",
            "run.node_succeeded" => "success",
            "run.attempt_failed" | "run.retry_scheduled" => "retrying",
            "run.node_failed" => "failure",
            _ => continue,
        };
        let data: Value = serde_json::from_str(&event.data).unwrap();
        nodes.insert(data["node"].as_u64().unwrap(), status);
    }
    nodes
}

/// What is shown is what a naive replay of the same events says, and what the engine's own fold of them says.
fn is_what_replays_say(shown: &OpenRunReply, events: &[RawEvent], all: usize, generation: u32) {
    let run = shown.run.as_ref().unwrap();
    let last = events.last().unwrap();
    assert_eq!(
        (shown.event, run.position, shown.at.clone()),
        (last.version, last.position, last.at.to_string())
    );
    assert_eq!(shown.last, events.len() == all);
    let naive = replay(events);
    let folded = RunState::fold(events, generation).unwrap();
    assert_eq!(run.nodes.len(), folded.nodes().len());
    for node in run.nodes.iter().filter(|node| node.parent >= 0) {
        match naive.get(&u64::from(node.index)) {
            Some(status) => assert_eq!(node.status, *status, "node {} after {}", node.index, events.len()),
            None => assert!(matches!(node.status.as_str(), "pending" | "ready"), "{node:?}"),
        }
    }
    for (node, known) in run.nodes.iter().zip(folded.nodes()) {
        assert_eq!((node.status.as_str(), node.attempt), (known.status.as_str(), known.attempts));
        assert_eq!(node.outputs_json.is_empty(), known.outputs.as_ref().is_none_or(|it| it.is_empty()));
    }
    let concluded = last.kind == "run.ended";
    assert_eq!((run.concluded, run.status.clone()), (concluded, folded.status().to_string()));
    let counted: u32 = shown.counts.iter().map(|count| count.nodes).sum();
    assert_eq!(counted as usize, run.nodes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_500_events_is_shown_after_each_as_a_naive_replay_says() {
    let world = world().await;
    world.executor().await;
    let run = world.start("parallel", 200, "").await;
    assert_eq!(world.ended(&run).await.status, "success");
    let events = world.events(&run).await;
    assert!(events.len() >= 500, "only {} events", events.len());
    // From the front, as somebody steps through it; then here and there, whatever is kept of what was shown before.
    let jumps = (0..100).map(|n| (n * 7_919) % events.len() + 1);
    for event in (1..=events.len()).chain(jumps) {
        let shown = world.after(&run, event as u64).await;
        is_what_replays_say(&shown, &events[..event], events.len(), world.log.generation());
    }
    // At the time of each event: all that was appended with it has happened.
    let mut times: Vec<_> = events.iter().map(|event| event.at).collect();
    times.dedup();
    assert!(times.len() > 10, "only {} times", times.len());
    for at in &times {
        let until = events.partition_point(|event| event.at <= *at);
        let shown = world.at(&run, &at.to_string()).await.unwrap();
        is_what_replays_say(&shown, &events[..until], events.len(), world.log.generation());
    }
    let before = world.at(&run, "2020-01-01T00:00:00Z").await.unwrap_err();
    assert_eq!(before.code(), tonic::Code::NotFound, "{before}");
    let page = Some(Page::default());
    let event = events.len() as u64 + 1;
    let request = OpenRunRequest { run, event, page, ..OpenRunRequest::default() };
    let beyond = world.open(request).await.unwrap_err();
    assert_eq!(beyond.code(), tonic::Code::InvalidArgument, "{beyond}");
    world.lifecycle.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_a_run_are_of_one_moment() {
    let world = world().await;
    let run = world.start("parallel", 120, "").await;
    let mut request = OpenRunRequest {
        run: run.clone(),
        page: Some(Page { limit: 50, ..Page::default() }),
        ..OpenRunRequest::default()
    };
    let first = world.open(request.clone()).await.unwrap();
    assert!(first.last && !first.next.is_empty());
    // It ends before the other pages are asked for.
    let abort = AbortRunRequest {
        run: run.clone(),
        command: Uuid::now_v7().to_string(),
        reason: "enough".to_owned(),
    };
    world.runs.clone().abort_run(abort).await.unwrap();
    assert_eq!(world.ended(&run).await.status, "aborted");
    let mut nodes = first.run.clone().unwrap().nodes;
    let mut next = first.next.clone();
    while !next.is_empty() {
        request.page = Some(Page { after: next, limit: 50 });
        let page = world.open(request.clone()).await.unwrap();
        assert_eq!((page.event, page.counts, page.last), (first.event, first.counts.clone(), false));
        nodes.extend(page.run.unwrap().nodes);
        next = page.next;
    }
    assert!(nodes.iter().map(|node| node.index).eq(0..121));
    assert!(nodes.iter().all(|node| node.status != "aborted"), "a page is of a later moment");

    let now = world.runs.clone().get_run(GetRunRequest { run: run.clone() }).await.unwrap().into_inner();
    let stopped = now.nodes.iter().filter(|node| node.status == "skipped").count();
    let status = "skipped".to_owned();
    let page = Some(Page { limit: 500, ..Page::default() });
    let found = world.open(OpenRunRequest { run, status, page, ..OpenRunRequest::default() }).await.unwrap();
    assert!(stopped > 0);
    assert_eq!(found.run.unwrap().nodes.len(), stopped, "only what is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_are_compared_node_by_node() {
    let world = world().await;
    world.executor().await;
    let left = world.start("sequential", 3, "short").await;
    world.ended(&left).await;
    let right = world.start("sequential", 6, "long").await;
    world.ended(&right).await;
    let request = CompareRunsRequest { left: left.clone(), right: right.clone() };
    let reply = world.history.clone().compare_runs(request).await.unwrap().into_inner();
    assert_eq!((reply.left.unwrap().id, reply.right.unwrap().id), (left, right));
    assert!(reply.given.is_empty(), "{:?}", reply.given);
    assert_eq!(reply.nodes.len(), 7);
    let sides: Vec<_> = reply.nodes.iter().map(|node| (node.left.is_some(), node.right.is_some())).collect();
    assert_eq!(sides, [vec![(true, true); 4], vec![(false, true); 3]].concat());
    let [.., fifth, _] = reply.nodes.as_slice() else { panic!("{:?}", reply.nodes) };
    let fifth = fifth.right.as_ref().unwrap();
    assert_eq!((fifth.status.as_str(), fifth.attempt), ("success", 2), "its second attempt went well");
    assert!(reply.nodes.iter().all(|node| node.differences.is_empty()), "{:?}", reply.nodes);
}
