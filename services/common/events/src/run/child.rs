//! Runs of other flows that nodes of a run want.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::is_false;
use crate::{RunId, Timestamp};

/// See [`Event::ChildRequested`](super::Event::ChildRequested).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildRequested {
    /// The node's index in the plan.
    pub node: u32,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The run that is to be: its id follows from this run, node and attempt.
    pub child: RunId,
    /// The flow, as the document names it.
    pub flow: String,
    /// What it is given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    /// What follows the node waits for the run's end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wait: bool,
    /// When the node's time is up, if it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// See [`Event::ChildCancelled`](super::Event::ChildCancelled).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCancelled {
    /// The node's index in the plan.
    pub node: u32,
    /// The run that is to stop.
    pub child: RunId,
}
