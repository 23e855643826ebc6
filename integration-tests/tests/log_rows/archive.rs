//! L-16: partitions of the log are made before they are needed, and go into archives under load.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use shipway_eventing::{
    Archiving, BlobId, Expected, Item, Log, PostgresLog, PostgresOptions,
    verify::{Why, verify},
};
use shipway_events::{NewEvent, Position, RawEvent, StreamName, Version};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    full,
    given::{Given, command, meta, stream},
};

/// How many append at the same time.
const WRITERS: usize = 4;

pub(crate) async fn partitions_are_archived_under_load(given: &mut Given) {
    let (size, wanted) = if full() { (25_000, 4) } else { (1_000, 2) };
    let url = database(given, "archived").await;
    let options = PostgresOptions { partition_events: size, ..given.options().await };
    let blobs = options.blobs.clone().unwrap();
    let open = async || Arc::new(PostgresLog::connect(&url, options.clone()).await.unwrap());
    let (log, reader) = (open().await, open().await);

    let held = stream("run-held");
    append(&*log, &held, "run.started").await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reading = tokio::spawn(follow(Arc::clone(&reader), Arc::clone(&written)));
    let writers: Vec<_> =
        (0..WRITERS).map(|n| tokio::spawn(write(Arc::clone(&log), n, Arc::clone(&stop)))).collect();
    assert_eq!(log.archive_oldest(Duration::ZERO).await.unwrap(), Archiving::InUse);
    while log.head().await.unwrap().position <= size {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let month = Duration::from_secs(30 * 24 * 3600);
    assert!(matches!(log.archive_oldest(month).await.unwrap(), Archiving::Young { .. }));
    let kept = log.archive_oldest(Duration::ZERO).await.unwrap();
    assert!(matches!(&kept, Archiving::Open { stream, .. } if stream.starts_with("run-")), "{kept:?}");
    append(&*log, &held, "run.ended").await;
    let (mut archived, mut manifest) = (0, None);
    while archived < size * wanted {
        match log.archive_oldest(Duration::ZERO).await.unwrap() {
            Archiving::Done(done) => {
                assert_eq!((done.first, done.last), (archived + 1, archived + size));
                archived = done.last;
                manifest = Some(done.manifest);
            }
            // The writers are at their runs.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    stop.store(true, Ordering::Release);
    let (mut appended, mut slowest) = (0, Duration::ZERO);
    for writer in writers {
        let (events, longest) = writer.await.unwrap();
        appended += events;
        slowest = slowest.max(longest);
    }
    written.store(true, Ordering::Release);
    let live = reading.await.unwrap();
    let head = log.head().await.unwrap().position;
    // `read` gives no gap away: it would be an error.
    assert_eq!((live.len() as u64, appended + 2), (head, head));

    // A process that starts now, and one that read before.
    let again = open().await;
    for log in [&again, &reader] {
        let report = verify(&**log).await.unwrap();
        assert!(report.is_whole() && report.events == head, "{:?}", report.bad);
        assert_eq!(all(&**log).await, live);
    }
    let streams = streams_are_as_they_were(&*again, &live).await;
    let (tables, room) = tables(&url).await;
    assert!(room > head + 1, "no partition is made ahead: {room} of {head}");

    // What is missing in the blobs is missing in the log, and is named.
    let id = manifest.unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&blobs.get(&id).await.unwrap()).unwrap();
    assert_eq!(manifest["last"], archived);
    let chunk: BlobId = manifest["chunks"][0]["blob"].as_str().unwrap().parse().unwrap();
    blobs.delete(&chunk).await.unwrap();
    let found = verify(&*open().await).await.unwrap().bad.unwrap();
    assert!(matches!(found.why, Why::Blob(_)), "{found}");
    assert_eq!(found.position, archived - size + 1);
    println!(
        "ROW L-16 postgresql events={head} archived={archived} tables={tables} missed=0 streams_read={streams} \
         slowest_append={slowest:?}"
    );
}

pub(crate) async fn an_older_log_becomes_the_first_partition(given: &mut Given) {
    let url = database(given, "older").await;
    let log = given.at(&url).await;
    for n in 0..50 {
        append(&log, &stream(format!("run-{}", n % 7)), "run.started").await;
    }
    let before = all(&log).await;
    log.close().await;
    let mut older = PgConnection::connect(&url).await.unwrap();
    // As it was made before there were partitions.
    sqlx::raw_sql(
        "SET search_path = shipway_log;
         CREATE TABLE plain (LIKE events INCLUDING DEFAULTS);
         INSERT INTO plain SELECT * FROM events;
         DROP TABLE events;
         ALTER TABLE plain RENAME TO events;
         ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (position);
         CREATE UNIQUE INDEX events_stream ON events (stream, version);
         CREATE UNIQUE INDEX events_command ON events (command) WHERE items IS NOT NULL;
         CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events
             FOR EACH STATEMENT EXECUTE FUNCTION events_stay();
         DROP TABLE partitions, archived_streams, events_kept;
         DROP FUNCTION make_partitions;
         ALTER TABLE log DROP COLUMN partition_events;
         COMMENT ON SCHEMA shipway_log IS 'The log of Shipway, as made by an earlier one'",
    )
    .execute(&mut older)
    .await
    .unwrap();
    older.close().await.unwrap();
    let begin = Instant::now();
    let log = given.at(&url).await;
    let took = begin.elapsed();
    assert_eq!(all(&log).await, before);
    append(&log, &stream("run-3"), "run.ended").await;
    let report = verify(&log).await.unwrap();
    assert!(report.is_whole() && report.events == 51, "{:?}", report.bad);
    let (tables, room) = tables(&url).await;
    println!("ROW L-16 older_log events=50 migrated_in={took:?} tables={tables}");
    assert!(tables == 1 && room > 10_000_000, "{tables} {room}");
}

/// Another database on the same server.
async fn database(given: &Given, name: &str) -> String {
    let mut superuser = given.superuser().await;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut superuser).await.unwrap();
    superuser.close().await.unwrap();
    given.url().replace("/shipway", &format!("/{name}"))
}

fn event(kind: &'static str) -> NewEvent {
    NewEvent { kind, schema: 1, data: format!("{{\"fill\":\"{}\"}}", "x".repeat(100)) }
}

async fn append(log: &dyn Log, to: &StreamName, kind: &'static str) {
    log.append(Item::one(command(), meta(), to.clone(), Expected::Any, vec![event(kind)])).await.unwrap();
}

/// Begins and ends runs, now and then changes its project; how many events, and how long the slowest append took.
async fn write(log: Arc<PostgresLog>, writer: usize, stop: Arc<AtomicBool>) -> (u64, Duration) {
    let (mut events, mut slowest) = (0, Duration::ZERO);
    let project = stream(format!("project-{writer}"));
    for run in 0.. {
        let to = stream(format!("run-{writer}-{run}"));
        for part in [&["run.started", "run.aborting"][..], &["run.node_skipped"; 6], &["run.ended"]] {
            let item = Item::one(
                command(),
                meta(),
                to.clone(),
                Expected::Any,
                part.iter().map(|kind| event(kind)).collect(),
            );
            let begin = Instant::now();
            log.append(item).await.unwrap();
            slowest = slowest.max(begin.elapsed());
            events += part.len() as u64;
        }
        if run % 10 == 0 {
            append(&*log, &project, "project.changed").await;
            events += 1;
        }
        if stop.load(Ordering::Acquire) {
            break;
        }
        // As fast as it goes it would need a partition in less time than it takes to look at the head.
        if !full() {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
    (events, slowest)
}

/// Reads what is appended as it comes, until all is written.
async fn follow(log: Arc<PostgresLog>, written: Arc<AtomicBool>) -> Vec<RawEvent> {
    let mut all: Vec<RawEvent> = Vec::new();
    loop {
        let written = written.load(Ordering::Acquire);
        let after = all.len() as Position;
        let more = log.read(after, 500).await.unwrap();
        if written && more.is_empty() && log.head().await.unwrap().position == after {
            return all;
        }
        if more.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        all.extend(more);
    }
}

async fn all(log: &dyn Log) -> Vec<RawEvent> {
    let mut all: Vec<RawEvent> = Vec::new();
    loop {
        let more = log.read(all.len() as Position, 700).await.unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// Every stream, read in pages, has the events that it has in the log; how many there are.
async fn streams_are_as_they_were(log: &dyn Log, live: &[RawEvent]) -> usize {
    let mut streams: BTreeMap<&StreamName, Vec<&RawEvent>> = BTreeMap::new();
    for event in live {
        streams.entry(&event.stream).or_default().push(event);
    }
    // All that go over a border, and some of the rest.
    let step = if full() { 50 } else { 5 };
    let chosen = streams.iter().enumerate().filter(|(n, (name, _))| n % step == 0 || name.kind() != "run");
    let mut read = 0;
    for (_, (name, events)) in
        chosen.chain(streams.iter().enumerate().filter(|(_, (n, _))| n.as_str() == "run-held"))
    {
        let mut found: Vec<RawEvent> = Vec::new();
        loop {
            let after = found.last().map_or(0, |event| event.version) as Version;
            let page = log.read_stream(name, after, 4).await.unwrap();
            let end = page.len() < 4;
            found.extend(page);
            if end {
                break;
            }
        }
        assert!(found.iter().eq(events.iter().copied()), "{name}: {} of {}", found.len(), events.len());
        read += 1;
    }
    read
}

/// How many partitions are in the database, and the first position that has none.
async fn tables(url: &str) -> (i64, u64) {
    let mut direct = PgConnection::connect(url).await.unwrap();
    let (tables, room): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 'shipway_log.events'::regclass),
                (SELECT max(beyond) FROM shipway_log.partitions)",
    )
    .fetch_one(&mut direct)
    .await
    .unwrap();
    (tables, room.cast_unsigned())
}
