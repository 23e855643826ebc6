//! The follower on a real log, with a host that answers as it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use shipway_eventing::{Durable, Expected, Feed, Item, Log, SqliteLog, SqliteOptions};
use shipway_events::{
    CommandId, FlowId, Meta, NewEvent, ProjectId, RunId, RunStatus, StreamEvent, StreamName,
    plan::Plan,
    run::{Ended, Event, Origin, Started},
};
use shipway_forge::{Account, HostKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;

/// A host that answers with these statuses, then with 201, and keeps what it was told.
#[derive(Clone)]
struct Host {
    address: String,
    told: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
}

impl Host {
    async fn start(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Self {
            address: listener.local_addr().unwrap().to_string(),
            told: Arc::default(),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
        };
        let (told, answers) = (Arc::clone(&host.told), Arc::clone(&host.answers));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut text, mut buffer) = (String::new(), [0; 4096]);
                let body = loop {
                    let whole =
                        text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                    if let Some(body) = whole {
                        break body;
                    }
                    match client.read(&mut buffer).await {
                        Ok(count) if count > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                        _ => break Value::Null,
                    }
                };
                told.lock().unwrap().push(body);
                let answer = answers.lock().unwrap().pop_front().unwrap_or("201 Created\r\n");
                let answer = format!("HTTP/1.1 {answer}content-length: 2\r\nconnection: close\r\n\r\n{{}}");
                drop(client.write_all(answer.as_bytes()).await);
            }
        });
        host
    }

    /// State and description of everything that it was told.
    fn told(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.told
            .lock()
            .unwrap()
            .iter()
            .map(|b| format!("{}: {}", text(&b["state"]), text(&b["description"])))
            .collect()
    }
}

/// One account for all, or nobody.
struct Everybody {
    account: Option<Account>,
    asked: AtomicUsize,
}

#[async_trait]
impl Voices for Everybody {
    async fn voice(&self, _: &Spoken<'_>) -> Result<Voice, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(match &self.account {
            Some(account) => Voice::Account(account.clone()),
            None => Voice::Nobody("no account is linked".to_owned()),
        })
    }
}

struct World {
    _folder: tempfile::TempDir,
    log: Arc<dyn Log>,
    durable: Durable,
    feed: Feed,
    host: Host,
    voices: Arc<Everybody>,
    stop: CancellationToken,
    consumer: Option<Consumer>,
}

