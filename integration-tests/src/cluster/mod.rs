//! A distributed Shipway of a test's own: PostgreSQL, NATS, object storage, a load balancer and so many of each
//! service as real processes, on this machine's network or each on a machine of its own. Any of them can be killed,
//! stopped where it is, cut off and started again.

pub mod machines;
pub mod process;
mod servers;

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use shipway_contracts::{Channel, Targets};

use self::{
    machines::{Machine, Network},
    process::{Plan, Process},
};
use crate::{
    postgres::{Postgres, Sync},
    s3::{ACCESS_KEY, S3, SECRET_KEY, objects},
    shipway::{binary, block_of_ports},
};

/// The services in the order in which they are started.
pub const SERVICES: [&str; 5] = ["pipelines", "triggers", "scheduler", "executor", "console"];

/// How many of what.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Processes of each service, as in [`SERVICES`].
    pub services: [usize; 5],
    /// NATS servers: none, one, or three that replicate.
    pub nats: usize,
    /// Each service's process on a machine of its own, with object storage instead of a folder. Needs root.
    pub machines: bool,
    /// Whether the NATS servers run from the start; services know of them in any case.
    pub nats_runs: bool,
    /// What is run as the NATS servers; the installed one, if none is named.
    pub nats_program: Option<PathBuf>,
    /// More settings for every service: `SHIPWAY_…` and a value.
    pub settings: Vec<(String, String)>,
    /// The bytes of a disk of its own that all of PostgreSQL is on; the machine's, if none. Needs root.
    pub disk: Option<usize>,
}

impl Default for Shape {
    /// Two of what decides and works, one of the rest.
    fn default() -> Self {
        Self {
            services: [1, 1, 2, 2, 1],
            nats: 1,
            nats_runs: true,
            nats_program: None,
            machines: false,
            settings: Vec::new(),
            disk: None,
        }
    }
}

/// A cluster; all of it is gone with the value.
#[derive(Debug)]
pub struct Cluster {
    shape: Shape,
    // In this order they are taken down: who works first, then what it stands on.
    processes: BTreeMap<String, Process>,
    postgres: Postgres,
    s3: Option<S3>,
    network: Option<Network>,
    folder: PathBuf,
    ports: Ports,
}

/// Ports that no other test takes.
#[derive(Debug)]
struct Ports {
    next: u16,
    /// From here on what is deployed gets its ports.
    public: u16,
    _guard: TcpListener,
}

impl Cluster {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// If a part does not start; the error has what it said.
    pub fn start(name: &str, shape: Shape) -> Result<Self> {
        Self::start_on(name, shape, |_| Ok(()))
    }

    /// The same, with something done before any service runs: the database is there, and empty.
    ///
    /// # Errors
    /// If that fails, or a part does not start.
    pub fn start_on(name: &str, shape: Shape, before: impl FnOnce(&mut Self) -> Result<()>) -> Result<Self> {
        let mut cluster = Self::prepare(name, shape)?;
        before(&mut cluster)?;
        if cluster.shape.nats_runs {
            for number in 1..=cluster.shape.nats {
                cluster.process(&format!("nats-{number}")).spawn()?;
            }
            cluster.wait_ready("nats-")?;
        }
        // The first of each makes what the others find: tables, keys.
        cluster.process("pipelines-1").start()?;
        cluster.share_keys()?;
        for name in cluster.services() {
            if !cluster.process(&name).runs() {
                cluster.process(&name).spawn()?;
            }
        }
        for service in SERVICES {
            cluster.wait_ready(service)?;
        }
        cluster.process("lb").start()?;
        Ok(cluster)
    }

