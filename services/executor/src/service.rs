//! The service: registers, takes what it is told, beats, and serves what only a host knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use shipway_contracts::{
    Channel,
    v1::{self, Kept, executors_server::ExecutorsServer, logs_server::LogsServer},
};
use shipway_events::{ExecutorId, Fence, RegistrationId, ResourceId};
use shipway_service_kit::Lifecycle;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    BootTime, Executor, ExecutorConfig, LogsApi, NodeLogs, OpenError, Way,
    api::ExecutorsApi,
    link::{Beat, Introduction, Link},
    os::files,
    runtime::{
        Runtime, RuntimeError, TargetStatus,
        process::{ProcessOptions, ProcessRuntime},
    },
};

/// A beat every so often.
const BEAT: Duration = Duration::from_secs(5);
/// A beat every so often where nothing else tells of work.
const BEAT_ALONE: Duration = Duration::from_millis(200);
/// How long a stop waits for light work. The rest goes on under its shims.
const DRAIN: Duration = Duration::from_secs(5);
/// How long what is known of this host's keepers is good for.
const KEPT_FOR: Duration = Duration::from_millis(900);
/// How long a scheduler may take to answer a beat.
const ANSWER: Duration = Duration::from_secs(4);
/// How long the next beat waits for what a beat's answer wants done on this host. What takes longer goes on, or is done
/// with the next answer.
const ARRANGE: Duration = Duration::from_secs(2);
/// How often what is left of commands that ended long ago is removed.
const EXPIRE: Duration = Duration::from_secs(24 * 3600);
/// How long until a scheduler that is away is asked again. A few beats that nobody heard would cost the lease, and where
/// schedulers die the one that is asked next may be going too.
const PAUSE: Duration = Duration::from_millis(200);

/// What the executor needs.
pub struct Deps {
    /// Where and how it works.
    pub config: ExecutorConfig,
    /// Where others reach it; none in the same process.
    pub reach: Option<Reach>,
    /// How long a stop waits for work with a process; what is not done then goes on under its shims.
    pub finish: Duration,
    /// The way to the scheduler's work.
    pub work: Channel,
    /// The way to the secrets' home.
    pub home: Channel,
    /// Tracks the background tasks.
    pub lifecycle: Lifecycle,
}

