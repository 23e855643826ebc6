//! L-14: a read model that is dropped while it is written comes back byte for byte.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use shipway_eventing::{Expected, Feed, HandleError, Projection, Views, verify::verify};
use shipway_events::RawEvent;
use sqlx::AnyConnection;

use crate::given::{Given, item, stream};

const ITEMS: usize = 10_000;
const EVENTS: usize = 4;
const LONG: Duration = Duration::from_secs(120);

pub(crate) async fn a_rebuild_equals_what_was_live(given: &Given) {
    let (live, dropped) = (given.views("live").await, given.views("dropped").await);
    let feed = Feed::new(Arc::clone(&given.log));
    let projection: Arc<dyn Projection> = Arc::new(Streams);
    let consumers = [
        feed.project(&live, Arc::clone(&projection)).await.unwrap(),
        feed.project(&dropped, Arc::clone(&projection)).await.unwrap(),
    ];
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let log = Arc::clone(&given.log);
            tokio::spawn(async move {
                for n in 0..ITEMS / 8 {
                    let to = stream(format!("run-{writer}-{}", n % 100));
                    log.append(item(&to, Expected::Any, EVENTS)).await.unwrap();
                }
            })
        })
        .collect();
    let (views, other, stop) = (dropped.clone(), Arc::clone(&projection), Arc::clone(&done));
    let mut tail = feed.tail();
    let dropping = tokio::spawn(async move {
        let mut drops = 0;
        for quarter in 1..4 {
            let at = (ITEMS * EVENTS / 4 * quarter) as u64;
            tail.wait_for(|position| *position >= at).await.unwrap();
            views.rebuild(&*other).await.unwrap();
            drops += u32::from(!stop.load(Ordering::Relaxed));
        }
        drops
    });
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let drops = dropping.await.unwrap();
    let head = given.log.head().await.unwrap().position;
    live.wait_for(&["streams"], head, LONG).await.unwrap();
    dropped.wait_for(&["streams"], head, LONG).await.unwrap();
    // And once more from nothing, alone, for the rate.
    let begun = Instant::now();
    let fresh = given.views("fresh").await;
    let alone = Feed::new(Arc::clone(&given.log)).project(&fresh, projection).await.unwrap();
    fresh.wait_for(&["streams"], head, LONG).await.unwrap();
    let rate = head as f64 / begun.elapsed().as_secs_f64();
    let dumps = [dump(&live).await, dump(&dropped).await, dump(&fresh).await];
    let different = dumps[1..].iter().filter(|dump| **dump != dumps[0]).count();
    println!(
        "ROW L-14 {} events={head} drops_under_load={drops} rows={} different={different} events_per_s={rate:.0}",
        given.name(),
        dumps[0].len()
    );
    assert_eq!((head, different), ((ITEMS * EVENTS) as u64, 0));
    assert_eq!(dumps[0].len(), 800);
    assert!(!crate::full() || rate >= 20_000.0, "{rate} events/s");
    assert!(verify(&*given.log).await.unwrap().is_whole());
    for consumer in consumers.into_iter().chain([alone]) {
        consumer.stop().await;
    }
    for views in [live, dropped, fresh] {
        views.close().await;
    }
}

async fn dump(views: &Views) -> Vec<(String, i64, i64, i64, String)> {
    let select = "SELECT stream, events, version, last_at, last_data FROM streams_v1 ORDER BY stream";
    sqlx::query_as(select).fetch_all(views.pool()).await.unwrap()
}

/// A row per stream, with things that depend on order.
struct Streams;

#[async_trait]
impl Projection for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["streams_v1"]
    }

    fn schema(&self) -> &'static [&'static str] {
        &["CREATE TABLE streams_v1 (
            stream TEXT PRIMARY KEY,
            events BIGINT NOT NULL,
            version BIGINT NOT NULL,
            last_at BIGINT NOT NULL,
            last_data TEXT NOT NULL
        )"]
    }

    /// One statement for a batch: the last event of each stream, and how many there are.
    async fn apply(&self, tx: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        let mut rows = std::collections::BTreeMap::new();
        for event in events {
            let row = rows.entry(event.stream.as_str()).or_insert((0, event));
            *row = (row.0 + 1, event);
        }
        let set: Vec<_> = rows
            .into_iter()
            .map(|(stream, (count, last))| {
                serde_json::json!({
                    "stream": stream, "events": count, "version": last.version,
                    "at": last.at.micros(), "data": last.data,
                })
            })
            .collect();
        sqlx::query(
            "INSERT INTO streams_v1 (stream, events, version, last_at, last_data)
             SELECT value->>'stream', CAST(value->>'events' AS BIGINT), CAST(value->>'version' AS BIGINT),
                    CAST(value->>'at' AS BIGINT), value->>'data'
             FROM json_each($1) WHERE true
             ON CONFLICT (stream) DO UPDATE SET events = streams_v1.events + excluded.events,
                version = excluded.version, last_at = excluded.last_at, last_data = excluded.last_data",
        )
        .bind(serde_json::to_string(&set).map_err(HandleError::poison)?)
        .execute(tx)
        .await?;
        Ok(())
    }
}
