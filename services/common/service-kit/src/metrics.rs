//! Everything that is counted and measured: names, labels, units, meanings. Nothing is measured that is not here.
//!
//! The same names are served at `/metrics` and sent by OTLP. Whoever counts calls [`Metric::add`], whoever measures
//! [`Metric::record`]; what is looked at only when somebody asks is a gauge with [`Metric::observe`]:
//!
//! ```
//! use shipway_service_kit::metrics;
//! metrics::DELIVERIES.add(1, &["matched"]);
//! let queue = std::sync::Arc::new(std::sync::Mutex::new(vec![1, 2, 3]));
//! let weak = std::sync::Arc::downgrade(&queue);
//! metrics::QUEUE_READY.observe(move |seen| {
//!     seen.value(weak.upgrade()?.lock().ok()?.len() as f64, &[]);
//!     Some(())
//! });
//! ```
//!
//! Labels have few values: no ids of runs, nodes or deliveries, nothing that a caller can make up. Values that are known
//! beforehand are there from the start, at zero, so that a rate is right from the first time on.

mod export;

pub(crate) use export::start;
pub use export::{Seen, text};

/// One thing that is counted or measured.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as Prometheus has it.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Its labels, each with the values that are known beforehand.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// What it says, with its unit.
    pub about: &'static str,
}

/// What kind a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values fell below each of these bounds.
    Histogram(&'static [f64]),
}

/// Commits and calls: from a tenth of a millisecond to ten seconds.
const FAST: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Work on a machine: from milliseconds to an hour.
const SLOW: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

const fn counter(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, about }
}

const fn gauge(
    name: &'static str,
    labels: &'static [(&'static str, &'static [&'static str])],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, about }
}

const fn histogram(
    name: &'static str,
    bounds: &'static [f64],
    labels: &'static [(&'static str, &'static [&'static str])],
    about: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(bounds), labels, about }
}

const CAUSES: &[&str] = &[
    "slot",
    "work",
    "finish",
    "stop",
    "lock",
    "lane",
    "freeze",
    "hold",
    "time",
    "condition",
    "person",
    "approval",
    "run",
    "steps",
    "nothing",
];

const KINDS: &[&str] =
    &["noop", "build", "release", "job", "addon", "backup", "restore", "exec", "restart", "await", "message"];

// The process.

/// Which version runs.
pub static BUILD_INFO: Metric =
    gauge("shipway_build_info", &[("version", &[]), ("service", &[])], "Always 1; the version is a label.");
/// Whether it says that it is ready.
pub static READY: Metric = gauge("shipway_ready", &[], "1 while /readyz says ready, else 0.");
/// Calls from outside.
pub static REQUESTS: Metric = counter(
    "shipway_requests_total",
    &[("protocol", &[]), ("method", &[]), ("code", &[])],
    "Calls answered, by protocol (grpc, http), method (gRPC path or route) and code (gRPC or HTTP).",
);
/// How long calls took.
pub static REQUEST_SECONDS: Metric = histogram(
    "shipway_request_duration_seconds",
    FAST,
    &[("protocol", &[]), ("method", &[]), ("code", &[])],
    "Seconds from a call's arrival to the head of its answer.",
);

// The log and those who follow it.

/// The end of the log.
pub static LOG_POSITION: Metric =
    gauge("shipway_log_position", &[], "The position of the last event, as this process knows it.");
/// Events appended.
pub static LOG_EVENTS: Metric =
    counter("shipway_log_events_total", &[], "Events that this process appended.");
/// Commands appended.
pub static LOG_ITEMS: Metric =
    counter("shipway_log_commands_total", &[], "Commands whose events this process appended.");
/// How long commits took.
pub static LOG_COMMIT_SECONDS: Metric = histogram(
    "shipway_log_commit_duration_seconds",
    FAST,
    &[],
    "Seconds that a commit of events took, however many commands were in it.",
);
/// Commits that failed.
pub static LOG_FAILURES: Metric =
    counter("shipway_log_commit_failures_total", &[], "Commits that the database did not take.");
/// How far consumers are behind, in events.
pub static CONSUMER_LAG: Metric =
    gauge("shipway_consumer_lag_events", &[("consumer", &[])], "Events that a reaction has not handled yet.");
/// How far consumers are behind, in time.
pub static CONSUMER_LAG_SECONDS: Metric = gauge(
    "shipway_consumer_lag_seconds",
    &[("consumer", &[])],
    "Seconds since a reaction was last at the end of the log; 0 while it is.",
);
/// How far read models are behind, in events.
pub static VIEW_LAG: Metric =
    gauge("shipway_view_lag_events", &[("view", &[])], "Events that a read model does not have yet.");
