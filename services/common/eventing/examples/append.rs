//! Measures appends to an embedded log in a folder (argument 1, or the current one): one caller after the other,
//! then 16 at once. Prints medians and rates; `cargo run --release` for figures that mean something.

use std::{path::PathBuf, sync::Arc, time::Instant};

use shipway_eventing::{Expected, Item, Log, SqliteLog, SqliteOptions};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, StreamName};

fn item(stream: &StreamName, version: u64, events: usize) -> Item {
    let meta = Meta { actor: Actor::System("bench".into()), cause: Cause::Event(version), trace: None };
    let event = NewEvent {
        kind: "run.node_succeeded",
        schema: 1,
        data: format!("{{\"node\":{version},\"fill\":\"{}\"}}", "x".repeat(150)),
    };
    Item::one(
        CommandId::new(uuid::Uuid::now_v7()),
        meta,
        stream.clone(),
        Expected::Version(version),
        vec![event; events],
    )
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder to write in");
    let log = Arc::new(
        SqliteLog::open(&folder.path().join("log.db"), SqliteOptions::default()).await.expect("a log"),
    );
    let mut sync = floor(folder.path());
    let stream = StreamName::parse("run-one").expect("a name");
    let mut one = Vec::new();
    for n in 0..3_000 {
        let begun = Instant::now();
        log.append(item(&stream, n * 2, 2)).await.expect("appended");
        one.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    sync.sort_by(f64::total_cmp);
    one.sort_by(f64::total_cmp);
    println!(
        "fdatasync of 20 KiB: p50 {:.3} ms; one append: p50 {:.3} p99 {:.3} ms",
        sync[sync.len() / 2],
        one[1500],
        one[2970]
    );
    let before = log.stats();
    let begun = Instant::now();
    let writers: Vec<_> = (0..16)
        .map(|w| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let stream = StreamName::parse(&format!("run-{w}")).expect("a name");
                for n in 0..2_000 {
                    log.append(item(&stream, n * 2, 2)).await.expect("appended");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = log.stats();
    println!(
        "16 writers: {:.0} appends/s in {:.0} commits/s",
        32_000.0 / seconds,
        (after.commits - before.commits) as f64 / seconds
    );
    let begun = Instant::now();
    let items = (0..20_000)
        .map(|n| item(&StreamName::parse(&format!("batch-{}", n % 100)).expect("a name"), n / 100, 1))
        .collect();
    let failed = log.append_all(items).await.iter().filter(|answer| answer.is_err()).count();
    println!(
        "20,000 handed over together: {:.0} appends/s, {failed} failed",
        20_000.0 / begun.elapsed().as_secs_f64()
    );
    log.close().await;
    let size = std::fs::metadata(folder.path().join("log.db")).expect("a file").len();
    println!("{} bytes an event", size / (log.stats().events));
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
