//! L-8, for whole services: the disk that all of PostgreSQL is on is full. It takes nothing, then dies; whoever asks is told
//! so, deliveries wait elsewhere, and with room again everything heals by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use shipway_contracts::v1::{StartRunRequest, runs_client::RunsClient};
use shipway_integration_tests::{
    cluster::Shape,
    postgres::{Postgres, disk::Disk},
    shipway::http,
    sink::{Entry, Verdict, What},
    workload::{Workload, project_of},
};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

use crate::given::{Given, judged};

/// The size of the disk in bytes: PostgreSQL alone has 40 MB.
const DISK: usize = 300 << 20;

const TOKEN: &str = "a-token-of-the-full-disk-with-32-characters";

/// How long anything may take that is only waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// Within this time after there is room again, all that was taken meanwhile is under way again.
const HEALED: Duration = Duration::from_secs(30);

/// How long a client waits for an answer: any is better than none. One that was asked for when the database died is held
/// by each thing in turn that waits for it.
const ANSWER: Duration = Duration::from_secs(30);

/// How a run is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// By a call.
    Run,
    /// By a delivery to the flow's hook.
    Hook,
}

/// What was asked for, under the id that it keeps.
#[derive(Clone, Debug)]
struct Asked {
    way: Way,
    number: usize,
    id: Uuid,
}

/// What is noted of all requests.
#[derive(Debug, Default)]
struct Book {
    taken: Vec<Asked>,
    refused: Vec<Asked>,
    /// How often each answer came to each way.
    answers: BTreeMap<(Way, String), usize>,
    /// The longest that anybody waited for one.
    slowest: Duration,
}

impl Book {
    fn note(&mut self, asked: Asked, taken: bool, answer: String, after: Duration) {
        self.slowest = self.slowest.max(after);
        *self.answers.entry((asked.way, answer)).or_default() += 1;
        if taken { self.taken.push(asked) } else { self.refused.push(asked) }
    }
}

/// Whoever asks, through the load balancer as everybody does.
struct Clients {
    url: String,
    sink: String,
    runs: RunsClient<Channel>,
    book: Mutex<Book>,
    done: AtomicBool,
}

impl Clients {
    /// Asks once; whether it was taken, and the answer.
    async fn ask(&self, asked: &Asked) -> (bool, String) {
        let sink = format!("{}/effect/{}", self.sink, asked.number);
        match asked.way {
            Way::Run => {
                let request = StartRunRequest {
                    command: asked.id.to_string(),
                    flow: "full/work".to_owned(),
                    arguments_json: serde_json::json!({ "SINK": sink }).to_string(),
                    ..StartRunRequest::default()
                };
                let mut runs = self.runs.clone();
                match tokio::time::timeout(ANSWER, runs.start_run(request)).await {
                    Err(_) => (false, "none".to_owned()),
                    Ok(Ok(reply)) => {
                        let reply = reply.into_inner();
                        assert!(reply.problems.is_empty(), "{:?}", reply.problems);
                        (true, "started".to_owned())
                    }
                    Ok(Err(status)) if status.code() == Code::Unavailable => {
                        (false, "unavailable".to_owned())
                    }
                    Ok(Err(status)) => (false, format!("{:?}: {}", status.code(), status.message())),
                }
            }
            Way::Hook => {
                let request = http().post(format!("{}/hooks/flow/{TOKEN}?SINK={sink}", self.url));
                let request = request.header("webhook-id", asked.id.to_string()).timeout(ANSWER);
                let answer = match request.send().await {
                    Ok(answer) => answer,
                    Err(error) if error.is_timeout() => return (false, "none".to_owned()),
                    Err(error) => return (false, format!("{error:?}")),
                };
                let status = answer.status();
                let body: serde_json::Value = answer.json().await.unwrap_or_default();
                let waits = body["runs"].as_array().is_some_and(Vec::is_empty);
                match status {
                    StatusCode::ACCEPTED if waits => (true, "202 spooled".to_owned()),
                    status => (status == StatusCode::ACCEPTED, status.as_u16().to_string()),
                }
            }
        }
    }

