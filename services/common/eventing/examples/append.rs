//! Measures appends: one caller after the other, then 16 at once, then many handed over together; and rows accepted
//! by a group writer from 50 callers. Argument 1 is a folder for an embedded log, or the URL of a PostgreSQL database.
//! Prints medians, rates and bytes; `cargo run --release` for times that mean something.

use std::{path::PathBuf, sync::Arc, time::Instant};

use async_trait::async_trait;
use shipway_eventing::{
    Expected, GroupWrite, GroupWriter, Item, Log, PostgresLog, PostgresOptions, SqliteLog, SqliteOptions,
};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, StreamName};
use sqlx::AnyConnection;

/// What a node in a sequence costs: the end of one, the request of the next.
fn node(stream: &StreamName, version: u64) -> Item {
    let meta = Meta { actor: Actor::System("scheduler".into()), cause: Cause::Event(version), trace: None };
    let id = uuid::Uuid::now_v7();
    let requested = format!(
        r#"{{"node":{version},"attempt":1,"executor":"{id}","registration":"{id}","effect":"keyed","work":{{"work":"noop"}}}}"#
    );
    let succeeded = format!(r#"{{"node":{version},"fence":17592186044416}}"#);
    let event = |kind, data| NewEvent { kind, schema: 1, data };
    let events = vec![event("run.node_succeeded", succeeded), event("run.attempt_requested", requested)];
    Item::one(CommandId::new(id), meta, stream.clone(), Expected::Version(version), events)
}

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder =
        tempfile::tempdir_in(if place.contains("://") { PathBuf::from(".") } else { place.clone().into() })
            .expect("a folder to write in");
    let log: Arc<dyn Log> = if place.contains("://") {
        Arc::new(PostgresLog::connect(&place, PostgresOptions::default()).await.expect("a log"))
    } else {
        let file = folder.path().join("log.db");
        Arc::new(SqliteLog::open(&file, SqliteOptions::default()).await.expect("a log"))
    };
    let mut sync = floor(folder.path());
    println!("fdatasync of 20 KiB: p50 {:.3} ms", median(&mut sync));
    let run = format!("run-{}", uuid::Uuid::now_v7());
    let stream = StreamName::parse(&run).expect("a name");
    let mut one = Vec::new();
    for n in 0..3_000 {
        let begun = Instant::now();
        log.append(node(&stream, n * 2)).await.expect("appended");
        one.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    println!("one after the other: p50 {:.3} ms", median(&mut one));
    let before = log.stats();
    let begun = Instant::now();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let (log, stream) =
                (Arc::clone(&log), StreamName::parse(&format!("{run}-{writer}")).expect("a name"));
            tokio::spawn(async move {
                for n in 0..2_000 {
                    log.append(node(&stream, n * 2)).await.expect("appended");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let seconds = begun.elapsed().as_secs_f64();
    let commits = (log.stats().commits - before.commits) as f64;
    println!("16 callers: {:.0} appends/s in {:.0} commits/s", 32_000.0 / seconds, commits / seconds);
    let begun = Instant::now();
    let name = |n: u64| StreamName::parse(&format!("{run}-batch-{}", n % 100)).expect("a name");
    let items = (0..20_000).map(|n| node(&name(n), n / 100 * 2)).collect();
    let failed = log.append_all(items).await.iter().filter(|answer| answer.is_err()).count();
    println!(
        "handed over together: {:.0} appends/s, {failed} failed",
        20_000.0 / begun.elapsed().as_secs_f64()
    );
    accept(&*log).await;
    let events = log.stats().events;
    log.close().await;
    if let Ok(file) = std::fs::metadata(folder.path().join("log.db")) {
        println!("stored: {} bytes for two events, accepted rows included", 2 * file.len() / events);
    }
}

async fn accept(log: &dyn Log) {
    let durable = log.durable().await.expect("durable tables");
    let table = "CREATE TABLE IF NOT EXISTS example_inbox (id TEXT PRIMARY KEY, body BLOB NOT NULL)";
    durable.create(&[table]).await.expect("a table");
    let writer = GroupWriter::spawn(durable, Inbox);
    let begun = Instant::now();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let writer = writer.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for _ in 0..400 {
                    let begun = Instant::now();
                    writer.submit(uuid::Uuid::now_v7()).await.expect("accepted");
                    times.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await.expect("no panic"));
    }
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    println!(
        "50 callers: {rate:.0} rows of 300 bytes accepted/s, p99 {:.2} ms",
        times[times.len() * 99 / 100]
    );
}

struct Inbox;

#[async_trait]
impl GroupWrite for Inbox {
    type Row = uuid::Uuid;
    type Outcome = ();

    async fn write(&self, tx: &mut AnyConnection, rows: &[uuid::Uuid]) -> Result<Vec<()>, sqlx::Error> {
        let body = hex::encode([7; 300]);
        let set: Vec<_> = rows.iter().map(|id| serde_json::json!({ "id": id, "body": body })).collect();
        sqlx::query(
            "INSERT INTO example_inbox (id, body)
             SELECT value->>'id', unhex(value->>'body') FROM json_each($1) WHERE true ON CONFLICT (id) DO NOTHING",
        )
        .bind(serde_json::Value::from(set).to_string())
        .execute(tx)
        .await?;
        Ok(rows.iter().map(|_| ()).collect())
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn floor(folder: &std::path::Path) -> Vec<f64> {
    use std::io::{Seek, Write};
    let mut file = std::fs::File::create(folder.join("floor")).expect("a file");
    file.write_all(&vec![1; 4 << 20]).expect("written");
    file.sync_all().expect("synced");
    (0..500)
        .map(|n| {
            file.seek(std::io::SeekFrom::Start(n % 200 * 20_480)).expect("in the file");
            let begun = Instant::now();
            file.write_all(&[2; 20_480]).expect("written");
            file.sync_data().expect("synced");
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}
