//! The stream `schedule-<flow>`: when a flow was due by its schedule, and what came of that. Written by the triggers
//! service.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{FlowId, ProjectId, RunId, Timestamp, delivery::derived};

stream_events! {
    /// What happens to a flow's schedule.
    pub enum Event, upcast upcast {
        /// From now on the flow is due by this schedule.
        Set = "schedule.set", 1;
        /// The flow was due: one run starts.
        Ticked = "schedule.ticked", 1;
        /// The flow was due and nothing starts.
        Skipped = "schedule.skipped", 1;
        /// From now on the flow is never due.
        Stopped = "schedule.stopped", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::Set`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Set {
    /// The flow's project.
    pub project: ProjectId,
    /// The flow.
    pub flow: FlowId,
    /// The trigger's ref.
    pub trigger: String,
    /// The five fields.
    pub cron: String,
    /// The time zone's name in the IANA database.
    pub timezone: String,
    /// What becomes of ticks that nobody was there for: `skip`, `one` or `all`.
    pub missed: String,
    /// Ticks after this instant count.
    pub from: Timestamp,
}

/// See [`Event::Ticked`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticked {
    /// The flow.
    pub flow: FlowId,
    /// The flow by the names people use: `shop/development`.
    pub path: String,
    /// The trigger's ref.
    pub trigger: String,
    /// When it was due: the nominal time, not when it was seen.
    pub scheduled_at: Timestamp,
    /// What it was, in words.
    pub summary: String,
}

impl Ticked {
    /// The run that follows.
    #[must_use]
    pub fn run(&self) -> RunId {
        run_id(self.flow, &self.trigger, self.scheduled_at)
    }

    /// What people call the run: the trigger and the end of the run's id.
    #[must_use]
    pub fn run_name(&self) -> String {
        let run = self.run().uuid().simple().to_string();
        format!("{}-{}", self.trigger, &run[run.len() - 6..])
    }
}

/// See [`Event::Skipped`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The trigger's ref.
    pub trigger: String,
    /// How many ticks.
    pub count: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// See [`Event::Stopped`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// Why, in words.
    pub reason: String,
}

/// The run that a tick starts: always the same, so that whoever sees the tick starts the same one.
///
/// A version 8 UUID. Its first 48 bits are the nominal time in milliseconds (so that ids go on growing), the rest is from
/// SHA-256 over `shipway/tick`, a zero byte, 16 bytes that begin with the nominal time, the flow's 16 bytes and the
/// trigger's ref.
#[must_use]
pub fn run_id(flow: FlowId, trigger: &str, scheduled_at: Timestamp) -> RunId {
    let millis = u64::try_from(scheduled_at.millis()).unwrap_or(0);
    let from = Uuid::from_u128(u128::from(millis) << 80);
    RunId::new(derived("shipway/tick", from, &[flow.uuid().as_bytes(), trigger.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_has_one_run() {
        let flow = FlowId::new(Uuid::from_u128(7));
        let at: Timestamp = "2026-03-29T01:00:00Z".parse().unwrap();
        let run = run_id(flow, "nightly", at);
        assert_eq!(run, run_id(flow, "nightly", at));
        assert_eq!(run.uuid().get_version_num(), 8);
        let bytes = run.uuid().as_bytes()[..6].iter().fold(0, |all, byte| (all << 8) | i64::from(*byte));
        assert_eq!(bytes, at.millis(), "ids of runs grow with time");
        assert_ne!(run, run_id(flow, "hourly", at));
        assert_ne!(run, run_id(FlowId::new(Uuid::from_u128(8)), "nightly", at));
        assert_ne!(run, run_id(flow, "nightly", Timestamp::from_micros(at.micros() + 600_000_000)));
    }
}
