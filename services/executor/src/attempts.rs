//! The executor: takes assignments, does them, reports what came of them, goes on with the answer.

mod keepers;
mod turn;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use shipway_eventing::{Blobs, failpoint};
use shipway_events::{Fence, RegistrationId, ResourceId, RunId};
use shipway_forge::Outbound;
use shipway_nodes::Outcome;
use shipway_service_kit::metrics;
use tokio::sync::Notify;

use crate::{
    assignment::{Assignment, Reports, Secrets},
    config::ExecutorConfig,
    held::{Draining, Holdings},
    lease::Lease,
    node_logs::NodeLogs,
    os::boot::BootTime,
    runtime::{
        Runtime, RuntimeError, TargetStatus,
        process::{ProcessOptions, ProcessRuntime},
    },
    ways::Way,
    work::{Host, Stubborn},
};

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
    /// Its clock.
    #[error("setting up the alarm for the lease's end failed: {0}")]
    Lease(#[source] io::Error),
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
    state: Mutex<Holdings>,
    draining: AtomicBool,
    down: AtomicBool,
    changed: Notify,
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
        let folder = config.data.join("host");
        let make = fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
        let folder = make.map_err(|source| OpenError::Folder { folder, source })?;
        let options = ProcessOptions { listen: config.listen, namespaces: config.namespaces };
        let runtime = ProcessRuntime::open(&config.data, &config.binary, options).await?;
        let lease = Arc::new(Lease::new(config.lease).map_err(OpenError::Lease)?);
        let outbound = Outbound::new(config.allow_private_addresses)?;
        let store = shipway_eventing::NodeLogs::new(&config.blobs);
        let logs = NodeLogs::open(folder.join("logs"), store, config.log_limit);
        let logs = logs.map_err(|source| OpenError::Folder { folder: folder.join("logs"), source })?;
        let host = Host {
            logs,
            blobs: config.blobs.clone(),
            runtime: Arc::new(runtime.under(Arc::clone(&lease))),
            folder,
            secrets,
            outbound,
            config,
            lease,
            stubborn: Stubborn::default(),
        };
        let logs_of_shims = host.runtime.logs()?;
        host.logs.recover(logs_of_shims);
        let holdings = Holdings::new(host.config.heavy_slots, host.config.labels.clone());
        let inner = Arc::new(Inner {
            host,
            reports,
            state: Mutex::new(holdings),
            draining: AtomicBool::new(false),
            down: AtomicBool::new(false),
            changed: Notify::new(),
        });
        inner.host.runtime.revive().await?;
        tokio::spawn(keepers::look_after(Arc::downgrade(&inner)));
        turn::mind_the_lease(&inner).map_err(OpenError::Lease)?;
        Ok(Self(inner))
    }

    /// This start has that registration: what was given to another is not taken.
    pub fn registered(&self, registration: RegistrationId) {
        self.0.lock().registered(registration);
    }

    /// A beat that was sent at `sent_at` was good: the lease goes on from there. To be called before anything else
    /// that the answer says, because what waited too long is given up first.
    pub fn renew(&self, sent_at: BootTime) {
        // Failed: the answer to the beat was not heard.
        failpoint!(blocking "executor.renew", return);
        self.0.lapse();
        self.0.host.lease.renew(sent_at);
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move { inner.host.runtime.renew().await });
        self.0.start_ready();
    }

    /// Takes work. It starts when there is a slot for it. What is held or done with is not taken again, nor what was
    /// given to an earlier start; what this executor cannot do is given back.
    pub fn offer(&self, assignment: Assignment) {
        self.0.take(assignment);
        self.0.start_ready();
    }

    /// Whether its work may go on: a beat was good lately. Always, where nothing is bound by a lease.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.0.host.lease.holds()
    }

    /// Gives back work that was offered and cannot be done here, whatever it is.
    pub fn refuse(&self, run: RunId, node: u32, fence: Fence, reason: String) {
        self.0.lock().finish(fence);
        self.0.give_back(run, node, fence, reason);
    }

    /// Stops the work of that fence; its outcome is reported as ever.
    pub fn stop(&self, fence: Fence) {
        if let Some(waiting) = self.0.stop(fence) {
            // Nothing of it has begun: it is stopped.
            self.0.confirm(waiting, Outcome::Stopped);
        }
    }

    /// Ends work that nobody wants any more and that was not held when that was said: how it ended is told, if it did
    /// and nobody took that; else it is stopped, and is never started here.
    pub fn end(&self, assignment: Assignment) {
        let outcome = self.0.lock().end(assignment.fence);
        match outcome {
            Some(outcome) => self.0.confirm(assignment, outcome),
            None => self.stop(assignment.fence),
        }
    }

    /// The fences that wait, are worked on, or whose outcome nobody has taken yet; rising.
    #[must_use]
    pub fn held(&self) -> Vec<Fence> {
        self.0.lock().fences()
    }

    /// Processes that do not end although they were killed, by their attempts' fences.
    pub(crate) fn stubborn(&self) -> BTreeMap<Fence, u32> {
        self.0.host.stubborn.all()
    }

    /// Tells whoever asks how many of the slots, light and heavy, are in use; as long as there is this executor.
    pub fn tell_slots(&self, light: u32, heavy: u32) {
        let weak = Arc::downgrade(&self.0);
        metrics::EXECUTOR_SLOTS.observe(move |seen| {
            let (light_used, heavy_used) = weak.upgrade()?.lock().used();
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
        self.0.lock().works_on(run, node)
    }

    /// Ends what an earlier Shipway started for attempts that are not current; keepers live on. To be called once
    /// the scheduler has said which effect keys are current. Gives back how many commands were ended.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn sweep(&self, current: &BTreeSet<String>) -> Result<usize, RuntimeError> {
        self.0.host.runtime.sweep(|key| current.contains(key)).await
    }

    /// Removes what is left of commands that ended long ago for attempts that are not current. Gives back of how many.
    ///
    /// # Errors
    /// It could not be listed or removed.
    pub(crate) async fn expire(&self, current: BTreeSet<String>) -> Result<usize, RuntimeError> {
        self.0.host.runtime.expire(move |key| current.contains(key)).await
    }

    /// Starts nothing more, and gives back what has not been started if another executor could take it. Waits for
    /// light work until it is finished and reported, but no longer than `light`, and for the rest no longer than
    /// `heavy`. Gives back how much is left then: it goes on under its shims and keepers, as long as the lease is
    /// renewed, and the next start of this executor finds it.
    pub async fn drain(&self, light: Duration, heavy: Duration) -> usize {
        let inner = &self.0;
        failpoint!("executor.drain");
        inner.draining.store(true, Ordering::SeqCst);
        let how = if inner.host.lease.binds() { Draining::GiveBack } else { Draining::Leave };
        let waiting = inner.lock().drain(how);
        for given in waiting {
            let reason = "the executor is stopping, and it had not been started".to_owned();
            inner.confirm(given, Outcome::Refused { reason });
        }
        let begun = Instant::now();
        let left = loop {
            let changed = inner.changed.notified();
            let (short, long) = inner.lock().left();
            let passed = begun.elapsed();
            let wanted = [(short, light), (long, heavy)].into_iter().filter(|(count, _)| *count > 0);
            let Some(left) = wanted.filter_map(|(_, limit)| limit.checked_sub(passed)).max() else {
                break short + long;
            };
            // A limit that has come is seen in the next turn.
            let _ = tokio::time::timeout(left, changed).await;
        };
        // What is not stored by then is found by the next start, and only there.
        inner.host.logs.settle(light.saturating_sub(begun.elapsed())).await;
        left
    }

    /// Instances of this host reach these targets of other hosts at their public ports on 127.0.0.1, and no others.
    /// What is open stays so when it leads to another host from now on.
    ///
    /// # Errors
    /// They could not be opened.
    pub async fn set_ways(&self, ways: Vec<Way>) -> Result<(), RuntimeError> {
        self.0.host.runtime.set_ways(ways).await
    }

    /// How all targets of this host stand.
    ///
    /// # Errors
    /// The list could not be read.
    pub async fn statuses(&self) -> Result<Vec<TargetStatus>, RuntimeError> {
        self.0.host.runtime.statuses().await
    }

    /// Ends what this host keeps of a target that another host has by now; whether there was something.
    ///
    /// # Errors
    /// Its record could not be put away; it goes on.
    pub async fn evict(&self, target: ResourceId) -> Result<bool, RuntimeError> {
        self.0.host.runtime.evict(target).await
    }

    /// Where artifacts and backups are.
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.0.host.blobs
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
