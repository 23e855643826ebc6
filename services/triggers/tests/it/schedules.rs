//! Flows that start by themselves, on a log whose clock the test sets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use shipway_contracts::{
    Channel,
    v1::{self, project_home_server::ProjectHomeServer, triggers_client::TriggersClient},
};
use shipway_eventing::{
    AppendError, Appended, Blobs, Durable, DurableError, Feed, Item, Leadership, Log, ReadError,
    blobs::BlobError,
    log::{Head, Observer, Snapshot, Stats, Stored},
};
use shipway_events::{
    CommandId, FlowId, Position, RawEvent, StreamEvent as _, StreamName, Timestamp, Version,
    schedule::{Event, run_id},
};
use shipway_triggers::{Deps, Service};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::*;

crate::on_both! {
    a_tick_is_one_event_whoever_looks,
    what_was_missed_is_made_up_for_once,
    a_paused_flow_is_not_due,
}

/// A log with another clock; all else is the log's.
struct Clocked {
    log: Arc<dyn Log>,
    ahead: AtomicI64,
}

impl Clocked {
    async fn new(place: &Place, now: &str) -> Arc<Self> {
        let clocked = Arc::new(Self { log: place.log().await, ahead: AtomicI64::new(0) });
        clocked.set(now);
        clocked
    }

