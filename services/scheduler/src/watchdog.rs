//! Looks at all open runs now and then: how many nodes wait for room, what has waited longest and for what, and
//! whether there is a run that nothing will move, which must not be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shipway_contracts::Error;
use shipway_engine::{Blocked, why};
use shipway_events::RunId;
use shipway_service_kit::metrics;

use crate::service::Shared;

/// How often. A look folds nothing, but it asks every open run.
const EVERY: Duration = Duration::from_secs(10);

/// What was found at the last look.
#[derive(Debug, Default)]
struct Found {
    open: usize,
    ready: usize,
    stuck: usize,
    /// Seconds, by cause.
    oldest: BTreeMap<&'static str, f64>,
}

/// Looks until the scheduler stops.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let found = Arc::new(Mutex::new(Found::default()));
    tell(&found);
    let mut suspects = BTreeSet::new();
    loop {
        *lock(&found) = look(&shared, &mut suspects).await;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shared.stopping.cancelled() => return,
        }
    }
}

/// `suspects` are the runs of which the last look could not say who will move them. What is on its way is there at the next.
async fn look(shared: &Shared, suspects: &mut BTreeSet<RunId>) -> Found {
    let mut found = Found::default();
    let earlier = std::mem::take(suspects);
    match forgotten(shared).await {
        Ok(runs) => *suspects = runs,
        Err(error) => tracing::warn!(%error, "whether a run is forgotten could not be looked at"),
    }
    let now = shared.log.now();
    for run in shared.book.open_runs() {
        let Ok(state) = shared.book.look(run).await else { continue };
        if state.is_over() {
            continue;
        }
        if shared.book.has_gone(&state) {
            suspects.insert(run);
        }
        found.open += 1;
        found.ready += state.ready().count();
        for blocker in why(&state, now) {
            let age = now.since(blocker.since).as_secs_f64();
            let oldest = found.oldest.entry(cause(&blocker.blocked)).or_default();
            *oldest = oldest.max(age);
        }
        if let Err(broken) = shipway_engine::invariants::check(&state) {
            tracing::error!(%run, %broken, "a run is not as it must be");
            found.stuck += 1;
        }
    }
    for run in suspects.intersection(&earlier) {
        // Read tables may be behind.
        let state = shared.book.look(*run).await;
        if state.as_ref().is_ok_and(|state| state.is_over()) {
            continue;
        }
        let why = state.err().map(|error| error.to_string());
        tracing::error!(%run, why, "nothing moves an open run: nobody has it, or its executor is gone");
        found.stuck += 1;
    }
    found
}

/// Runs that are not over, are this scheduler's, and are not open here.
async fn forgotten(shared: &Shared) -> Result<BTreeSet<RunId>, Error> {
    let mut runs: BTreeSet<RunId> = shared
        .open_runs()
        .await?
        .into_iter()
        .filter_map(|(run, shard)| shared.cluster.is_here(shard).then_some(run))
        .collect();
    for run in shared.book.open_runs() {
        runs.remove(&run);
    }
    Ok(runs)
}

fn tell(found: &Arc<Mutex<Found>>) {
    let gauge = |metric: &'static metrics::Metric, value: fn(&Found) -> usize| {
        let weak = Arc::downgrade(found);
        metric.observe(move |seen| {
            seen.value(value(&lock(&*weak.upgrade()?)) as f64, &[]);
            Some(())
        });
    };
    gauge(&metrics::RUNS_OPEN, |found| found.open);
    gauge(&metrics::QUEUE_READY, |found| found.ready);
    gauge(&metrics::WATCHDOG, |found| found.stuck);
    let weak = Arc::downgrade(found);
    metrics::QUEUE_OLDEST.observe(move |seen| {
        let found = weak.upgrade()?;
        for (cause, seconds) in &lock(&found).oldest {
            seen.value(*seconds, &[cause]);
        }
        Some(())
    });
}

const fn cause(blocked: &Blocked) -> &'static str {
    match blocked {
        Blocked::Slot { .. } => "slot",
        Blocked::Work { .. } => "work",
        Blocked::Finish { .. } => "finish",
        Blocked::Stop { .. } => "stop",
        Blocked::Time { .. } => "time",
        Blocked::Condition => "condition",
        Blocked::Person => "person",
        Blocked::Approval { .. } => "approval",
        Blocked::Run { .. } => "run",
        Blocked::Lock { .. } => "lock",
        Blocked::Lane { .. } => "lane",
        Blocked::Freeze { .. } => "freeze",
        Blocked::Hold { .. } => "hold",
        Blocked::Steps { .. } => "steps",
        Blocked::Nothing => "nothing",
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    // It is put there whole.
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
