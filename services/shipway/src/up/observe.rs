//! What a process says of its log and of those who follow it: metrics, and whether it is ready.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shipway_eventing::{
    Durable, Feed, Log,
    feed::{Form, Standing},
    log::Observer,
};
use shipway_service_kit::{Health, Lifecycle, metrics};

use super::progress::place;

/// How often parked events are counted.
const COUNT_PARKED: Duration = Duration::from_secs(15);

/// Measures the appender, the log's end and how far each consumer is behind.
pub(crate) fn measure(log: &Arc<dyn Log>, feed: &Feed) {
    log.observe(Arc::new(Commits));
    let weak = Arc::downgrade(log);
    metrics::LOG_POSITION.observe(move |seen| {
        seen.value(*weak.upgrade()?.tail().borrow() as f64, &[]);
        Some(())
    });
    let events = |standing: &Standing| standing.behind as f64;
    let seconds = |standing: &Standing| standing.behind_for.as_secs_f64();
    lag(&metrics::CONSUMER_LAG, log, feed, Form::Reaction, events);
    lag(&metrics::CONSUMER_LAG_SECONDS, log, feed, Form::Reaction, seconds);
    lag(&metrics::VIEW_LAG, log, feed, Form::Projection, events);
    lag(&metrics::VIEW_LAG_SECONDS, log, feed, Form::Projection, seconds);
}

/// Counts the events that wait for a person.
pub(crate) fn count_parked(durable: Durable, lifecycle: &Lifecycle) {
    let count = Arc::new(AtomicU64::new(0));
    let weak = Arc::downgrade(&count);
    metrics::PARKED.observe(move |seen| {
        seen.value(weak.upgrade()?.load(Ordering::Relaxed) as f64, &[]);
        Some(())
    });
    let stopping = lifecycle.stopping();
    lifecycle.spawn("parked events", async move {
        loop {
            match durable.parked().await {
                Ok(parked) => count.store(parked.len() as u64, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "parked events could not be counted"),
            }
            tokio::select! {
                () = tokio::time::sleep(COUNT_PARKED) => {}
                () = stopping.cancelled() => return Ok::<(), std::convert::Infallible>(()),
            }
        }
    });
}

/// Ready is who reaches the log and whose consumers are at most `lag` events behind it.
pub(crate) fn judge(health: &Health, log: Arc<dyn Log>, feed: Feed, lag: u64) {
    health.check("log", move || {
        let log = log.clone();
        async move { log.head().await.map(|_| ()).map_err(|error| error.to_string()) }
    });
    health.check("consumers", move || {
        let standing = feed.standing().into_iter();
        let last = standing.filter(|standing| standing.behind > lag).max_by_key(|standing| standing.behind);
        async move {
            last.map_or(Ok(()), |last| {
                let (Standing { name, behind, .. }, place) = (&last, place(&last));
                Err(format!("`{name}` is {behind} events behind, more than {lag}: it is at {place}"))
            })
        }
    });
}

fn lag(
    metric: &'static metrics::Metric,
    log: &Arc<dyn Log>,
    feed: &Feed,
    form: Form,
    value: impl Fn(&Standing) -> f64 + Send + Sync + 'static,
) {
    let (weak, consumers) = (Arc::downgrade(log), feed.consumers());
    metric.observe(move |seen| {
        let standing = consumers.standing(&*weak.upgrade()?);
        for standing in standing.iter().filter(|standing| standing.form == form) {
            seen.value(value(standing), &[standing.name]);
        }
        Some(())
    });
}

/// Counts what the appender does.
struct Commits;

impl Observer for Commits {
    fn committed(&self, commands: u64, events: u64, took: Duration) {
        metrics::LOG_ITEMS.add(commands, &[]);
        metrics::LOG_EVENTS.add(events, &[]);
        metrics::LOG_COMMIT_SECONDS.record(took.as_secs_f64(), &[]);
    }

    fn failed(&self) {
        metrics::LOG_FAILURES.add(1, &[]);
    }
}