/// How far read models are behind, in time.
pub static VIEW_LAG_SECONDS: Metric = gauge(
    "shipway_view_lag_seconds",
    &[("view", &[])],
    "Seconds since a read model was last at the end of the log; 0 while it is.",
);
/// What waits for a person.
pub static PARKED: Metric = gauge(
    "shipway_parked_events",
    &[],
    "Events that a reaction could not handle and never will: each needs a person.",
);
/// How far the relay is behind, in events.
pub static RELAY_LAG: Metric =
    gauge("shipway_relay_lag_events", &[], "Events that the relay has not put on the bus yet.");
/// How far the relay is behind, in time.
pub static RELAY_LAG_SECONDS: Metric = gauge(
    "shipway_relay_lag_seconds",
    &[],
    "Seconds since the relay was last at the end of the log; 0 while it is.",
);
/// Leases held.
pub static LEASES_HELD: Metric = gauge(
    "shipway_leases_held",
    &[("lease", &["relay", "shard", "executor"])],
    "Leases that this process holds, or watches over for executors.",
);
/// Leases lost.
pub static LEASES_LOST: Metric = counter(
    "shipway_leases_lost_total",
    &[("lease", &["relay", "shard", "executor"])],
    "Leases that ended without having been given up.",
);

// Runs.

/// Runs started.
pub static RUNS_STARTED: Metric = counter("shipway_runs_started_total", &[], "Runs that were started.");
/// Runs ended.
pub static RUNS_ENDED: Metric = counter(
    "shipway_runs_ended_total",
    &[("status", &["success", "failure", "aborted"])],
    "Runs that ended, by how.",
);
/// Runs that go on.
pub static RUNS_OPEN: Metric = gauge("shipway_runs_open", &[], "Runs that go on here.");
/// Nodes that wait for room.
pub static QUEUE_READY: Metric =
    gauge("shipway_queue_ready_nodes", &[], "Nodes whose turn has come and that wait for a slot.");
/// What has waited longest.
pub static QUEUE_OLDEST: Metric = gauge(
    "shipway_queue_oldest_seconds",
    &[("cause", CAUSES)],
    "Seconds that the node that has waited longest has waited, by what it waits for.",
);
/// Runs that nothing moves.
pub static WATCHDOG: Metric = gauge(
    "shipway_watchdog_stuck_runs",
    &[],
    "Runs that go on and that no lease, timer, queue place or person will move. Anything but 0 is a defect.",
);

// Deliveries.

/// Deliveries by what became of them.
pub static DELIVERIES: Metric = counter(
    "shipway_deliveries_total",
    &[("verdict", &["matched", "unmatched", "repeated", "refused", "spooled"])],
    "Webhook deliveries, by what became of them.",
);

// Executors.

/// Slots by use.
pub static EXECUTOR_SLOTS: Metric = gauge(
    "shipway_executor_slots",
    &[("size", &["light", "heavy"]), ("state", &["free", "used"])],
    "Slots of this executor: light ones for work without a process, heavy ones for work with one.",
);
/// Attempts by kind and outcome.
pub static ATTEMPTS: Metric = counter(
    "shipway_attempts_total",
    &[("kind", KINDS), ("outcome", &["succeeded", "failed", "stopped", "refused", "unknown"])],
    "Attempts that ended on this executor, by kind of work and by how.",
);
/// How long attempts took.
pub static ATTEMPT_SECONDS: Metric = histogram(
    "shipway_attempt_duration_seconds",
    SLOW,
    &[("kind", &[])],
    "Seconds that an attempt worked, without its waiting.",
);

/// All of them, in the order of this file.
pub static ALL: &[&Metric] = &[
    &BUILD_INFO,
    &READY,
    &REQUESTS,
    &REQUEST_SECONDS,
    &LOG_POSITION,
    &LOG_EVENTS,
    &LOG_ITEMS,
    &LOG_COMMIT_SECONDS,
    &LOG_FAILURES,
    &CONSUMER_LAG,
    &CONSUMER_LAG_SECONDS,
    &VIEW_LAG,
    &VIEW_LAG_SECONDS,
    &PARKED,
    &RELAY_LAG,
    &RELAY_LAG_SECONDS,
    &LEASES_HELD,
    &LEASES_LOST,
    &RUNS_STARTED,
    &RUNS_ENDED,
    &RUNS_OPEN,
    &QUEUE_READY,
    &QUEUE_OLDEST,
    &WATCHDOG,
    &DELIVERIES,
    &EXECUTOR_SLOTS,
    &ATTEMPTS,
    &ATTEMPT_SECONDS,
];
