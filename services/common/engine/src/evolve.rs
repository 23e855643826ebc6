//! What each event makes of a run.

use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::{Map, Value};
use shipway_events::{
    ConcurrencyPolicy, DecodeError, EffectClass, Fence, NodeStatus, Position, RawEvent, Recorded,
    StreamEvent, Timestamp,
    plan::{BackupPin, Plan, PlanNode},
    run::{self, Effect, Event, NodeError},
};

use crate::{
    RunState,
    approvals::Approval,
    attempt::{Attempt, End},
    flow::Op,
    lane::Turn,
    retry,
    shape::Shape,
    state::{Cancel, Later, NodeState, Planned, Timer},
};

impl RunState {
    /// The fold of a stream, oldest event first; `generation` is the log's.
    ///
    /// # Errors
    /// If an event is of a type or schema that is not known here, or damaged: the stream is refused, since a
    /// decision on half of what happened would be wrong.
    pub fn fold<'a>(
        events: impl IntoIterator<Item = &'a RawEvent>,
        generation: u32,
    ) -> Result<Self, DecodeError> {
        let mut state = Self::new();
        for raw in events {
            if let Some(recorded) = Event::read(raw)? {
                state.evolve(&recorded, generation);
            }
        }
        Ok(state)
    }

    /// Adds one event. With position 0 it is decided but not committed: see [`RunState::settle`].
    pub fn evolve(&mut self, recorded: &Recorded<Event>, generation: u32) {
        let fence = (recorded.position > 0).then(|| Fence::new(generation, recorded.position));
        self.apply(&recorded.event, recorded.at, fence);
    }

    /// Tells an event that was already added where it was committed: an attempt's request gets its fence.
    pub fn settle(&mut self, event: &Event, position: Position, generation: u32) {
        let Event::AttemptRequested(request) = event else { return };
        let attempt = self.nodes.get_mut(request.node as usize).and_then(|node| node.attempt.as_mut());
        if let Some(attempt) = attempt.filter(|attempt| attempt.fence.is_none()) {
            attempt.fence = Some(Fence::new(generation, position));
        }
    }

    pub(crate) fn apply(&mut self, event: &Event, at: Timestamp, fence: Option<Fence>) {
        let mut ops = VecDeque::new();
        if self.knows(event) {
            self.transition(event, at, fence, &mut ops);
            self.propagate(ops, at);
        }
    }

    /// A damaged event must not bring a service down: one about a node that does not exist changes nothing.
    fn knows(&self, event: &Event) -> bool {
        let node = match event {
            Event::Started(_) => return self.started.is_none(),
            Event::Resumed(_)
            | Event::Queued(_)
            | Event::Admitted(_)
            | Event::Frozen(_)
            | Event::Thawed(_)
            | Event::FreezeOverridden(_)
            | Event::HoldOverridden(_)
            | Event::NotedWords(_)
            | Event::Aborting(_)
            | Event::Ended(_) => {
                return self.started.is_some();
            }
            #[cfg(feature = "next-schema")]
            Event::NotedWriter(_) => return false,
            Event::Held(e) => e.node,
            Event::LetGo(e) => e.node,
            Event::AttemptRequested(e) => e.node,
            Event::WorkflowEntered(e) => e.node,
            Event::LoopEntered(e) => e.node,
            Event::NodeStarted(e) => e.node,
            Event::NodeSucceeded(e) => e.node,
            Event::AttemptFailed(e) => e.node,
            Event::NodeFailed(e) => e.node,
            Event::NodeSkipped(e) => e.node,
            Event::RetryScheduled(e) => e.node,
            Event::WaitStarted(e) => e.node,
            Event::ApprovalRequested(e) => e.node,
            Event::ApprovalGiven(e) => e.node,
            Event::ApprovalRejected(e) => e.node,
            Event::ChildRequested(e) => e.node,
            Event::ChildCancelled(e) => e.node,
            Event::AttemptLost(e) => e.node,
            Event::NodeUnknown(e) => e.node,
            Event::NodeTimedOut(e) => e.node,
            Event::NodeAborted(e) => e.node,
            Event::NodeEndedLater(e) => e.node,
            Event::OutcomeRejected(e) => e.node,
        };
        (node as usize) < self.nodes.len()
    }

    /// The table: one line or a short block for each type of event.
    fn transition(&mut self, event: &Event, at: Timestamp, fence: Option<Fence>, ops: &mut VecDeque<Op>) {
        self.begun |= begins(event);
        match event {
            Event::Started(e) => self.start(e, at, ops),
            #[cfg(feature = "next-schema")]
            Event::NotedWriter(_) => {}
            Event::Resumed(e) => self.resume(e, at, ops),
            Event::Queued(e) => self.turn = Turn::Queued(e.behind),
            Event::Admitted(_) => self.let_in(ops),
            Event::Frozen(e) => self.frozen = Some(Arc::new(e.clone())),
            Event::Thawed(_) => self.thaw(),
            Event::FreezeOverridden(_) => self.overrides = true,
            Event::Held(e) => self.hold_back(e),
            Event::LetGo(e) => {
                if self.agenda.on_hold.remove(&e.node).is_some() {
                    self.agenda.fresh.insert(e.node);
                }
            }
            Event::HoldOverridden(_) => self.overrides_holds = true,
            Event::NotedWords(e) => self.note_words(e),
            Event::WorkflowEntered(e) => {
                self.agenda.remove(e.node);
                self.enter(e.node, at, ops);
            }
            Event::LoopEntered(e) => self.grow(e, at, ops),
            Event::AttemptRequested(e) => self.request(e, fence, at),
            Event::NodeStarted(e) => {
                self.at_mut(e.node).trailing = true;
                self.clear_timers(e.node);
                self.keep_outputs(e.node, &e.outputs);
                self.end(e.node, NodeStatus::Success, at, ops);
            }
            Event::NodeSucceeded(e) => {
                self.release(e.node, End::Succeeded);
                self.at_mut(e.node).reason = None;
                self.keep_outputs(e.node, &e.outputs);
                self.keep_effects(e.node, &e.effects);
                self.end(e.node, NodeStatus::Success, at, ops);
            }
            Event::AttemptFailed(e) => {
                self.release(e.node, End::Failed);
                self.wait_is_over(e.node);
                self.at_mut(e.node).error = Some(Arc::new(e.error.clone()));
                self.agenda.remove(e.node);
                self.set_status(e.node, NodeStatus::Retrying, at);
            }
            Event::RetryScheduled(e) => {
                self.at_mut(e.node).next_attempt = e.attempt;
                self.wait_until(e.node, e.at);
            }
            Event::NodeFailed(e) => {
                let taken = if self.at(e.node).timed_out { End::Stopped } else { End::Failed };
                self.release(e.node, taken);
                self.fail(e.node, &e.error, at, ops);
            }
            Event::NodeSkipped(e) => self.skip(e.node, Cow::Owned(e.reason.clone()), at, ops),
            Event::WaitStarted(e) => self.begin_wait(e, at),
            Event::ApprovalRequested(e) => self.begin_approval(e, at),
            Event::ApprovalGiven(e) => {
                let (by, reason, plan) = (e.by.clone(), e.reason.clone(), e.plan.clone());
                let approval = Approval { by, at, reason, plan };
                self.at_mut(e.node).approvals.push(approval);
            }
            // The failure that follows says it.
            Event::ApprovalRejected(_) => {}
            Event::ChildRequested(e) => self.begin_child(e, at),
            Event::ChildCancelled(e) => {
                if let Some(child) = &mut self.at_mut(e.node).child {
                    child.cancelled = true;
                }
            }
            Event::AttemptLost(e) => self.lose(e, at),
            Event::NodeUnknown(e) => self.hold(e, at, ops),
            Event::NodeTimedOut(e) => {
                self.clear_timers(e.node);
                self.agenda.remove(e.node);
                let node = self.at_mut(e.node);
                node.timed_out = true;
                if let Some(attempt) = &mut node.attempt {
                    attempt.stopping = true;
                }
                self.set_status(e.node, NodeStatus::Aborting, at);
            }
            Event::NodeAborted(e) => {
                self.release(e.node, End::Stopped);
                self.end(e.node, NodeStatus::Aborted, at, ops);
            }
            Event::NodeEndedLater(e) => {
                let end = if e.error.is_none() { End::Succeeded } else { End::Failed };
                self.release(e.node, end);
                self.keep_effects(e.node, &e.effects);
                self.agenda.remove(e.node);
                self.clear_timers(e.node);
                let node = self.at_mut(e.node);
                node.trailing = false;
                node.later = Some(Later { at, error: e.error.clone() });
            }
            Event::OutcomeRejected(e) => {
                self.rejected.insert((e.node, e.fence));
            }
            Event::Aborting(e) => {
                self.aborting = Some(e.reason.as_str().into());
                self.gives_way = e.by;
                self.thaw();
                self.let_all_go();
                self.stop_trailing(at);
                self.never_let_in("the run was aborted before its turn in its lane", at, ops);
                self.cancel(0, Cancel::Abort, at, ops);
            }
            Event::Ended(e) => {
                self.never_let_in("the run was not let into its lane", at, ops);
                self.ended = Some(Arc::new(e.clone()));
                self.ended_at = Some(at);
                self.thaw();
                self.let_all_go();
                let agenda = &mut self.agenda;
                agenda.fresh.append(&mut agenda.locked);
            }
        }
    }

    fn start(&mut self, event: &run::Started, at: Timestamp, ops: &mut VecDeque<Op>) {
        self.shape = Arc::new(Shape::of(&event.plan));
        self.nodes = self.shape.places.iter().map(|place| NodeState::new(place.before, at)).collect();
        let leaves = self.shape.places.iter().filter(|place| place.workflow.is_none()).count();
        self.counts[NodeStatus::Pending as usize] = u32::try_from(leaves).unwrap_or(u32::MAX);
        let locks = lock_names(&event.plan);
        self.planned = Arc::new(Planned { nodes: event.plan.nodes.len(), locks, ..Planned::default() });
        self.locking = with_locks(&event.plan.nodes, 0).collect();
        self.started = Some(Arc::new(event.clone()));
        self.started_at = Some(at);
        if event.policy == ConcurrencyPolicy::Allow {
            self.let_in(ops);
        }
    }

    /// Its lane lets the run go on.
    fn let_in(&mut self, ops: &mut VecDeque<Op>) {
        if self.turn != Turn::Admitted && !self.nodes.is_empty() {
            ops.push_back(Op::Arrive(0));
        }
        self.turn = Turn::Admitted;
    }

    /// A run that ends before its turn has run nothing, clean-up included.
    fn never_let_in(&mut self, reason: &'static str, at: Timestamp, ops: &mut VecDeque<Op>) {
        if self.turn != Turn::Admitted && !self.nodes.is_empty() && !self.at(0).closed {
            self.skip(0, Cow::Borrowed(reason), at, ops);
        }
    }

    fn request(&mut self, event: &run::AttemptRequested, fence: Option<Fence>, at: Timestamp) {
        let n = event.node;
        self.agenda.remove(n);
        self.clear_due(n);
        self.set_deadline(n, event.deadline);
        self.open.insert(n);
        let waits = self.plan_node(n).is_some_and(|node| node.kind == "Condition");
        let node = self.at_mut(n);
        node.attempt = Some(Attempt::new(event, fence, at));
        node.effect = Some(event.effect);
        node.attempts = event.attempt;
        node.next_attempt = event.attempt;
        node.started_at.get_or_insert(at);
        if !node.trailing {
            self.set_status(n, if waits { NodeStatus::Waiting } else { NodeStatus::Running }, at);
        }
    }

    fn lose(&mut self, event: &run::AttemptLost, at: Timestamp) {
        let n = event.node;
        let attempt = self.release(n, End::Lost);
        self.held.remove(&n);
        let node = self.at_mut(n);
        node.losses += 1;
        if let Some(attempt) = attempt.filter(|a| a.effect == EffectClass::Checked && !event.never_started) {
            node.pinned = Some(attempt.executor);
        }
        let pause = retry::pause_after_loss(node.losses);
        if !node.trailing {
            self.set_status(n, NodeStatus::Ready, at);
        }
        if pause.is_zero() {
            self.agenda.fresh.insert(n);
        } else {
            self.wait_until(n, at.plus(pause));
        }
    }

    fn hold(&mut self, event: &run::NodeUnknown, at: Timestamp, ops: &mut VecDeque<Op>) {
        let n = event.node;
        if let Some(attempt) = self.at_mut(n).attempt.take() {
            self.at_mut(n).held = attempt.fence;
        }
        self.open.remove(&n);
        self.clear_timers(n);
        self.at_mut(n).reason = Some(Cow::Owned(event.reason.clone()));
        self.set_status(n, NodeStatus::Unknown, at);
        self.held.insert(n);
        if self.cancelled(n) == Some(Cancel::Abort) {
            self.let_go(n, at, ops);
        }
    }

    /// Ends the open attempt of a node and remembers how.
    fn release(&mut self, n: u32, end: End) -> Option<Attempt> {
        self.open.remove(&n);
        let node = self.at_mut(n);
        let attempt = node.attempt.take();
        let held = node.held.take();
        let fence = attempt.as_ref().map_or(held, |attempt| attempt.fence);
        node.past.extend(fence.map(|fence| (fence, end)));
        attempt
    }

    fn keep_outputs(&mut self, n: u32, outputs: &Map<String, Value>) {
        self.at_mut(n).outputs = Some(Arc::new(outputs.clone()));
    }

    fn keep_effects(&mut self, n: u32, effects: &[Effect]) {
        if !effects.is_empty() {
            self.effects.entry(n).or_default().extend_from_slice(effects);
        }
        self.know_effects(effects);
    }

    /// What later nodes find because of them.
    pub(crate) fn know_effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Released { slug, artifact, .. } => {
                    self.released.insert(slug.clone(), artifact.clone());
                }
                Effect::Built { artifact, .. } => {
                    self.builds.insert(artifact.build.clone(), artifact.clone());
                }
                Effect::BackedUp { addon, backup, digest, .. } => {
                    let pin = BackupPin { addon: addon.clone(), digest: digest.clone() };
                    self.backups.insert(backup.clone(), pin);
                }
                Effect::AddonStarted { .. } | Effect::Restored { .. } | Effect::JobRan { .. } => {}
            }
        }
    }

    fn fail(&mut self, n: u32, error: &NodeError, at: Timestamp, ops: &mut VecDeque<Op>) {
        let node = self.at_mut(n);
        node.error = Some(Arc::new(error.clone()));
        node.reason = None;
        self.first_failure.get_or_insert(n);
        self.not_run_inside(n, "the workflow around it failed before it", at);
        self.end(n, NodeStatus::Failure, at, ops);
    }

    fn wait_until(&mut self, n: u32, due: Timestamp) {
        self.clear_due(n);
        self.at_mut(n).due = Some(due);
        self.timers.insert((due, n, Timer::Due));
    }

    pub(crate) fn set_deadline(&mut self, n: u32, deadline: Option<Timestamp>) {
        if let (Some(deadline), false) = (deadline, self.at(n).closed) {
            self.at_mut(n).deadline = Some(deadline);
            self.timers.insert((deadline, n, Timer::Deadline));
        }
    }
}

