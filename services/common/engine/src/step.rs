//! What the engine asks about a node's specification, which it does not read itself.

use serde_json::{Map, Value};
use shipway_events::run::{ApprovalRule, NodeError, Started};
use shipway_nodes::{Child, workload::Workload};

use crate::{Candidate, RunState};

/// The meaning of the nodes' specifications: the documents' expressions and the kinds of nodes.
///
/// Answers depend on the arguments alone: the same state gives the same answer.
pub trait Language {
    /// Resolves a node's specification against arguments, triggers and the outputs so far, and says what it
    /// asks for. Never called for workflows.
    ///
    /// # Errors
    /// What is wrong with the specification, in words for people; the node fails with it.
    fn step(&self, state: &RunState, node: u32) -> Result<Step, NodeError>;

    /// Whether `value`, the `skipNodeExecution` of a node, is true.
    ///
    /// # Errors
    /// What is wrong with the expression, in words for people; the node fails with it.
    fn truthy(&self, state: &RunState, node: u32, value: &Value) -> Result<bool, NodeError>;

    /// What the iterations of a loop are about, in order.
    ///
    /// # Errors
    /// What is wrong with its `iterations`, in words for people; the loop fails with it.
    fn iterations(&self, state: &RunState, node: u32) -> Result<Vec<Value>, NodeError>;

    /// What a run that starts like this would release, as far as that can be known then; asked only where something is held.
    fn candidates(&self, _started: &Started) -> Vec<Candidate> {
        Vec::new()
    }
}

/// What a node asks for when its turn has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An executor's work.
    Work {
        /// What is to be done.
        work: Workload,
        /// Nothing waits for the end: the node succeeds as soon as its work has started.
        detached: bool,
    },
    /// Nothing: it is done.
    Done {
        /// What later nodes can refer to.
        outputs: Map<String, Value>,
    },
    /// That people approve.
    Approve {
        /// How many of whom.
        rule: ApprovalRule,
        /// Seconds until it is given up, if it has a limit of its own.
        timeout_seconds: Option<u32>,
    },
    /// Something in the run that has not come yet: it is asked again whenever anything has happened.
    Wait {
        /// What, in words.
        watch: Value,
        /// Seconds until it is given up.
        timeout_seconds: Option<u32>,
    },
    /// A run of another flow.
    Child(Child),
}
