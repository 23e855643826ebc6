//! The stream `run-<id>`: everything that happened in a run. Written by the scheduler.

mod approval;
mod attempt;
mod child;
mod node;

use serde::{Deserialize, Serialize};
#[cfg(not(feature = "next-schema"))]
use serde_json::Value;

use crate::{Actor, ConcurrencyPolicy, FlowId, PipelineId, ProjectId, RunId, RunStatus, plan::Plan};

stream_events! {
    /// What happens in a run.
    pub enum Event, upcast upcast {
        /// The run exists and is pinned.
        Started = "run.started", 1;
        /// It goes on where another run of the same plan stopped: what that one's nodes came to is kept.
        Resumed = "run.resumed", 1;
        /// The run waits for its turn in its lane.
        Queued = "run.queued", 1;
        /// Its lane lets the run go on.
        Admitted = "run.admitted", 1;
        /// A freeze holds the run: nothing of it begins, or with a freeze that stops all, nothing more.
        Frozen = "run.frozen", 1;
        /// No freeze holds the run any more.
        Thawed = "run.thawed", 1;
        /// A person lets the run go on whatever freezes there are, but for one that stops all.
        FreezeOverridden = "run.freeze_overridden", 1;
        /// A hold keeps a node from releasing what it would release, or it is marked bad.
        Held = "run.held", 1;
        /// No hold keeps the node any more.
        LetGo = "run.let_go", 1;
        /// A person lets the run release what is held; what is marked bad it does not.
        HoldOverridden = "run.hold_overridden", 1;
        /// People call the run something else, or say something else about it.
        NotedWords = "run.noted_words", 1;
        /// A node's turn came and an executor was named. The event's position is the attempt's fence.
        #[cfg(not(feature = "next-schema"))]
        AttemptRequested = "run.attempt_requested", 1;
        /// As before; it says how many attempts the node may have.
        #[cfg(feature = "next-schema")]
        AttemptRequested = "run.attempt_requested", 2;
        /// Which Shipway has taken the run up.
        #[cfg(feature = "next-schema")]
        NotedWriter = "run.noted_writer", 1;
        /// A workflow with `skipNodeExecution` is not skipped: its steps have their turn.
        WorkflowEntered = "run.workflow_entered", 1;
        /// A loop's iterations are known: the plan goes on with their nodes, and they have their turn.
        LoopEntered = "run.loop_entered", 1;
        /// A node without `condition` was started by its executor: what follows it may go on.
        NodeStarted = "run.node_started", 1;
        /// A node ended well.
        NodeSucceeded = "run.node_succeeded", 1;
        /// An attempt ended badly.
        AttemptFailed = "run.attempt_failed", 1;
        /// A node ended badly for good.
        NodeFailed = "run.node_failed", 1;
        /// A node was not run.
        NodeSkipped = "run.node_skipped", 1;
        /// A failed attempt is tried again at a time.
        RetryScheduled = "run.retry_scheduled", 1;
        /// A node waits for something that the scheduler watches.
        WaitStarted = "run.wait_started", 1;
        /// A node waits for people to approve.
        ApprovalRequested = "run.approval_requested", 1;
        /// A person has approved.
        ApprovalGiven = "run.approval_given", 1;
        /// A person has rejected: the node fails.
        ApprovalRejected = "run.approval_rejected", 1;
        /// A node's turn came and it wants a run of another flow.
        ChildRequested = "run.child_requested", 1;
        /// A node's run of another flow is not wanted any more; the node goes on when that run has ended.
        ChildCancelled = "run.child_cancelled", 1;
        /// An attempt's executor is gone, refused it or confirmed that it stopped it; the node is asked for again.
        AttemptLost = "run.attempt_lost", 1;
        /// What a node's effect did cannot be known by machine.
        NodeUnknown = "run.node_unknown", 1;
        /// A node's time was up; its executor is told to stop it.
        NodeTimedOut = "run.node_timed_out", 1;
        /// A node was stopped because its run is aborting.
        NodeAborted = "run.node_aborted", 1;
        /// The outcome of a node that nothing waited for any more.
        NodeEndedLater = "run.node_ended_later", 1;
        /// An outcome that carried a fence which is not current; it changed nothing.
        OutcomeRejected = "run.outcome_rejected", 1;
        /// The run was asked to stop.
        Aborting = "run.aborting", 1;
        /// Nothing more will start in the run.
        Ended = "run.ended", 1;
    }
}

pub use self::{
    approval::{ApprovalGiven, ApprovalRejected, ApprovalRequested, ApprovalRule},
    attempt::{AttemptFailed, AttemptLost, AttemptRequested, OutcomeRejected, RetryScheduled},
    child::{ChildCancelled, ChildRequested},
    node::{
        LoopEntered, NodeAborted, NodeEndedLater, NodeError, NodeFailed, NodeSkipped, NodeStarted,
        NodeSucceeded, NodeTimedOut, NodeUnknown, WaitStarted, WorkflowEntered,
    },
};
#[cfg(feature = "next-schema")]
pub use crate::next::NotedWriter;
#[cfg(feature = "next-schema")]
use crate::next::upcast;
pub use crate::{
    effect::Effect,
    freeze::{FreezeOverridden, Frozen, Thawed},
    hold::{Held, HoldOverridden, LetGo},
    origin::{HeldLock, Origin, Parent},
    resumed::{Kept, Resumed},
    rollback::Rollback,
    words::NotedWords,
};

#[cfg(not(feature = "next-schema"))]
fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// See [`Event::Started`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// Its project.
    pub project: ProjectId,
    /// Its pipeline; none for the one-node flow of a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineId>,
    /// Its flow.
    pub flow: FlowId,
    /// The flow by the names people use: `shop/production`.
    pub path: String,
    /// The version of the flow that is pinned.
    pub flow_version: u32,
    /// What people call the run.
    pub name: String,
    /// What people said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How it came to be.
    pub origin: Origin,
    /// Who asked for it; none for runs of versions that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Actor>,
    /// The run that wanted it, if a node of another run did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// What its flow says of runs beside others. With any policy but `allow` nothing of it has its turn before
    /// [`Event::Admitted`].
    #[serde(default, skip_serializing_if = "is_allow")]
    pub policy: ConcurrencyPolicy,
    /// What it goes back to, if it is a rollback; a run of a stage's flow without this is a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// What it will do.
    pub plan: Plan,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_allow(policy: &ConcurrencyPolicy) -> bool {
    *policy == ConcurrencyPolicy::Allow
}

/// See [`Event::Queued`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The run that comes before it.
    pub behind: RunId,
    /// Runs that waited and whose place it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<RunId>,
    /// Runs that are aborted for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<RunId>,
}

/// See [`Event::Admitted`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {}

/// See [`Event::Aborting`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborting {
    /// Why, in words.
    pub reason: String,
    /// The run that takes its place, if one does: then nodes with `interruptible: false` that have begun are let finish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RunId>,
}

/// See [`Event::Ended`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Success, failure, skipped or aborted.
    pub status: RunStatus,
    /// Why, where it is not success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run that it gave way to, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RunId>,
}