    /// Starts PostgreSQL and makes the plans of all other processes.
    fn prepare(name: &str, shape: Shape) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("shipway-cluster-{name}-{}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("clearing {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        let network = if shape.machines { Some(Network::new()?) } else { None };
        let open = network.as_ref().map(Network::here);
        let s3 = open.map(|here| S3::start_at(here.into(), "shipway")).transpose()?;
        // Services refuse a server that does not sync.
        let postgres = Postgres::start_open(Sync::On, open, shape.disk)?;
        postgres.database("shipway")?;
        let (first, guard) = block_of_ports()?;
        let ports = Ports { next: first, public: first + 50, _guard: guard };
        let mut cluster = Self { shape, processes: BTreeMap::new(), postgres, s3, network, folder, ports };
        cluster.plan_nats()?;
        let mut machines = Vec::new();
        for (service, count) in SERVICES.iter().zip(cluster.shape.services) {
            for number in 1..=count {
                let machine = cluster.network.as_ref().map(Network::machine).transpose()?;
                let address = cluster.address(machine.as_ref());
                machines.push((*service, format!("{service}-{number}"), machine, address));
            }
        }
        let urls: Vec<_> = machines
            .iter()
            .filter(|(service, ..)| *service != "executor")
            .map(|(.., address)| format!("http://{address}"))
            .collect();
        for (service, name, machine, address) in machines {
            let plan = cluster.plan(service, &name, address, machine.as_ref(), &urls)?;
            cluster.add(plan, machine)?;
        }
        cluster.plan_balancer()?;
        Ok(cluster)
    }

    /// An address that nobody listens at.
    fn address(&mut self, machine: Option<&Machine>) -> SocketAddr {
        match machine {
            Some(machine) => (machine.address(), 7400).into(),
            None => {
                self.ports.next += 1;
                (self.here(), self.ports.next - 1).into()
            }
        }
    }

    /// The address of what is not on a machine of its own.
    fn here(&self) -> IpAddr {
        self.network.as_ref().map_or(Ipv4Addr::LOCALHOST, Network::here).into()
    }

    fn add(&mut self, plan: Plan, machine: Option<Machine>) -> Result<()> {
        let (name, folder) = (plan.name.clone(), self.folder.join(&plan.name));
        self.processes.insert(name, Process::new(plan, folder, machine)?);
        Ok(())
    }

    /// A service's process, all its settings in its environment.
    fn plan(
        &self,
        service: &str,
        name: &str,
        address: SocketAddr,
        machine: Option<&Machine>,
        urls: &[String],
    ) -> Result<Plan> {
        let own = self.folder.join(name);
        let in_own = |name: &str| own.join(name).to_string_lossy().into_owned();
        let keys = if machine.is_some() { own.join("keys") } else { self.keys() };
        let nats: Vec<_> = (1..=self.shape.nats)
            .map(|number| format!("nats://{}", self.processes[&format!("nats-{number}")].address()))
            .collect();
        let mut settings = vec![
            ("SERVER__LISTEN", address.to_string()),
            ("SHIPWAY__URLS", urls.join(",")),
            ("NATS__URLS", nats.join(",")),
            ("NATS__REPLICAS", self.shape.nats.max(1).to_string()),
            ("KEYS__FOLDER", keys.to_string_lossy().into_owned()),
            ("PORTS__FIRST", self.ports.public.to_string()),
            ("PORTS__LAST", (self.ports.public + 45).to_string()),
            ("RECONCILE__SCRATCH", in_own("scratch")),
            ("RECONCILE__EVERY", "0s".to_owned()),
            ("HOOKS__RATE", "0".to_owned()),
            ("HOOKS__RATE_IN_ALL", "0".to_owned()),
            ("HOOKS__SPOOL", in_own("spool")),
            ("EXECUTOR__DATA", in_own("host")),
        ];
        if service != "executor" {
            settings.push(("DATABASE__URL", self.database()));
        }
        if let Some(machine) = machine {
            settings.push(("EXECUTOR__LISTEN", "0.0.0.0".to_owned()));
            settings.push(("EXECUTOR__HOST", machine.address().to_string()));
        }
        match &self.s3 {
            None => settings.push(("BLOBS__URL", self.blobs())),
            Some(s3) => settings.extend([
                ("BLOBS__URL", "s3://shipway/test".to_owned()),
                ("BLOBS__ENDPOINT", s3.endpoint()),
                ("BLOBS__REGION", "local".to_owned()),
                ("BLOBS__ACCESS_KEY", ACCESS_KEY.to_owned()),
                ("BLOBS__SECRET_KEY", SECRET_KEY.to_owned()),
                ("BLOBS__PATH_STYLE", "true".to_owned()),
                ("BLOBS__ALLOW_HTTP", "true".to_owned()),
            ]),
        }
        let mut environment: Vec<_> =
            settings.into_iter().map(|(key, value)| (format!("SHIPWAY_{key}"), value)).collect();
        environment.extend(self.shape.settings.iter().cloned());
        Ok(Plan {
            name: name.to_owned(),
            program: binary()?,
            arguments: vec!["serve".to_owned(), service.to_owned()],
            environment,
            address,
            ready: Some((address, "/readyz")),
        })
    }

    /// One more executor; its name.
    ///
    /// # Errors
    /// If it does not start.
    pub fn add_executor(&mut self) -> Result<String> {
        let number = self.services().iter().filter(|name| name.starts_with("executor")).count() + 1;
        let name = format!("executor-{number}");
        let machine = self.network.as_ref().map(Network::machine).transpose()?;
        let address = self.address(machine.as_ref());
        let urls = self.urls();
        let plan = self.plan("executor", &name, address, machine.as_ref(), &urls)?;
        self.add(plan, machine)?;
        self.process(&name).start()?;
        Ok(name)
    }

    /// Where the services answer that others ask.
    fn urls(&self) -> Vec<String> {
        let names = self.services().into_iter().filter(|name| !name.starts_with("executor"));
        names.map(|name| format!("http://{}", self.processes[&name].address())).collect()
    }

    /// Machines share no folder: what one process of pipelines has made is carried to the others, as a person would.
    fn share_keys(&mut self) -> Result<()> {
        if self.network.is_none() {
            return Ok(());
        }
        let made = self.folder.join("pipelines-1/keys");
        for name in self.services() {
            let to = self.folder.join(&name).join("keys");
            if to != made && (name.starts_with("pipelines") || name.starts_with("triggers")) {
                fs::create_dir_all(&to)?;
                for entry in fs::read_dir(&made).context("reading the keys")? {
                    let entry = entry?;
                    fs::copy(entry.path(), to.join(entry.file_name()))?;
                }
            }
        }
        Ok(())
    }

    /// The names of all processes of services.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let of = |service: &&str| {
            let names = self.processes.keys().filter(|name| name.starts_with(&format!("{service}-")));
            names.cloned().collect::<Vec<_>>()
        };
        SERVICES.iter().flat_map(of).collect()
    }

    /// A process: `scheduler-1`, `nats-1`, `lb`.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn process(&mut self, name: &str) -> &mut Process {
        self.processes.get_mut(name).unwrap_or_else(|| panic!("the cluster has no {name}"))
    }

    /// The database.
    pub const fn postgres(&mut self) -> &mut Postgres {
        &mut self.postgres
    }

    /// The address of the services' database.
    #[must_use]
    pub fn database(&self) -> String {
        self.postgres.url("shipway")
    }

    /// The address of the folder of blobs, where there are no machines.
    #[must_use]
    pub fn blobs(&self) -> String {
        format!("file://{}/blobs", self.folder.display())
    }

    /// The objects' files, where there are machines.
    #[must_use]
    pub fn objects(&self) -> Vec<PathBuf> {
        self.s3.as_ref().map(|s3| objects(&s3.files("shipway"))).unwrap_or_default()
    }

    /// The id of an executor that has started.
    ///
    /// # Errors
    /// If it has none yet.
    pub fn executor_id(&self, name: &str) -> Result<String> {
        let file = self.processes[name].folder().join("host/host/executor.id");
        Ok(fs::read_to_string(file).with_context(|| format!("reading the id of {name}"))?.trim().to_owned())
    }

    /// Makes an executor's last beat so much older, by the only clock that counts: the database's.
    ///
    /// # Errors
    /// If the database does not do it.
    pub fn age_executor(&self, name: &str, by: Duration) -> Result<()> {
        let id = self.executor_id(name)?;
        let older = format!(
            "UPDATE shipway_log.members SET until = until - {} WHERE service = 'executor' AND id = '{}'",
            by.as_micros(),
            id
        );
        self.postgres.execute("shipway", &older)
    }

    /// The folder of the keys, where there are no machines.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// The cluster's folder: each process has one in it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the test can be reached by what the cluster runs.
    #[must_use]
    pub fn at(&self) -> IpAddr {
        self.here()
    }

    /// Waits until all processes whose names begin like that are ready, the load balancer apart.
    ///
    /// # Errors
    /// If one ends, or is not ready in time.
    pub fn wait_ready(&mut self, begin: &str) -> Result<()> {
        for (name, process) in &mut self.processes {
            if name != "lb" && name.starts_with(begin) {
                process.wait_ready()?;
            }
        }
        Ok(())
    }

    /// Kills a NATS server, deletes all that it stored, and starts it again.
    ///
    /// # Errors
    /// If that fails.
    pub fn wipe_nats(&mut self, number: usize) -> Result<()> {
        let process = self.process(&format!("nats-{number}"));
        process.kill()?;
        fs::remove_dir_all(process.folder().join("store")).context("deleting the store")?;
        process.start()
    }

    /// The address of the load balancer.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.processes["lb"].address())
    }

    /// A way to all services, past the load balancer.
    ///
    /// # Errors
    /// If an address is none.
    pub fn channel(&self) -> Result<Channel> {
        Ok(Targets::new(&self.urls())?.1)
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

    /// Runs a verb, however it ends.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        Command::new(binary()?)
            .args(arguments)
            .env("SHIPWAY_SERVER", self.url())
            .env_remove("SHIPWAY_DATA")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running shipway {}", arguments.join(" ")))
    }

    /// Declares what a document says.
    ///
    /// # Errors
    /// If it is refused.
    pub fn apply(&self, document: &str) -> Result<Value> {
        let file = self.folder.join("declared.yaml");
        fs::write(&file, document)?;
        self.json(&["apply", "-f", file.to_str().context("a path in UTF-8")?])
    }

    /// Has the log proved whole.
    ///
    /// # Errors
    /// If it is not.
    pub fn verify(&self) -> Result<()> {
        let verdict = self.shipway(&["verify"])?;
        anyhow::ensure!(verdict.contains("as they were written"), "{verdict}");
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in self.processes.values() {
                eprintln!("--- what {} said last\n{}", process.name(), process.said());
            }
        }
        // All at once and without a word; then what executors have started and detached.
        let hosts: Vec<_> = self
            .processes
            .values()
            .filter(|process| process.folder().join("host").exists())
            .map(|process| (process.folder().join("host"), process.machine().cloned()))
            .collect();
        self.processes.clear();
        for (host, machine) in hosts {
            servers::take_down(&host, machine.as_ref());
        }
        if std::thread::panicking() {
            eprintln!("--- the cluster's folder stays: {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
