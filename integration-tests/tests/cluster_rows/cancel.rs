//! E-10, with real processes: runs are aborted at any time of their lives, with NATS gone too, and with the executor that
//! has their work dead.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use rand::RngExt;
use serde_json::json;
use shipway_contracts::v1::{
    AbortRunRequest, ReadEventsRequest, events_client::EventsClient, runs_client::RunsClient,
};
use shipway_integration_tests::{
    cluster::Shape,
    git::Repository,
    sink::What,
    workload::{self, patiently},
};
use tokio::task::JoinHandle;

use crate::given::{Given, full, judged, sized};

/// What a run has at once: something that is done at once, a request that nobody answers, a retry far away, a gate, and
/// processes that would not end by themselves, one of them away from its parent; and what is done in any case.
const STEPS: &str = "
                - kind: Workflow
                  ref: all
                  spec:
                    type: parallel
                    steps:
                      - {kind: Message, ref: sent, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/effect/${args.N}-sent\", message: it}}}
                      - {kind: Message, ref: held, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/hold/${args.N}-held\", message: it}}}
                      - {kind: Message, ref: again, retry: {maxAttempts: 3, delay: 3600}, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/later/${args.N}-again\", message: it}}}
                      - {kind: Approval, ref: gate, spec: {amount: 1}}
                      - {kind: JobRun, ref: process, condition: success, spec: {jobId: @JOB@, runtimeEnvironment: {RUN_OF_TEST: \"${args.SINK}/${args.N}\"}}}
                - {kind: Message, ref: always, when: always, retry: {maxAttempts: 20, delay: 1}, spec: {kind: RAW_WEBHOOK, spec: {webhookUrl: \"${args.SINK}/effect/${args.N}-always\", message: it}}}
";

/// What the job runs.
const PROCESSES: &str = "sh -c '(setsid sleep 3600 &) ; sleep 3600'";

/// What has to have ended, whoever is dead.
const BOUND: Duration = Duration::from_secs(30);

/// When a process is gone that an executor was told to end, and that one has to hear of with its next beat.
const TOLD: Duration = Duration::from_secs(2);
const ASKED: Duration = Duration::from_secs(12);

/// How long ago the dead executor was heard of last, in the test of every day: nobody waits any longer for what it was
/// told to stop.
const DEAD: Duration = Duration::from_secs(60);

/// How long anything may take that is only waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The policies of the two flows: in one of them most runs wait.
const POLICIES: [&str; 2] = ["allow", "queue"];

fn project(policy: &str, repository: &Repository) -> String {
    let repository = repository.bare().display();
    let steps = STEPS.replace("@JOB@", &format!("cancel-{policy}-job"));
    format!(
        "kind: Project
spec: {{name: cancel-{policy}, region: local}}
---
kind: BuildService
ref: builder
spec:
  name: cancel-{policy}-build
  projectId: cancel-{policy}
  vcsData: {{projectUrl: \"file://{repository}\", projectType: self-hosted}}
  buildSettings: {{command: {{run: \"true\", include: [it]}}}}
---
kind: ManualJob
spec:
  name: cancel-{policy}-job
  projectId: cancel-{policy}
  backoffLimit: 0
  deployment:
    internal: {{id: cancel-{policy}-build, branch: main}}
    docker: {{configType: customCommand, customCommand: \"{PROCESSES}\"}}
---
kind: Pipeline
spec:
  name: cancel-{policy}
  projectId: cancel-{policy}
  stages:
    - name: Build
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps: [{{kind: Build, ref: build, condition: success, spec: {{id: cancel-{policy}-build, type: service, branch: main}}}}]
    - name: Work
      nfObjects: [{{id: cancel-{policy}-job, type: job}}]
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {{SINK: \"\", N: \"\"}}
          options: {{concurrencyPolicy: {policy}}}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:{steps}    - name: Rest"
    )
}

/// The processes of runs, looked for again and again on the whole machine.
struct Processes {
    sink: String,
    /// When a run had one last.
    seen: Arc<Mutex<BTreeMap<usize, Instant>>>,
    watch: JoinHandle<()>,
}

impl Processes {
    fn watch(sink: String) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let (of, known) = (sink.clone(), seen.clone());
        let watch = tokio::spawn(async move {
            loop {
                let looked = Instant::now();
                known.lock().unwrap().extend(alive(&of).into_iter().map(|number| (number, looked)));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { sink, seen, watch }
    }

    fn seen(&self, number: usize) -> Option<Instant> {
        self.seen.lock().unwrap().get(&number).copied()
    }

    /// Waits until a run has one.
    async fn begun(&self, number: usize) {
        self.wait("has no process", || self.seen(number).is_some(), number).await;
    }

    /// Waits until a run has none.
    async fn gone(&self, number: usize) {
        self.wait("has a process", || !self.any(number), number).await;
    }

    async fn wait(&self, what: &str, holds: impl Fn() -> bool, number: usize) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < PATIENCE, "run {number} {what} after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a run has one at this moment.
    fn any(&self, number: usize) -> bool {
        alive(&self.sink).contains(&number)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// The numbers of the runs that have a process: each has it in its environment.
fn alive(sink: &str) -> BTreeSet<usize> {
    let mark = format!("RUN_OF_TEST={sink}/");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    // One may end while it is looked at.
    let number = |process: fs::DirEntry| {
        let environment = fs::read(process.path().join("environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        environment.split('\0').find_map(|variable| variable.strip_prefix(&mark)?.parse().ok())
    };
    processes.filter_map(number).collect()
}

/// What has become of a run: the types of its events, how often each.
async fn history(given: &Given, run: &str) -> BTreeMap<String, usize> {
    let events = EventsClient::new(given.cluster.channel().unwrap());
    let mut read = patiently(|| {
        let request = ReadEventsRequest { stream: format!("run-{run}"), ..ReadEventsRequest::default() };
        let mut events = events.clone();
        async move { events.read_events(request).await }
    })
    .await
    .unwrap();
    let mut types = BTreeMap::new();
    while let Some(event) = read.message().await.unwrap() {
        *types.entry(event.r#type).or_default() += 1;
    }
    types
}

/// A run that was aborted.
struct Aborted {
    number: usize,
    run: String,
    /// How long its end took, from the moment at which somebody asked for it.
    took: Duration,
    /// How long its processes were there from then on; none if it had none.
    dead: Option<Duration>,
    /// Whether one of them was there when the run had ended.
    left: bool,
}

/// When a run is aborted.
#[derive(Clone, Copy)]
enum When {
    /// So long after it was asked for.
    After(Duration),
    /// When it has processes, and then so long after.
    Works(Duration),
}

/// Starts a run; its id.
async fn start(given: &Given, number: usize, policy: &str) -> String {
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let arguments = json!({ "SINK": given.sink.url(), "N": number.to_string() });
    workload::start(&runs, &format!("cancel-{policy}/work"), "", &arguments).await.unwrap().run
}

/// A run that is aborted at a moment of its life.
async fn aborted(given: &Given, processes: &Processes, number: usize, when: When) -> Aborted {
    let policy = match when {
        When::After(_) => POLICIES[number % POLICIES.len()],
        // In the other flow it would wait for whatever is before it.
        When::Works(_) => POLICIES[0],
    };
    let run = start(given, number, policy).await;
    let after = match when {
        When::After(time) => time,
        When::Works(time) => {
            processes.begun(number).await;
            time
        }
    };
    tokio::time::sleep(after).await;
    abort(given, processes, number, run).await
}

/// Aborts a run and waits for its end.
async fn abort(given: &Given, processes: &Processes, number: usize, run: String) -> Aborted {
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let asked = Instant::now();
    patiently(|| {
        let request = AbortRunRequest { run: run.clone(), ..AbortRunRequest::default() };
        let mut runs = runs.clone();
        async move { runs.abort_run(request).await }
    })
    .await
    .unwrap();
    assert_eq!(workload::end(&runs, &run).await.unwrap().status, "aborted");
    let (took, left) = (asked.elapsed(), processes.any(number));
    let dead = processes.seen(number).map(|last| last.saturating_duration_since(asked));
    Aborted { number, run, took, dead, left }
}

/// Of these runs: how many had processes, how many of those have outlived their run, and the longest that one of them
/// took to die and a run to end.
fn figures(all: &[Aborted]) -> (usize, usize, Duration, Duration) {
    let died: Vec<_> = all.iter().filter_map(|one| one.dead).collect();
    (
        died.len(),
        all.iter().filter(|one| one.left).count(),
        died.into_iter().max().unwrap_or_default(),
        all.iter().map(|one| one.took).max().unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_10_runs_that_are_aborted_at_any_time_end_once() {
    // Each run has a process: more of them at once than the machine has cores.
    let slots = ("SHIPWAY_EXECUTOR__HEAVY_SLOTS".to_owned(), "16".to_owned());
    let shape = Shape { services: [1, 1, 2, 2, 1], settings: vec![slots], ..Shape::default() };
    let mut given = Given::new("e10", shape);
    let repository = Repository::create(&given.cluster.folder().join("git"), "app").unwrap();
    repository.write("it", "it").unwrap();
    repository.commit("it").unwrap();
    repository.push().unwrap();
    for policy in POLICIES {
        given.cluster.apply(&project(policy, &repository)).unwrap();
        let runs = RunsClient::new(given.cluster.channel().unwrap());
        let build =
            workload::start(&runs, &format!("cancel-{policy}/build"), "", &json!({})).await.unwrap().run;
        assert_eq!(workload::end(&runs, &build).await.unwrap().status, "success");
    }
    let processes = Processes::watch(given.sink.url());
    let next = at_any_time(&given, &processes).await;
    let next = without_nats(&mut given, &processes, next).await;
    with_the_executor_dead(&mut given, &processes, next).await;
    given.cluster.verify().unwrap();
}

/// Aborts runs at any time of their lives; the number of the next.
async fn at_any_time(given: &Given, processes: &Processes) -> usize {
    let count = sized(24, 1_000);
    let when = |number: usize| {
        let time = Duration::from_millis(rand::rng().random_range(0..1_500));
        // However slow the machine is, some of them have processes by then.
        if number.is_multiple_of(4) { When::Works(time / 4) } else { When::After(time) }
    };
    let cases: Vec<_> = (1..=count).map(|number| (number, when(number))).collect();
    let ended: Vec<_> = stream::iter(cases)
        .map(|(number, when)| aborted(given, processes, number, when))
        .buffer_unordered(12)
        .collect()
        .await;
    let mut met = BTreeMap::<&str, usize>::new();
    let ledger = given.sink.ledger().unwrap();
    for Aborted { number, run, dead, .. } in &ended {
        let types = history(given, run).await;
        assert_eq!((types["run.ended"], types["run.aborting"]), (1, 1), "{run}: {types:#?}");
        let begun = types.contains_key("run.attempt_requested");
        let at = |target: &str| {
            let target = format!("{number}-{target}");
            ledger.iter().filter(|entry| entry.target == target && entry.what == What::Effect).count()
        };
        // What is done in any case is done once, and only where anything was.
        assert!(at("always") == usize::from(begun), "{run}, begun: {begun}: {types:#?}");
        let moments = [
            ("queued", !begun),
            ("gate", types.contains_key("run.approval_requested")),
            ("retry_wait", types.contains_key("run.retry_scheduled")),
            ("running", types.contains_key("run.node_aborted")),
            ("process", dead.is_some()),
        ];
        for (moment, _) in moments.into_iter().filter(|(_, met)| *met) {
            *met.entry(moment).or_default() += 1;
        }
    }
    let (with, left, dead, slowest) = figures(&ended);
    println!(
        "ROW E-10 real runs={count} ends={count} twice=0 met={met:?} processes={with} outlived={left} \
         dead_after={dead:?} ended_after={slowest:?}"
    );
    assert_eq!(met.len(), 5, "an abort never met one of the moments: {met:?}");
    assert_eq!(left, 0, "a process has outlived its run");
    assert!(!judged() || dead <= TOLD, "a process has ended only after {dead:?}");
    count + 1
}

/// The same with NATS gone: executors hear of it with their beats alone.
async fn without_nats(given: &mut Given, processes: &Processes, first: usize) -> usize {
    given.cluster.process("nats-1").kill().unwrap();
    let count = sized(8, 100);
    let when = || When::Works(Duration::from_millis(rand::rng().random_range(0..500)));
    let cases: Vec<_> = (first..first + count).map(|number| (number, when())).collect();
    let ended: Vec<_> = stream::iter(cases)
        .map(|(number, when)| aborted(given, processes, number, when))
        .buffer_unordered(8)
        .collect()
        .await;
    let (with, left, dead, slowest) = figures(&ended);
    println!(
        "ROW E-10 without_nats runs={count} processes={with} outlived={left} dead_after={dead:?} ended_after={slowest:?}"
    );
    assert_eq!((with, left), (count, 0), "a process has outlived its run");
    assert!(!judged() || dead <= ASKED, "a process has ended only after {dead:?}");
    given.cluster.process("nats-1").start().unwrap();
    first + count
}

/// The same with whoever has the work dead: nobody confirms that it was stopped.
async fn with_the_executor_dead(given: &mut Given, processes: &Processes, first: usize) {
    let mut waiting = Vec::new();
    for number in first..first + 8 {
        waiting.push((number, start(given, number, POLICIES[0]).await));
    }
    for (number, _) in &waiting {
        processes.begun(*number).await;
    }
    let all_held = |ledger: &[shipway_integration_tests::sink::Entry]| {
        let is_held = |number: &usize| ledger.iter().any(|entry| entry.target == format!("{number}-held"));
        waiting.iter().all(|(number, _)| is_held(number)).then_some(())
    };
    given.sink.wait("the requests that nobody answers", PATIENCE, all_held).unwrap();
    let dead = given.cluster.executor_id("executor-2").unwrap();
    let mut theirs = 0;
    for (_, run) in &waiting {
        let requests =
            given.cluster.shipway(&["events", "--stream", &format!("run-{run}"), "-o", "json"]).unwrap();
        theirs += usize::from(requests.contains(&dead));
    }
    assert!(theirs > 0, "none of the runs has work with executor-2");
    given.cluster.process("executor-2").kill().unwrap();
    if !full() {
        given.cluster.age_executor("executor-2", DEAD).unwrap();
    }
    let count = waiting.len();
    let ends = waiting.into_iter().map(|(number, run)| abort(given, processes, number, run));
    let ended = futures::future::join_all(ends).await;
    let (_, left, _, slowest) = figures(&ended);
    // Whose executor is dead ends by its own lease, which nobody has aged.
    for one in &ended {
        processes.gone(one.number).await;
    }
    println!("ROW E-10 executor_dead runs={count} of_it={theirs} outlived={left} slowest={slowest:?}");
    assert!(!full() || left == 0, "a process has outlived its run");
    assert!(!judged() || slowest < BOUND, "what ran has ended only after {slowest:?}");
}
