//! Projections, reactions and durable tables.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use shipway_eventing::{
    Durable, Expected, Feed, GroupWrite, GroupWriter, HandleError, Projection, Reaction, Views,
};
use shipway_events::RawEvent;
use sqlx::{AnyConnection, Row};
use tokio::sync::Semaphore;

use crate::fixture::{Fixture, item};

const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn a_projection_keeps_its_tables_and_checkpoint_together(given: &Fixture) {
    let views = given.views().await;
    given.append("run-a", Expected::New, 700).await.unwrap();
    let feed = Feed::new(Arc::clone(&given.log));
    let consumer = feed.project(&views, Arc::new(Counts { version: 1, factor: 1 })).await.unwrap();
    given.append("project-x", Expected::New, 4).await.unwrap();
    let last = given.append("run-b", Expected::New, 3).await.unwrap().last;
    views.wait_for(&["counts"], last, SOON).await.unwrap();
    assert_eq!(counts(&views, 1).await, [("run-a".into(), 700), ("run-b".into(), 3)]);
    consumer.stop().await;
    // Stopped, it does not get further; started again, it goes on where it was.
    let last = given.append("run-b", Expected::Any, 2).await.unwrap().last;
    let behind = views.wait_for(&["counts"], last, Duration::from_millis(50)).await.unwrap_err();
    assert!(behind.to_string().contains("did not reach 709"), "{behind}");
    let consumer = feed.project(&views, Arc::new(Counts { version: 1, factor: 1 })).await.unwrap();
    views.wait_for(&["counts"], last, SOON).await.unwrap();
    assert_eq!(counts(&views, 1).await, [("run-a".into(), 700), ("run-b".into(), 5)]);
    consumer.stop().await;
    views.close().await;
}

pub(crate) async fn a_read_model_is_rebuilt_while_it_is_written(given: &Fixture) {
    let views = given.views().await;
    let feed = Feed::new(Arc::clone(&given.log));
    let projection = Arc::new(Counts { version: 1, factor: 1 });
    let consumer = feed.project(&views, Arc::clone(&projection) as Arc<dyn Projection>).await.unwrap();
    let mut last = 0;
    for round in 0..30 {
        last = given.append(&format!("run-{}", round % 3), Expected::Any, 20).await.unwrap().last;
        if round % 10 == 5 {
            views.rebuild(&*projection).await.unwrap();
        }
    }
    views.wait_for(&["counts"], last, SOON).await.unwrap();
    let expected: Vec<_> = (0..3).map(|run| (format!("run-{run}"), 200)).collect();
    assert_eq!(counts(&views, 1).await, expected);
    consumer.stop().await;
    views.close().await;
}

pub(crate) async fn many_wait_for_what_another_process_writes(given: &Fixture) {
    let (writing, reading) = (given.views().await, given.views().await);
    let feed = Feed::new(Arc::clone(&given.log));
    let projection = Arc::new(Counts { version: 1, factor: 1 });
    let last = given.append("run-a", Expected::New, 50).await.unwrap().last;
    let waiting = futures::future::join_all((1..=last).map(|at| reading.wait_for(&["counts"], at, SOON)));
    let begun = feed.project(&writing, Arc::clone(&projection) as Arc<dyn Projection>);
    let (consumer, waited) = tokio::join!(begun, waiting);
    assert!(waited.iter().all(Result::is_ok), "{waited:?}");
    // What was seen then is not what is there once the read model is emptied.
    consumer.unwrap().stop().await;
    writing.rebuild(&*projection).await.unwrap();
    let behind = reading.wait_for(&["counts"], last, Duration::from_millis(50)).await.unwrap_err();
    assert!(behind.to_string().contains("at position 0"), "{behind}");
    reading.close().await;
    writing.close().await;
}

