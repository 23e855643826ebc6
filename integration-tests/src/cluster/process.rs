//! A process of a cluster: started, killed, stopped where it is, asked to stop, started again. Its output is kept.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::machines::Machine;
use crate::shipway::PATIENCE;

/// What is run and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name among the others: `scheduler-1`.
    pub name: String,
    /// What is run.
    pub program: PathBuf,
    /// With these words.
    pub arguments: Vec<String>,
    /// In this environment, besides the test's own.
    pub environment: Vec<(String, String)>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What is asked whether it is ready; whether it can be connected to, if nothing is.
    pub ready: Option<(SocketAddr, &'static str)>,
}

/// A process, running or not.
#[derive(Debug)]
pub struct Process {
    plan: Plan,
    folder: PathBuf,
    machine: Option<Machine>,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn new(plan: Plan, folder: PathBuf, machine: Option<Machine>) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { plan, folder, machine, child: None })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.plan.address
    }

    /// Its own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is run from the next start on.
    pub fn set_program(&mut self, program: &Path) {
        program.clone_into(&mut self.plan.program);
    }

    /// The machine that it runs on, if it has one of its own.
    #[must_use]
    pub const fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    /// Sets a variable of its environment from its next start on, or takes it out.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        self.plan.environment.retain(|(known, _)| known != name);
        self.plan.environment.extend(value.map(|value| (name.to_owned(), value)));
    }

    /// Its next start is by another program that turns into it: `prlimit --nofile=256`.
    pub fn start_by(&mut self, program: &str, words: &[&str]) {
        let own = std::mem::replace(&mut self.plan.program, program.into());
        let own = own.to_string_lossy().into_owned();
        let words = words.iter().map(|word| (*word).to_owned());
        self.plan.arguments = words.chain([own]).chain(std::mem::take(&mut self.plan.arguments)).collect();
    }

    /// Starts it and does not wait until it is ready.
    ///
    /// # Errors
    /// If it runs already or cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("{} runs already", self.plan.name);
        }
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = match &self.machine {
            None => Command::new(&self.plan.program),
            Some(machine) => machine.command(&self.plan.program),
        };
        command
            .args(&self.plan.arguments)
            .envs(self.plan.environment.iter().cloned())
            .current_dir(&self.folder)
            // A Ctrl-C at the test's terminal is the test's: it stops its processes itself.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("starting {}", self.plan.name))?);
        Ok(())
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready in time; the error has what it said.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready in time; the error has what it said.
    pub fn wait_ready(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status}:\n{}", self.plan.name, self.said());
            }
            if self.is_ready() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} was not ready in time:\n{}", self.plan.name, self.said())
    }

    /// Whether it says that it can do its work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.plan.ready {
            None => TcpStream::connect_timeout(&self.plan.address, Duration::from_secs(1)).is_ok(),
            Some((address, path)) => status_of(address, path).is_ok_and(|status| status == 200),
        }
    }

    /// Whether it has been started and has not ended.
    pub fn runs(&mut self) -> bool {
        matches!(self.ended(), Ok(None)) && self.child.is_some()
    }

    /// Its number.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> Result<Pid> {
        let child = self.child.as_ref().with_context(|| format!("{} does not run", self.plan.name))?;
        Ok(Pid::from_child(child))
    }

    /// The bytes of memory that it has at the moment; none if it does not run.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid().ok()?.as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    /// Kills it without a word. What it has started and detached lives on.
    ///
    /// # Errors
    /// If there is nothing to kill.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("{} does not run", self.plan.name))?;
        child.kill().with_context(|| format!("killing {}", self.plan.name))?;
        child.wait().with_context(|| format!("waiting for the end of {}", self.plan.name))?;
        Ok(())
    }

    /// Stops it where it is, connections and all.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::STOP).with_context(|| format!("pausing {}", self.plan.name))
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::CONT).with_context(|| format!("resuming {}", self.plan.name))
    }

    /// Asks it to stop, as an operator does.
    ///
    /// # Errors
    /// If it does not run.
    pub fn ask_to_stop(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::TERM).with_context(|| format!("asking {} to stop", self.plan.name))
    }

    /// Asks it to stop, and waits for its end. How it ended, and how long it took.
    ///
    /// # Errors
    /// If it does not run, or does not end.
    pub fn terminate(&mut self) -> Result<(ExitStatus, Duration)> {
        let begin = Instant::now();
        self.ask_to_stop()?;
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.ended()? {
                return Ok((status, begin.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} did not stop when it was asked to:\n{}", self.plan.name, self.said())
    }

    /// The last that it said.
    #[must_use]
    pub fn said(&self) -> String {
        let all = fs::read(self.folder.join("log")).unwrap_or_default();
        let all = String::from_utf8_lossy(&all).into_owned();
        let lines: Vec<_> = all.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait().with_context(|| format!("looking after {}", self.plan.name))?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL ends a process that is stopped, too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The status of an HTTP answer.
fn status_of(address: SocketAddr, path: &str) -> Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let head = std::str::from_utf8(&head)?;
    head.get(9..12).context("a short answer")?.parse().context("an answer without a status")
}
