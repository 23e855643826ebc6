//! The service: registers, takes what it is told, beats, and serves what only a host knows.

use std::{fs, path::Path, sync::Arc, time::Duration};

use shipway_contracts::{
    Channel,
    v1::{self, executors_server::ExecutorsServer},
};
use shipway_events::{ExecutorId, Fence, RegistrationId};
use shipway_service_kit::Lifecycle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Executor, ExecutorConfig, OpenError,
    api::ExecutorsApi,
    link::{Link, Room, read},
    runtime::{
        Runtime, RuntimeError,
        process::{ProcessOptions, ProcessRuntime},
    },
};

/// Work without a process of its own.
const LIGHT_SLOTS: u32 = 256;
/// A beat every so often.
const BEAT: Duration = Duration::from_secs(5);
/// How long until a scheduler that is away is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// What the executor needs.
pub struct Deps {
    /// Where and how it works.
    pub config: ExecutorConfig,
    /// Builds, jobs, backups and restores at the same time.
    pub heavy_slots: u32,
    /// The way to the scheduler's work.
    pub work: Channel,
    /// The way to the secrets' home.
    pub home: Channel,
    /// Tracks the background tasks.
    pub lifecycle: Lifecycle,
}

/// Why the executor could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host's folder could not be opened.
    #[error("opening the executor's folder")]
    Open(#[from] OpenError),
    /// The executor's own id could not be kept.
    #[error("keeping the executor's id in {path}")]
    Id {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The running executor.
#[derive(Clone)]
pub struct Service {
    id: ExecutorId,
    executor: Arc<Executor>,
}

impl Service {
    /// Starts the executor. It registers as soon as the scheduler answers.
    ///
    /// # Errors
    /// If the host's folder cannot be opened.
    pub async fn start(deps: Deps) -> Result<Self, StartError> {
        let id = own_id(&deps.config.data)?;
        let registration = RegistrationId::new(Uuid::now_v7());
        let link = Link::new(id, registration, deps.work, deps.home);
        let executor =
            Arc::new(Executor::open(deps.config, Arc::new(link.clone()), Arc::new(link.clone())).await?);
        executor.tell_slots(LIGHT_SLOTS, deps.heavy_slots.max(1));
        let room = Room { light: LIGHT_SLOTS, heavy: deps.heavy_slots.max(1) };
        let (beating, stopping) = (executor.clone(), deps.lifecycle.stopping());
        deps.lifecycle.spawn("executor beats", async move {
            beat(&beating, &link, room, &stopping).await;
            beating.drain().await;
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(Self { id, executor })
    }

    /// The host's id, the same over restarts.
    #[must_use]
    pub const fn id(&self) -> ExecutorId {
        self.id
    }

    /// Here is work.
    pub fn offer(&self, assignment: v1::Assignment) {
        if let Some(assignment) = read(assignment) {
            self.executor.offer(assignment);
        }
    }

    /// An attempt is to be stopped.
    pub fn stop(&self, fence: Fence) {
        self.executor.stop(fence);
    }

    /// Stops every keeper of this host. Answers what was stopped.
    pub async fn down(&self) -> Vec<String> {
        stop_keepers(&self.executor).await
    }

    /// The services and addons that run on this host.
    pub async fn running(&self) -> Vec<String> {
        names(&self.executor).await
    }

    /// `shipway.v1.Executors`.
    #[must_use]
    pub fn executors_server(&self) -> ExecutorsServer<ExecutorsApi> {
        ExecutorsServer::new(ExecutorsApi { executor: self.executor.clone() })
    }
}

/// Stops every keeper of a data folder on which no Shipway runs; what ran.
///
/// # Errors
/// If the keepers could not be listed or stopped.
pub async fn stop_all(config: &ExecutorConfig) -> Result<Vec<String>, RuntimeError> {
    let options = ProcessOptions { listen: config.listen, namespaces: config.namespaces };
    let runtime = ProcessRuntime::open(&config.data, &config.binary, options).await?;
    let running = runtime.statuses().await?;
    runtime.sweep(|_| false).await?;
    runtime.down().await?;
    Ok(running.into_iter().filter(|status| status.kept).map(|status| status.target.slug).collect())
}

/// Registers, sweeps what is nobody's work any more, then beats until the end.
async fn beat(executor: &Arc<Executor>, link: &Link, room: Room, stopping: &CancellationToken) {
    let mut swept = false;
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut registered = false;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = stopping.cancelled() => return,
        }
        if !registered {
            if let Err(status) = link.register(room).await {
                tracing::warn!(reason = status.message(), "the scheduler does not answer; it is asked again");
                tokio::time::sleep(PAUSE).await;
                beats.reset_immediately();
                continue;
            }
            registered = true;
        }
        match link.beat(&executor.held()).await {
            Ok(beat) if beat.known => {
                if !swept {
                    match executor.sweep(&beat.keep).await {
                        Ok(0) => {}
                        Ok(ended) => {
                            tracing::info!(ended, "commands of attempts that are not current were ended")
                        }
                        Err(error) => {
                            tracing::error!(%error, "what is left of earlier attempts could not be listed")
                        }
                    }
                    swept = true;
                }
                beat.hold.into_iter().for_each(|work| executor.offer(work));
                beat.stop.into_iter().for_each(|fence| executor.stop(fence));
            }
            Ok(_) => {
                registered = false;
                beats.reset_immediately();
            }
            Err(status) => tracing::warn!(reason = status.message(), "a beat was not heard"),
        }
    }
}

/// Stops every keeper; what ran.
pub(crate) async fn stop_keepers(executor: &Executor) -> Vec<String> {
    let running = names(executor).await;
    if let Err(error) = executor.down().await {
        tracing::error!(%error, "not every keeper could be stopped");
    }
    running
}

/// The services and addons that run, by their id in documents.
async fn names(executor: &Executor) -> Vec<String> {
    match executor.statuses().await {
        Ok(statuses) => {
            statuses.into_iter().filter(|status| status.kept).map(|status| status.target.slug).collect()
        }
        Err(error) => {
            tracing::error!(%error, "the keepers of this host could not be listed");
            Vec::new()
        }
    }
}

/// The id of this host, made at its first start.
fn own_id(data: &Path) -> Result<ExecutorId, StartError> {
    let path = data.join("host/executor.id");
    let failed = |source| StartError::Id { path: path.display().to_string(), source };
    if let Ok(text) = fs::read_to_string(&path)
        && let Ok(id) = text.trim().parse()
    {
        return Ok(id);
    }
    let id = ExecutorId::new(Uuid::now_v7());
    fs::create_dir_all(data.join("host")).map_err(failed)?;
    fs::write(&path, format!("{id}\n")).map_err(failed)?;
    Ok(id)
}
