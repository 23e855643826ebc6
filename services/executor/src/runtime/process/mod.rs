//! The process runtime: ordinary processes of this machine, under keepers and shims.

mod keepers;

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use shipway_events::{Fence, ResourceId};

use super::{
    Applied, Deployment, Handle, Keeping, Place, Runtime, RuntimeError, TargetStatus, Task, TaskEnd, TaskId,
};
use crate::{
    keeper::protocol::{Apply, Check, Kind, Probe, Request, Spec},
    lease::Lease,
    os::stage::Starter,
    sandbox::{self, Bind, Isolation, Sandbox, Toolchain, Users, VIEW, View},
    shim::{self, Ended, Shims},
    ways::{Route, Way, Ways},
};
use keepers::Keepers;

/// Processes of this machine.
#[derive(Debug)]
pub struct ProcessRuntime {
    data: PathBuf,
    isolation: Isolation,
    users: Users,
    toolchain: Toolchain,
    shims: Shims,
    keepers: Keepers,
    ways: Ways,
    listen: IpAddr,
    lease: Arc<Lease>,
}

/// How the process runtime is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessOptions {
    /// The address that public ports are opened on.
    pub listen: IpAddr,
    /// Whether keepers and shims try to be the root of a PID namespace. Off, they are subreapers.
    pub namespaces: bool,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self { listen: Ipv4Addr::LOCALHOST.into(), namespaces: true }
    }
}

impl ProcessRuntime {
    /// Opens the runtime below `host` in the data folder `data`, with Shipway's own `binary` for keepers, shims and
    /// the sandbox. Finds out what the machine allows.
    ///
    /// # Errors
    /// The folders could not be made.
    pub async fn open(data: &Path, binary: &Path, options: ProcessOptions) -> Result<Self, RuntimeError> {
        let ProcessOptions { listen, namespaces } = options;
        let starter = Starter { binary: binary.to_owned(), namespaces };
        let make = || -> io::Result<(PathBuf, PathBuf)> {
            let host = data.join("host");
            fs::create_dir_all(&host)?;
            Ok((data.canonicalize()?, host.canonicalize()?))
        };
        let (data, host) =
            make().map_err(RuntimeError::io(format!("making the folder {}", data.display())))?;
        let isolation = Isolation::probe(binary).await;
        let open = || -> io::Result<_> {
            Ok((
                Users::open(host.join("users.json"), isolation.users)?,
                Shims::new(host.join("shims"), starter.clone())?,
                Keepers::new(host.join("keepers"), starter.clone())?,
                Ways::new(host.join("ways"), starter)?,
            ))
        };
        let (users, shims, keepers, ways) =
            open().map_err(RuntimeError::io(format!("opening {}", host.display())))?;
        let toolchain = tokio::task::spawn_blocking(Toolchain::find).await.unwrap_or_default();
        let lease = Arc::new(Lease::unbound());
        Ok(Self { data, isolation, users, toolchain, shims, keepers, ways, listen, lease })
    }

    /// Commands are bound by this lease.
    pub(crate) fn under(self, lease: Arc<Lease>) -> Self {
        Self { lease, ..self }
    }

    /// The logs that running commands write, each with what lasts until its command has ended.
    pub(crate) fn logs(
        &self,
    ) -> Result<Vec<(PathBuf, impl Future<Output = ()> + Send + use<>)>, RuntimeError> {
        let all = self.shims.all().map_err(RuntimeError::io("listing shims"))?;
        let running = all.into_iter().filter(|(_, _, ended)| ended.is_none());
        let logs = running.map(|(folder, spec, _)| {
            let shims = self.shims.clone();
            let end = async move {
                // However it ends, it writes no more.
                let _ = shims.wait(&folder).await;
            };
            (spec.log, end)
        });
        Ok(logs.collect())
    }

    /// Tells the commands that run of the lease's new end.
    pub(crate) async fn renew(&self) {
        if let Some(deadlines) = self.lease.deadlines() {
            self.shims.renew(deadlines).await;
        }
    }

