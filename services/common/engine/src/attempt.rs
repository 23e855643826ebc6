//! Attempts: what was given to an executor.

use serde_json::Value;
use shipway_events::{EffectClass, ExecutorId, Fence, RegistrationId, Timestamp, run::AttemptRequested};

/// An attempt that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its fence; none while the event that gives it is not committed.
    pub fence: Option<Fence>,
    /// 1 for the first attempt; a request after a lost attempt keeps the number.
    pub number: u32,
    /// The executor that does it.
    pub executor: ExecutorId,
    /// The start of the executor that does it.
    pub registration: RegistrationId,
    /// How the effect stays single.
    pub effect: EffectClass,
    /// What is to be done, as the event has it.
    pub work: Value,
    /// Nothing waits for its end.
    pub detached: bool,
    /// It takes a slot for work with a process.
    pub heavy: bool,
    /// It has been told to stop, or is to be told.
    pub stopping: bool,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When the node's time is up.
    pub deadline: Option<Timestamp>,
}

impl Attempt {
    pub(crate) fn new(event: &AttemptRequested, fence: Option<Fence>, at: Timestamp) -> Self {
        Self {
            fence,
            number: event.attempt,
            executor: event.executor,
            registration: event.registration,
            effect: event.effect,
            heavy: takes_a_process(&event.work),
            work: event.work.clone(),
            detached: event.detached,
            stopping: false,
            requested_at: at,
            deadline: event.deadline,
        }
    }
}

/// An attempt whose request is committed and that has not ended.
#[derive(Clone, Copy, Debug)]
pub struct OpenAttempt<'a> {
    /// The node's index in the plan.
    pub node: u32,
    /// Its fence.
    pub fence: Fence,
    /// The attempt.
    pub attempt: &'a Attempt,
}

/// How a past attempt of a node was taken, so that what comes again gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its success was taken.
    Succeeded,
    /// Its failure was taken.
    Failed,
    /// It was stopped, or ended as asked; whatever it says is old news.
    Stopped,
    /// It was given up: nothing it says counts.
    Lost,
}

/// [`shipway_nodes::workload::Workload::is_heavy`] of recorded work, without reading all of it.
#[must_use]
pub fn takes_a_process(work: &Value) -> bool {
    matches!(work.get("work").and_then(Value::as_str), Some("build" | "job" | "backup" | "restore"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_nodes::workload::{Noop, Workload};

    use super::*;

    #[test]
    fn recorded_work_takes_the_slot_that_the_workload_asks_for() {
        let id = "00000000-0000-0000-0000-000000000001";
        let target = json!({ "project": id, "id": id, "slug": "db" });
        let addon = json!({ "addon": target, "engine": "postgresql", "version": "16", "port": 1,
            "credentials": {}, "timeout_seconds": 1, "timeoutSeconds": 1 });
        let artifact =
            json!({ "digest": "d", "build": "b", "service": "s", "commit": "c", "branch": "main" });
        let samples = [
            serde_json::to_value(Workload::Noop(Noop::default())).unwrap(),
            json!({ "work": "build", "service": target, "build": "b", "repository": "r", "branch": "main" }),
            json!({ "work": "job", "job": target, "jobRun": "j", "artifact": artifact,
                "command": { "process": "migrate" } }),
            json!({ "work": "backup", "addon": addon, "backup": "b", "backupType": "dump",
                "compression": "zstd" }),
            json!({ "work": "restore", "addon": addon, "backup": "b",
                "pin": { "addon": "db", "digest": "d" } }),
            json!({ "work": "restart", "target": target, "wait": true, "timeoutSeconds": 1 }),
            json!({ "work": "release", "target": target, "artifact": artifact, "timeoutSeconds": 1 }),
        ];
        for sample in samples {
            let work: Workload = serde_json::from_value(sample.clone()).unwrap();
            assert_eq!(takes_a_process(&serde_json::to_value(&work).unwrap()), work.is_heavy(), "{sample}");
        }
    }
}
