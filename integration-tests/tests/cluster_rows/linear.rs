//! E-18: what many clients see of runs that they start, abort and look at is what one after the other could have seen,
//! whichever schedulers die meanwhile.
//!
//! A run only goes forward: there is none, it runs, it is aborting, it has ended. So a history is linearizable if nobody
//! who asked after an answer saw less than that answer, nothing has two ends, and nothing is aborted that nobody aborts.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use shipway_contracts::{
    Channel,
    v1::{AbortRunRequest, GetRunRequest, StartRunRequest, runs_client::RunsClient},
};
use shipway_integration_tests::cluster::Shape;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::given::{Given, sized};

/// How many clients there are.
const CLIENTS: usize = 8;
/// How many operations they do together in a history.
const OPERATIONS: usize = 200;
/// Of how many runs.
const RUNS: usize = 12;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    None,
    Running,
    Aborting,
    Ended,
}

/// What an operation learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// The run was there, or further.
    AtLeast(Stage),
    /// It was there exactly; with the status.
    Exactly(Stage, String),
    /// Nothing: there was no answer, and it may have been done at any time since.
    Nothing,
}

/// One operation of a client's.
#[derive(Clone, Debug)]
struct Operation {
    what: &'static str,
    run: Uuid,
    asked: Instant,
    answered: Instant,
    seen: Seen,
}

impl Operation {
    /// The least that was there at some moment between question and answer.
    fn least(&self) -> Stage {
        match self.seen {
            Seen::AtLeast(stage) | Seen::Exactly(stage, _) => stage,
            Seen::Nothing => Stage::None,
        }
    }

    /// The most.
    fn most(&self) -> Stage {
        match self.seen {
            Seen::Exactly(stage, _) => stage,
            Seen::AtLeast(_) | Seen::Nothing => Stage::Ended,
        }
    }

    fn status(&self) -> &str {
        if let Seen::Exactly(_, status) = &self.seen { status } else { "" }
    }
}

/// What cannot have been so, in words.
fn faults(history: &[Operation]) -> Vec<String> {
    let mut of_run = BTreeMap::<Uuid, Vec<&Operation>>::new();
    for operation in history {
        of_run.entry(operation.run).or_default().push(operation);
    }
    of_run.values().flat_map(|operations| faults_of_run(operations)).collect()
}

fn faults_of_run(operations: &[&Operation]) -> Vec<String> {
    let mut faults = Vec::new();
    for earlier in operations {
        for later in operations {
            if earlier.answered < later.asked && later.most() < earlier.least() {
                faults.push(format!("seen less later: {earlier:?} then {later:?}"));
            }
        }
    }
    let mut ends: Vec<&str> = operations
        .iter()
        .filter(|operation| operation.least() == Stage::Ended && !operation.status().is_empty())
        .map(|operation| operation.status())
        .collect();
    ends.sort_unstable();
    ends.dedup();
    if ends.len() > 1 {
        faults.push(format!("two ends: {ends:?} {operations:?}"));
    }
    for seen in operations.iter().filter(|operation| operation.status().starts_with("abort")) {
        let aborts = operations.iter().any(|other| other.what == "abort" && other.asked <= seen.answered);
        if !aborts {
            faults.push(format!("aborted by nobody: {seen:?}"));
        }
    }
    for seen in operations.iter().filter(|operation| operation.least() > Stage::None) {
        let starts = operations.iter().any(|other| other.what == "start" && other.asked <= seen.answered);
        if !starts {
            faults.push(format!("started by nobody: {seen:?}"));
        }
    }
    faults
}

fn exactly(status: &str) -> Seen {
    let stage = match status {
        "aborting" => Stage::Aborting,
        "success" | "failure" | "aborted" | "skipped" => Stage::Ended,
        _ => Stage::Running,
    };
    Seen::Exactly(stage, status.to_owned())
}

