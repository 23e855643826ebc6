//! One process that is measured: started, looked at from outside, ended with the bench.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to become ready.
const START: Duration = Duration::from_secs(60);
/// How much longer it may take for each stored run, which its read tables are made from first.
const START_PER_RUN: Duration = Duration::from_millis(5);
/// How long it may take to end once it is asked to.
const END: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// A process, which ends with the value.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    end: Signal,
    log: Option<PathBuf>,
    begun: Instant,
}

/// See [`Process::share`], in MB.
struct Share {
    own: f64,
    program: f64,
}

/// Resident memory in MB of processes of one program together, each page counted once. This process runs the same
/// program: its part of the shared pages is added to theirs, so that the figure is rather too high.
pub(crate) fn resident_together<'a>(processes: impl Iterator<Item = &'a Process>) -> anyhow::Result<f64> {
    let shares: Vec<Share> = processes.map(Process::share).collect::<anyhow::Result<_>>()?;
    let own: f64 = shares.iter().map(|share| share.own).sum();
    let program: f64 = shares.iter().map(|share| share.program).sum();
    let sharers = shares.len().max(1) as f64;
    Ok(own + program * (sharers + 1.0) / sharers)
}

impl Process {
    /// Starts a command; what it says goes to a file, or to where the bench's own errors go. Dropped, it is ended with
    /// this signal; it gets `SIGKILL` when the bench itself is killed.
    pub(crate) fn start(
        name: &'static str,
        command: &Command,
        end: Signal,
        log: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let begun = Instant::now();
        // It replaces itself with the command: the number stays.
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => tied.env(key, value),
                None => tied.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            tied.current_dir(folder);
        }
        let said = match &log {
            Some(log) => fs::File::create(log).with_context(|| format!("making {}", log.display()))?.into(),
            None => Stdio::inherit(),
        };
        tied.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = tied.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, end, log, begun })
    }

    /// Its name in figures and errors.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks until something says that it is ready; how long that took from its start.
    pub(crate) async fn ready<F>(&mut self, is_ready: impl FnMut() -> F) -> anyhow::Result<Duration>
    where
        F: Future<Output = bool>,
    {
        self.ready_on(0, is_ready).await
    }

    /// The same of a process that finds so many runs stored.
    pub(crate) async fn ready_on<F>(
        &mut self,
        stored: u64,
        mut is_ready: impl FnMut() -> F,
    ) -> anyhow::Result<Duration>
    where
        F: Future<Output = bool>,
    {
        let longest = START + START_PER_RUN.saturating_mul(u32::try_from(stored).unwrap_or(u32::MAX));
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once: {status}{}", self.name, self.said());
            }
            if is_ready().await {
                return Ok(self.begun.elapsed());
            }
            if self.begun.elapsed() > longest {
                bail!("{} was not ready after {} s{}", self.name, longest.as_secs(), self.said());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The last that it said, for an error's end.
    fn said(&self) -> String {
        let text = self.log.as_ref().and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].iter().map(|line| format!("\n{line}")).collect()
    }

    /// Resident memory in MB.
    pub(crate) fn rss_mb(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .with_context(|| format!("looking at {}", self.name))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Its part of the machine's memory: pages that several processes hold are shared out among them.
    fn share(&self) -> anyhow::Result<Share> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()))
            .with_context(|| format!("looking at {}", self.name))?;
        let megabytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no Pss in /proc")?;
            let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
            anyhow::Ok(kilobytes / 1024.0)
        };
        Ok(Share {
            own: megabytes("Pss_Anon:")? + megabytes("Pss_Shmem:")?,
            program: megabytes("Pss_File:")?,
        })
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(times(self.pid()).with_context(|| format!("looking at {}", self.name))?.own)
    }

    /// CPU time so far with that of its children, those that have ended included.
    pub(crate) fn cpu_of_family(&self) -> anyhow::Result<Duration> {
        let parent = times(self.pid()).with_context(|| format!("looking at {}", self.name))?;
        let mut sum = parent.own + parent.ended_children;
        for entry in fs::read_dir("/proc").context("looking at all processes")?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // One that has just ended is in its parent's times the next time.
            let child = pid.and_then(times).filter(|child| child.parent == self.pid());
            sum += child.map_or(Duration::ZERO, |child| child.own + child.ended_children);
        }
        Ok(sum)
    }

    /// Asks it to end and waits for that.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let asked = Instant::now();
        kill_process(Pid::from_child(&self.child), self.end)
            .with_context(|| format!("ending {}", self.name))?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if asked.elapsed() > END {
                bail!("{} did not end when it was asked to", self.name);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Nobody is left to be told what goes wrong here.
        let _ = kill_process(Pid::from_child(&self.child), self.end);
        let asked = Instant::now();
        while asked.elapsed() < END && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command of this program that takes no settings from the bench's own environment.
pub(crate) fn shipway() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program's own file")?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SHIPWAY_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Makes a folder of a process' own.
pub(crate) fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

#[derive(Debug, PartialEq, Eq)]
struct Times {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

fn times(pid: u32) -> Option<Times> {
    read_times(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 4 and 14 to 17 of proc(5), counted from the one after the name; 100 ticks a second on Linux.
fn read_times(stat: &str) -> Option<Times> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let both = |at: usize| Some(Duration::from_millis((ticks(at)? + ticks(at + 1)?) * 10));
    Some(Times { parent: fields.get(1)?.parse().ok()?, own: both(11)?, ended_children: both(13)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_process_are_read_past_its_name() {
        let stat = "7 (a b) 9 c) S 3 7 7 0 -1 4194304 1 2 0 0 150 50 30 10 20 0 5 0 100 1 1";
        let ms = Duration::from_millis;
        assert_eq!(read_times(stat), Some(Times { parent: 3, own: ms(2000), ended_children: ms(400) }));
        assert_eq!(read_times(""), None);
    }

    #[tokio::test]
    async fn a_process_is_asked_to_end_and_ends_with_the_value() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut process = Process::start("sleep", &command, Signal::TERM, None).unwrap();
        process.ready(|| async { true }).await.unwrap();
        assert!(process.rss_mb().unwrap() > 0.0);
        assert!(!process.stop().await.unwrap().success());

        let dropped = Process::start("sleep", &command, Signal::TERM, None).unwrap();
        let pid = dropped.pid();
        drop(dropped);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn a_process_that_ends_by_itself_is_not_waited_for() {
        let mut process = Process::start("false", &Command::new("false"), Signal::TERM, None).unwrap();
        let error = process.ready(|| async { false }).await.unwrap_err();
        assert!(error.to_string().contains("ended at once"), "{error}");
    }
}
