//! `shipway up`: all of Shipway in one process, on SQLite.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;
use shipway_eventing::{Log, SqliteLog, SqliteOptions};
use tonic::transport::Channel;

use super::{
    floor, grow,
    measured::{Measured, Spent, Traffic, connect, log},
    process::{Process, make, shipway},
    report::Report,
};

/// A running `shipway up`.
#[derive(Debug)]
pub(crate) struct Embedded {
    process: Process,
    url: String,
    channel: Channel,
    ready: Duration,
    data: PathBuf,
    folder: PathBuf,
}

/// What it had spent.
#[derive(Debug)]
pub(crate) struct Mark {
    cpu: Duration,
    transactions: u64,
    written: u64,
}

impl Embedded {
    /// Starts it on a data folder in this one and waits until it is ready; so many runs are stored there.
    pub(crate) async fn start(folder: &Path, stored: u64) -> anyhow::Result<Self> {
        let data = folder.join("data");
        if stored > 0 {
            make(&data)?;
            let log = SqliteLog::open(&data.join("log.db"), SqliteOptions::default()).await?;
            grow::fill(&log, stored).await?;
            log.close().await;
        }
        let mut command = shipway()?;
        command.args(["up", "--port", "0", "--hook-rate", "0", "--reconcile", "0", "--data"]).arg(&data);
        command.env("RUST_LOG", "warn");
        let mut process = Process::start("shipway", &command, Signal::TERM, None)?;
        let (note, pid, client) = (data.join("server.json"), process.pid(), reqwest::Client::new());
        let answers = || async {
            let Some(url) = address(&note, pid) else { return false };
            client.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success())
        };
        let ready = process.ready_on(stored, answers).await?;
        let url = address(&note, pid).context("the measured Shipway does not say where it is")?;
        let channel = connect(&url).await?;
        Ok(Self { process, url, channel, ready, data, folder: folder.to_owned() })
    }

    /// Bytes of the log that are on disk so far.
    fn written(&self) -> u64 {
        let size = |name: &str| fs::metadata(self.data.join(name)).map_or(0, |data| data.len());
        size("log.db") + size("log.db-wal")
    }
}

impl Measured for Embedded {
    type Mark = Mark;

    fn runs(&self) -> &Channel {
        &self.channel
    }

    fn projects(&self) -> &Channel {
        &self.channel
    }

    fn ingress(&self) -> &str {
        &self.url
    }

    fn report_start(&self, report: &Report) -> anyhow::Result<()> {
        report.time("W6.ready", "one", self.ready);
        report.figure("W6.rss_idle", "one", self.rss_mb()?, "MB");
        Ok(())
    }

    fn rss_mb(&self) -> anyhow::Result<f64> {
        self.process.rss_mb()
    }

    async fn traffic(&mut self) -> anyhow::Result<Traffic> {
        Ok(Traffic { commits: log(&self.channel).await?.commits, ..Traffic::default() })
    }

    async fn mark(&mut self) -> anyhow::Result<Mark> {
        let transactions = log(&self.channel).await?.transactions;
        Ok(Mark { cpu: self.process.cpu()?, transactions, written: self.written() })
    }

    async fn spent_since(&mut self, mark: Mark) -> anyhow::Result<Spent> {
        let now = self.mark().await?;
        Ok(Spent {
            cpu: now.cpu - mark.cpu,
            transactions: (now.transactions - mark.transactions) as f64,
            wal: now.written.saturating_sub(mark.written),
            ..Spent::default()
        })
    }

    async fn floor(&mut self, report: &Report) -> anyhow::Result<()> {
        floor::disk(&self.folder, report)?;
        floor::sqlite(&self.folder, report).await
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.process.stop().await.map(drop)
    }
}

fn address(note: &Path, pid: u32) -> Option<String> {
    let note: serde_json::Value = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    (note["pid"].as_u64() == Some(u64::from(pid))).then(|| note["url"].as_str().map(str::to_owned))?
}
