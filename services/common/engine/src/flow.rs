//! What follows from what happened, without anybody deciding: whose turn has come, which workflows have ended,
//! what an abort or a failure ends. None of it is recorded; the same events give the same again.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use shipway_events::{NodeStatus, Timestamp, plan::When, run::NodeError};

use crate::{
    RunState,
    shape::{Order, is_loop},
    state::{Cancel, Later, NodeState, Timer},
    waits::closes,
};

/// A consequence that is still to be drawn. A list instead of recursion: a plan may be 10,000 steps long.
pub(crate) enum Op {
    /// All that comes before the node has ended.
    Arrive(u32),
    /// Nothing has to wait for the node any more.
    Closed(u32),
}

impl RunState {
    pub(crate) fn propagate(&mut self, mut ops: VecDeque<Op>, at: Timestamp) {
        while let Some(op) = ops.pop_front() {
            match op {
                Op::Arrive(n) => self.arrive(n, at, &mut ops),
                Op::Closed(n) => self.closed(n, at, &mut ops),
            }
        }
    }

    fn arrive(&mut self, n: u32, at: Timestamp, ops: &mut VecDeque<Op>) {
        if self.keep(n, at, ops) {
            return;
        }
        let Some(plan) = self.plan_node(n) else { return };
        let (when, asks) = (plan.when, plan.skip.is_some() || is_loop(plan) || !plan.locks.is_empty());
        let is_leaf = self.is_leaf(n);
        let not_run = match (when, self.cancelled(n), self.at(n).tainted) {
            (When::Always, ..) => None,
            (_, Some(Cancel::Abort), _) => Some("the run was aborted before its turn"),
            (_, Some(Cancel::FailFast), _) => Some("a step beside its workflow failed"),
            (When::Success, None, true) => Some("a step before it failed"),
            (When::Failure, None, false) => Some("no step before it failed"),
            (When::Success, None, false) | (When::Failure, None, true) => None,
        };
        match not_run {
            Some(reason) => self.skip(n, Cow::Borrowed(reason), at, ops),
            None if is_leaf || asks => {
                self.set_status(n, NodeStatus::Ready, at);
                self.agenda.fresh.insert(n);
            }
            None => self.enter(n, at, ops),
        }
    }

    /// A workflow's steps have their turn.
    pub(crate) fn enter(&mut self, n: u32, at: Timestamp, ops: &mut VecDeque<Op>) {
        let shape = Arc::clone(&self.shape);
        let Some(workflow) = &shape.places[n as usize].workflow else { return };
        self.set_status(n, NodeStatus::Running, at);
        let node = self.at_mut(n);
        node.started_at = Some(at);
        node.scope.open = u32::try_from(workflow.children.len()).unwrap_or(u32::MAX);
        node.scope.first_open = u32::try_from(workflow.first.len()).unwrap_or(u32::MAX);
        let begun = workflow.limit.map_or(workflow.first.len(), |limit| limit as usize);
        node.scope.begun = u32::try_from(begun).unwrap_or(u32::MAX);
        if workflow.children.is_empty() {
            self.finish(n, at, ops);
        } else {
            ops.extend(workflow.first.iter().take(begun).map(|step| Op::Arrive(*step)));
        }
    }

    fn closed(&mut self, n: u32, at: Timestamp, ops: &mut VecDeque<Op>) {
        let shape = Arc::clone(&self.shape);
        let node = self.at(n);
        let failed = node.status == NodeStatus::Failure;
        let taints = failed || node.tainted;
        for after in &shape.places[n as usize].after {
            let after_state = self.at_mut(*after);
            after_state.tainted |= taints;
            after_state.before = after_state.before.saturating_sub(1);
            if after_state.before == 0 {
                ops.push_back(Op::Arrive(*after));
            }
        }
        let Some(parent) = self.plan_node(n).and_then(|node| node.parent) else { return };
        let Some(workflow) = &shape.places[parent as usize].workflow else { return };
        let scope = &mut self.at_mut(parent).scope;
        scope.failed |= failed;
        scope.open = scope.open.saturating_sub(1);
        if scope.open == 0 {
            self.finish(parent, at, ops);
        } else if workflow.order == Order::Parallel && !shape.places[n as usize].is_last {
            scope.first_open = scope.first_open.saturating_sub(1);
            let (first_open, scope_failed) = (scope.first_open, scope.failed);
            let begun = (scope.begun as usize).min(workflow.first.len());
            scope.begun = scope.begun.saturating_add(1);
            let (begun, waiting) = workflow.first.split_at(begun);
            if failed && workflow.fail_fast {
                for sibling in begun {
                    if !self.runs_in_any_case(*sibling) {
                        self.cancel(*sibling, Cancel::FailFast, at, ops);
                    }
                }
                for sibling in waiting {
                    self.at_mut(*sibling).tainted = true;
                }
            }
            ops.extend(waiting.first().map(|next| Op::Arrive(*next)));
            if first_open == 0 {
                for last in &workflow.last {
                    self.at_mut(*last).tainted = scope_failed;
                    ops.push_back(Op::Arrive(*last));
                }
            }
        }
    }

