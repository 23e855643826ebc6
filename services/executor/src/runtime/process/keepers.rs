//! How the executor starts keepers and talks to them.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
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
        match talk(&folder, &Request::Hello).await {
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
        talk(&folder, &Request::Hello).await.map(|_| ()).map_err(RuntimeError::io("asking a new keeper"))
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
        if let Ok(Reply::Status(status)) = talk(&folder, &Request::Status).await {
            let healthy = status.is_healthy();
            return Ok(status.spec.clone().map(|spec| running(&status, spec, healthy)));
        }
        let record = record::read(&folder).map_err(RuntimeError::io("reading a keeper's record"))?;
        Ok(record.map(|record| {
            let status = Status {
                fence: record.fence,
                applied: Some(record.fence),
                effect_key: Some(record.effect_key),
                spec: None,
                instances: Vec::new(),
                rolling: false,
                needs_secrets: std::collections::BTreeMap::new(),
            };
            TargetStatus { kept: false, ..running(&status, record.spec, false) }
        }))
    }

    /// Ends a keeper whose target is another host's by now. What it has stays on disk; it does not start again, and lower
    /// fences stay refused.
    pub(super) async fn evict(&self, target: ResourceId) -> Result<(), RuntimeError> {
        let folder = self.folder(target);
        match fs::rename(folder.join("record.json"), folder.join("record.evicted.json")) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(RuntimeError::io("putting a keeper's record away")(error)),
        }
        // One that does not run has nothing to stop.
        let _ = talk(&folder, &Request::Stop).await;
        Ok(())
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