/// Where others reach an executor of a machine of its own.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Where it serves `Executors`: `http://10.0.0.2:7400`.
    pub address: String,
    /// The host at which what it deploys is reached: `10.0.0.2`.
    pub host: String,
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
    link: Link,
    hurry: Arc<Notify>,
    pace: watch::Sender<Duration>,
    log: watch::Sender<Option<String>>,
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
        let (light, heavy) = (deps.config.light_slots.max(1), deps.config.heavy_slots.max(1));
        let labels = deps.config.labels.iter().cloned().collect();
        let executor =
            Arc::new(Executor::open(deps.config, Arc::new(link.clone()), Arc::new(link.clone())).await?);
        let reach = deps.reach.unwrap_or(Reach { address: String::new(), host: String::new() });
        executor.registered(registration);
        executor.tell_slots(light, heavy);
        let intro = Introduction { light, heavy, labels, address: reach.address, host: reach.host };
        let hurry = link.hurry();
        let (pace, log) = (watch::Sender::new(BEAT), watch::Sender::new(None));
        let beating = Beating {
            executor: executor.clone(),
            link: link.clone(),
            intro,
            hurry: hurry.clone(),
            pace: pace.clone(),
            log: log.clone(),
            finish: deps.finish,
        };
        let stopping = deps.lifecycle.retiring();
        deps.lifecycle.spawn("executor beats", async move {
            beating.run(&stopping).await;
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(Self { id, executor, link, hurry, pace, log })
    }

    /// Whether something tells of work at once. Where nothing does, the schedulers are asked more often.
    pub fn is_told(&self, told: bool) {
        let pace = if told { BEAT } else { BEAT_ALONE };
        self.pace.send_if_modified(|known| std::mem::replace(known, pace) != pace);
    }

    /// The id of the log that its work comes from, once a scheduler has said it.
    pub async fn log(&self) -> String {
        let mut log = self.log.subscribe();
        loop {
            if let Some(log) = log.borrow_and_update().clone() {
                return log;
            }
            if log.changed().await.is_err() {
                // Its beats have ended: no scheduler will say it any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether its work may go on: a scheduler has heard a beat lately.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.executor.has_lease()
    }

    /// Asks the scheduler at once what there is to do: something may have been missed.
    pub fn ask(&self) {
        self.hurry.notify_one();
    }

    /// The host's id, the same over restarts.
    #[must_use]
    pub const fn id(&self) -> ExecutorId {
        self.id
    }

    /// Here is work.
    pub fn offer(&self, assignment: v1::Assignment) {
        if let Some(assignment) = self.link.read(assignment) {
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

    /// `shipway.v1.Logs`, of this executor alone: what it has not stored yet it knows itself.
    #[must_use]
    pub fn logs_server(&self) -> LogsServer<LogsApi<NodeLogs>> {
        LogsServer::new(LogsApi::new(self.executor.logs().reader()))
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
struct Beating {
    executor: Arc<Executor>,
    link: Link,
    intro: Introduction,
    hurry: Arc<Notify>,
    pace: watch::Sender<Duration>,
    log: watch::Sender<Option<String>>,
    /// How long a stop waits for work with a process.
    finish: Duration,
}

impl Beating {
    async fn run(self, stopping: &CancellationToken) {
        let mut swept = false;
        let mut expired: Option<Instant> = None;
        let mut pace = self.pace.subscribe();
        let mut beats = paced(*pace.borrow_and_update());
        let mut registered = false;
        let mut kept = KeptHere::default();
        let mut evicting = BTreeMap::new();
        loop {
            tokio::select! {
                _ = beats.tick() => {}
                () = self.hurry.notified() => {}
                Ok(()) = pace.changed() => beats = paced(*pace.borrow_and_update()),
                () = stopping.cancelled() => break,
            }
            // What counts is when a beat was sent: for others the lease is over no sooner than here.
            let sent = BootTime::now();
            if !registered {
                match in_time(self.link.register(&self.intro)).await {
                    Ok(log) => drop(self.log.send_replace(Some(log))),
                    Err(status) => {
                        let reason = status.message();
                        tracing::warn!(reason, "the scheduler does not answer; it is asked again");
                        beats.reset_after(PAUSE);
                        continue;
                    }
                }
                registered = true;
                self.executor.renew(sent);
            }
            let there = self.reaches().then_some(&mut kept);
            let kept = match there {
                Some(kept) => kept.look(&self.executor).await,
                None => &[],
            };
            let (held, stubborn) = (self.executor.held(), self.executor.stubborn());
            match in_time(self.link.beat(&held, &stubborn, kept, false)).await {
                Ok(beat) if beat.known => {
                    self.executor.renew(sent);
                    self.arrange(&beat, &mut evicting).await;
                    if let Some(keep) = beat.keep {
                        if !std::mem::replace(&mut swept, true) {
                            self.sweep(&keep).await;
                        }
                        if expired.is_none_or(|at| at.elapsed() >= EXPIRE) {
                            self.expire(keep);
                            expired = Some(Instant::now());
                        }
                    }
                    beat.hold.into_iter().for_each(|work| self.executor.offer(work));
                    beat.stop.into_iter().for_each(|fence| self.executor.stop(fence));
                    beat.end.into_iter().for_each(|work| self.executor.end(work));
                }
                Ok(_) => {
                    registered = false;
                    beats.reset_immediately();
                }
                Err(status) => {
                    tracing::warn!(
                        reason = status.message(),
                        "a beat was not heard; the next is not waited for"
                    );
                    beats.reset_after(PAUSE);
                }
            }
        }
        self.stop().await;
    }

    /// Gets no more work, and lets what goes on finish: its lease is kept meanwhile.
    async fn stop(&self) {
        let mut beats = paced(BEAT);
        let mut drained = std::pin::pin!(self.executor.drain(DRAIN, self.finish));
        let mut kept = KeptHere::default();
        loop {
            tokio::select! {
                _ = &mut drained => return,
                _ = beats.tick(), if self.reaches() => {}
            }
            let sent = BootTime::now();
            let kept = kept.look(&self.executor).await;
            let (held, stubborn) = (self.executor.held(), self.executor.stubborn());
            match in_time(self.link.beat(&held, &stubborn, kept, true)).await {
                Ok(beat) if beat.known => self.executor.renew(sent),
                Ok(_) => {}
                Err(status) => {
                    tracing::warn!(
                        reason = status.message(),
                        "the schedulers were not told that this executor stops"
                    );
                    beats.reset_after(PAUSE);
                }
            }
        }
    }

    /// Whether there are other hosts.
    const fn reaches(&self) -> bool {
        !self.intro.address.is_empty()
    }

    /// Lets go of what other hosts have by now, and finds the way to it.
    async fn arrange(&self, beat: &Beat, evicting: &mut BTreeMap<ResourceId, JoinHandle<()>>) {
        if !self.reaches() {
            return;
        }
        evicting.retain(|_, evicted| !evicted.is_finished());
        for target in &beat.evict {
            evicting.entry(*target).or_insert_with(|| self.evict(*target));
        }
        let ways = beat.ways.iter().map(|(port, host)| Way { port: *port, host: host.clone() }).collect();
        match tokio::time::timeout(ARRANGE, self.executor.set_ways(ways)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the ways to what is on other hosts could not be set"),
            Err(_) => tracing::error!("the ways to what is on other hosts were not set in time"),
        }
    }

    /// Ends a target's keeper, which has its service's grace for that: the beats do not wait for it.
    fn evict(&self, target: ResourceId) -> JoinHandle<()> {
        tracing::warn!(%target, "a target was given to another host while this one was away; it ends here");
        let (executor, hurry) = (self.executor.clone(), self.hurry.clone());
        tokio::spawn(async move {
            match executor.evict(target).await {
                // Its ports are free for the way to the other host.
                Ok(true) => hurry.notify_one(),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%target, %error, "a target that is another host's could not be ended");
                }
            }
        })
    }

    async fn sweep(&self, keep: &BTreeSet<String>) {
        match tokio::time::timeout(ARRANGE, self.executor.sweep(keep)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(ended)) => {
                tracing::info!(ended, "commands of attempts that are not current were ended");
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "what is left of earlier attempts could not be listed");
            }
            Err(_) => tracing::warn!("commands of attempts that are not current are still ending"),
        }
    }

    /// Removes what nobody asks for any more. The beats do not wait for it.
    fn expire(&self, keep: BTreeSet<String>) {
        let executor = self.executor.clone();
        tokio::spawn(async move {
            match executor.expire(keep).await {
                Ok(0) => {}
                Ok(expired) => tracing::info!(expired, "what was left of old commands was removed"),
                Err(error) => tracing::warn!(%error, "what is left of old commands could not be removed"),
            }
        });
    }
}

/// What is on this host, looked at now and then.
#[derive(Default)]
struct KeptHere {
    at: Option<Instant>,
    kept: Vec<Kept>,
}

impl KeptHere {
    /// As it is, or was a moment ago.
    async fn look(&mut self, executor: &Executor) -> &[Kept] {
        if self.at.is_none_or(|at| at.elapsed() >= KEPT_FOR) {
            match executor.statuses().await {
                Ok(statuses) => self.kept = statuses.iter().filter(|status| status.kept).map(kept).collect(),
                Err(error) => tracing::warn!(%error, "the keepers of this host could not be listed"),
            }
            self.at = Some(Instant::now());
        }
        &self.kept
    }
}

fn kept(status: &TargetStatus) -> Kept {
    let ports = status.ports.iter().map(|port| port.public.into()).collect();
    Kept { resource: status.target.id.to_string(), ports }
}

/// Beats of this pace, the first at once; one that comes late does not make the next come early.
fn paced(every: Duration) -> Interval {
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

/// A call to a scheduler that does not answer must not cost the lease.
async fn in_time<T>(call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, tonic::Status> {
    let late = || tonic::Status::deadline_exceeded("no answer in time");
    tokio::time::timeout(ANSWER, call).await.unwrap_or_else(|_| Err(late()))
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
    // Whole and synced: a host that comes back with another id has lost what was placed on it.
    files::write(&path, format!("{id}\n").as_bytes(), 0o600).map_err(failed)?;
    Ok(id)
}
