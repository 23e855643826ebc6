//! How the executor starts keepers and talks to them.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use shipway_events::ResourceId;
use shipway_nodes::workload::Target;

use crate::{
    keeper::{
        protocol::{Kind, Reply, Request, SOCKET, Spec, Status, VERSION},
        record,
    },
    os::{stage::Starter, wire},
    runtime::{Applied, InstanceStatus, RuntimeError, TargetStatus},
};

/// How long a keeper may take to say how it stands. The beats wait for it, and a lease hangs on them.
const STATUS: Duration = Duration::from_secs(2);

/// How long a keeper may take to say that it is there, which it does without looking at anything.
const HELLO: Duration = Duration::from_secs(10);

/// All keepers of an executor.
#[derive(Debug)]
pub(super) struct Keepers {
    folder: PathBuf,
    starter: Starter,
}

impl Keepers {
    pub(super) fn new(folder: PathBuf, starter: Starter) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, starter })
    }

    pub(super) fn folder(&self, target: ResourceId) -> PathBuf {
        self.folder.join(target.to_string())
    }

    pub(super) fn exists(&self, target: ResourceId) -> bool {
        self.folder(target).join("record.json").exists()
    }

    /// The targets that something was released to.
    pub(super) fn all(&self) -> io::Result<Vec<ResourceId>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            all.extend(
                name.to_str().and_then(|name| name.parse().ok()).filter(|target| self.exists(*target)),
            );
        }
        all.sort();
        Ok(all)
    }

    /// Makes sure that the target's keeper runs.
    pub(super) async fn ensure(&self, target: ResourceId) -> Result<(), RuntimeError> {
        let folder = self.folder(target);
        match in_time(HELLO, &folder, &Request::Hello).await {
            Ok(Reply::Hello { version: VERSION }) => return Ok(()),
            Ok(other) => {
                let why = format!(
                    "it was started by another version of Shipway (it says {other:?}, expected version {VERSION}); \
                     `shipway down` with that version ends it"
                );
                return Err(RuntimeError::Io {
                    what: "talking to a keeper".to_owned(),
                    source: io::Error::other(why),
                });
            }
            Err(error) if is_silent(&error) => return Err(RuntimeError::io("asking a keeper")(error)),
            Err(_) => {}
        }
        let start = async {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let mut command = self.starter.command("keeper");
            command.arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let output = command.spawn()?.wait_with_output().await?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(io::Error::other(format!(
                "{said} (its log is {})",
                folder.join(crate::keeper::LOG).display()
            )))
        };
        start.await.map_err(RuntimeError::io("starting a keeper"))?;
        // One that found another at work has answered for it; that one may be about to end.
        let there = in_time(HELLO, &folder, &Request::Hello).await;
        there.map(|_| ()).map_err(RuntimeError::io("asking a new keeper"))
    }

    pub(super) async fn ask(&self, target: ResourceId, request: &Request) -> Result<Reply, RuntimeError> {
        talk(&self.folder(target), request).await.map_err(RuntimeError::io("asking a keeper"))
    }

    /// A request that changes something.
    pub(super) async fn order(&self, target: ResourceId, request: &Request) -> Result<Applied, RuntimeError> {
        match self.ask(target, request).await? {
            Reply::Done { already } => Ok(Applied { already }),
            Reply::Stale { current } => Err(RuntimeError::Stale { current }),
            Reply::Failed { code, message } => Err(RuntimeError::Refused { code, message }),
            other => Err(RuntimeError::Io {
                what: "understanding a keeper".to_owned(),
                source: io::Error::other(format!("unexpected answer: {other:?}")),
            }),
        }
    }

    pub(super) async fn status(&self, target: ResourceId) -> Result<Option<TargetStatus>, RuntimeError> {
        let folder = self.folder(target);
        let kept = match in_time(STATUS, &folder, &Request::Status).await {
            Ok(Reply::Status(status)) => {
                let healthy = status.is_healthy();
                return Ok(status.spec.clone().map(|spec| running(&status, spec, healthy)));
            }
            Ok(_) => false,
            // It is there, and what it keeps may well run: no other keeper can take its place.
            Err(error) => is_silent(&error),
        };
        let record = record::read(&folder).map_err(RuntimeError::io("reading a keeper's record"))?;
        Ok(record.map(|record| {
            let status = Status {
                fence: record.fence,
                applied: Some(record.fence),
                effect_key: Some(record.effect_key),
                spec: None,
                instances: Vec::new(),
                rolling: false,
                needs_secrets: BTreeMap::new(),
            };
            TargetStatus { kept, ..running(&status, record.spec, false) }
        }))
    }

    /// How all targets stand. The keepers are asked beside each other: none waits for one that does not answer.
    pub(super) async fn statuses(&self) -> Result<Vec<TargetStatus>, RuntimeError> {
        let all = self.all().map_err(RuntimeError::io("listing keepers"))?;
        let asked = futures::future::try_join_all(all.into_iter().map(|target| self.status(target)));
        Ok(asked.await?.into_iter().flatten().collect())
    }

    /// Makes sure that every keeper runs that should.
    pub(super) async fn ensure_all(&self) -> Result<(), RuntimeError> {
        let all = self.all().map_err(RuntimeError::io("listing keepers"))?;
        let started = all.into_iter().map(|target| async move {
            if let Err(error) = self.ensure(target).await {
                tracing::warn!(%target, %error, "its keeper could not be started again");
            }
        });
        futures::future::join_all(started).await;
        Ok(())
    }

    /// Ends a keeper whose target is another host's by now. What it has stays on disk; it does not start again, and lower
    /// fences stay refused. Whether there was one.
    pub(super) async fn evict(&self, target: ResourceId) -> Result<bool, RuntimeError> {
        let folder = self.folder(target);
        match fs::rename(folder.join("record.json"), folder.join("record.evicted.json")) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(RuntimeError::io("putting a keeper's record away")(error)),
        }
        // One that does not run has nothing to stop.
        let _ = talk(&folder, &Request::Stop).await;
        Ok(true)
    }

    /// Ends all keepers, each with its grace, at the same time.
    pub(super) async fn stop_all(&self) -> Result<(), RuntimeError> {
        let all = self.all().map_err(RuntimeError::io("listing keepers"))?;
        let stops = all.into_iter().map(|target| {
            let folder = self.folder(target);
            // One that does not run has nothing to stop.
            async move { talk(&folder, &Request::Stop).await.map(|_| ()).unwrap_or_default() }
        });
        futures::future::join_all(stops).await;
        Ok(())
    }
}

