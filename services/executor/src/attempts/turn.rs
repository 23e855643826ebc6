//! One piece of work after the other: takes, does, reports, goes on with the answer.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use futures::FutureExt;
use shipway_eventing::failpoint;
use shipway_events::{Fence, RunId, run::NodeError};
use shipway_nodes::Outcome;
use shipway_service_kit::metrics;
use tokio::{runtime::Handle, sync::oneshot};
use tracing::Instrument as _;

use super::Inner;
use crate::{
    assignment::{Assignment, ReportError},
    held::{Holdings, Ready, Signals, Verdict},
    work::{self, Attempt},
};

/// The pauses between tries to report an outcome. A run's next node waits for the report, so even the longest is short.
const REPORT_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_REPORT_PAUSE: Duration = Duration::from_secs(1);

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, Holdings> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the work or gives it back.
    pub(super) fn take(self: &Arc<Self>, assignment: Assignment) {
        // Failed: it was never heard of; the next beat tells that it is missing.
        failpoint!(blocking "executor.take", return);
        let (run, node, fence) = (assignment.run, assignment.node, assignment.fence);
        let untaken = self.lock().untaken(fence);
        if let Some(outcome) = untaken {
            return self.confirm(assignment, outcome);
        }
        let verdict = self.lock().take(assignment);
        if let Verdict::GiveBack(reason) = verdict {
            self.give_back(run, node, fence, reason);
        }
    }

    /// What can be started now.
    fn ready(&self) -> Vec<Ready> {
        if self.host.lease.holds() { self.lock().ready() } else { Vec::new() }
    }

    pub(super) fn start_ready(self: &Arc<Self>) {
        for (assignment, signals) in self.ready() {
            self.spawn(assignment, signals);
        }
    }

    pub(super) fn stop(&self, fence: Fence) -> Option<Assignment> {
        self.lock().stop(fence)
    }

    fn spawn(self: &Arc<Self>, assignment: Assignment, signals: Signals) {
        let inner = Arc::clone(self);
        tokio::spawn(async move { inner.work(assignment, signals).await });
    }

    /// Does the work and whatever the answers to its outcome bring; what comes beyond one goes to tasks of its own.
    async fn work(self: Arc<Self>, mut assignment: Assignment, mut signals: Signals) {
        loop {
            let span = span(&assignment);
            let attempt = async {
                failpoint!("executor.begin");
                let outcome = self.perform(&assignment, &signals).await;
                failpoint!("executor.performed");
                self.report(&assignment, outcome).await
            };
            let next = attempt.instrument(span).await;
            failpoint!("executor.reported");
            self.finish(assignment.fence);
            next.into_iter().for_each(|next| self.take(next));
            let mut ready = self.ready().into_iter();
            let Some(first) = ready.next() else { return };
            for (assignment, signals) in ready {
                self.spawn(assignment, signals);
            }
            (assignment, signals) = first;
        }
    }

    /// Work that was never started here has this end.
    pub(super) fn confirm(self: &Arc<Self>, given: Assignment, outcome: Outcome) {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let next = match outcome {
                Outcome::Refused { reason } => {
                    inner.report_refusal(given.run, given.node, given.fence, reason).await;
                    Vec::new()
                }
                other => inner.report(&given, other).await,
            };
            inner.finish(given.fence);
            next.into_iter().for_each(|next| inner.take(next));
            inner.start_ready();
        });
    }

    pub(super) fn give_back(self: &Arc<Self>, run: RunId, node: u32, fence: Fence, reason: String) {
        let inner = Arc::clone(self);
        tokio::spawn(async move { inner.report_refusal(run, node, fence, reason).await });
    }

    /// If the lease has ended since anyone looked: everything that is bound by it is over.
    pub(super) fn lapse(self: &Arc<Self>) {
        if !self.host.lease.ended() {
            return;
        }
        tracing::warn!(
            "no beat was good for too long: what runs here is ended, since others may be given it"
        );
        let waiting = self.lock().lapse();
        for given in waiting {
            let reason = "its executor lost touch with the scheduler before it was started".to_owned();
            self.confirm(given, Outcome::Refused { reason });
        }
    }

    fn finish(&self, fence: Fence) {
        self.lock().finish(fence);
        if self.draining.load(Ordering::Relaxed) {
            self.changed.notify_waiters();
        }
    }

    async fn perform(&self, given: &Assignment, signals: &Signals) -> Outcome {
        let begin = Instant::now();
        let outcome = self.effect(given, signals).await;
        let (kind, end) = (work::kind(&given.work), word(&outcome));
        // What went wrong is in the run's events: messages may be long, and are for its people.
        match outcome {
            Outcome::Succeeded { .. } => tracing::debug!(kind, outcome = end, "an attempt has ended"),
            _ => tracing::info!(kind, outcome = end, "an attempt has ended"),
        }
        metrics::ATTEMPTS.add(1, &[kind, end]);
        metrics::ATTEMPT_SECONDS.record(begin.elapsed().as_secs_f64(), &[kind]);
        outcome
    }

    async fn effect(&self, given: &Assignment, signals: &Signals) -> Outcome {
        let (sender, begun) = if given.detached {
            let (sender, begun) = oneshot::channel();
            (Some(sender), Some(begun))
        } else {
            (None, None)
        };
        let Signals { stop, over } = signals;
        let attempt = Attempt {
            host: &self.host,
            given,
            stop,
            over,
            started: Mutex::new(sender),
            log: OnceLock::new(),
        };
        let (run, node, fence) = (given.run, given.node, given.fence.raw());
        let effect = tracing::info_span!("effect", %run, node, fence, kind = work::kind(&given.work));
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
                    self.lock().was_refused(given.fence, outcome);
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

    /// Until it is known, or of no interest.
    async fn report_refusal(&self, run: RunId, node: u32, fence: Fence, reason: String) {
        tracing::info!(%run, node, %fence, reason, "work is given back");
        let mut pause = REPORT_PAUSE;
        loop {
            match self.reports.refuse(fence, run, node, reason.clone()).await {
                Ok(()) => return,
                Err(ReportError::Refused(reason)) => {
                    tracing::debug!(%run, node, %fence, reason, "nobody wanted to know");
                    return;
                }
                Err(ReportError::Unavailable(_)) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_REPORT_PAUSE);
        }
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

/// Starts the thread that ends what is bound by the lease when that has ended. A thread, because the alarm keeps the
/// time also over a sleep of the machine, which the runtime's own timers do not.
pub(super) fn mind_the_lease(executor: &Arc<Inner>) -> io::Result<()> {
    let Some(alarm) = executor.host.lease.alarm() else { return Ok(()) };
    let (executor, runtime) = (Arc::downgrade(executor), Handle::current());
    let mind = move || {
        while alarm.wait().is_ok()
            && let Some(inner) = executor.upgrade()
        {
            let _within = runtime.enter();
            inner.lapse();
        }
    };
    thread::Builder::new().name("lease".to_owned()).spawn(mind).map(|_| ())
}
