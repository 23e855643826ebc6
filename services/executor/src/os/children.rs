//! The children of a small process, its own and those that fell to it when their parents died.
//!
//! One thread reaps everything; whoever waits for a child waits here. A spawn and its registration are one
//! step under the lock, so an early death is never missed.

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use super::procfs;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// Its exit code, if it ended by itself.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
}

impl Exit {
    /// Whether the exit code is 0.
    pub(crate) fn is_success(self) -> bool {
        self.code == Some(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(9)) => f.write_str("was killed (signal 9)"),
            (None, Some(signal)) => write!(f, "was ended by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// The registry of children of this process.
#[derive(Clone)]
pub(crate) struct Children(Arc<Shared>);

struct Shared {
    ends: Mutex<BTreeMap<i32, Option<Exit>>>,
    changed: Condvar,
}

impl Children {
    /// Starts the reaping thread. There must be one registry in a process, and nothing else that waits.
    pub(crate) fn start() -> Self {
        let children = Self(Arc::new(Shared { ends: Mutex::new(BTreeMap::new()), changed: Condvar::new() }));
        let reaper = children.clone();
        thread::spawn(move || reaper.reap());
        children
    }

    /// Spawns and registers.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<i32> {
        let mut ends = self.lock();
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        ends.insert(pid, None);
        self.0.changed.notify_all();
        Ok(pid)
    }

    /// How `pid` ended, waiting at most so long; `None` while it runs.
    pub(crate) fn wait(&self, pid: i32, timeout: Duration) -> Option<Exit> {
        self.wait_or(pid, timeout, &AtomicBool::new(false))
    }

    /// Lets those look again who wait with a flag.
    pub(crate) fn wake(&self) {
        drop(self.lock());
        self.0.changed.notify_all();
    }

    /// As [`Self::wait`], and only until `flag` is set and [`Self::wake`] called.
    pub(crate) fn wait_or(&self, pid: i32, timeout: Duration, flag: &AtomicBool) -> Option<Exit> {
        let until = Instant::now() + timeout;
        let mut ends = self.lock();
        loop {
            match ends.get(&pid) {
                Some(Some(exit)) => return Some(*exit),
                None => return Some(Exit { code: None, signal: None }),
                Some(None) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || flag.load(Ordering::SeqCst) {
                return None;
            }
            ends = self.0.changed.wait_timeout(ends, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Signals the process group that `pid` leads, and itself, unless it has ended.
    pub(crate) fn signal(&self, pid: i32, signal: Signal) {
        let ends = self.lock();
        if matches!(ends.get(&pid), Some(None)) {
            procfs::signal_group(pid, signal);
            procfs::signal(pid, signal);
        }
    }

    /// Forgets an ended child.
    pub(crate) fn forget(&self, pid: i32) {
        let mut ends = self.lock();
        if matches!(ends.get(&pid), Some(Some(_))) {
            ends.remove(&pid);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Option<Exit>>> {
        self.0.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reap(&self) {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let status = ExitStatus::from_raw(status.as_raw());
                    let exit = Exit { code: status.code(), signal: status.signal() };
                    if let Some(end) = self.lock().get_mut(&pid.as_raw_nonzero().get()) {
                        *end = Some(exit);
                    }
                    self.0.changed.notify_all();
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    // No children at all; orphans can only come from children, so the next spawn wakes us.
                    let ends = self.lock();
                    if ends.values().all(Option::is_some) {
                        drop(self.0.changed.wait_timeout(ends, Duration::from_secs(1)));
                    }
                }
            }
        }
    }
}

/// Kills everything below this process, again until nothing is left: what forks meanwhile is found in the
/// next round. Gives up after `limit`.
pub(crate) fn kill_all(limit: Duration) -> bool {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let until = Instant::now() + limit;
    loop {
        let left = procfs::descendants(own);
        if left.is_empty() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        for pid in left {
            procfs::signal(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