impl World {
    async fn new(answers: &[&'static str], linked: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions::default()).await.unwrap();
        let durable = log.durable().await.unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        let host = Host::start(answers).await;
        let api = format!("http://{}/api/v1", host.address);
        let token = Zeroizing::new("t0ken".to_owned());
        let account = Account::new(HostKind::Gitea, &host.address, Some(&api), "", token).unwrap();
        let voices = Arc::new(Everybody { account: linked.then_some(account), asked: AtomicUsize::new(0) });
        let feed = Feed::new(Arc::clone(&log));
        let stop = CancellationToken::new();
        let mut world =
            Self { _folder: folder, log, durable, feed, host, voices, stop: stop.clone(), consumer: None };
        world.follow().await;
        world
    }

    async fn follow(&mut self) {
        self.stop = CancellationToken::new();
        let config = StatusConfig {
            address: Some("https://shipway.example.org".to_owned()),
            ..StatusConfig::default()
        };
        let voices: Arc<dyn Voices> = Arc::clone(&self.voices) as _;
        let started = start(voices, &self.feed, self.durable.clone(), config, self.stop.clone());
        self.consumer = started.await.unwrap();
    }

    async fn append(&self, run: RunId, events: Vec<NewEvent>) {
        let item = Item::one(
            CommandId::new(Uuid::now_v7()),
            Meta::reaction("test", 0),
            StreamName::run(run),
            Expected::Any,
            events,
        );
        for appended in self.log.append_all(vec![item]).await {
            appended.unwrap();
        }
    }

    /// Starts a run of the flow at the commit.
    async fn run(&self, number: u128, commit: &str) -> RunId {
        let run = RunId::new(Uuid::from_u128(number));
        let repository = format!("http://{}/acme/api", self.host.address);
        let values = json!({"main": {"repoUrl": repository, "sha": commit, "branch": "main"}});
        let started = Started {
            run,
            project: ProjectId::new(Uuid::from_u128(2)),
            pipeline: None,
            flow: FlowId::new(Uuid::from_u128(3)),
            path: "shop/development".to_owned(),
            flow_version: 1,
            name: format!("run-{number}"),
            description: String::new(),
            origin: Origin::Git,
            author: None,
            parent: None,
            policy: shipway_events::ConcurrencyPolicy::Allow,
            rollback: None,
            plan: Plan { triggers: values.as_object().unwrap().clone(), ..Plan::default() },
        };
        self.append(run, vec![Event::from(started).encode()]).await;
        run
    }

    async fn end(&self, run: RunId, status: RunStatus) {
        self.append(run, vec![Event::from(Ended { status, reason: None, by: None }).encode()]).await;
    }

    /// The run ends before it began, for another.
    async fn skip(&self, run: RunId, reason: &str, by: RunId) {
        let ended = Ended { status: RunStatus::Skipped, reason: Some(reason.to_owned()), by: Some(by) };
        self.append(run, vec![Event::from(ended).encode()]).await;
    }

    /// Outcome and note of a run's row.
    async fn outcome(&self, run: RunId) -> (String, String) {
        let row =
            sqlx::query_as("SELECT outcome, note FROM commit_statuses WHERE run = $1").bind(run.to_string());
        row.fetch_optional(self.durable.pool()).await.unwrap().unwrap_or_default()
    }

    async fn until_told(&self, wanted: &[&str]) {
        eventually(|| self.host.told() == wanted, || format!("{:?}", self.host.told())).await;
    }

    async fn until_outcome(&self, run: RunId, wanted: &str) -> String {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let (outcome, note) = self.outcome(run).await;
            if outcome == wanted {
                return note;
            }
            assert!(std::time::Instant::now() < until, "{outcome}: {note}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn eventually(holds: impl Fn() -> bool, seen: impl Fn() -> String) {
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < until, "{}", seen());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn commit(letter: &str) -> String {
    letter.repeat(40)
}

#[tokio::test]
async fn a_run_is_pending_and_then_what_it_came_to() {
    let world = World::new(&[], true).await;
    let good = world.run(11, &commit("a")).await;
    world.until_told(&["pending: run-11 is running"]).await;
    world.end(good, RunStatus::Success).await;
    world.until_told(&["pending: run-11 is running", "success: run-11 went well"]).await;
    world.until_outcome(good, "said").await;
    let told = world.host.told.lock().unwrap()[0].clone();
    assert_eq!(told["context"], "shipway/shop/development");
    assert_eq!(told["target_url"], format!("https://shipway.example.org/#{good}"));
}

#[tokio::test]
async fn what_a_host_does_not_take_is_said_again_and_a_refusal_is_kept() {
    let world =
        World::new(&["503 Service Unavailable\r\n", "201 Created\r\n", "404 Not Found\r\n"], true).await;
    let run = world.run(11, &commit("a")).await;
    world.until_told(&["pending: run-11 is running", "pending: run-11 is running"]).await;
    world.until_outcome(run, "said").await;
    world.end(run, RunStatus::Failure).await;
    let note = world.until_outcome(run, "given up").await;
    assert!(note.contains("404") && note.contains("no such repository"), "{note}");
}

#[tokio::test]
async fn the_later_run_of_a_commit_speaks() {
    let world = World::new(&[], true).await;
    let first = world.run(11, &commit("a")).await;
    world.until_outcome(first, "said").await;
    let second = world.run(12, &commit("a")).await;
    world.until_outcome(second, "said").await;
    world.end(first, RunStatus::Failure).await;
    assert_eq!(world.until_outcome(first, "replaced").await, second.to_string());
    world.end(second, RunStatus::Success).await;
    world.until_outcome(second, "said").await;
    world
        .until_told(&[
            "pending: run-11 is running",
            "pending: run-12 is running",
            "success: run-12 went well",
        ])
        .await;
}

#[tokio::test]
async fn a_run_that_another_kept_from_beginning_is_not_green_and_says_for_whom() {
    let world = World::new(&[], true).await;
    let old = world.run(11, &commit("a")).await;
    world.until_outcome(old, "said").await;
    let new = world.run(12, &commit("b")).await;
    world.until_outcome(new, "said").await;
    world.skip(old, "superseded by run 12", new).await;
    world
        .until_told(&[
            "pending: run-11 is running",
            "pending: run-12 is running",
            "error: run-11 did not run: superseded by run 12",
        ])
        .await;
}

#[tokio::test]
async fn a_run_that_never_began_does_not_speak_over_the_one_that_runs_at_its_commit() {
    let world = World::new(&[], true).await;
    let first = world.run(11, &commit("a")).await;
    world.until_outcome(first, "said").await;
    let second = world.run(12, &commit("a")).await;
    world.until_outcome(second, "said").await;
    world.skip(second, "run 11 is active", first).await;
    assert_eq!(world.until_outcome(second, "replaced").await, first.to_string());
    // The host was told that the second is pending; the first says again how far it is.
    let (one, other) = ("pending: run-11 is running", "pending: run-12 is running");
    world.until_told(&[one, other, one]).await;
    world.end(first, RunStatus::Success).await;
    world.until_told(&[one, other, one, "success: run-11 went well"]).await;
}

#[tokio::test]
async fn without_an_account_nothing_is_said_and_it_is_known_why() {
    let world = World::new(&[], false).await;
    let run = world.run(11, &commit("a")).await;
    assert_eq!(world.until_outcome(run, "silent").await, "no account is linked");
    assert!(world.host.told().is_empty());
}

#[tokio::test]
async fn what_happened_meanwhile_is_said_after_a_restart_and_nothing_twice() {
    let mut world = World::new(&[], true).await;
    let run = world.run(11, &commit("a")).await;
    world.until_outcome(run, "said").await;
    world.stop.cancel();
    if let Some(consumer) = world.consumer.take() {
        consumer.stop().await;
    }
    world.end(run, RunStatus::Aborted).await;
    let other = world.run(12, &commit("b")).await;
    world.follow().await;
    world.until_outcome(other, "said").await;
    world.until_outcome(run, "said").await;
    let mut told = world.host.told();
    told.sort();
    assert_eq!(
        told,
        ["error: run-11 was stopped", "pending: run-11 is running", "pending: run-12 is running"]
    );
}
