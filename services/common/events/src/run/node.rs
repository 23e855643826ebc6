//! How a run's nodes begin, wait and end.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Fence, Timestamp, effect::Effect};

/// See [`Event::WorkflowEntered`](super::Event::WorkflowEntered).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowEntered {
    /// The workflow's index in the plan.
    pub node: u32,
}

/// See [`Event::LoopEntered`](super::Event::LoopEntered).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoopEntered {
    /// The loop's index in the plan.
    pub node: u32,
    /// What each iteration is about, in order. Each adds a workflow and the loop's steps to the end of the plan.
    pub iterations: Vec<Value>,
}

/// See [`Event::NodeStarted`](super::Event::NodeStarted).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStarted {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence.
    pub fence: Fence,
    /// What is known when it starts: ids, so that later nodes can refer to it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub outputs: Map<String, Value>,
}

/// See [`Event::NodeSucceeded`](super::Event::NodeSucceeded).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSucceeded {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence; none for nodes that the engine carries out itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// What later nodes can refer to.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub outputs: Map<String, Value>,
    /// What changed in the world.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// What went wrong with a node, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeError {
    /// A short stable word: `build_failed`, `unhealthy`, `missing_binary`, `disk_full`, `timeout`, `aborted`.
    pub code: String,
    /// What was attempted, what happened, what to do; a process' last log lines are part of it.
    pub message: String,
    /// Whether another attempt may well go better.
    #[serde(default)]
    pub transient: bool,
}

/// See [`Event::NodeFailed`](super::Event::NodeFailed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence, if there was an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Why.
    pub error: NodeError,
}

/// See [`Event::NodeSkipped`](super::Event::NodeSkipped).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSkipped {
    /// The node's index in the plan.
    pub node: u32,
    /// Why, in words.
    pub reason: String,
}

/// See [`Event::WaitStarted`](super::Event::WaitStarted).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitStarted {
    /// The node's index in the plan.
    pub node: u32,
    /// What is waited for.
    pub watch: Value,
    /// When the wait is given up, if it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// See [`Event::NodeUnknown`](super::Event::NodeUnknown).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUnknown {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence.
    pub fence: Fence,
    /// What is and is not known.
    pub reason: String,
}

/// See [`Event::NodeTimedOut`](super::Event::NodeTimedOut).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTimedOut {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence, if one was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// See [`Event::NodeAborted`](super::Event::NodeAborted).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAborted {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence, if one was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// See [`Event::NodeEndedLater`](super::Event::NodeEndedLater).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEndedLater {
    /// The node's index in the plan.
    pub node: u32,
    /// The attempt's fence.
    pub fence: Fence,
    /// What changed in the world.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// Why it ended badly; none if it ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<NodeError>,
}