    fn finish(&mut self, n: u32, at: Timestamp, ops: &mut VecDeque<Op>) {
        let scope = &self.at(n).scope;
        let status = match (scope.failed, scope.cancelled) {
            (true, _) => NodeStatus::Failure,
            (false, Some(_)) => NodeStatus::Aborted,
            (false, None) => NodeStatus::Success,
        };
        self.end(n, status, at, ops);
    }

    /// A node's own outcome stands.
    pub(crate) fn end(&mut self, n: u32, status: NodeStatus, at: Timestamp, ops: &mut VecDeque<Op>) {
        self.agenda.remove(n);
        self.clear_timers(n);
        self.wait_is_over(n);
        self.lock_waits.remove(&n);
        self.held.remove(&n);
        self.set_status(n, status, at);
        let node = self.at_mut(n);
        node.held = None;
        node.ended_at = Some(at);
        if !node.closed {
            node.closed = true;
            ops.push_back(Op::Closed(n));
        }
    }

    pub(crate) fn skip(&mut self, n: u32, reason: Cow<'static, str>, at: Timestamp, ops: &mut VecDeque<Op>) {
        self.at_mut(n).reason = Some(reason);
        self.not_run_inside(n, "the workflow around it was not run", at);
        self.end(n, NodeStatus::Skipped, at, ops);
    }

    /// Nothing inside a workflow that was never entered will run.
    pub(crate) fn not_run_inside(&mut self, n: u32, reason: &'static str, at: Timestamp) {
        let shape = Arc::clone(&self.shape);
        let inside =
            |n: u32| shape.places[n as usize].workflow.iter().flat_map(|w| w.children.iter().copied());
        let mut stack: Vec<u32> = inside(n).collect();
        while let Some(child) = stack.pop() {
            if self.at(child).closed {
                continue;
            }
            self.set_status(child, NodeStatus::Skipped, at);
            let node = self.at_mut(child);
            node.closed = true;
            node.reason = Some(Cow::Borrowed(reason));
            // A run that is skipped has been entered, and nothing in it has begun.
            self.agenda.remove(child);
            self.lock_waits.remove(&child);
            stack.extend(inside(child));
        }
    }

    /// Stops a node and all in it, except what runs in any case (`when: always`).
    pub(crate) fn cancel(&mut self, n: u32, cancel: Cancel, at: Timestamp, ops: &mut VecDeque<Op>) {
        let reason = match cancel {
            Cancel::Abort => "the run was aborted before it started",
            Cancel::FailFast => "a step beside it failed",
        };
        let mut stack = vec![n];
        while let Some(n) = stack.pop() {
            let (closed, status, attempts) = {
                let node = self.at(n);
                (node.closed, node.status, node.attempts)
            };
            match status {
                _ if closed || self.is_spared(n) => {}
                NodeStatus::Ready if attempts == 0 => self.skip(n, Cow::Borrowed(reason), at, ops),
                NodeStatus::Ready | NodeStatus::Retrying => self.end(n, NodeStatus::Aborted, at, ops),
                NodeStatus::Unknown if cancel == Cancel::Abort => self.let_go(n, at, ops),
                NodeStatus::Running if !self.is_leaf(n) => {
                    self.at_mut(n).scope.cancelled = Some(cancel);
                    let steps = self.steps(n).iter().rev().copied();
                    stack.extend(steps.filter(|step| !self.runs_in_any_case(*step)));
                }
                NodeStatus::Running | NodeStatus::Waiting | NodeStatus::ApprovalWait => {
                    match &mut self.at_mut(n).attempt {
                        Some(attempt) => {
                            attempt.stopping = true;
                            self.clear_timers(n);
                            self.set_status(n, NodeStatus::Aborting, at);
                        }
                        None => closes(self, n, at, ops),
                    }
                }
                _ => {}
            }
        }
    }