/// Nobody waits for a read model that will not be there in time, whether this process makes it or another one does.
pub(crate) async fn one_who_waits_hears_at_once_that_it_is_far(given: &Fixture) {
    let (writing, reading) = (given.views().await, given.views().await);
    let last = given.append("run-a", Expected::New, 20_000).await.unwrap().last;
    let (feed, gate) = (Feed::new(Arc::clone(&given.log)), Arc::new(Semaphore::new(0)));
    let gated = Gated { inner: Counts { version: 1, factor: 1 }, gate: Arc::clone(&gate) };
    let consumer = feed.project(&writing, Arc::new(gated)).await.unwrap();
    assert_eq!(reading.position("counts").await.unwrap(), 0);
    // A pace takes some time to be one.
    tokio::time::sleep(Duration::from_millis(600)).await;
    gate.add_permits(1);
    while reading.position("counts").await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let (ages, hour) = (1 << 50, Duration::from_secs(3_600));
    for views in [&writing, &reading] {
        let far = views.wait_for(&["counts"], ages, hour).await.unwrap_err();
        assert!(far.to_string().contains("is being made from the log: it is at "), "{far}");
        assert!(far.retry_after().is_some_and(|after| after > hour), "{far}");
    }
    let standing = feed.standing();
    assert!(standing[0].left.is_some_and(|left| left.events == standing[0].behind), "{standing:?}");
    // What is left of this log is not worth giving up for, and whoever has time waits anyway.
    gate.add_permits(1_000);
    let (near, long) =
        tokio::join!(reading.wait_for(&["counts"], last, hour), writing.wait_long_for(&["counts"], last));
    near.unwrap();
    long.unwrap();
    assert_eq!(counts(&reading, 1).await, [("run-a".into(), 20_000)]);
    assert_eq!(feed.standing()[0].left, None);
    consumer.stop().await;
    writing.close().await;
    reading.close().await;
}

