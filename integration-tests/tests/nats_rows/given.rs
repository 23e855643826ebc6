//! Members: what a service's process has of the log and NATS, several in this one process.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest, Sha256};
use shipway_eventing::{
    Durable, Expected, Feed, Item, Leadership, Leases, Log, Nats, NatsOptions, PostgresLog, PostgresOptions,
    Relay,
    nats::{Names, StreamSettings},
};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, Position, StreamName};
use shipway_integration_tests::{
    nats::NatsServer,
    postgres::{Postgres, Sync},
};
use tokio::task::JoinHandle;

/// How long anything may take that is only waited for; the long sizes take their time on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(300);

/// Small: many tests' streams share a disk.
pub(crate) const SETTINGS: StreamSettings =
    StreamSettings { replicas: 1, max_bytes: 256 << 20, max_age: Duration::from_secs(3600) };

pub(crate) struct Given {
    pub(crate) server: NatsServer,
    postgres: Postgres,
    blobs: tempfile::TempDir,
}

impl Given {
    pub(crate) fn new() -> Self {
        Self::on(NatsServer::start)
    }

    /// The same, where the services may do on NATS what they may in production.
    pub(crate) fn in_production() -> Self {
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/nats/production.conf");
        Self::on(|| NatsServer::start_with_accounts(&settings))
    }

    fn on(server: impl FnOnce() -> anyhow::Result<NatsServer>) -> Self {
        tokio::task::block_in_place(|| {
            let server = server().unwrap();
            let postgres = Postgres::start(Sync::Off).unwrap();
            postgres.database("shipway").unwrap();
            Self { server, postgres, blobs: tempfile::tempdir().unwrap() }
        })
    }

    /// Does something to the server, which takes its time.
    pub(crate) fn server<T>(&mut self, act: impl FnOnce(&mut NatsServer) -> anyhow::Result<T>) -> T {
        tokio::task::block_in_place(|| act(&mut self.server)).unwrap()
    }

    pub(crate) fn database(&self) -> String {
        self.postgres.url("shipway")
    }

    pub(crate) async fn log(&self) -> Arc<dyn Log> {
        log(&self.database(), self.blobs.path()).await
    }

    /// A process that hears events over NATS.
    pub(crate) async fn member(&self) -> Member {
        self.member_at(&self.server.url()).await
    }

    /// The same, reaching NATS at another address.
    pub(crate) async fn member_at(&self, url: &str) -> Member {
        Member::open(self.log().await, url).await
    }
}

pub(crate) async fn log(database: &str, blobs: &Path) -> Arc<dyn Log> {
    let blobs = Some(shipway_eventing::Blobs::open(blobs).await.unwrap());
    let options = PostgresOptions { blobs, allow_not_durable: true, ..PostgresOptions::default() };
    Arc::new(PostgresLog::connect(database, options).await.unwrap())
}

pub(crate) struct Member {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) nats: Nats,
    pub(crate) feed: Feed,
    pub(crate) durable: Durable,
}

impl Member {
    pub(crate) async fn open(log: Arc<dyn Log>, url: &str) -> Self {
        let nats = nats(url).await;
        Self::over(log, nats).await
    }

    /// The same over a connection that is there.
    pub(crate) async fn over(log: Arc<dyn Log>, nats: Nats) -> Self {
        let feed = Feed::over_nats(Arc::clone(&log), &nats);
        let durable = log.durable().await.unwrap();
        Self { log, nats, feed, durable }
    }

    pub(crate) fn names(&self) -> Names {
        Names::of(self.log.id())
    }

    pub(crate) async fn elect(&self, name: &str, owner: &str) -> Leadership {
        let leases = Leases::open(self.durable.clone()).await.unwrap();
        Leadership::elect(leases, name, owner, "a test")
    }

    /// A relay that leads, and publishes already.
    pub(crate) async fn publishing(&self) -> Relay {
        let relay = self.relay(Leadership::always()).await;
        until("the relay publishes", || relay.status().borrow().publishes).await;
        relay
    }

    /// A relay that believes to lead if its leadership says so.
    pub(crate) async fn relay(&self, leadership: Leadership) -> Relay {
        Relay::start(&self.nats, &self.feed, &self.durable, leadership, SETTINGS).await.unwrap()
    }

    /// Reads the feed on and on, as a consumer does.
    pub(crate) fn reader(&self) -> Reader {
        Reader::start(self.feed.clone(), Duration::ZERO)
    }

    /// Appends one event after the other until it is stopped.
    pub(crate) fn writer(&self, pause: Duration) -> Writer {
        let (log, stop) = (Arc::clone(&self.log), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut last = 0;
            for n in 0.. {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                last = append(&*log, &format!("run-{}", n % 50), 1).await;
                tokio::time::sleep(pause).await;
            }
            last
        });
        Writer { stop, task }
    }

    pub(crate) async fn append(&self, events: usize) -> Position {
        append(&*self.log, "run-a", events).await
    }
}