    /// Asks for one run after the other, each once.
    async fn ask_on(self: Arc<Self>, way: Way) {
        for number in (way as usize..).step_by(2) {
            if self.done.load(Ordering::Relaxed) {
                return;
            }
            let asked = Asked { way, number, id: Uuid::now_v7() };
            let begin = Instant::now();
            let (taken, answer) = self.ask(&asked).await;
            self.book.lock().unwrap().note(asked, taken, answer, begin.elapsed());
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    fn count(&self, way: Way, answer: &str) -> usize {
        self.book.lock().unwrap().answers.get(&(way, answer.to_owned())).copied().unwrap_or_default()
    }

    /// Waits until each way has had so many more of one of these answers.
    async fn hear(&self, more: usize, answers: &[(Way, &[&str])]) {
        for (way, answers) in answers {
            let count = || answers.iter().map(|answer| self.count(*way, answer)).sum::<usize>();
            let (begin, before) = (Instant::now(), count());
            while count() < before + more {
                let said = format!("{:?}", self.book.lock().unwrap().answers);
                assert!(begin.elapsed() < PATIENCE, "{way:?} did not hear {answers:?}: {said}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Asks again for what was refused, until it is taken.
    async fn insist(&self, asked: &Asked) {
        let begin = Instant::now();
        loop {
            let (taken, answer) = self.ask(asked).await;
            if taken {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{asked:?} is not taken: {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Has the log of PostgreSQL itself need a file for which there is no room, until it dies of that.
fn exhaust(postgres: &mut Postgres) {
    let begin = Instant::now();
    let switch =
        "SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(false, 'full', repeat('x', 9000))) x";
    while postgres.execute("shipway", switch).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "PostgreSQL does not need any room");
    }
}

/// Waits until each of these targets has had an effect.
fn happened(given: &Given, targets: &[String]) {
    let all = |ledger: &[Entry]| {
        let effects = ledger.iter().filter(|entry| entry.what == What::Effect);
        let effects: BTreeSet<_> = effects.map(|entry| &entry.target).collect();
        targets.iter().all(|target| effects.contains(target)).then_some(())
    };
    given.sink.wait("the effects of all that was taken", PATIENCE, all).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_l_8_services_outlive_a_database_whose_disk_is_full() {
    if !Disk::is_allowed() {
        println!("ROW L-8 services skipped=only-root-can-mount");
        return;
    }
    let mut given = Given::new("l8", Shape { disk: Some(DISK), ..Shape::default() });
    let more = format!("          webhook: {{enabled: true, token: {TOKEN}}}\n");
    given.cluster.apply(&project_of("full", &more)).unwrap();
    let url = given.cluster.url();
    let clients = Arc::new(Clients {
        runs: RunsClient::connect(url.clone()).await.unwrap(),
        url,
        sink: given.sink.url(),
        book: Mutex::default(),
        done: AtomicBool::new(false),
    });
    let asking = [Way::Run, Way::Hook].map(|way| tokio::spawn(clients.clone().ask_on(way)));
    clients.hear(5, &[(Way::Run, &["started"]), (Way::Hook, &["202"])]).await;

    // No room for another page of a table: PostgreSQL is there, and takes nothing.
    given.cluster.postgres().disk().unwrap().fill().unwrap();
    let refusals: [(Way, &[&str]); 2] = [(Way::Run, &["unavailable"]), (Way::Hook, &["202 spooled"])];
    clients.hear(5, &refusals).await;
    let refused_alive = !given.cluster.postgres().has_ended().unwrap();
    // Nor for its own log: it dies, and does not come back.
    tokio::task::block_in_place(|| exhaust(given.cluster.postgres()));
    clients.hear(5, &refusals).await;
    let died = given.cluster.postgres().has_ended().unwrap();

    given.cluster.postgres().disk().unwrap().free().unwrap();
    let freed = Instant::now();
    if given.cluster.postgres().has_ended().unwrap() {
        given.cluster.postgres().start_again().unwrap();
    }
    clients.hear(3, &[(Way::Run, &["started"]), (Way::Hook, &["202"])]).await;
    let healed = freed.elapsed();
    clients.done.store(true, Ordering::Relaxed);
    for asking in asking {
        asking.await.unwrap();
    }

    // What was taken is there without being asked for again; what was refused is taken now, once.
    let (taken, refused, answers, slowest) = {
        let book = clients.book.lock().unwrap();
        (book.taken.clone(), book.refused.clone(), book.answers.clone(), book.slowest)
    };
    let targets =
        |all: &[Asked]| -> Vec<_> { all.iter().flat_map(|asked| Workload::targets(asked.number)).collect() };
    let theirs = targets(&taken);
    happened(&given, &theirs);
    let caught_up = freed.elapsed();
    for asked in &refused {
        clients.insist(asked).await;
    }
    let all = [theirs, targets(&refused)].concat();
    happened(&given, &all);
    let verdict = given.sink.judge(all).unwrap();
    let clean = Verdict { repeats: verdict.repeats, refused: verdict.refused, ..Verdict::default() };
    assert_eq!(verdict, clean, "lost or doubled effects");
    for name in given.cluster.services() {
        let process = given.cluster.process(&name);
        assert!(process.runs(), "{name} has ended: {}", process.said());
    }
    given.cluster.verify().unwrap();
    println!(
        "ROW L-8 services taken={} refused={} answers={answers:?} refused_alive={refused_alive} died={died} lost=0 \
         doubled=0 exited=0 repeats={} healed_after={healed:?} caught_up_after={caught_up:?} \
         slowest_answer={slowest:?}",
        taken.len(),
        refused.len(),
        verdict.repeats,
    );
    assert!(died, "PostgreSQL has survived it");
    // Deliveries are taken all the time: there is room for them on another disk.
    let known = ["started", "unavailable", "202", "202 spooled"];
    let others: Vec<_> = answers.keys().filter(|(_, answer)| !known.contains(&answer.as_str())).collect();
    assert!(others.is_empty(), "answers that nobody should get: {others:?}");
    assert!(!judged() || healed < HEALED, "it has healed only after {healed:?}");
}
