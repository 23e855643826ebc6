//! What a node waits for without an executor and without people: other parts of the run, a run of another flow.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};
use shipway_events::{
    NodeStatus, RunId, RunStatus, Timestamp,
    run::{self, NodeError},
};
use shipway_nodes::Child;

use crate::{Rejection, RunState, decide::Decision, flow::Op, state::NodeState};

/// A run of another flow that a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildRun {
    /// The run.
    pub run: RunId,
    /// It has been told to stop.
    pub cancelled: bool,
}

/// How a run of another flow ended, or that it could not be started.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildEnd {
    /// Success, failure, skipped or aborted.
    pub status: RunStatus,
    /// Why, where it is not success.
    pub reason: String,
    /// What its nodes have put out, by their names.
    pub refs: Map<String, Value>,
}

/// What has become of something that a node of the run makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Made<'a> {
    /// It is being made.
    Going,
    /// It was made.
    Well,
    /// It was not.
    Badly(&'a str),
}

impl Decision<'_> {
    /// The node goes on waiting, or begins to.
    pub(crate) fn wait(&mut self, node: u32, watch: Value, timeout: Option<u32>) {
        if !self.state.watching.contains(&node) {
            let deadline = self.deadline(node, timeout);
            self.record(run::WaitStarted { node, watch, deadline });
        }
    }

    /// Asks those that wait for something in the run whether it has come; true if anything followed.
    pub(crate) fn ask_watching(&mut self) -> bool {
        let before = self.events.len();
        let watching: Vec<u32> = self.state.watching.iter().copied().collect();
        watching.into_iter().for_each(|node| self.ask(node));
        self.events.len() > before
    }

    pub(crate) fn ask_for_child(&mut self, node: u32, child: Child) {
        let Some(started) = self.state.started() else { return };
        let attempt = self.state.at(node).next_attempt;
        let id = RunId::of_child(started.run, node, attempt);
        let Child { flow, arguments, wait } = child;
        let deadline = if wait { self.deadline(node, None) } else { None };
        self.record(run::ChildRequested { node, attempt, child: id, flow, arguments, wait, deadline });
        if !wait {
            let outputs = Map::from_iter([("id".to_owned(), json!(id))]);
            self.record(run::NodeSucceeded { node, fence: None, outputs, effects: Vec::new() });
        }
    }

    pub(crate) fn child_ended(&mut self, node: u32, child: RunId, end: &ChildEnd) -> Result<(), Rejection> {
        let state = self.state.node(node).ok_or(Rejection::NoSuchNode(node))?;
        if state.child.is_none_or(|waited| waited.run != child) {
            return Ok(());
        }
        let stopping = state.status == NodeStatus::Aborting;
        if state.timed_out {
            self.fail_timed_out(node, None);
        } else if end.status == RunStatus::Success {
            let outputs = Map::from_iter([
                ("id".to_owned(), json!(child)),
                ("status".to_owned(), json!(end.status)),
                ("refs".to_owned(), Value::Object(end.refs.clone())),
            ]);
            self.record(run::NodeSucceeded { node, fence: None, outputs, effects: Vec::new() });
        } else if stopping {
            self.record(run::NodeAborted { node, fence: None });
        } else {
            let because = if end.reason.is_empty() { String::new() } else { format!(": {}", end.reason) };
            let message = format!("its run {child} ended as {}{because}", end.status);
            let error = NodeError { code: "child_failed".to_owned(), message, transient: false };
            self.fail_or_retry(node, None, &error);
        }
        Ok(())
    }

    /// Runs of other flows whose nodes are being stopped are told to stop, once.
    pub(crate) fn cancel_children(&mut self) {
        let stopping: Vec<(u32, RunId)> = self.state.stopping_children().collect();
        for (node, child) in stopping {
            self.record(run::ChildCancelled { node, child });
        }
    }

    /// When a node's time is up that begins now, unless that is settled already.
    pub(crate) fn deadline(&self, node: u32, own: Option<u32>) -> Option<Timestamp> {
        let limit = own.or_else(|| self.state.plan_node(node)?.timeout_seconds);
        let from_now = limit.map(|limit| self.now.plus(std::time::Duration::from_secs(limit.into())));
        self.state.at(node).deadline.or(from_now)
    }
}

impl RunState {
    /// Nodes that wait for a run of another flow, and that run.
    pub fn children(&self) -> impl Iterator<Item = (u32, ChildRun)> + '_ {
        self.children.iter().filter_map(|node| Some((*node, self.node(*node)?.child?)))
    }

    /// Runs of other flows that are to be told to stop.
    fn stopping_children(&self) -> impl Iterator<Item = (u32, RunId)> + '_ {
        let stopping = |node: &u32| self.node(*node).is_some_and(|it| it.status == NodeStatus::Aborting);
        let told = self.children().filter(move |(node, child)| stopping(node) && !child.cancelled);
        told.map(|(node, child)| (node, child.run))
    }

    /// What has become of the thing of that id that a node of that kind makes; none if no node of this run does.
    #[must_use]
    pub fn made(&self, kind: &str, id: &str) -> Option<Made<'_>> {
        let plan = self.plan()?;
        let makes = |(n, node): &(usize, &NodeState)| {
            let outputs = node.outputs.as_deref().and_then(|outputs| outputs.get("id"));
            plan.nodes[*n].kind == kind && outputs.and_then(Value::as_str) == Some(id)
        };
        let (_, node) = self.nodes.iter().enumerate().find(makes)?;
        Some(match (&node.later, node.trailing) {
            (_, true) => Made::Going,
            (Some(later), _) => {
                later.error.as_ref().map_or(Made::Well, |error| Made::Badly(error.message.as_str()))
            }
            (None, false) => Made::Well,
        })
    }

    pub(crate) fn begin_wait(&mut self, event: &run::WaitStarted, at: Timestamp) {
        let n = event.node;
        self.agenda.remove(n);
        self.watching.insert(n);
        self.set_deadline(n, event.deadline);
        let node = self.at_mut(n);
        node.started_at.get_or_insert(at);
        node.watch = event.watch.as_str().map(Into::into);
        self.set_status(n, NodeStatus::Waiting, at);
    }

    pub(crate) fn begin_child(&mut self, event: &run::ChildRequested, at: Timestamp) {
        let n = event.node;
        self.agenda.remove(n);
        self.clear_due(n);
        self.set_deadline(n, event.deadline);
        let node = self.at_mut(n);
        node.attempts = event.attempt;
        node.next_attempt = event.attempt;
        node.started_at.get_or_insert(at);
        node.child = event.wait.then_some(ChildRun { run: event.child, cancelled: false });
        if event.wait {
            self.children.insert(n);
        }
        self.set_status(n, NodeStatus::Running, at);
    }

    /// A node does not wait for any of this any more.
    pub(crate) fn wait_is_over(&mut self, n: u32) {
        self.asking.remove(&n);
        self.watching.remove(&n);
        if self.children.remove(&n) {
            self.at_mut(n).child = None;
        }
    }

    /// A run of another flow is not wanted any more: the node ends when it has. False if it waits for none.
    pub(crate) fn stop_child(&mut self, n: u32, at: Timestamp) -> bool {
        let waits = self.children.contains(&n);
        if waits {
            self.clear_timers(n);
            self.set_status(n, NodeStatus::Aborting, at);
        }
        waits
    }
}

/// What follows a node that was given up while it waited: nothing else is open in it.
pub(crate) fn closes(state: &mut RunState, n: u32, at: Timestamp, ops: &mut VecDeque<Op>) {
    if !state.stop_child(n, at) {
        state.end(n, NodeStatus::Aborted, at, ops);
    }
}