    /// Work that nothing waits for is stopped, too, when its run aborts; what waits to be asked for again is not
    /// asked for.
    pub(crate) fn stop_trailing(&mut self, at: Timestamp) {
        for n in (0..).take(self.nodes.len()) {
            if !self.at(n).trailing || self.is_inside_always(n) || self.is_inside_spared(n) {
                continue;
            }
            match &mut self.at_mut(n).attempt {
                Some(attempt) => attempt.stopping = true,
                None => {
                    self.agenda.remove(n);
                    self.clear_timers(n);
                    let error = NodeError {
                        code: "aborted".to_owned(),
                        message: "the run was aborted while the work's executor was lost".to_owned(),
                        transient: false,
                    };
                    let node = self.at_mut(n);
                    node.trailing = false;
                    node.later = Some(Later { at, error: Some(error) });
                }
            }
        }
    }

    /// A person has given up on a node whose effect cannot be known: it stays `unknown`, and nothing waits for it.
    pub(crate) fn let_go(&mut self, n: u32, at: Timestamp, ops: &mut VecDeque<Op>) {
        self.held.remove(&n);
        let node = self.at_mut(n);
        node.ended_at = Some(at);
        if !node.closed {
            node.closed = true;
            ops.push_back(Op::Closed(n));
        }
    }

    /// Whether and why the steps around a node are being stopped, and the node with them.
    pub(crate) fn cancelled(&self, n: u32) -> Option<Cancel> {
        let plan = self.plan_node(n)?;
        match plan.parent {
            _ if plan.when == When::Always && n > 0 => None,
            Some(parent) => self.at(parent).scope.cancelled,
            None => self.aborting.is_some().then_some(Cancel::Abort),
        }
    }

    fn is_inside_always(&self, mut n: u32) -> bool {
        while let Some(parent) = self.plan_node(n).and_then(|node| node.parent) {
            if self.runs_in_any_case(n) {
                return true;
            }
            n = parent;
        }
        false
    }

    /// Whether a node is let finish although its run gives way: it has begun and may not be interrupted. What only waits to
    /// be tried again has nothing to finish.
    pub(crate) fn is_spared(&self, n: u32) -> bool {
        let node = self.at(n);
        let begun = match node.status {
            NodeStatus::Running | NodeStatus::Waiting => true,
            // Its executor was lost: what it did is seen to.
            NodeStatus::Ready => node.attempts > 0,
            _ => false,
        };
        begun && self.may_not_be_interrupted(n)
    }

    fn may_not_be_interrupted(&self, n: u32) -> bool {
        self.gives_way.is_some() && self.plan_node(n).is_some_and(|node| !node.interruptible)
    }

    fn is_inside_spared(&self, n: u32) -> bool {
        let mut around = Some(n);
        while let Some(n) = around {
            if self.may_not_be_interrupted(n) {
                return true;
            }
            around = self.plan_node(n).and_then(|node| node.parent);
        }
        false
    }

    fn runs_in_any_case(&self, n: u32) -> bool {
        self.plan_node(n).is_some_and(|node| node.when == When::Always)
    }

    pub(crate) fn is_leaf(&self, n: u32) -> bool {
        self.shape.places[n as usize].workflow.is_none()
    }

    pub(crate) fn set_status(&mut self, n: u32, status: NodeStatus, at: Timestamp) {
        let leaf = self.is_leaf(n);
        let node = &mut self.nodes[n as usize];
        let before = node.status;
        if before != status {
            node.status = status;
            node.since = at;
            if leaf {
                self.counts[before as usize] -= 1;
                self.counts[status as usize] += 1;
            }
        }
    }

    pub(crate) fn clear_due(&mut self, n: u32) {
        if let Some(due) = self.at_mut(n).due.take() {
            self.timers.remove(&(due, n, Timer::Due));
        }
    }

    pub(crate) fn clear_timers(&mut self, n: u32) {
        self.clear_due(n);
        if let Some(deadline) = self.at(n).deadline {
            self.timers.remove(&(deadline, n, Timer::Deadline));
        }
    }

    /// A node whose index was checked.
    pub(crate) fn at(&self, n: u32) -> &NodeState {
        &self.nodes[n as usize]
    }

    /// See [`RunState::at`].
    pub(crate) fn at_mut(&mut self, n: u32) -> &mut NodeState {
        &mut self.nodes[n as usize]
    }
}
