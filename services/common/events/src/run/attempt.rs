//! The attempts of a run's nodes: asked of executors, failed, lost and tried again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{NodeError, is_false};
use crate::{EffectClass, ExecutorId, Fence, RegistrationId, Timestamp};

/// See [`Event::AttemptRequested`](super::Event::AttemptRequested).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRequested {
    /// The node's index in the plan.
    pub node: u32,
    /// 1 for the first attempt; requests after a lost attempt keep the number.
    pub attempt: u32,
    /// How many attempts the node may have, as far as is known when it is asked for.
    #[cfg(feature = "next-schema")]
    pub of: u32,
    /// The executor that is to do it.
    pub executor: ExecutorId,
    /// The start of the executor that is to do it.
    pub registration: RegistrationId,
    /// How the effect stays single.
    pub effect: EffectClass,
    /// The workload (the type is `shipway_nodes::Workload`), secrets by name only.
    pub work: Value,
    /// When the node's time is up, if it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Nothing waits for the node's end: its executor says when it has started, then how it ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub detached: bool,
}

/// See [`Event::AttemptFailed`](super::Event::AttemptFailed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence; none if the node failed before it was given to an executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Why.
    pub error: NodeError,
}

/// See [`Event::RetryScheduled`](super::Event::RetryScheduled).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryScheduled {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt that will be made.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
}

/// See [`Event::AttemptLost`](super::Event::AttemptLost).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptLost {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence.
    pub fence: Fence,
    /// Why, in words.
    pub reason: String,
    /// It is certain that nothing of the attempt was started.
    #[serde(default, skip_serializing_if = "is_false")]
    pub never_started: bool,
}

/// See [`Event::OutcomeRejected`](super::Event::OutcomeRejected).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRejected {
    /// The node's index in the plan.
    pub node: u32,
    /// The fence that came.
    pub fence: Fence,
    /// Why it was not taken.
    pub reason: String,
}