pub(crate) async fn a_new_version_is_built_beside_the_old_and_takes_over(given: &Fixture) {
    let views = given.views().await;
    let feed = Feed::new(Arc::clone(&given.log));
    let last = given.append("run-a", Expected::New, 5).await.unwrap().last;
    let old = feed.project(&views, Arc::new(Counts { version: 1, factor: 1 })).await.unwrap();
    views.wait_for(&["counts"], last, SOON).await.unwrap();
    old.stop().await;
    let new = feed.project(&views, Arc::new(Counts { version: 2, factor: 10 })).await.unwrap();
    views.wait_for(&["counts"], last, SOON).await.unwrap();
    assert_eq!(counts(&views, 2).await, [("run-a".into(), 50)]);
    let gone = async {
        while sqlx::query("SELECT stream FROM counts_v1").fetch_all(views.pool()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.unwrap();
    new.stop().await;
    views.close().await;
}

pub(crate) async fn a_projection_that_fails_is_tried_again_and_keeps_nothing_half(given: &Fixture) {
    let views = given.views().await;
    let feed = Feed::new(Arc::clone(&given.log));
    let last = given.append("run-a", Expected::New, 5).await.unwrap().last;
    let failing = Arc::new(FailsFirst { inner: Counts { version: 1, factor: 1 }, left: AtomicUsize::new(3) });
    let consumer = feed.project(&views, failing).await.unwrap();
    views.wait_for(&["counts"], last, SOON).await.unwrap();
    assert_eq!(counts(&views, 1).await, [("run-a".into(), 5)]);
    consumer.stop().await;
    views.close().await;
}

pub(crate) async fn a_reaction_handles_every_event_and_goes_on_where_it_was(given: &Fixture) {
    let durable = given.durable().await;
    let feed = Feed::new(Arc::clone(&given.log));
    given.append("run-a", Expected::New, 3).await.unwrap();
    given.append("org", Expected::New, 2).await.unwrap();
    let seen = Arc::new(Seen::default());
    let consumer = feed.react(&durable, Arc::clone(&seen) as Arc<dyn Reaction>).await.unwrap();
    given.append("run-a", Expected::Any, 2).await.unwrap();
    seen.until(5).await;
    consumer.stop().await;
    assert_eq!(*seen.positions.lock().unwrap(), [1, 2, 3, 6, 7]);
    given.append("run-b", Expected::New, 1).await.unwrap();
    let later = Arc::new(Seen::default());
    let consumer = feed.react(&durable, Arc::clone(&later) as Arc<dyn Reaction>).await.unwrap();
    later.until(1).await;
    consumer.stop().await;
    assert_eq!(*later.positions.lock().unwrap(), [8]);
    durable.close().await;
}

pub(crate) async fn a_reaction_retries_what_may_go_well_and_parks_what_never_will(given: &Fixture) {
    let durable = given.durable().await;
    let feed = Feed::new(Arc::clone(&given.log));
    given.append("run-a", Expected::New, 4).await.unwrap();
    let seen = Arc::new(Seen { retry_at: 2, poison_at: 3, ..Seen::default() });
    let consumer = feed.react(&durable, Arc::clone(&seen) as Arc<dyn Reaction>).await.unwrap();
    seen.until(3).await;
    consumer.stop().await;
    assert_eq!(*seen.positions.lock().unwrap(), [1, 2, 4]);
    assert_eq!(seen.failures.load(Ordering::Relaxed), 3);
    let parked = durable.parked().await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (parked[0].consumer.as_str(), parked[0].position, parked[0].error.as_str()),
        ("seen", 3, "never")
    );
    durable.close().await;
}

pub(crate) async fn rows_submitted_at_once_share_commits_and_each_gets_its_own_answer(given: &Fixture) {
    let durable = given.durable().await;
    durable
        .create(&["CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, body BLOB NOT NULL)"])
        .await
        .unwrap();
    let groups = Arc::new(AtomicUsize::new(0));
    let writer = GroupWriter::spawn(durable.clone(), Inbox { groups: Arc::clone(&groups) });
    // Every id twice, and appends meanwhile: the log's writer shares the file.
    let submits: Vec<_> = (0..400)
        .map(|n| {
            let writer = writer.clone();
            tokio::spawn(async move {
                writer.submit((format!("id-{}", n / 2), vec![n as u8; 300])).await.unwrap()
            })
        })
        .collect();
    for round in 0..20 {
        given.log.append(item(&format!("run-{round}"), Expected::New, 1)).await.unwrap();
    }
    let mut new = 0;
    for submit in submits {
        new += usize::from(submit.await.unwrap());
    }
    let stored: (i64,) =
        sqlx::query_as("SELECT count(*) FROM inbox").fetch_one(durable.pool()).await.unwrap();
    assert_eq!((new, stored.0), (200, 200));
    assert!(groups.load(Ordering::Relaxed) < 200, "{groups:?}");
    durable.close().await;
}

pub(crate) async fn a_group_with_one_bad_row_fails_that_row_only(given: &Fixture) {
    let durable = given.durable().await;
    durable
        .create(&["CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, body BLOB NOT NULL)"])
        .await
        .unwrap();
    let writer = GroupWriter::spawn(durable.clone(), Inbox { groups: Arc::default() });
    let submits = ["a", "", "b"].map(|id| {
        let writer = writer.clone();
        tokio::spawn(async move { writer.submit((id.to_owned(), vec![1])).await })
    });
    let mut good = Vec::new();
    for submit in submits {
        good.push(submit.await.unwrap().is_ok());
    }
    assert_eq!(good, [true, false, true]);
    durable.close().await;
}

/// Counts events by stream, for streams of runs.
struct Counts {
    version: u32,
    factor: i64,
}

#[async_trait]
impl Projection for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn tables(&self) -> &'static [&'static str] {
        if self.version == 1 { &["counts_v1"] } else { &["counts_v2"] }
    }

    fn schema(&self) -> &'static [&'static str] {
        match self.version {
            1 => &["CREATE TABLE counts_v1 (stream TEXT PRIMARY KEY, events BIGINT NOT NULL)"],
            _ => &["CREATE TABLE counts_v2 (stream TEXT PRIMARY KEY, events BIGINT NOT NULL)"],
        }
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    async fn apply(&self, tx: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        let add = match self.version {
            1 => {
                "INSERT INTO counts_v1 (stream, events) VALUES ($1, $2)
                 ON CONFLICT (stream) DO UPDATE SET events = counts_v1.events + excluded.events"
            }
            _ => {
                "INSERT INTO counts_v2 (stream, events) VALUES ($1, $2)
                 ON CONFLICT (stream) DO UPDATE SET events = counts_v2.events + excluded.events"
            }
        };
        for event in events {
            sqlx::query(add).bind(event.stream.as_str()).bind(self.factor).execute(&mut *tx).await?;
        }
        Ok(())
    }
}

