//! System calls of a running process that fail as a broken disk makes them fail.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::shipway::wait;

/// Every call that makes written data safe.
const SYNCS: &str = "fsync,fdatasync";

/// A process' syncs are seen, and fail, until the value goes.
#[derive(Debug)]
pub struct FailingSyncs {
    strace: Child,
    folder: tempfile::TempDir,
}

/// A sync, by the clock of the wall.
#[derive(Clone, Copy, Debug)]
pub struct Sync {
    /// Seconds since 1970.
    pub at: f64,
    /// Whether it was made to fail.
    pub failed: bool,
}

impl FailingSyncs {
    /// Makes the syncs of a running process fail, of all its threads and of what it starts: all of them, or the nth of
    /// each thread alone.
    ///
    /// # Errors
    /// Without strace, or without the right to use it.
    pub fn attach(pid: u32, nth: Option<usize>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut strace = command(&folder.path().join("log"), nth);
        let strace = strace.args(["-f", "-p", &pid.to_string()]).spawn().context("starting strace")?;
        let mut failing = Self { strace, folder };
        wait("strace to hold every thread", || {
            ensure!(failing.strace.try_wait()?.is_none(), "strace has ended: it may need more rights");
            let traced = |status: String| !status.contains("TracerPid:\t0\n");
            let tasks = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
            let mut statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
            Ok(statuses.all(traced).then_some(()))
        })?;
        Ok(failing)
    }

    /// Lets the process go; its syncs from the beginning.
    ///
    /// # Errors
    /// If strace does not end, or has noted what cannot be read.
    pub fn detach(mut self) -> Result<Vec<Sync>> {
        self.end()?;
        syncs(&self.folder.path().join("log"))
    }

    fn end(&mut self) -> Result<()> {
        if self.strace.try_wait()?.is_none() {
            kill_process(Pid::from_child(&self.strace), Signal::TERM)?;
            self.strace.wait()?;
        }
        Ok(())
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        // The process must not stay stopped in anybody's hands.
        let _ = self.end();
    }
}

/// A command whose own nth sync fails, and where its syncs are noted.
#[must_use]
pub fn with_failing_sync(program: &std::path::Path, log: &std::path::Path, nth: usize) -> Command {
    let mut strace = command(log, Some(nth));
    strace.arg("--").arg(program);
    strace
}

fn command(log: &std::path::Path, nth: Option<usize>) -> Command {
    let when = nth.map(|nth| format!(":when={nth}")).unwrap_or_default();
    let mut strace = Command::new("strace");
    strace
        .args(["-qq", "-ttt", "-o"])
        .arg(log)
        .args(["-e", &format!("trace={SYNCS}"), "-e", &format!("inject={SYNCS}:error=EIO{when}")])
        .stdin(Stdio::null());
    strace
}

/// The syncs in what strace noted.
///
/// # Errors
/// If it cannot be read.
pub fn syncs(log: &std::path::Path) -> Result<Vec<Sync>> {
    let text = fs::read_to_string(log).context("reading what strace noted")?;
    let ended = text.lines().filter(|line| line.ends_with("= 0") || line.contains("(INJECTED)"));
    let sync = |line: &str| {
        // With threads there is a process number before the time.
        let at = line.split_whitespace().find(|word| word.contains('.')).and_then(|word| word.parse().ok());
        let at = at.with_context(|| format!("a line without a time: {line}"))?;
        Ok(Sync { at, failed: line.contains("(INJECTED)") })
    };
    ended.map(sync).collect()
}

/// Where strace is; the error says what to do without it.
///
/// # Errors
/// If it is not there.
pub fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("strace"));
    places.find(|place| place.exists()).context("strace is missing: install the package strace")
}
