//! A real `shipway up` on a data folder of a test's own, and its command line.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::lab::free_port;

/// How long anything of a test may take before it has failed. Tests wait for conditions; this only ends a wait
/// for something that does not come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A data folder with a Shipway on it, running or not.
#[derive(Debug)]
pub struct Shipway {
    data: PathBuf,
    child: Option<Child>,
    arguments: Vec<String>,
    /// The same over restarts: webhooks go on coming to it.
    port: u16,
    /// Where the ports of services begin: tests side by side each have their own, below those that the kernel gives out.
    first_port: u16,
    /// Nobody else takes the block of ports while this is held.
    _guard: TcpListener,
}

impl Shipway {
    /// Starts Shipway on a fresh folder.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn up(name: &str) -> Result<Self> {
        Self::up_with(name, &[])
    }

    /// Starts Shipway on a fresh folder, with more arguments for `up`.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn up_with(name: &str, arguments: &[&str]) -> Result<Self> {
        let mut shipway = Self::prepare(name)?;
        shipway.arguments(arguments);
        shipway.start()?;
        Ok(shipway)
    }

    /// More arguments for `up`, from the next start on.
    pub fn arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// Chooses a fresh folder and ports, and starts nothing yet.
    ///
    /// # Errors
    /// If the folder cannot be cleared.
    pub fn prepare(name: &str) -> Result<Self> {
        let data = std::env::temp_dir().join(format!("shipway-test-{name}-{}", std::process::id()));
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("clearing {}", data.display()))?;
        }
        let port = free_port()?;
        let (first_port, guard) = block_of_ports()?;
        Ok(Self { data, child: None, arguments: Vec::new(), port, first_port, _guard: guard })
    }

    /// Starts it again on the same folder and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start(&mut self) -> Result<()> {
        fs::create_dir_all(&self.data)?;
        let said = fs::File::options().create(true).append(true).open(self.data.join("up.log"))?;
        let child = Command::new(binary()?)
            .args([
                "up",
                "--port",
                &self.port.to_string(),
                "--first-port",
                &self.first_port.to_string(),
                "--data",
            ])
            .arg(&self.data)
            .args(&self.arguments)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("starting shipway up")?;
        let pid = child.id();
        self.child = Some(child);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!("shipway up ended with {status}:\n{}", self.said());
            }
            if self.note().is_some_and(|note| note["pid"] == pid) && self.shipway(&["status"]).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("shipway up was not ready in time:\n{}", self.said())
    }

    /// Kills it without a word; its keepers and shims live on.
    ///
    /// # Errors
    /// If there is nothing to kill.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("shipway is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to stop, as Ctrl-C does, and waits for its end.
    ///
    /// # Errors
    /// If it ends badly.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("shipway is not running")?;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = child.wait()?;
        if !status.success() {
            bail!("shipway up ended with {status}:\n{}", self.said());
        }
        Ok(())
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where it answers.
    ///
    /// # Errors
    /// If it does not run.
    pub fn url(&self) -> Result<String> {
        let note = self.note().context("shipway has not said where it is")?;
        Ok(note["url"].as_str().context("server.json has no url")?.to_owned())
    }

    /// The number of its process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("shipway is not running")?.id())
    }

    /// Runs a verb of the command line; its standard output.
    ///
    /// # Errors
    /// If it fails; the error has all that it said.
    pub fn shipway(&self, arguments: &[&str]) -> Result<String> {
        let output = self.attempt(arguments)?;
        if !output.status.success() {
            bail!(
                "shipway {} ended with {}:\n{}{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a verb with `-o json`.
    ///
    /// # Errors
    /// If it fails or does not print JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.shipway(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("shipway {} printed {text}", arguments.join(" ")))
    }

    /// Runs a verb that reads its standard input.
    ///
    /// # Errors
    /// If it fails.
    pub fn feed(&self, arguments: &[&str], input: &str) -> Result<()> {
        let mut child = Command::new(binary()?)
            .args(arguments)
            .env("SHIPWAY_DATA", &self.data)
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("running shipway {}", arguments.join(" ")))?;
        child.stdin.take().context("its input is piped")?.write_all(input.as_bytes())?;
        let status = child.wait()?;
        if !status.success() {
            bail!("shipway {} ended with {status}", arguments.join(" "));
        }
        Ok(())
    }

    /// Runs a verb, however it ends.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        Command::new(binary()?)
            .args(arguments)
            .env("SHIPWAY_DATA", &self.data)
            .env_remove("SHIPWAY_SERVER")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running shipway {}", arguments.join(" ")))
    }

    /// Waits until a run has ended, and shows it.
    ///
    /// # Errors
    /// If it does not end.
    pub fn ended(&self, run: &str) -> Result<Value> {
        wait(&format!("the end of run {run}"), || {
            let run = self.json(&["show", run])?;
            Ok((run["concluded"] == true).then_some(run))
        })
    }

    /// What `up` has printed.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.data.join("up.log")).unwrap_or_default()
    }

    fn note(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.data.join("server.json")).ok()?).ok()
    }
}

impl Drop for Shipway {
    fn drop(&mut self) {
        // Whatever the test did, nothing of it lives on.
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.attempt(&["down"]);
        if std::thread::panicking() {
            eprintln!("--- what shipway up said ({})\n{}", self.data.display(), self.said());
        } else {
            let _ = fs::remove_dir_all(&self.data);
        }
    }
}

/// A client that asks over HTTP.
#[must_use]
pub fn http() -> reqwest::Client {
    // A second call finds the provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// How many blocks of ports there are. The five hundred that a Shipway may give from the last one on are below those that
/// instances of any test's services listen on.
const BLOCKS: u16 = 115;

/// A hundred ports that no other test takes: the last of them is held as long as the others are used.
pub(crate) fn block_of_ports() -> Result<(u16, TcpListener)> {
    let begin = u16::try_from(std::process::id() % u32::from(BLOCKS))?;
    for next in 0..BLOCKS {
        let first = 8_000 + (begin + next) % BLOCKS * 100;
        if let Ok(guard) = TcpListener::bind(("127.0.0.1", first + 99)) {
            return Ok((first, guard));
        }
    }
    bail!("no block of ports is free")
}

/// Waits until `look` finds something.
///
/// # Errors
/// If it fails, or finds nothing for [`PATIENCE`].
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < until {
        match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    match last {
        Some(error) => Err(error.context(format!("waiting for {what}"))),
        None => bail!("{what} did not come within {PATIENCE:?}"),
    }
}

/// The binary under test, built beside the tests.
///
/// # Errors
/// If it has not been built.
pub fn binary() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("SHIPWAY_BIN") {
        return Ok(binary.into());
    }
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test is in no target folder")?;
    let binary = folder.join("shipway");
    if !binary.exists() {
        bail!("{} is missing: run `cargo build --workspace` first, as ./scripts/test does", binary.display());
    }
    Ok(binary)
}