/// Which of the nodes from an index on have locks.
pub(crate) fn with_locks(nodes: &[PlanNode], from: usize) -> impl Iterator<Item = u32> + '_ {
    (0_u32..).zip(nodes).skip(from).filter(|(_, node)| !node.locks.is_empty()).map(|(n, _)| n)
}

/// The names of all locks that a run of this plan may want.
#[must_use]
pub fn lock_names(plan: &Plan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    each_lock(&plan.nodes, &mut names);
    names
}

/// The names of all locks of nodes and of what is in loops.
fn each_lock(nodes: &[PlanNode], names: &mut BTreeSet<String>) {
    for node in nodes {
        names.extend(node.locks.iter().cloned());
        each_lock(&node.body, names);
    }
}

impl NodeState {
    pub(crate) const fn new(before: u32, at: Timestamp) -> Self {
        Self {
            status: NodeStatus::Pending,
            since: at,
            started_at: None,
            ended_at: None,
            attempts: 0,
            attempt: None,
            due: None,
            deadline: None,
            timed_out: false,
            outputs: None,
            error: None,
            reason: None,
            later: None,
            pinned: None,
            rule: None,
            approvals: Vec::new(),
            watch: None,
            child: None,
            kept: false,
            effect: None,
            waits_for: None,
            next_attempt: 1,
            losses: 0,
            past: Vec::new(),
            held: None,
            before,
            tainted: false,
            closed: false,
            trailing: false,
            scope: crate::state::Scope { open: 0, first_open: 0, begun: 0, failed: false, cancelled: None },
        }
    }
}

/// Whether something of a run has its turn by this: a freeze does not hold it any more.
const fn begins(event: &Event) -> bool {
    matches!(
        event,
        Event::AttemptRequested(_)
            | Event::NodeSucceeded(_)
            | Event::NodeFailed(_)
            | Event::AttemptFailed(_)
            | Event::NodeSkipped(_)
            | Event::WaitStarted(_)
            | Event::ApprovalRequested(_)
            | Event::ChildRequested(_)
    )
}
