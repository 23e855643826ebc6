//! Where a run comes from: what asked for it, and the node of another run that it is for.

use serde::{Deserialize, Serialize};

use crate::{FlowId, ProjectId, RunId};

/// The node that a run was started for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The node's run.
    pub run: RunId,
    /// The node's index in the plan.
    pub node: u32,
    /// The flows of that run and of those above it, the topmost first: none of them may be run again below it.
    pub flows: Vec<FlowId>,
    /// Locks that come free no sooner than this run has ended: it may need none of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldLock>,
}

/// A lock that is held by a node which waits for this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// The lock's name, in its project.
    pub name: String,
    /// That project.
    pub project: ProjectId,
    /// The run of the node.
    pub run: RunId,
    /// That run's flow: `shop/staging`.
    pub flow: String,
    /// The node.
    pub node: String,
}

/// How a run came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// By hand: command line, console or API.
    Manual,
    /// A push.
    Git,
    /// The flow's webhook.
    Webhook,
    /// The flow's schedule.
    Schedule,
    /// A change of a resource that has to be carried out: an addon that must start.
    Resource,
    /// A node of another run.
    Run,
    /// A measurement: a synthetic flow without a pipeline.
    Bench,
}