    fn set(&self, now: &str) {
        let now: Timestamp = now.parse().unwrap();
        self.ahead.store(now.micros() - self.log.now().micros(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Log for Clocked {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.log.now().micros() + self.ahead.load(Ordering::SeqCst))
    }
    async fn append(&self, item: Item) -> Result<Appended, AppendError> {
        self.log.append(item).await
    }
    async fn append_all(&self, items: Vec<Item>) -> Vec<Result<Appended, AppendError>> {
        self.log.append_all(items).await
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RawEvent>, ReadError> {
        self.log.read_stream(stream, after, limit).await
    }
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        self.log.read(after, limit).await
    }
    async fn stored(&self, after: Position, limit: usize) -> Result<Vec<Stored>, ReadError> {
        self.log.stored(after, limit).await
    }
    async fn streams(&self, after: i64, limit: usize) -> Result<Vec<(i64, String, Version)>, ReadError> {
        self.log.streams(after, limit).await
    }
    async fn head(&self) -> Result<Head, ReadError> {
        self.log.head().await
    }
    fn tail(&self) -> watch::Receiver<Position> {
        self.log.tail()
    }
    fn id(&self) -> &str {
        self.log.id()
    }
    fn generation(&self) -> u32 {
        self.log.generation()
    }
    async fn command_result(&self, command: CommandId) -> Result<Option<Appended>, ReadError> {
        self.log.command_result(command).await
    }
    async fn snapshot(&self, stream: &StreamName, schema: u32) -> Result<Option<Snapshot>, ReadError> {
        self.log.snapshot(stream, schema).await
    }
    async fn put_snapshot(
        &self,
        stream: &StreamName,
        schema: u32,
        snapshot: Snapshot,
    ) -> Result<(), ReadError> {
        self.log.put_snapshot(stream, schema, snapshot).await
    }
    async fn large(&self, digest: &str) -> Result<String, BlobError> {
        self.log.large(digest).await
    }
    fn blobs(&self) -> Option<&Blobs> {
        self.log.blobs()
    }
    async fn durable(&self) -> Result<Durable, DurableError> {
        self.log.durable().await
    }
    fn stats(&self) -> Stats {
        self.log.stats()
    }
    fn observe(&self, observer: Arc<dyn Observer>) {
        self.log.observe(observer);
    }
    async fn close(&self) {
        self.log.close().await;
    }
}

/// A service that believes to be the one that looks.
struct Looking {
    service: Service,
    stop: CancellationToken,
    durable: Durable,
}

impl Looking {
    async fn start(place: &Place, log: &Arc<Clocked>, home: &Home) -> Self {
        let stop = CancellationToken::new();
        let log: Arc<dyn Log> = log.clone();
        let durable = log.durable().await.unwrap();
        let deps = Deps {
            feed: Feed::new(log.clone()),
            log,
            durable: durable.clone(),
            home: Channel::local(ProjectHomeServer::new(home.clone())),
            keys: place.path().join("keys"),
            scratch: place.path().join("scratch"),
            spool: place.path().join("spool"),
            leadership: Leadership::always(),
            config: config(),
        };
        let service = shipway_triggers::start(deps, stop.clone()).await.unwrap();
        Self { service, stop, durable }
    }

    async fn schedules(&self) -> Vec<v1::Schedule> {
        let channel = Channel::local(self.service.triggers_server());
        let request = v1::ListSchedulesRequest { coming: 2 };
        TriggersClient::new(channel).list_schedules(request).await.unwrap().into_inner().schedules
    }

    async fn end(self) {
        self.stop.cancel();
        self.service.stopped().await;
        self.durable.close().await;
    }
}

fn home(missed: &str) -> Home {
    let home = Home::default();
    home.change(|reply| {
        let spec = json!({"cron": "0 * * * *", "timezone": "Europe/Berlin", "missed": missed});
        reply.triggers.push(trigger(&json!({"kind": "cron", "ref": "hourly", "spec": spec})));
    });
    home
}

/// What the log says of the schedule, in short: `set 09:30`, `run 10:00`, `skip 2 ..13:00`, `stop`.
async fn said(log: &Clocked) -> Vec<String> {
    let clock = |at: Timestamp| at.to_string()[11..16].to_owned();
    let stream = StreamName::schedule(FLOW.parse().unwrap());
    let events = log.read_stream(&stream, 0, 1_000).await.unwrap();
    let short = |raw: &RawEvent| match Event::from_raw(raw).unwrap().event {
        Event::Set(set) => format!("set {}", clock(set.from)),
        Event::Ticked(ticked) => format!("run {}", clock(ticked.scheduled_at)),
        Event::Skipped(skipped) => format!("skip {} ..{}", skipped.count, clock(skipped.last)),
        Event::Stopped(_) => "stop".to_owned(),
    };
    events.iter().map(short).collect()
}

/// Waits until the log says this, and has everybody look at once.
async fn becomes(log: &Clocked, expected: &[&str]) {
    touch(log).await;
    let mut last = Vec::new();
    for _ in 0..1_000 {
        last = said(log).await;
        if last == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{last:?} instead of {expected:?}");
}

async fn a_tick_is_one_event_whoever_looks(place: Place) {
    let log = Clocked::new(&place, "2030-01-01T09:30:00Z").await;
    let home = home("skip");
    let (one, other) = (Looking::start(&place, &log, &home).await, Looking::start(&place, &log, &home).await);
    becomes(&log, &["set 09:30"]).await;
    log.set("2030-01-01T10:00:00Z");
    becomes(&log, &["set 09:30", "run 10:00"]).await;
    log.set("2030-01-01T10:59:00Z");
    becomes(&log, &["set 09:30", "run 10:00"]).await;
    log.set("2030-01-01T11:00:01Z");
    becomes(&log, &["set 09:30", "run 10:00", "run 11:00"]).await;
    // Each of them has looked since: what it says is what was made of that.
    for service in [&one, &other] {
        let all = service.schedules().await;
        let [schedule] = &all[..] else { panic!() };
        let run = run_id(FLOW.parse::<FlowId>().unwrap(), "hourly", "2030-01-01T11:00:00Z".parse().unwrap());
        assert_eq!(schedule.last, "2030-01-01T11:00:00.000000Z");
        assert_eq!(schedule.last_run, run.to_string());
        assert_eq!(schedule.next, ["2030-01-01T12:00:00.000000Z", "2030-01-01T13:00:00.000000Z"]);
        assert_eq!(
            (schedule.path.as_str(), schedule.timezone.as_str()),
            ("shop/development", "Europe/Berlin")
        );
    }
    becomes(&log, &["set 09:30", "run 10:00", "run 11:00"]).await;
    one.end().await;
    other.end().await;
}

async fn what_was_missed_is_made_up_for_once(place: Place) {
    let log = Clocked::new(&place, "2030-01-01T09:30:00Z").await;
    let home = home("one");
    let first = Looking::start(&place, &log, &home).await;
    becomes(&log, &["set 09:30"]).await;
    first.end().await;
    log.set("2030-01-01T13:30:00Z");
    let (one, other) = (Looking::start(&place, &log, &home).await, Looking::start(&place, &log, &home).await);
    becomes(&log, &["set 09:30", "skip 3 ..12:00", "run 13:00"]).await;
    log.set("2030-01-01T14:00:00Z");
    becomes(&log, &["set 09:30", "skip 3 ..12:00", "run 13:00", "run 14:00"]).await;
    let all = one.schedules().await;
    let [schedule] = &all[..] else { panic!() };
    assert_eq!(schedule.skipped, 3);
    assert!(schedule.skip_reason.contains("`one`"), "{}", schedule.skip_reason);
    one.end().await;
    other.end().await;
}

async fn a_paused_flow_is_not_due(place: Place) {
    let log = Clocked::new(&place, "2030-01-01T09:30:00Z").await;
    let home = home("all");
    let one = Looking::start(&place, &log, &home).await;
    becomes(&log, &["set 09:30"]).await;
    home.change(|reply| reply.triggers[0].paused = true);
    becomes(&log, &["set 09:30", "stop"]).await;
    log.set("2030-01-01T12:30:00Z");
    let all = one.schedules().await;
    let [schedule] = &all[..] else { panic!() };
    assert!(schedule.paused && schedule.next.is_empty(), "{schedule:?}");
    home.change(|reply| reply.triggers[0].paused = false);
    becomes(&log, &["set 09:30", "stop", "set 12:30"]).await;
    log.set("2030-01-01T13:00:00Z");
    becomes(&log, &["set 09:30", "stop", "set 12:30", "run 13:00"]).await;
    home.change(|reply| reply.triggers.clear());
    becomes(&log, &["set 09:30", "stop", "set 12:30", "run 13:00", "stop"]).await;
    one.end().await;
}
