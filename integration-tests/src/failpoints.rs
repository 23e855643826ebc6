//! A Shipway of a test's own, many processes or one, that is made to die, to fail or to wait at named points (see
//! `shipway_eventing::failpoints`). Its binary is one that was built with the feature `failpoints`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use shipway_contracts::{Channel, Targets};

use crate::{
    cluster::{
        Cluster, Shape,
        process::{Plan, Process},
    },
    lab::free_port,
    shipway::{binary, block_of_ports, wait},
};

const ARMED: &str = "SHIPWAY_FAILPOINTS";
const NOTE: &str = "SHIPWAY_FAILPOINTS_NOTE";

/// How long an armed process may take to stop: a point may delay it.
const STOP: Duration = Duration::from_secs(40);

/// An installation whose processes can be armed.
#[derive(Debug)]
pub struct Installation {
    kind: Kind,
    /// Points by the processes that passed them, with how often one life of such a process did.
    passed: BTreeMap<String, BTreeMap<String, u64>>,
    /// The points that have fired, in any process.
    fired: BTreeSet<String>,
    /// Those that have since their process was armed, by process.
    done: BTreeMap<String, BTreeSet<String>>,
    /// How often a process has ended by itself.
    ends: usize,
}

#[derive(Debug)]
enum Kind {
    Many(Box<Cluster>),
    One { process: Box<Process>, data: PathBuf, _ports: TcpListener },
}

impl Installation {
    /// A cluster.
    ///
    /// # Errors
    /// If it does not start, or its binary has no failpoints.
    pub fn many(name: &str, shape: Shape) -> Result<Self> {
        let cluster = Cluster::start_on(name, shape, |cluster| {
            for process in cluster.services() {
                let process = cluster.process(&process);
                process.set(NOTE, Some(note(process)));
            }
            Ok(())
        })?;
        Self::of(Kind::Many(Box::new(cluster)))
    }

