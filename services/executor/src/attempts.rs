//! The executor: takes assignments, does them, reports what came of them, goes on with the answer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use serde_json::Map;
use shipway_events::{Fence, ResourceId, RunId, run::NodeError};
use shipway_nodes::{Outcome, Workload};
use shipway_service_kit::metrics;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    assignment::{Assignment, ReportError, Reports, Secrets},
    config::ExecutorConfig,
    node_logs::NodeLogs,
    runtime::{
        Runtime, RuntimeError, TargetStatus,
        process::{ProcessOptions, ProcessRuntime},
    },
    work::{self, Attempt, Host},
};

/// How many finished fences are remembered, so that a repeated offer of one is not taken.
const REMEMBERED: usize = 65_536;
/// The pauses between tries to report an outcome.
const REPORT_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_REPORT_PAUSE: Duration = Duration::from_secs(5);
/// How often keepers are looked after.
const KEEPER_LOOK: Duration = Duration::from_secs(5);
/// How long a drain waits for light work.
const DRAIN: Duration = Duration::from_secs(5);

/// Why an executor could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder or file of it.
    #[error("opening the executor's folder {folder} failed: {source}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its runtime.
    #[error("opening the process runtime failed: {0}")]
    Runtime(#[from] RuntimeError),
    /// Its HTTP client.
    #[error("setting up the HTTP client failed: {0}")]
    Http(#[from] reqwest::Error),
}

/// Runs node attempts on this host. Clones are the same executor.
#[derive(Clone)]
pub struct Executor(Arc<Inner>);

struct Inner {
    host: Host,
    reports: Arc<dyn Reports>,
    state: Mutex<State>,
    draining: AtomicBool,
    down: AtomicBool,
    changed: Notify,
}

#[derive(Default)]
struct State {
    held: HashMap<Fence, Held>,
    finished: BTreeSet<Fence>,
}

struct Held {
    stop: CancellationToken,
    light: bool,
    place: (RunId, u32),
}

impl Executor {
    /// Opens the executor of a data folder: finds its keepers and starts those that should run and do not. Shims
    /// go on; an offer of their work finds them. To be called in a Tokio runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        config: ExecutorConfig,
        reports: Arc<dyn Reports>,
        secrets: Arc<dyn Secrets>,
    ) -> Result<Self, OpenError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = config.data.join("host");
        let make = fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
        let folder = make.map_err(|source| OpenError::Folder { folder, source })?;
        let options = ProcessOptions { listen: config.listen, namespaces: config.namespaces };
        let runtime = ProcessRuntime::open(&config.data, &config.binary, options).await?;
        let http =
            reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let host = Host {
            logs: NodeLogs::new(folder.join("logs")),
            blobs: config.blobs.clone(),
            runtime: Arc::new(runtime),
            folder,
            secrets,
            http,
            config,
        };
        let inner = Arc::new(Inner {
            host,
            reports,
            state: Mutex::default(),
            draining: AtomicBool::new(false),
            down: AtomicBool::new(false),
            changed: Notify::new(),
        });
        inner.host.runtime.revive().await?;
        tokio::spawn(look_after(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// Takes work. What is held or was finished already is not taken again.
    pub fn offer(&self, assignment: Assignment) {
        if let Some((assignment, stop)) = self.0.take(assignment) {
            self.0.spawn(assignment, stop);
        }
    }

    /// Stops the work of that fence; its outcome is reported as ever.
    pub fn stop(&self, fence: Fence) {
        if let Some(held) = self.0.lock().held.get(&fence) {
            held.stop.cancel();
        }
    }

    /// The fences that are worked on, or whose outcome nobody has taken yet.
    #[must_use]
    pub fn held(&self) -> Vec<Fence> {
        let mut held: Vec<Fence> = self.0.lock().held.keys().copied().collect();
        held.sort();
        held
    }

    /// The slots in use: light, then heavy.
    #[must_use]
    pub fn used(&self) -> (u32, u32) {
        let state = self.0.lock();
        let light = state.held.values().filter(|held| held.light).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (count(light), count(state.held.len() - light))
    }

    /// Tells whoever asks how many of the slots, light and heavy, are in use; as long as there is this executor.
    pub fn tell_slots(&self, light: u32, heavy: u32) {
        let weak = Arc::downgrade(&self.0);
        metrics::EXECUTOR_SLOTS.observe(move |seen| {
            let (light_used, heavy_used) = Self(weak.upgrade()?).used();
            for (size, all, used) in [("light", light, light_used), ("heavy", heavy, heavy_used)] {
                seen.value(f64::from(used), &[size, "used"]);
                seen.value(f64::from(all.saturating_sub(used)), &[size, "free"]);
            }
            Some(())
        });
    }

    /// Whether an attempt of that node is being worked on here.
    #[must_use]
    pub fn works_on(&self, run: RunId, node: u32) -> bool {
        self.0.lock().held.values().any(|held| held.place == (run, node))
    }

    /// Ends what an earlier Shipway started for attempts that are not current; keepers live on. To be called once
    /// the scheduler has said which effect keys are current. Gives back how many commands were ended.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn sweep(&self, current: &BTreeSet<String>) -> Result<usize, RuntimeError> {
        self.0.host.runtime.sweep(|key| current.contains(key)).await
    }

    /// Takes nothing more and waits, for at most 5 s, until light work is finished and reported. Shims and keepers
    /// live on.
    pub async fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        let until = Instant::now() + DRAIN;
        loop {
            let changed = self.0.changed.notified();
            if !self.0.lock().held.values().any(|held| held.light) {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || tokio::time::timeout(left, changed).await.is_err() {
                return;
            }
        }
    }

    /// How all targets of this host stand.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn statuses(&self) -> Result<Vec<TargetStatus>, RuntimeError> {
        self.0.host.runtime.statuses().await
    }

    /// The logs of nodes.
    #[must_use]
    pub fn logs(&self) -> &NodeLogs {
        &self.0.host.logs
    }

    /// The file with the newest log lines of a target's instances; older ones are in `service.log.1` and
    /// `service.log.2` beside it.
    #[must_use]
    pub fn service_log(&self, target: ResourceId) -> PathBuf {
        self.0.host.runtime.service_log(target)
    }

    /// Ends all keepers and with them all services and addons. They start again with the next executor.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn down(&self) -> Result<(), RuntimeError> {
        self.0.down.store(true, Ordering::SeqCst);
        self.0.host.runtime.down().await
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the work, unless it is known.
    fn take(&self, assignment: Assignment) -> Option<(Assignment, CancellationToken)> {
        if self.draining.load(Ordering::SeqCst) {
            return None;
        }
        let mut state = self.lock();
        if state.held.contains_key(&assignment.fence) || state.finished.contains(&assignment.fence) {
            return None;
        }
        let stop = CancellationToken::new();
        let light = matches!(assignment.work, Workload::Noop(_) | Workload::Message(_));
        state.held.insert(
            assignment.fence,
            Held { stop: stop.clone(), light, place: (assignment.run, assignment.node) },
        );
        Some((assignment, stop))
    }

    fn spawn(self: &Arc<Self>, assignment: Assignment, stop: CancellationToken) {
        let inner = Arc::clone(self);
        tokio::spawn(async move { inner.work(assignment, stop).await });
    }

    /// Does the work and whatever the answers to its outcome bring; what comes beyond one goes to tasks of its own.
    async fn work(self: Arc<Self>, mut assignment: Assignment, mut stop: CancellationToken) {
        loop {
            let span = span(&assignment);
            let attempt = async {
                let outcome = self.perform(&assignment, &stop).await;
                self.report(&assignment, outcome).await
            };
            let next = attempt.instrument(span).await;
            self.finish(assignment.fence);
            let mut next = next.into_iter().filter_map(|next| self.take(next));
            let Some(first) = next.next() else { return };
            for (assignment, stop) in next {
                self.spawn(assignment, stop);
            }
            (assignment, stop) = first;
        }
    }

    fn finish(&self, fence: Fence) {
        let mut state = self.lock();
        state.held.remove(&fence);
        state.finished.insert(fence);
        if state.finished.len() > REMEMBERED {
            state.finished.pop_first();
        }
        drop(state);
        if self.draining.load(Ordering::Relaxed) {
            self.changed.notify_waiters();
        }
    }

    async fn perform(&self, given: &Assignment, stop: &CancellationToken) -> Outcome {
        let begin = Instant::now();
        let outcome = self.effect(given, stop).await;
        let kind = work::kind(&given.work);
        metrics::ATTEMPTS.add(1, &[kind, word(&outcome)]);
        metrics::ATTEMPT_SECONDS.record(begin.elapsed().as_secs_f64(), &[kind]);
        outcome
    }

    async fn effect(&self, given: &Assignment, stop: &CancellationToken) -> Outcome {
        let (sender, begun) = if given.detached {
            let (sender, begun) = oneshot::channel();
            (Some(sender), Some(begun))
        } else {
            (None, None)
        };
        let (run, node, fence) = (given.run, given.node, given.fence.raw());
        let effect = tracing::info_span!("effect", %run, node, fence, kind = work::kind(&given.work));
        let attempt = Attempt { host: &self.host, given, stop, started: Mutex::new(sender) };
        let mut doing =
            std::pin::pin!(AssertUnwindSafe(work::run(&attempt).instrument(effect)).catch_unwind());
        let ended = match begun {
            None => doing.await,
            Some(begun) => tokio::select! {
                biased;
                Ok(outputs) = begun => {
                    // Reported while the work goes on.
                    let report = self.report(given, Outcome::Started { outputs });
                    let (_, ended) = tokio::join!(report, doing);
                    ended
                }
                ended = &mut doing => ended,
            },
        };
        ended.unwrap_or_else(|_| {
            let message = "the executor failed in an unforeseen way; its log says where".to_owned();
            Outcome::Failed { error: NodeError { code: "internal".to_owned(), message, transient: false } }
        })
    }

    /// Until it is taken, or refused for good.
    async fn report(&self, given: &Assignment, outcome: Outcome) -> Vec<Assignment> {
        let mut pause = REPORT_PAUSE;
        loop {
            match self.reports.complete(given.fence, given.run, given.node, outcome.clone()).await {
                Ok(next) => return next.unwrap_or_default(),
                Err(ReportError::Refused(reason)) => {
                    tracing::warn!(run = %given.run, node = given.node, fence = %given.fence, reason, "an outcome was refused");
                    return Vec::new();
                }
                Err(ReportError::Unavailable(reason)) => {
                    tracing::debug!(run = %given.run, node = given.node, reason, "an outcome could not be reported yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_REPORT_PAUSE);
        }
    }

    /// Starts keepers that died, and gives those their secrets that were started from their records.
    async fn look_after_keepers(&self) -> Result<(), RuntimeError> {
        let runtime = &self.host.runtime;
        let statuses = runtime.statuses().await?;
        if statuses.iter().any(|status| !status.kept) {
            runtime.revive().await?;
        }
        for status in statuses.into_iter().filter(|status| !status.needs_secrets.is_empty()) {
            let values: Map<_, _> = status.needs_secrets.into_iter().collect();
            let fence = status.applied.unwrap_or(status.fence);
            let secrets = self.host.secrets.as_ref();
            let resolved = work::resolve_environment(secrets, status.target.project, fence, &values).await;
            match resolved {
                Ok(environment) => {
                    let mut all: BTreeMap<String, String> = environment.secrets;
                    all.extend(environment.plain);
                    runtime.give_secrets(status.target.id, all).await?;
                }
                Err(failure) => {
                    tracing::warn!(target = status.target.slug, ?failure, "a service waits for its secrets");
                }
            }
        }
        Ok(())
    }
}

/// The span of an attempt: a trace of its own, since it may begin long after what it follows from.
fn span(given: &Assignment) -> tracing::Span {
    let (run, node, attempt, fence) = (given.run, given.node, given.attempt, given.fence.raw());
    let span = tracing::info_span!(parent: None, "attempt", %run, node, attempt, fence);
    shipway_service_kit::link_span(&span, given.trace.as_deref());
    span
}

/// An outcome in one word, for counting.
const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Started { .. } | Outcome::Succeeded { .. } => "succeeded",
        Outcome::Failed { .. } => "failed",
        Outcome::Stopped => "stopped",
        Outcome::Refused { .. } => "refused",
        Outcome::Unknown { .. } => "unknown",
    }
}

async fn look_after(executor: Weak<Inner>) {
    loop {
        let Some(inner) = executor.upgrade() else { return };
        if inner.down.load(Ordering::SeqCst) {
            return;
        }
        if let Err(error) = inner.look_after_keepers().await {
            tracing::warn!(%error, "keepers could not be looked after");
        }
        drop(inner);
        tokio::time::sleep(KEEPER_LOOK).await;
    }
}