/// A refusal says how far the run is; anything else says nothing.
fn refusal(status: &Status) -> Seen {
    match status.code() {
        Code::NotFound => Seen::Exactly(Stage::None, String::new()),
        Code::FailedPrecondition => Seen::Exactly(Stage::Ended, String::new()),
        _ => Seen::Nothing,
    }
}

/// Three nodes one after the other, each of so many milliseconds.
fn document(takes: u32) -> String {
    let step = |n| serde_json::json!({"kind": "Noop", "ref": format!("n{n}"), "spec": {"sleepMs": takes}});
    let steps: Vec<_> = (0..3).map(step).collect();
    serde_json::json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}},
    })
    .to_string()
}

async fn operate(runs: &RunsClient<Channel>, run: Uuid, what: &'static str) -> Operation {
    let mut client = runs.clone();
    let asked = Instant::now();
    let id = run.to_string();
    let doing = async {
        match what {
            "start" => {
                let document_json = document(400);
                let request = StartRunRequest { command: id, document_json, ..StartRunRequest::default() };
                client.start_run(request).await.map(|_| Seen::AtLeast(Stage::Running))
            }
            "abort" => {
                let command = Uuid::now_v7().to_string();
                let request = AbortRunRequest { command, run: id, reason: "asked by a client".to_owned() };
                client.abort_run(request).await.map(|_| Seen::AtLeast(Stage::Aborting))
            }
            _ => {
                let got = client.get_run(GetRunRequest { run: id }).await;
                got.map(|run| exactly(&run.into_inner().status))
            }
        }
    };
    // Whoever was killed does not answer.
    let seen = match tokio::time::timeout(Duration::from_secs(5), doing).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(status)) => refusal(&status),
        Err(_) => Seen::Nothing,
    };
    Operation { what, run, asked, answered: Instant::now(), seen }
}

