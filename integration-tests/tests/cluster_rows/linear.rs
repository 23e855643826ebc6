//! E-18: what many clients see of runs that they start, abort and look at is what one after the other could have seen,
//! whichever schedulers die meanwhile.
//!
//! A run only goes forward: there is none, it runs, it is aborting, it has ended; nobody has judged it, somebody has; its
//! step that fails is tried once more. So a history is linearizable if nobody who asked after an answer saw less than that
//! answer, nothing has two ends or two verdicts, and nothing is done that nobody asked for, nor twice.

mod history;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use shipway_contracts::{
    Channel,
    v1::{
        AbortRunRequest, GetRunRequest, JudgeNodeRequest, RetryNodeRequest, Run, StartRunRequest,
        runs_client::RunsClient,
    },
};
use shipway_integration_tests::cluster::Shape;
use tonic::Code;
use uuid::Uuid;

use self::history::{Operation, Seen, Stage, TRIES, faults};
use crate::given::{Given, sized};

/// How many clients there are.
const CLIENTS: usize = 8;
/// How many operations they do together in a history.
const OPERATIONS: usize = 200;
/// Of how many runs.
const RUNS: usize = 12;

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

/// A step, then one that people judge, then one that fails until it is given up, and is tried again when somebody says so.
fn judged() -> String {
    let noop = |name: &str, spec| serde_json::json!({"kind": "Noop", "ref": name, "spec": spec});
    let mut flaky = noop("flaky", serde_json::json!({"fail": "it always does"}));
    flaky["retry"] = serde_json::json!({"maxAttempts": TRIES, "backoff": "fixed", "delay": 3600});
    let gate = serde_json::json!({"kind": "Approval", "ref": "gate", "spec": {"amount": 1}});
    let steps = [noop("first", serde_json::json!({"sleepMs": 100})), gate, flaky];
    serde_json::json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}},
    })
    .to_string()
}

/// Gives a run a command, or looks at it; the run as it is then.
async fn ask(
    client: &mut RunsClient<Channel>,
    run: Uuid,
    what: &str,
    command: &str,
) -> Result<Seen, tonic::Status> {
    let (command, id) = (command.to_owned(), run.to_string());
    let judge = JudgeNodeRequest { command: command.clone(), run: id.clone(), ..JudgeNodeRequest::default() };
    let shown = match what {
        "start" => {
            let document_json = if is_judged(run) { judged() } else { document(400) };
            let request = StartRunRequest { command: id, document_json, ..StartRunRequest::default() };
            return client.start_run(request).await.map(|_| Seen::at_least(Stage::Running));
        }
        "abort" => {
            let request = AbortRunRequest { command, run: id, reason: "asked by a client".to_owned() };
            client.abort_run(request).await?
        }
        "approve" => client.approve_node(judge).await?,
        "reject" => client.reject_node(judge).await?,
        "retry" => {
            let request = RetryNodeRequest { command, run: id, node: String::new() };
            client.retry_node(request).await?
        }
        _ => return client.get_run(GetRunRequest { run: id }).await.map(|run| Seen::of(run.get_ref())),
    };
    let stage = if what == "abort" { Stage::Aborting } else { Stage::Running };
    Ok(Seen::done(stage, shown.get_ref()))
}

async fn operate(runs: &RunsClient<Channel>, run: Uuid, what: &'static str) -> Operation {
    let mut client = runs.clone();
    let (asked, command) = (Instant::now(), Uuid::now_v7().to_string());
    let mut seen = Seen::nothing();
    // Who gets no answer gives the same command once more, as people do.
    for _ in 0..2 {
        // Whoever was killed does not answer.
        seen = match tokio::time::timeout(Duration::from_secs(5), ask(&mut client, run, what, &command)).await
        {
            Ok(Ok(seen)) => seen,
            Ok(Err(status)) => Seen::refused(what, &status),
            Err(_) => Seen::nothing(),
        };
        if seen.answered {
            break;
        }
    }
    Operation { what, run, asked, answered: Instant::now(), seen }
}

/// Every other run's id is odd.
fn an_id(n: u128) -> Uuid {
    Uuid::from_u128(Uuid::now_v7().as_u128() & !1 | (n & 1))
}

/// Every other run is one that people judge.
fn is_judged(run: Uuid) -> bool {
    run.as_u128() % 2 == 1
}