    /// Ends the commands of attempts that `keep` does not name: what an earlier Shipway started for them is not
    /// wanted any longer. Gives back how many.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn sweep(&self, keep: impl Fn(&str) -> bool) -> Result<usize, RuntimeError> {
        let swept = self.shims.sweep(|spec| keep(&spec.effect_key)).await;
        swept.map_err(RuntimeError::io("looking for processes of earlier attempts"))
    }

    /// Removes what is left of commands that ended long ago, but for those that `keep` names. Gives back of how many.
    ///
    /// # Errors
    /// It could not be listed or removed.
    pub(crate) async fn expire(
        &self,
        keep: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<usize, RuntimeError> {
        let shims = self.shims.clone();
        let expire = tokio::task::spawn_blocking(move || shims.expire(|spec| keep(&spec.effect_key)));
        let expired = expire.await.map_err(io::Error::other).flatten();
        expired.map_err(RuntimeError::io("removing what is left of old commands"))
    }

    /// Starts the keepers that should run and do not: after a reboot, or a crash of one.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn revive(&self) -> Result<(), RuntimeError> {
        if let Err(error) = self.ways.revive().await {
            tracing::warn!(%error, "the ways to other hosts could not be opened again");
        }
        self.keepers.ensure_all().await
    }

    /// Leads to these targets of other hosts, and to no others; and others to the addons of this one, which listen on
    /// the machine's own address only.
    ///
    /// # Errors
    /// They could not be told to the process that forwards.
    pub async fn set_ways(&self, ways: Vec<Way>) -> Result<(), RuntimeError> {
        let own = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mut routes: Vec<Route> = ways
            .into_iter()
            .map(|way| Route { listen: (own, way.port).into(), host: way.host, port: way.port })
            .collect();
        if self.listen != own && !self.listen.is_unspecified() {
            let here = self.statuses().await?;
            let addons = here.iter().filter(|status| status.addon).flat_map(|status| &status.ports);
            routes.extend(addons.map(|port| Route {
                listen: (self.listen, port.public).into(),
                host: own.to_string(),
                port: port.public,
            }));
        }
        self.ways.set(routes).await.map_err(RuntimeError::io("setting the ways to other hosts"))
    }

    /// Hands a keeper that was started from its record the values that it waits for.
    ///
    /// # Errors
    /// The keeper could not be asked.
    pub async fn give_secrets(
        &self,
        target: ResourceId,
        values: BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        self.keepers.ask(target, &Request::Secrets { values }).await.map(|_| ())
    }

    /// Ends what this host keeps of a target that another host has by now; whether there was something.
    ///
    /// # Errors
    /// Its record could not be put away; it goes on.
    pub async fn evict(&self, target: ResourceId) -> Result<bool, RuntimeError> {
        self.keepers.evict(target).await
    }

    /// Ends all keepers and what they keep.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn down(&self) -> Result<(), RuntimeError> {
        self.ways.stop().await;
        self.keepers.stop_all().await
    }

    /// The log of a target's instances.
    #[must_use]
    pub fn service_log(&self, target: ResourceId) -> PathBuf {
        self.keepers.folder(target).join(crate::keeper::SERVICE_LOG)
    }

    /// The machine's language tools.
    pub(crate) fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// Where the machine's programs are.
    pub(crate) fn search_path(&self) -> String {
        self.toolchain.path(false).0
    }

    /// What builds need of Shipway's own environment: the way out to the network.
    pub(crate) fn passed_on(&self) -> BTreeMap<String, String> {
        self.toolchain.network.clone()
    }

    /// The user that `owner`'s processes run as, if they have one of their own.
    pub(crate) fn user(&self, owner: &str) -> Result<Option<u32>, RuntimeError> {
        self.users.of(owner).map_err(RuntimeError::io("giving a user id"))
    }

    fn sandbox(&self, place: &Place) -> Result<Sandbox, RuntimeError> {
        let user = self.user(&place.owner)?;
        for folder in place.folders.iter().filter(|folder| folder.writable) {
            sandbox::own_folder(&folder.path, user)
                .map_err(RuntimeError::io(format!("making the folder {}", folder.path.display())))?;
        }
        let (_, tools) = self.tools(place);
        let view = self.isolation.views.then(|| View {
            hide: vec![self.data.clone()],
            binds: place.folders.iter().map(bind).chain(tools).collect(),
        });
        let mut sandbox = Sandbox { user, view, directory: place.directory.clone(), files: Vec::new() };
        sandbox.directory = sandbox.seen(&place.directory);
        Ok(sandbox)
    }

    fn tools(&self, place: &Place) -> (Option<String>, Vec<Bind>) {
        if !place.tools {
            return (None, Vec::new());
        }
        let (path, binds) = self.toolchain.path(self.isolation.views);
        (Some(path), binds)
    }

    fn environment(&self, place: &Place, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        if let (Some(path), _) = self.tools(place) {
            all.insert("PATH".to_owned(), path);
        }
        if let Some(home) = place.folders.iter().find(|folder| folder.name == "home") {
            all.insert("HOME".to_owned(), self.seen(place, &home.path).to_string_lossy().into_owned());
        }
        all.extend(own.clone());
        all
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

fn bind(folder: &super::Folder) -> Bind {
    let target = Path::new(VIEW).join(&folder.name);
    Bind { source: folder.path.clone(), target, writable: folder.writable }
}

impl ProcessRuntime {
    /// The process of a command that runs, as this machine numbers it.
    pub(crate) fn process(&self, handle: &Handle) -> Option<u32> {
        Shims::process(&handle.0)
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn start(&self, task: &Task) -> Result<Handle, RuntimeError> {
        let spec = shim::Spec {
            effect_key: task.id.effect_key.clone(),
            attempt: task.id.attempt,
            step: task.id.step.clone(),
            fence: task.fence,
            words: task.words.clone(),
            environment: self.environment(&task.place, &task.environment),
            sandbox: Sandbox { files: task.files.keys().cloned().collect(), ..self.sandbox(&task.place)? },
            log: task.log.clone(),
            log_limit: task.log_limit,
            stdin: task.stdin.clone(),
            stdout: task.stdout.clone(),
            deadline: task.deadline.map(shipway_events::Timestamp::micros),
            grace_ms: u64::try_from(task.grace.as_millis()).unwrap_or(u64::MAX),
        };
        // Variables hold no bytes, so files are handed on as base64; what shows in the output is what is in them.
        let files = task.files.iter().map(|(name, contents)| (name.clone(), STANDARD.encode(contents)));
        let texts =
            task.files.values().filter_map(|contents| str::from_utf8(contents).ok()).map(str::to_owned);
        let input = shim::Input {
            environment: task.secrets.iter().map(owned).chain(files).collect(),
            mask: task.mask.iter().cloned().chain(texts).collect(),
            lease: self.lease.deadlines(),
        };
        let what = || task.words.first().cloned().unwrap_or_default();
        let folder = self.shims.start(&spec, &input).await;
        folder.map(Handle).map_err(|source| RuntimeError::Start { what: what(), source })
    }

    async fn wait(&self, handle: &Handle) -> Result<TaskEnd, RuntimeError> {
        let ended = self.shims.wait(&handle.0).await.map_err(RuntimeError::io("asking a shim"))?;
        ended.map(task_end).map_err(|shim::Lost| RuntimeError::Lost)
    }

    async fn stop(&self, handle: &Handle, grace: Duration) -> Result<TaskEnd, RuntimeError> {
        let ended = self.shims.stop(&handle.0, grace).await.map_err(RuntimeError::io("asking a shim"))?;
        ended.map(task_end).map_err(|shim::Lost| RuntimeError::Lost)
    }

    fn forget(&self, handle: &Handle) -> Result<(), RuntimeError> {
        self.shims.forget(&handle.0).map_err(RuntimeError::io("removing a lost shim"))
    }

    async fn running(&self) -> Result<Vec<(TaskId, Handle)>, RuntimeError> {
        let all = self.shims.all().map_err(RuntimeError::io("listing shims"))?;
        Ok(all
            .into_iter()
            .filter(|(_, _, ended)| ended.is_none())
            .map(|(folder, spec, _)| {
                let id = TaskId { effect_key: spec.effect_key, attempt: spec.attempt, step: spec.step };
                (id, Handle(folder))
            })
            .collect())
    }

    async fn apply(&self, deployment: Deployment) -> Result<Applied, RuntimeError> {
        let checks = checks(&deployment);
        let (kind, stop_signal) = match deployment.keeping {
            Keeping::Proxied => (Kind::Service, rustix::process::Signal::TERM.as_raw()),
            Keeping::Exclusive { stop_signal, .. } => (Kind::Addon, stop_signal),
        };
        let spec = Spec {
            kind,
            project: deployment.target.project,
            resource: deployment.target.id,
            slug: deployment.target.slug.clone(),
            artifact: deployment.artifact,
            instances: deployment.instances,
            words: deployment.words,
            environment: self.environment(&deployment.place, &deployment.environment),
            secrets: deployment.secret_names,
            sandbox: self.sandbox(&deployment.place)?,
            ports: deployment.ports,
            listen: self.listen,
            checks,
            grace_seconds: deployment.grace_seconds,
            stop_signal,
        };
        let apply = Apply {
            fence: deployment.fence,
            effect_key: deployment.effect_key,
            spec,
            secrets: deployment.secrets,
            timeout_ms: u64::try_from(deployment.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let target = deployment.target.id;
        let ports = apply.spec.ports.iter().map(|port| port.public).collect();
        self.ways.release(ports).await;
        self.keepers.ensure(target).await?;
        self.keepers.order(target, &Request::Apply(Box::new(apply))).await
    }

    async fn restart(
        &self,
        target: ResourceId,
        fence: Fence,
        effect_key: &str,
        timeout: Duration,
    ) -> Result<Applied, RuntimeError> {
        if !self.keepers.exists(target) {
            return Err(RuntimeError::Refused {
                code: "not_running".to_owned(),
                message: "nothing was released to it yet, so there is nothing to restart".to_owned(),
            });
        }
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.keepers.ensure(target).await?;
        let request = Request::Restart { fence, effect_key: effect_key.to_owned(), timeout_ms };
        self.keepers.order(target, &request).await
    }

    async fn cancel(&self, target: ResourceId, fence: Fence) -> Result<(), RuntimeError> {
        self.keepers.order(target, &Request::Cancel { fence }).await.map(|_| ())
    }

    async fn status(&self, target: ResourceId) -> Result<Option<TargetStatus>, RuntimeError> {
        self.keepers.status(target).await
    }

    async fn statuses(&self) -> Result<Vec<TargetStatus>, RuntimeError> {
        self.keepers.statuses().await
    }

    fn seen(&self, place: &Place, path: &Path) -> PathBuf {
        if !self.isolation.views {
            return path.to_owned();
        }
        let view = View { hide: Vec::new(), binds: place.folders.iter().map(bind).collect() };
        Sandbox { view: Some(view), ..Sandbox::default() }.seen(path)
    }
}

fn task_end(ended: Ended) -> TaskEnd {
    TaskEnd {
        code: ended.exit.and_then(|exit| exit.code),
        signal: ended.exit.and_then(|exit| exit.signal),
        error: ended.error,
        timed_out: ended.timed_out,
        stopped: ended.stopped,
        lapsed: ended.lapsed,
        tail: ended.tail,
    }
}

fn checks(deployment: &Deployment) -> Vec<Check> {
    if let Keeping::Exclusive { ready, .. } = &deployment.keeping {
        let probe = Probe::Program { words: ready.clone() };
        return vec![Check { probe, period_ms: 5000, timeout_ms: 5000, successes: 1, failures: 3 }];
    }
    let first = deployment.ports.first().map(|port| port.name.clone()).unwrap_or_default();
    let given = deployment.health.iter().map(|check| {
        let port = check.port.clone().unwrap_or_else(|| first.clone());
        let probe = match &check.path {
            Some(path) => Probe::Http { port, path: path.clone() },
            None => Probe::Tcp { port },
        };
        Check {
            probe,
            period_ms: check.period_ms,
            timeout_ms: check.timeout_ms,
            successes: check.successes,
            failures: check.failures,
        }
    });
    let given: Vec<Check> = given.collect();
    if !given.is_empty() {
        return given;
    }
    let connect = |port: &shipway_nodes::workload::Port| Check {
        probe: Probe::Tcp { port: port.name.clone() },
        period_ms: 5000,
        timeout_ms: 2000,
        successes: 1,
        failures: 3,
    };
    deployment.ports.iter().map(connect).collect()
}
