//! L-5 and L-6: the server is killed under load; a backend or a client is killed at each point of an append.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use shipway_eventing::{Appended, Expected, Item, Log, Write, verify::verify};
use shipway_events::CommandId;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::given::{Given, command, event, item, meta, stream};

const WRITERS: usize = 8;

pub(crate) async fn a_killed_server_loses_nothing(given: &mut Given) {
    let rounds = if crate::full() { 20 } else { 4 };
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (log, stop, count) = (Arc::clone(&given.log), Arc::clone(&stop), Arc::clone(&count));
            tokio::spawn(async move {
                let (to, mut acked) = (stream(format!("writer-{writer}")), Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    let item = item(&to, Expected::Version(acked.len() as u64), 1);
                    acked.push((item.command, settle(&*log, item).await.first));
                    count.fetch_add(1, Ordering::SeqCst);
                }
                acked
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        until_more(&count, 300).await;
        tokio::task::block_in_place(|| given.server().crash_and_restart()).unwrap();
        let ready = Instant::now();
        until_more(&count, 1).await;
        slowest = slowest.max(ready.elapsed());
    }
    stop.store(true, Ordering::SeqCst);
    let mut acked = HashMap::new();
    for writer in writers {
        acked.extend(writer.await.unwrap());
    }
    let report = settled_report(&*given.log).await;
    let there = commands(&*given.log).await;
    let lost = acked.iter().filter(|(command, at)| there.get(*command) != Some(*at)).count();
    println!(
        "ROW L-5 postgresql rounds={rounds} acked={} events={} lost={lost} bad={} ready_after_start_ms={}",
        acked.len(),
        report.events,
        u8::from(report.bad.is_some()),
        slowest.as_millis()
    );
    assert_eq!((lost, report.events, report.bad), (0, acked.len() as u64, None));
    if crate::full() {
        assert!(slowest < Duration::from_secs(10));
    }
}

/// Waits until a count has grown by so much.
async fn until_more(count: &AtomicU64, more: u64) {
    let begin = count.load(Ordering::SeqCst);
    while count.load(Ordering::SeqCst) < begin + more {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Appends until there is an answer.
async fn settle(log: &dyn Log, item: Item) -> Appended {
    loop {
        match log.append(item.clone()).await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn settled_report(log: &dyn Log) -> shipway_eventing::verify::Report {
    loop {
        if let Ok(report) = verify(log).await {
            return report;
        }
    }
}

/// The position of each command's first event.
async fn commands(log: &dyn Log) -> HashMap<CommandId, u64> {
    let mut found = HashMap::new();
    let mut after = 0;
    loop {
        let page = log.read(after, 5_000).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = last.position;
        for event in page {
            found.entry(event.command).or_insert(event.position);
        }
    }
}

/// Where an append can be held up from outside.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// Before it has the head.
    Head,
    /// It has the head, and inserts its events.
    Events,
    /// It has inserted its events, and notes a new stream.
    NewStream,
    /// It has noted the new stream, and moves the version of an old one.
    OldStream,
    /// It has committed, and has not answered.
    Committed,
}

const POINTS: [Point; 5] = [Point::Head, Point::Events, Point::NewStream, Point::OldStream, Point::Committed];

pub(crate) async fn a_killed_backend_leaves_no_half_batch(given: &mut Given) {
    let rounds = if crate::full() { 20 } else { 2 };
    let old = stream("old");
    let mut appended = given.log.append(item(&old, Expected::New, 1)).await.unwrap().last;
    let mut half = 0;
    for round in 0..rounds {
        for point in POINTS {
            for client_dies in [false, true] {
                let new = format!("new-{round}-{point:?}-{client_dies}").to_lowercase();
                let item = Item {
                    command: command(),
                    meta: meta(),
                    writes: vec![
                        Write {
                            stream: old.clone(),
                            expected: Expected::Any,
                            events: vec![event(1), event(2)],
                        },
                        Write { stream: stream(&new), expected: Expected::New, events: vec![event(3)] },
                    ],
                };
                let answer = killed_at(given, point, client_dies, &new, item).await;
                half += u32::from(answer.last - answer.first != 2 || answer.first != appended + 1);
                appended = answer.last;
            }
        }
    }
    let report = settled_report(&*given.log).await;
    println!(
        "ROW L-6 postgresql points={} kills={} half={half} events={} bad={}",
        POINTS.len(),
        rounds * 2 * POINTS.len(),
        report.events,
        u8::from(report.bad.is_some())
    );
    assert_eq!((half, report.events, report.bad), (0, appended, None));
}

/// Holds an append up at a point, kills its backend or its client there, and appends it again until it is answered.
async fn killed_at(given: &Given, point: Point, client_dies: bool, new: &str, item: Item) -> Appended {
    let mut blocker = given.superuser().await;
    let mut watcher = given.superuser().await;
    hold(&mut blocker, point, new).await;
    // A process of its own, as far as its connection is concerned.
    let client = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (url, options) = (given.url(), given.options().await);
    let first = item.clone();
    client.spawn(async move {
        let log = shipway_eventing::PostgresLog::connect(&url, options).await.unwrap();
        drop(log.append(first).await);
    });
    let waiting =
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%FROM append(%' AND pid <> pg_backend_pid()
         AND (wait_event_type = 'Lock' OR wait_event = 'SyncRep')";
    let backend: i32 = loop {
        if let Some(pid) = sqlx::query_scalar(waiting).fetch_optional(&mut watcher).await.unwrap() {
            break pid;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    if !client_dies {
        sqlx::query("SELECT pg_terminate_backend($1)").bind(backend).execute(&mut watcher).await.unwrap();
    }
    client.shutdown_background();
    release(blocker, point).await;
    settle(&*given.log, item).await
}

async fn hold(blocker: &mut PgConnection, point: Point, new: &str) {
    let statement = match point {
        Point::Head => "BEGIN; SELECT position FROM head FOR UPDATE".to_owned(),
        // Rows that are not committed, where the append's own would be.
        Point::Events => {
            "BEGIN; INSERT INTO events SELECT h.position + 1, e.at, e.stream, -1, NULL, e.schema, e.form, \
             gen_random_uuid(), e.hash, e.kind, e.meta, e.data FROM events e, head h WHERE e.position = 1"
                .to_owned()
        }
        Point::NewStream => {
            format!("BEGIN; INSERT INTO streams (number, version, name) VALUES (-1, 0, '{new}')")
        }
        Point::OldStream => "BEGIN; SELECT version FROM streams WHERE name = 'old' FOR UPDATE".to_owned(),
        // A commit that waits for a standby that does not exist has been made, and is not answered.
        Point::Committed => {
            for statement in
                ["ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"]
            {
                sqlx::raw_sql(statement).execute(&mut *blocker).await.unwrap();
            }
            return;
        }
    };
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(blocker).await.unwrap();
}

async fn release(mut blocker: PgConnection, point: Point) {
    if let Point::Committed = point {
        for statement in ["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"] {
            sqlx::raw_sql(statement).execute(&mut blocker).await.unwrap();
        }
    } else {
        sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await.unwrap();
    }
    blocker.close().await.unwrap();
}
