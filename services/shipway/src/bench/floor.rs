//! What the machine itself takes: the probes that every sitting begins and ends with.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::fs::fdatasync;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::report::{Report, percentile};

/// Appends 4 KiB and syncs, then commits two rows to SQLite, a few hundred times each.
pub(crate) async fn measure(folder: &Path, report: &Report) -> anyhow::Result<()> {
    report.time("floor.fdatasync_p50", "p50", sync(&folder.join("floor.bin"))?);
    report.time("floor.sqlite_commit", "p50", commit(&folder.join("floor.db")).await?);
    Ok(())
}

fn sync(path: &Path) -> anyhow::Result<Duration> {
    let mut file = std::fs::File::create(path).with_context(|| format!("making {}", path.display()))?;
    let block = [7_u8; 4096];
    let mut samples = Vec::with_capacity(300);
    for _ in 0..300 {
        let start = Instant::now();
        file.write_all(&block)?;
        fdatasync(&file)?;
        samples.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(percentile(&mut samples, 0.5))
}

async fn commit(path: &Path) -> anyhow::Result<Duration> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .pragma("journal_mode", "WAL")
        .pragma("synchronous", "FULL");
    let mut db = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, data TEXT)").execute(&mut db).await?;
    let data = "x".repeat(300);
    let mut samples = Vec::with_capacity(300);
    for _ in 0..300 {
        let start = Instant::now();
        sqlx::query("INSERT INTO t (data) VALUES ($1), ($1)").bind(&data).execute(&mut db).await?;
        samples.push(start.elapsed());
    }
    db.close().await?;
    for end in ["", "-wal", "-shm"] {
        // The side files are there or not, as SQLite likes.
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    Ok(percentile(&mut samples, 0.5))
}