/// As [`talk`], with one that may not answer.
async fn in_time(limit: Duration, folder: &Path, request: &Request) -> io::Result<Reply> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "it runs and does not answer");
    tokio::time::timeout(limit, talk(folder, request)).await.unwrap_or_else(|_| Err(late()))
}

/// Whether a keeper is there and does not answer: it was stopped or hangs. Those who have asked it before wait in a line
/// that is full some day.
fn is_silent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

async fn talk(folder: &Path, request: &Request) -> io::Result<Reply> {
    let mut socket = wire::connect(folder, SOCKET).await?;
    wire::send_async(&mut socket, request).await?;
    wire::receive_async(&mut socket).await
}

fn running(status: &Status, spec: Spec, healthy: bool) -> TargetStatus {
    let instances = status.instances.iter().map(|instance| InstanceStatus {
        name: instance.name.clone(),
        phase: instance.phase,
        ports: instance.ports.clone(),
        restarts: instance.restarts,
    });
    TargetStatus {
        target: Target { project: spec.project, id: spec.resource, slug: spec.slug },
        addon: spec.kind == Kind::Addon,
        fence: status.fence,
        applied: status.applied,
        effect_key: status.effect_key.clone(),
        artifact: spec.artifact,
        wanted: spec.instances,
        instances: instances.collect(),
        ports: spec.ports,
        rolling: status.rolling,
        healthy,
        needs_secrets: status.needs_secrets.clone(),
        kept: true,
    }
}