/// What one client does.
async fn client(runs: RunsClient<Channel>, all: Arc<Vec<Uuid>>, seed: u64) -> Vec<Operation> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut history = Vec::new();
    for n in 0..OPERATIONS / CLIENTS {
        // Some runs are looked at before they begin; by the end all are about.
        let known = (1 + n * RUNS / (OPERATIONS / CLIENTS)).min(RUNS);
        let run = all[random.random_range(0..known)];
        let what = match random.random_range(0..10) {
            0..3 => "start",
            3 => "abort",
            _ => "get",
        };
        history.push(operate(&runs, run, what).await);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
    }
    history
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_18_run_control_is_linearizable() {
    let mut given = Given::new("e18", Shape { services: [1, 1, 3, 1, 1], ..Shape::default() });
    let histories = sized(1, 1_000);
    let seed: u64 = rand::rng().random();
    println!("E-18 seed={seed}");
    let (mut operations, mut unanswered, mut kills) = (0, 0, 0);
    for n in 0..histories {
        let all = Arc::new((0..RUNS).map(|_| Uuid::now_v7()).collect::<Vec<_>>());
        let clients: Vec<_> = (0..CLIENTS as u64)
            .map(|number| {
                let runs = RunsClient::new(given.cluster.channel().unwrap());
                tokio::spawn(client(runs, all.clone(), seed ^ (n << 8) ^ number))
            })
            .collect();
        let mut next = Instant::now() + Duration::from_millis(400);
        while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
            if Instant::now() >= next {
                given.kill_one(&["scheduler"]);
                kills += 1;
                next += Duration::from_millis(1_500);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut history = Vec::new();
        for client in clients {
            history.extend(client.await.unwrap());
        }
        operations += history.len();
        unanswered += history.iter().filter(|operation| operation.seen == Seen::Nothing).count();
        let faults = faults(&history);
        assert!(faults.is_empty(), "seed {seed}, history {n}: {faults:#?}");
        if (n + 1).is_multiple_of(50) {
            println!(
                "E-18 histories={} of={histories} operations={operations} kills={kills} faults=0",
                n + 1
            );
        }
    }
    given.cluster.wait_ready("scheduler").unwrap();
    given.cluster.verify().unwrap();
    println!(
        "ROW E-18 histories={histories} operations={operations} unanswered={unanswered} kills={kills} faults=0"
    );
    assert!(unanswered * 2 < operations, "hardly anything was answered");
}

/// A scheduler that stood still while another took its lanes does not show what it knew before.
#[tokio::test(flavor = "multi_thread")]
async fn row_e_18_who_wakes_shows_no_less_than_others_told() {
    let mut given = Given::new("e18-wakes", Shape { services: [1, 1, 2, 1, 1], ..Shape::default() });
    let mut clients = Vec::new();
    for name in ["scheduler-1", "scheduler-2"] {
        let url = format!("http://{}", given.cluster.process(name).address());
        clients.push(RunsClient::connect(url).await.unwrap());
    }
    let [sleeper, mut other] = clients.try_into().unwrap();
    // So many that either has some.
    let all: Vec<String> = (0..RUNS).map(|_| Uuid::now_v7().to_string()).collect();
    for run in &all {
        let (command, document_json) = (run.clone(), document(600_000));
        let request = StartRunRequest { command, document_json, ..StartRunRequest::default() };
        other.start_run(request).await.unwrap();
    }
    given.cluster.process("scheduler-1").pause().unwrap();
    let over = |status: &str| matches!(exactly(status), Seen::Exactly(Stage::Ended, _));
    for run in &all {
        let reach = async {
            while !other
                .get_run(GetRunRequest { run: run.clone() })
                .await
                .is_ok_and(|it| over(&it.get_ref().status))
            {
                let command = Uuid::now_v7().to_string();
                let request = AbortRunRequest { command, run: run.clone(), reason: "a test".to_owned() };
                // Refused while nobody has the lane.
                drop(other.abort_run(request).await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), reach).await.unwrap();
    }
    // It is asked while it sleeps, and answers as soon as it wakes.
    let ask = |run: &String| {
        let (mut sleeper, request) = (sleeper.clone(), GetRunRequest { run: run.clone() });
        tokio::spawn(async move { sleeper.get_run(request).await })
    };
    let asked: Vec<_> = all.iter().map(ask).collect();
    given.cluster.process("scheduler-1").resume().unwrap();
    for answer in asked {
        let run = answer.await.unwrap().unwrap().into_inner();
        assert!(over(&run.status), "run {} is {} again", run.id, run.status);
    }
}

/// The checker finds what it is there for.
#[test]
fn row_e_18_a_history_that_cannot_be_is_found() {
    let (begin, run) = (Instant::now(), Uuid::nil());
    let at = |ms| begin + Duration::from_millis(ms);
    let did = |what, from, to, seen| Operation { what, run, asked: at(from), answered: at(to), seen };
    let start = did("start", 0, 10, Seen::AtLeast(Stage::Running));
    let abort = did("abort", 20, 30, Seen::AtLeast(Stage::Aborting));
    let get = |from, to, status: &str| did("get", from, to, exactly(status));
    let count = |history: &[Operation]| faults(history).len();
    assert_eq!(count(&[start.clone(), get(5, 12, "running"), abort.clone(), get(31, 32, "aborted")]), 0);
    assert_eq!(count(&[start.clone(), abort.clone(), get(25, 40, "running")]), 0, "at the same time");
    assert_eq!(count(&[start.clone(), abort.clone(), get(31, 40, "running")]), 1, "a stale answer");
    let none = did("get", 11, 12, refusal(&Status::not_found("")));
    assert_eq!(count(&[start.clone(), none]), 1, "a lost run");
    assert_eq!(count(&[start.clone(), get(11, 12, "aborting")]), 1, "aborted by nobody");
    assert_eq!(count(&[start, abort, get(31, 32, "aborted"), get(33, 34, "success")]), 1, "two ends");
    assert_eq!(count(&[get(0, 1, "running")]), 1, "started by nobody");
}