async fn counts(views: &Views, version: u32) -> Vec<(String, i64)> {
    let select = match version {
        1 => "SELECT stream, events FROM counts_v1 ORDER BY stream",
        _ => "SELECT stream, events FROM counts_v2 ORDER BY stream",
    };
    sqlx::query_as(select).fetch_all(views.pool()).await.unwrap()
}

/// Writes, then fails, a few times.
struct FailsFirst {
    inner: Counts,
    left: AtomicUsize,
}

#[async_trait]
impl Projection for FailsFirst {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn tables(&self) -> &'static [&'static str] {
        self.inner.tables()
    }

    fn schema(&self) -> &'static [&'static str] {
        self.inner.schema()
    }

    async fn apply(&self, tx: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        self.inner.apply(tx, events).await?;
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Err(HandleError::retry("not yet")),
            Err(_) => Ok(()),
        }
    }
}

/// Applies a batch when it is let.
struct Gated {
    inner: Counts,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Projection for Gated {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn tables(&self) -> &'static [&'static str] {
        self.inner.tables()
    }

    fn schema(&self) -> &'static [&'static str] {
        self.inner.schema()
    }

    async fn apply(&self, tx: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        self.gate.acquire().await.map_err(HandleError::retry)?.forget();
        self.inner.apply(tx, events).await
    }
}

/// Notes the positions that it is given.
#[derive(Default)]
struct Seen {
    positions: Mutex<Vec<u64>>,
    failures: AtomicUsize,
    retry_at: u64,
    poison_at: u64,
}

impl Seen {
    async fn until(&self, count: usize) {
        let enough = async {
            while self.positions.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, enough).await.unwrap();
    }
}

#[async_trait]
impl Reaction for Seen {
    fn name(&self) -> &'static str {
        "seen"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        if event.position == self.poison_at {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Err(HandleError::poison("never"));
        }
        if event.position == self.retry_at && self.failures.fetch_add(1, Ordering::Relaxed) < 1 {
            return Err(HandleError::retry("later"));
        }
        self.positions.lock().unwrap().push(event.position);
        Ok(())
    }
}

/// Inserts rows that are not there yet; the answer says whether it was new.
struct Inbox {
    groups: Arc<AtomicUsize>,
}

#[async_trait]
impl GroupWrite for Inbox {
    type Row = (String, Vec<u8>);
    type Outcome = bool;

    async fn write(&self, tx: &mut AnyConnection, rows: &[Self::Row]) -> Result<Vec<bool>, sqlx::Error> {
        self.groups.fetch_add(1, Ordering::Relaxed);
        if rows.iter().any(|(id, _)| id.is_empty()) {
            return Err(sqlx::Error::Protocol("an id is empty".into()));
        }
        let set: Vec<_> = rows
            .iter()
            .map(|(id, body)| serde_json::json!({ "id": id, "body": hex::encode(body) }))
            .collect();
        let inserted = sqlx::query(
            "INSERT INTO inbox (id, body) SELECT value->>'id', unhex(value->>'body') FROM json_each($1) WHERE true
             ON CONFLICT (id) DO NOTHING RETURNING id",
        )
        .bind(serde_json::to_string(&set).unwrap())
        .fetch_all(tx)
        .await?;
        let mut new = std::collections::HashSet::new();
        for row in inserted {
            new.insert(row.try_get::<String, _>("id")?);
        }
        Ok(rows.iter().map(|(id, _)| new.remove(id)).collect())
    }
}

impl Fixture {
    async fn views(&self) -> Views {
        match self.url() {
            None => Views::open(&self.folder.path().join("views.db"), &*self.log).await.unwrap(),
            Some(url) => Views::connect(&url, "views", &*self.log).await.unwrap(),
        }
    }

    async fn durable(&self) -> Durable {
        self.log.durable().await.unwrap()
    }
}
