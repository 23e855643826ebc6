//! The measured Shipway: a process of its own, looked at from outside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

/// A running `shipway up`.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it answers.
    pub(crate) url: String,
    /// From the start of the process to the first good answer.
    pub(crate) ready: Duration,
    data: PathBuf,
    pid: u32,
    child: Child,
}

impl Server {
    /// Starts it on an empty data folder and waits until it is ready.
    pub(crate) async fn start(data: &Path) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("finding this binary")?;
        let start = Instant::now();
        let mut child = Command::new(binary)
            .args(["up", "--port", "0", "--hook-rate", "0", "--reconcile", "0", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .env("RUST_LOG", "warn")
            .kill_on_drop(true)
            .spawn()
            .context("starting the measured Shipway")?;
        let pid = child.id().context("the measured Shipway has no process id")?;
        let note = data.join("server.json");
        let client = reqwest::Client::new();
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("the measured Shipway ended at once: {status}");
            }
            if let Some(url) = address(&note, pid) {
                let answer = client.get(format!("{url}/readyz")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return Ok(Self { url, ready: start.elapsed(), data: data.to_owned(), pid, child });
                }
            }
            if start.elapsed() > Duration::from_secs(30) {
                bail!("the measured Shipway was not ready after 30 s");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Resident memory in MB.
    pub(crate) fn rss_mb(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        // Fields 14 and 15 of proc(5), counted from the one after the name; 100 ticks a second on Linux.
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }

    /// Bytes of the log that are on disk so far.
    pub(crate) fn written(&self) -> anyhow::Result<u64> {
        let size = |name: &str| fs::metadata(self.data.join(name)).map_or(0, |data| data.len());
        Ok(size("log.db") + size("log.db-wal"))
    }

    /// Stops it and what it started.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let pid =
            i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).context("no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }
}

fn address(note: &Path, pid: u32) -> Option<String> {
    let note: serde_json::Value = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    (note["pid"].as_u64() == Some(u64::from(pid))).then(|| note["url"].as_str().map(str::to_owned))?
}