/// What one client does.
async fn client(runs: RunsClient<Channel>, all: Arc<Vec<Uuid>>, seed: u64) -> Vec<Operation> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut history = Vec::new();
    for n in 0..OPERATIONS / CLIENTS {
        // Some runs are looked at before they begin; by the end all are about.
        let known = (1 + n * RUNS / (OPERATIONS / CLIENTS)).min(RUNS);
        let run = all[random.random_range(0..known)];
        let what = match random.random_range(0..20) {
            0..5 => "start",
            5 => "abort",
            6..10 if is_judged(run) => "approve",
            10 if is_judged(run) => "reject",
            11..16 if is_judged(run) => "retry",
            6 => "abort",
            _ => "get",
        };
        history.push(operate(&runs, run, what).await);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
    }
    history
}

/// What eight clients do at the same time with a dozen runs, of which none is left at the end.
async fn a_history(runs: Vec<RunsClient<Channel>>, seed: u64) -> Vec<Operation> {
    let all = Arc::new((0..RUNS as u128).map(an_id).collect::<Vec<_>>());
    let each = |(number, runs): (usize, &RunsClient<Channel>)| {
        tokio::spawn(client(runs.clone(), all.clone(), seed ^ number as u64))
    };
    let clients: Vec<_> = runs.iter().enumerate().map(each).collect();
    let mut history = Vec::new();
    for client in clients {
        history.extend(client.await.unwrap());
    }
    // Nobody judges what waits any more; with a thousand histories of it a scheduler would take much over.
    futures::future::join_all(all.iter().map(|run| put_away(&runs[0], *run))).await;
    history
}

/// Has a run end, if there is one.
async fn put_away(runs: &RunsClient<Channel>, run: Uuid) {
    let (command, run) = (Uuid::now_v7().to_string(), run.to_string());
    let put_away = async {
        loop {
            let request =
                AbortRunRequest { command: command.clone(), run: run.clone(), ..Default::default() };
            match runs.clone().abort_run(request).await.map_err(|status| status.code()) {
                Ok(_) | Err(Code::NotFound | Code::FailedPrecondition) => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), put_away).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_18_run_control_is_linearizable() {
    let mut given = Given::new("e18", Shape { services: [1, 1, 3, 1, 1], ..Shape::default() });
    // A history mostly waits for a lane that somebody takes over: many go on beside each other, each of other runs.
    let (histories, at_once) = (sized(1, 1_000), sized(1, 10));
    let seed: u64 = rand::rng().random();
    println!("E-18 seed={seed}");
    let (mut operations, mut unanswered, mut kills) = (0, 0, 0);
    let mut done = ["abort", "approve", "reject", "retry"].map(|what| (what, 0));
    for begun in (0..histories).step_by(at_once as usize) {
        let going: Vec<_> = (begun..histories.min(begun + at_once))
            .map(|n| {
                let runs = (0..CLIENTS).map(|_| RunsClient::new(given.cluster.channel().unwrap())).collect();
                (n, tokio::spawn(a_history(runs, seed ^ (n << 8))))
            })
            .collect();
        let mut next = Instant::now() + Duration::from_millis(400);
        while !going.iter().all(|(_, history)| history.is_finished()) {
            if Instant::now() >= next {
                given.kill_one(&["scheduler"]);
                kills += 1;
                next += Duration::from_millis(1_500);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for (n, history) in going {
            let history = history.await.unwrap();
            operations += history.len();
            unanswered += history.iter().filter(|operation| !operation.seen.answered).count();
            for (what, times) in &mut done {
                let is_done = |operation: &&Operation| operation.what == *what && operation.seen.done;
                *times += history.iter().filter(is_done).count();
            }
            let faults = faults(&history);
            assert!(faults.is_empty(), "seed {seed}, history {n}: {faults:#?}");
            if (n + 1).is_multiple_of(50) {
                println!(
                    "E-18 histories={} of={histories} operations={operations} kills={kills} faults=0",
                    n + 1
                );
            }
        }
    }
    given.cluster.wait_ready("scheduler").unwrap();
    given.cluster.verify().unwrap();
    println!(
        "ROW E-18 histories={histories} operations={operations} unanswered={unanswered} kills={kills} done={done:?} \
         faults=0"
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
    let over = |run: &Run| Seen::of(run).least.stage == Stage::Ended;
    for run in &all {
        let reach = async {
            while !other.get_run(GetRunRequest { run: run.clone() }).await.is_ok_and(|it| over(it.get_ref()))
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
        assert!(over(&run), "run {} is {} again", run.id, run.status);
    }
}