pub(crate) async fn nats(url: &str) -> Nats {
    let options =
        NatsOptions { urls: vec![url.to_owned()], name: "test".to_owned(), ..NatsOptions::default() };
    Nats::connect(options).await.unwrap()
}

pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Position>,
}

impl Writer {
    /// The last position that it wrote.
    pub(crate) async fn stop(self) -> Position {
        self.stop.store(true, Ordering::Release);
        self.task.await.unwrap()
    }
}

/// Reads every position once, in order, and checks that.
pub(crate) struct Reader {
    at: Arc<AtomicU64>,
    /// A hash over the data of all events that were read.
    digest: Arc<Mutex<Sha256>>,
    task: JoinHandle<()>,
}

impl Reader {
    /// `pause`: how long it sleeps after each batch.
    pub(crate) fn start(feed: Feed, pause: Duration) -> Self {
        let at = Arc::new(AtomicU64::new(0));
        let digest = Arc::new(Mutex::new(Sha256::new()));
        let (told, hash) = (Arc::clone(&at), Arc::clone(&digest));
        let task = tokio::spawn(async move {
            let mut tail = feed.tail();
            loop {
                let last = told.load(Ordering::Acquire);
                if *tail.borrow_and_update() <= last {
                    if tail.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                let events = feed.read(last, 500).await.unwrap();
                for (event, expected) in events.iter().zip(last + 1..) {
                    assert_eq!(event.position, expected, "an event was missed");
                    hash.lock().unwrap().update(&event.data);
                    told.store(expected, Ordering::Release);
                }
                tokio::time::sleep(pause).await;
            }
        });
        Self { at, digest, task }
    }

    pub(crate) fn at(&self) -> Position {
        self.at.load(Ordering::Acquire)
    }

    /// Waits until it has read up to a position.
    pub(crate) async fn reach(&self, position: Position) {
        until(&format!("a reader reaches {position}"), || self.at() >= position).await;
        assert!(!self.task.is_finished(), "a reader failed");
    }

    /// Waits until it has read all of the log, and compares what it read with what the log holds.
    pub(crate) async fn agrees_with(&self, log: &dyn Log) {
        let head = log.head().await.unwrap().position;
        self.reach(head).await;
        let mut held = Sha256::new();
        let mut after = 0;
        while after < head {
            for event in log.read(after, 1_000).await.unwrap() {
                held.update(&event.data);
                after = event.position;
            }
        }
        assert_eq!(held.finalize(), self.digest.lock().unwrap().clone().finalize(), "wrong data was read");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is on the stream of events: of each message its generation (of the relay) and its position, by sequence.
pub(crate) async fn on_stream(member: &Member) -> Vec<(u32, Position)> {
    let stream = member.nats.jetstream().get_stream(member.names().events_stream()).await.unwrap();
    let state = &stream.cached_info().state;
    let mut all = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let id = message.headers.get("Nats-Msg-Id").unwrap().as_str();
        let (rest, position) = id.rsplit_once('-').unwrap();
        let generation = rest.rsplit_once('.').unwrap().1.parse().unwrap();
        let header = message.headers.get("Shipway-Position").unwrap().as_str();
        assert_eq!(header, position);
        all.push((generation, position.parse().unwrap()));
    }
    all
}

/// Checks that within each generation positions rise one by one, and that generations only rise.
pub(crate) fn in_order(stream: &[(u32, Position)]) {
    for pair in stream.windows(2) {
        let ((before, last), (generation, position)) = (pair[0], pair[1]);
        assert!(generation > before || (generation == before && position == last + 1), "{pair:?}");
    }
}

/// Checks that positions rise one by one, whoever published them. Of two relays that both believe to lead, one's second
/// message on the way may find the sequence that it expects behind the other's first: that one is refused then.
pub(crate) fn one_by_one(stream: &[(u32, Position)]) {
    for pair in stream.windows(2) {
        assert_eq!(pair[1].1, pair[0].1 + 1, "{pair:?}");
    }
}

/// Waits for a condition, without end but the test's own.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, holds).await.is_ok(), "it never happened that {what}");
}

/// Appends events to a stream in one command; the last position.
pub(crate) async fn append(log: &dyn Log, to: &str, events: usize) -> Position {
    let events = (0..events).map(|n| NewEvent {
        kind: "test.happened",
        schema: 1,
        data: format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(200)),
    });
    append_events(log, to, events.collect()).await.unwrap()
}

pub(crate) async fn append_events(
    log: &dyn Log,
    to: &str,
    events: Vec<NewEvent>,
) -> Result<Position, shipway_eventing::AppendError> {
    let meta = Meta { actor: Actor::Person("ann".into()), cause: Cause::Request, trace: None };
    let stream = StreamName::parse(to).unwrap();
    let item = Item::one(CommandId::new(uuid::Uuid::now_v7()), meta, stream, Expected::Any, events);
    log.append(item).await.map(|appended| appended.last)
}