    /// `shipway up`.
    ///
    /// # Errors
    /// If it does not start, or its binary has no failpoints.
    pub fn one(name: &str) -> Result<Self> {
        let data = std::env::temp_dir().join(format!("shipway-armed-{name}-{}", std::process::id()));
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("clearing {}", data.display()))?;
        }
        let port = free_port()?;
        let (first_port, ports) = block_of_ports()?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let arguments = [
            "up".to_owned(),
            format!("--port={port}"),
            format!("--first-port={first_port}"),
            "--hook-rate=0".to_owned(),
            "--reconcile=0".to_owned(),
            format!("--data={}", data.join("data").display()),
        ];
        let plan = Plan {
            name: "up".to_owned(),
            program: binary()?,
            arguments: arguments.to_vec(),
            environment: vec![("RUST_LOG".to_owned(), "info".to_owned())],
            address,
            ready: Some((address, "/readyz")),
        };
        let mut process = Box::new(Process::new(plan, data.join("process"), None)?);
        process.set(NOTE, Some(note(&process)));
        process.start()?;
        Self::of(Kind::One { process, data, _ports: ports })
    }

    fn of(kind: Kind) -> Result<Self> {
        let (passed, fired, done) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let mut installation = Self { kind, passed, fired, done, ends: 0 };
        for name in installation.names() {
            installation.read(&name)?;
        }
        if installation.passed.is_empty() {
            bail!(
                "the binary has no failpoints: build it with `cargo build --workspace --features \
                 shipway/failpoints`, as ./scripts/test does"
            );
        }
        Ok(installation)
    }

    /// The processes that can be armed.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Many(cluster) => cluster.services(),
            Kind::One { .. } => vec!["up".to_owned()],
        }
    }

    fn process(&mut self, name: &str) -> &mut Process {
        match &mut self.kind {
            Kind::Many(cluster) => cluster.process(name),
            Kind::One { process, .. } => process,
        }
    }

    /// Kills a process without a word, and starts it again, armed.
    ///
    /// # Errors
    /// If that fails.
    pub fn arm(&mut self, name: &str, armed: &str) -> Result<()> {
        self.done.remove(name);
        self.again(name, Some(armed.to_owned()))?;
        self.done.remove(name);
        Ok(())
    }

    /// Kills a process without a word if it runs, and starts it again as it always is.
    ///
    /// # Errors
    /// If that fails.
    pub fn disarm(&mut self, name: &str) -> Result<()> {
        self.again(name, None)
    }

    fn again(&mut self, name: &str, armed: Option<String>) -> Result<()> {
        if self.process(name).runs() {
            self.process(name).kill()?;
        }
        self.read(name)?;
        // What is noted from here on is of the next life.
        let note = note(self.process(name));
        let _ = fs::remove_file(note);
        self.process(name).set(ARMED, armed);
        self.process(name).spawn()
    }

    /// Starts a process again that has ended, as it always is.
    ///
    /// # Errors
    /// If that fails.
    pub fn keep_up(&mut self, name: &str) -> Result<()> {
        if !self.process(name).runs() {
            self.ends += 1;
            self.disarm(name)?;
        }
        Ok(())
    }

    /// How often a process had ended by itself when it was looked after.
    #[must_use]
    pub const fn ends(&self) -> usize {
        self.ends
    }

    /// Asks a process to stop and waits until it has ended, in whatever way.
    ///
    /// # Errors
    /// If it does not.
    pub fn stop(&mut self, name: &str) -> Result<()> {
        if self.process(name).runs() {
            self.process(name).ask_to_stop()?;
        }
        let until = Instant::now() + STOP;
        while self.process(name).runs() {
            if Instant::now() > until {
                bail!("{name} did not stop:\n{}", self.process(name).said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.read(name)
    }

    /// Waits until it is ready, and starts it again if it has ended.
    ///
    /// # Errors
    /// If it is not in time.
    pub fn wait_ready(&mut self, name: &str) -> Result<()> {
        wait(&format!("{name} to be ready"), || {
            self.keep_up(name)?;
            Ok(self.process(name).is_ready().then_some(()))
        })
    }

    /// Reads what a process has noted of its present or last life.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&mut self, name: &str) -> Result<()> {
        let noted = match fs::read_to_string(note(self.process(name))) {
            Ok(noted) => noted,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).context("reading which points were passed"),
        };
        let mut passes: BTreeMap<&str, u64> = BTreeMap::new();
        for line in noted.lines() {
            match line.strip_suffix(" fired") {
                Some(point) => {
                    self.fired.insert(point.to_owned());
                    self.done.entry(name.to_owned()).or_default().insert(point.to_owned());
                }
                None => *passes.entry(line).or_default() += 1,
            }
        }
        for (point, count) in passes {
            let known = self.passed.entry(point.to_owned()).or_default().entry(name.to_owned()).or_default();
            *known = count.max(*known);
        }
        Ok(())
    }

    /// Whether a point has fired in a process since it was armed.
    ///
    /// # Errors
    /// If what it noted cannot be read.
    pub fn has_fired(&mut self, name: &str) -> Result<bool> {
        self.read(name)?;
        Ok(self.done.contains_key(name))
    }

    /// Whether this very point has fired in one of the processes since it was armed, as far as was read.
    #[must_use]
    pub fn has_fired_at(&self, names: &[String], point: &str) -> bool {
        names.iter().any(|name| self.done.get(name).is_some_and(|points| points.contains(point)))
    }

    /// Kills a process without a word, and starts it again armed as it was.
    ///
    /// # Errors
    /// If that fails.
    pub fn strike(&mut self, name: &str) -> Result<()> {
        if self.process(name).runs() {
            self.process(name).kill()?;
        }
        self.read(name)?;
        self.process(name).spawn()
    }

    /// The processes that pass a point, with how often in one life, as far as it was noted.
    #[must_use]
    pub fn passing(&self, point: &str) -> BTreeMap<String, u64> {
        self.passed.get(point).cloned().unwrap_or_default()
    }

    /// The points that have fired.
    #[must_use]
    pub const fn fired(&self) -> &BTreeSet<String> {
        &self.fired
    }

    /// Takes the read tables away from what is one process: its next life makes them anew.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn forget_views(&self) -> Result<()> {
        let Kind::One { data, .. } = &self.kind else { bail!("many processes keep them in a server") };
        for name in ["views.db", "views.db-wal", "views.db-shm"] {
            fs::remove_file(data.join("data").join(name)).with_context(|| format!("removing {name}"))?;
        }
        Ok(())
    }

    /// Whether it has several processes.
    #[must_use]
    pub const fn is_many(&self) -> bool {
        matches!(self.kind, Kind::Many(_))
    }

    /// Where people ask.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.kind {
            Kind::Many(cluster) => cluster.url(),
            Kind::One { process, .. } => format!("http://{}", process.address()),
        }
    }

    /// A way to all services.
    ///
    /// # Errors
    /// If an address is none.
    pub fn channel(&self) -> Result<Channel> {
        match &self.kind {
            Kind::Many(cluster) => cluster.channel(),
            Kind::One { .. } => Ok(Targets::new(&[self.url()])?.1),
        }
    }

    /// Has the log proved whole.
    ///
    /// # Errors
    /// If it is not.
    pub fn verify(&self) -> Result<()> {
        let mut command = Command::new(binary()?);
        command.arg("verify").env("SHIPWAY_SERVER", self.url()).env_remove("SHIPWAY_DATA");
        let output = command.stdin(Stdio::null()).output().context("running shipway verify")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !said.contains("as they were written") {
            bail!("shipway verify: {said}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Kind::One { process, data, .. } = &mut self.kind {
            if process.runs() {
                let _ = process.kill();
            }
            if std::thread::panicking() {
                eprintln!("--- what shipway up said ({})\n{}", data.display(), process.said());
            } else {
                let _ = fs::remove_dir_all(data);
            }
        }
    }
}

/// Where a process notes what it passes.
fn note(process: &Process) -> String {
    process.folder().join("failpoints").to_string_lossy().into_owned()
}
