//! What the machine itself takes: the probes that every sitting begins and ends with.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use async_nats::jetstream::{self, consumer::pull, stream};
use bytes::Bytes;
use futures::StreamExt;
use rustix::fs::fdatasync;
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::report::{Report, percentile};

/// How often each probe is repeated.
const SAMPLES: usize = 300;
/// Runs of the composed probe, each of ten nodes as in W1.
const RUNS: usize = 100;
const NODES: u32 = 10;
/// The subjects of the composed probe: what is to be done, and what was.
const ORDERS: &str = "floor.orders";
const DONE: &str = "floor.done";

/// Appends 4 KiB and syncs.
pub(crate) fn disk(folder: &Path, report: &Report) -> anyhow::Result<()> {
    let path = folder.join("floor.bin");
    let mut file = std::fs::File::create(&path).with_context(|| format!("making {}", path.display()))?;
    let block = [7_u8; 4096];
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        file.write_all(&block)?;
        fdatasync(&file)?;
        samples.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    report.time("floor.fdatasync_p50", "p50", percentile(&mut samples, 0.5));
    Ok(())
}

/// Commits two rows to SQLite.
pub(crate) async fn sqlite(folder: &Path, report: &Report) -> anyhow::Result<()> {
    let path = folder.join("floor.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .pragma("journal_mode", "WAL")
        .pragma("synchronous", "FULL");
    let mut db = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, data TEXT)").execute(&mut db).await?;
    let data = row();
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        sqlx::query("INSERT INTO t (data) VALUES ($1), ($1)").bind(&data).execute(&mut db).await?;
        samples.push(start.elapsed());
    }
    db.close().await?;
    for end in ["", "-wal", "-shm"] {
        // The side files are there or not, as SQLite likes.
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    report.time("floor.sqlite_commit", "p50", percentile(&mut samples, 0.5));
    Ok(())
}

/// Commits a row to PostgreSQL, publishes to JetStream, and does what any node of a cluster takes: a commit, an order
/// to a worker and its answer, both published and acknowledged, and a commit.
pub(crate) async fn composed(database: &str, nats: &str, report: &Report) -> anyhow::Result<()> {
    let mut db = PgConnection::connect(database).await.context("connecting to PostgreSQL")?;
    let table = "CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, data text)";
    sqlx::query(table).execute(&mut db).await.context("making the table of the probes")?;
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        commit(&mut db).await?;
        samples.push(start.elapsed());
    }
    report.time("floor.pg_commit", "p50", percentile(&mut samples, 0.5));

    let (here, worker) = (connect(nats).await?, connect(nats).await?);
    let done = stream_of(&here, DONE).await?;
    let orders = stream_of(&here, ORDERS).await?;
    samples.clear();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        publish(&here, ORDERS).await?;
        samples.push(start.elapsed());
    }
    report.time("floor.js_publish", "p50", percentile(&mut samples, 0.5));

    orders.purge().await.context("emptying the probe's stream")?;
    let orders = messages(&orders).await?;
    let worker = tokio::spawn(work(worker, orders));
    let answers = messages(&done).await?;
    let measured = nodes(&mut db, &here, answers).await;
    worker.abort();
    let mut samples = measured?;
    let (p50, p99) = (percentile(&mut samples, 0.5), percentile(&mut samples, 0.99));
    report.time("floor.node", "p50", p50 / NODES);
    report.figure("floor.node_p99_over_p50", "ratio", p99.as_secs_f64() / p50.as_secs_f64(), "");
    for subject in [ORDERS, DONE] {
        here.delete_stream(name(subject)).await.context("deleting the probe's stream")?;
    }
    sqlx::query("DROP TABLE floor").execute(&mut db).await.context("dropping the table of the probes")?;
    Ok(db.close().await?)
}

/// How long runs of ten nodes take, one after the other.
async fn nodes(
    db: &mut PgConnection,
    here: &jetstream::Context,
    mut answers: pull::Stream,
) -> anyhow::Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..NODES {
            commit(db).await?;
            publish(here, ORDERS).await?;
            let answer = answers.next().await.context("the probe's stream has ended")??;
            commit(db).await?;
            acknowledge(&answer).await?;
        }
        samples.push(start.elapsed());
    }
    Ok(samples)
}

/// Answers every order.
async fn work(js: jetstream::Context, mut orders: pull::Stream) -> anyhow::Result<()> {
    while let Some(order) = orders.next().await {
        publish(&js, DONE).await?;
        acknowledge(&order?).await?;
    }
    Ok(())
}

async fn commit(db: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query("INSERT INTO floor (data) VALUES ($1)")
        .bind(row())
        .execute(db)
        .await
        .context("committing")?;
    Ok(())
}

async fn publish(js: &jetstream::Context, subject: &'static str) -> anyhow::Result<()> {
    let sent = js.publish(subject, Bytes::from(row())).await.context("publishing")?;
    sent.await.context("waiting for the acknowledgement")?;
    Ok(())
}

async fn acknowledge(message: &jetstream::Message) -> anyhow::Result<()> {
    message.ack().await.map_err(|error| anyhow::anyhow!("acknowledging: {error}"))
}

async fn connect(nats: &str) -> anyhow::Result<jetstream::Context> {
    Ok(jetstream::new(async_nats::connect(nats).await.context("connecting to NATS")?))
}

async fn stream_of(js: &jetstream::Context, subject: &str) -> anyhow::Result<stream::Stream> {
    let config = stream::Config {
        name: name(subject),
        subjects: vec![subject.to_owned()],
        ..stream::Config::default()
    };
    js.create_stream(config).await.context("making the probe's stream")
}

async fn messages(stream: &stream::Stream) -> anyhow::Result<pull::Stream> {
    let config = pull::Config { durable_name: Some("floor".to_owned()), ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.context("making the probe's consumer")?;
    consumer.messages().await.context("reading the probe's stream")
}

/// The stream of a subject.
fn name(subject: &str) -> String {
    subject.to_ascii_uppercase().replace('.', "_")
}

/// As much as an event has.
fn row() -> String {
    "x".repeat(300)
}
