//! The state of a run: what its events add up to, and the questions that others ask of it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value};
use shipway_events::{
    EffectClass, ExecutorId, Fence, NodeStatus, RunId, RunStatus, Timestamp,
    plan::{Artifact, BackupPin, Plan, PlanNode},
    run::{ApprovalRule, Effect, Ended, Frozen, Held, NodeError, Resumed, Started},
};

use crate::{
    approvals::Approval,
    attempt::{Attempt, End, OpenAttempt},
    lane::Turn,
    locks::LockWait,
    shape::Shape,
    waits::ChildRun,
};

/// A run. [`RunState::new`] has not happened yet; [`RunState::evolve`] adds what happens.
#[derive(Clone, Debug, Default)]
pub struct RunState {
    pub(crate) started: Option<Arc<Started>>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) nodes: Vec<NodeState>,
    /// How many leaves have each status.
    pub(crate) counts: [u32; NodeStatus::ALL.len()],
    /// Nodes with an attempt that has not ended.
    pub(crate) open: BTreeSet<u32>,
    /// Nodes that only a person can move.
    pub(crate) held: BTreeSet<u32>,
    /// Nodes that wait for people to approve.
    pub(crate) asking: BTreeSet<u32>,
    /// Nodes that wait for something in the run: asked again whenever something has happened.
    pub(crate) watching: BTreeSet<u32>,
    /// Nodes that wait for a run of another flow.
    pub(crate) children: BTreeSet<u32>,
    pub(crate) planned: Arc<Planned>,
    /// Nodes with locks.
    pub(crate) locking: Vec<u32>,
    /// What nodes that wait for a lock wait for, as of the last decision.
    pub(crate) lock_waits: BTreeMap<u32, LockWait>,
    pub(crate) timers: BTreeSet<(Timestamp, u32, Timer)>,
    pub(crate) agenda: Agenda,
    pub(crate) turn: Turn,
    /// Something of it has had its turn.
    pub(crate) begun: bool,
    /// The freeze that holds it.
    pub(crate) frozen: Option<Arc<Frozen>>,
    /// A person lets it go on whatever freezes there are.
    pub(crate) overrides: bool,
    /// A person lets it release what is held.
    pub(crate) overrides_holds: bool,
    /// The hold, or the mark, that was met last.
    pub(crate) last_held: Option<Arc<Held>>,
    pub(crate) aborting: Option<Arc<str>>,
    /// The run for which it gives way, gently: see [`run::Aborting`](shipway_events::run::Aborting).
    pub(crate) gives_way: Option<RunId>,
    pub(crate) ended: Option<Arc<Ended>>,
    pub(crate) first_failure: Option<u32>,
    /// Outcomes that were recorded as rejected.
    pub(crate) rejected: BTreeSet<(u32, Fence)>,
    pub(crate) released: BTreeMap<String, Artifact>,
    pub(crate) builds: BTreeMap<String, Artifact>,
    /// What each node has changed in the world.
    pub(crate) effects: BTreeMap<u32, Vec<Effect>>,
    pub(crate) backups: BTreeMap<String, BackupPin>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    /// The run that it branches off, and what is kept of that one's nodes.
    pub(crate) resumed: Option<Arc<Resumed>>,
}

/// The plan as it was at the start.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// How many nodes it had before any loop was entered.
    pub(crate) nodes: usize,
    /// The locks that its nodes may want.
    pub(crate) locks: BTreeSet<String>,
    /// Its hash, once somebody has asked for it.
    pub(crate) hash: OnceLock<String>,
}

/// A node of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeState {
    /// Where it stands.
    pub status: NodeStatus,
    /// Since when.
    pub since: Timestamp,
    /// When it was first given to an executor, or entered.
    pub started_at: Option<Timestamp>,
    /// When its outcome was known.
    pub ended_at: Option<Timestamp>,
    /// The number of its latest attempt, 0 before the first.
    pub attempts: u32,
    /// The attempt that has not ended.
    pub attempt: Option<Attempt>,
    /// When it is tried again, or asked for again after a loss.
    pub due: Option<Timestamp>,
    /// When its time is up.
    pub deadline: Option<Timestamp>,
    /// Its time was up.
    pub timed_out: bool,
    /// What later nodes can refer to; none until it has started (`detached`) or ended well.
    pub outputs: Option<Arc<Map<String, Value>>>,
    /// Why it failed, or why its last attempt did.
    pub error: Option<Arc<NodeError>>,
    /// Why it was not run, or what is not known about it.
    pub reason: Option<Cow<'static, str>>,
    /// How the work ended that nothing waited for.
    pub later: Option<Later>,
    /// The only executor that may be asked again: it knows what an earlier attempt did.
    pub pinned: Option<ExecutorId>,
    /// Who has to approve it, once that was asked.
    pub rule: Option<Arc<ApprovalRule>>,
    /// Who has approved it; see [`RunState::approvals`] for those that count.
    pub approvals: Vec<Approval>,
    /// What it waits for in the run, in words.
    pub watch: Option<Arc<str>>,
    /// The run of another flow that it waits for.
    pub child: Option<ChildRun>,
    /// Its outcome is another run's, which this one branches off.
    pub kept: bool,
    /// How its effect stays single, as its last attempt said.
    pub effect: Option<EffectClass>,
    /// The host that its target is on, while it waits for a slot there.
    pub waits_for: Option<ExecutorId>,
    /// The number of the next attempt.
    pub(crate) next_attempt: u32,
    pub(crate) losses: u32,
    pub(crate) past: Vec<(Fence, End)>,
    /// The fence of the attempt of which nobody knows what it did.
    pub(crate) held: Option<Fence>,
    /// Siblings that have to end before its turn.
    pub(crate) before: u32,
    /// Something before it failed.
    pub(crate) tainted: bool,
    /// What comes after it need not wait for it.
    pub(crate) closed: bool,
    /// It has succeeded by having started; its work goes on.
    pub(crate) trailing: bool,
    pub(crate) scope: Scope,
}

/// How work ended that nothing waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Later {
    /// When.
    pub at: Timestamp,
    /// Why it ended badly; none if it ended well.
    pub error: Option<NodeError>,
}

/// What a workflow that was entered counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) open: u32,
    /// Of a parallel workflow: open children among those that start at once.
    pub(crate) first_open: u32,
    /// Of a parallel workflow that limits them: how many of its steps have had their turn.
    pub(crate) begun: u32,
    pub(crate) failed: bool,
    pub(crate) cancelled: Option<Cancel>,
}

/// Why the steps of a workflow are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// The run is aborting.
    Abort,
    /// A step beside it failed, and the workflow fails fast.
    FailFast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The node may be asked for again.
    Due,
    /// The node's time is up.
    Deadline,
}

/// Nodes whose turn has come and that have no attempt. Found again from the events after a restart: all are
/// `fresh` then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    /// To be asked what they want.
    pub(crate) fresh: BTreeSet<u32>,
    /// Waiting for a slot without a process.
    pub(crate) light: BTreeSet<u32>,
    /// Waiting for a slot with a process.
    pub(crate) heavy: BTreeSet<u32>,
    /// Waiting for a slot of particular executors: the one that knows an earlier attempt, those with some labels, the
    /// host of a target.
    pub(crate) particular: BTreeSet<u32>,
    /// Waiting for their locks.
    pub(crate) locked: BTreeSet<u32>,
    /// Waiting for a freeze to end.
    pub(crate) frozen: BTreeSet<u32>,
    /// Waiting for a hold to end, with that hold.
    pub(crate) on_hold: BTreeMap<u32, Arc<Held>>,
}

impl Agenda {
    pub(crate) fn remove(&mut self, node: u32) {
        let Self { fresh, light, heavy, particular, locked, frozen, on_hold } = self;
        for set in [fresh, light, heavy, particular, locked, frozen] {
            if set.remove(&node) {
                return;
            }
        }
        on_hold.remove(&node);
    }

    pub(crate) fn contains(&self, node: u32) -> bool {
        let Self { fresh, light, heavy, particular, locked, frozen, on_hold } = self;
        let waits = [fresh, light, heavy, particular, locked, frozen].iter().any(|set| set.contains(&node));
        waits || on_hold.contains_key(&node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let Self { fresh, light, heavy, particular, locked, frozen, on_hold } = self;
        let waiting = [fresh, light, heavy, particular, locked, frozen].into_iter().flatten();
        waiting.chain(on_hold.keys()).copied()
    }
}

impl RunState {
    /// A run that has not started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it was started with, its plan as it is by now; none before.
    #[must_use]
    pub fn started(&self) -> Option<&Started> {
        self.started.as_deref()
    }

    /// Its plan, which grows with the loops that it enters; none before its start.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.started().map(|started| &started.plan)
    }

    /// A node of its plan.
    #[must_use]
    pub fn plan_node(&self, node: u32) -> Option<&PlanNode> {
        self.plan()?.nodes.get(node as usize)
    }

    /// Where the run stands.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        let count = |status: NodeStatus| self.counts[status as usize];
        match &self.ended {
            Some(ended) => ended.status,
            None if self.started.is_none() => RunStatus::Pending,
            None if !self.held.is_empty() => RunStatus::Unknown,
            None if self.aborting.is_some() => RunStatus::Aborting,
            None if self.turn != Turn::Admitted => RunStatus::Queued,
            None if (self.frozen.is_some() || !self.agenda.on_hold.is_empty()) && self.open.is_empty() => {
                RunStatus::Waiting
            }
            None if [NodeStatus::Running, NodeStatus::Ready, NodeStatus::Aborting].map(count) != [0; 3] => {
                RunStatus::Running
            }
            None if count(NodeStatus::Retrying) > 0 => RunStatus::Retrying,
            None if count(NodeStatus::ApprovalWait) > 0 => RunStatus::ApprovalWait,
            None if count(NodeStatus::Waiting) > 0 => RunStatus::Waiting,
            None => RunStatus::Running,
        }
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_deref()
    }

    /// Why it was asked to stop, if it was.
    #[must_use]
    pub fn aborting(&self) -> Option<&str> {
        self.aborting.as_deref()
    }

    /// When it started.
    #[must_use]
    pub const fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When it ended.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// Whether nothing will happen in it any more: it has ended, and so has the work that nothing waited for.
    /// A run that has ended and is not over is still kept moving.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
            && self.open.is_empty()
            && self.ready().next().is_none()
            && self.timers.is_empty()
    }

    /// All nodes, in the order of the plan.
    #[must_use]
    pub fn nodes(&self) -> &[NodeState] {
        &self.nodes
    }

    /// One node.
    #[must_use]
    pub fn node(&self, node: u32) -> Option<&NodeState> {
        self.nodes.get(node as usize)
    }

    /// The node that a reference (`${refs.<reference>…}`) names outside of loops.
    #[must_use]
    pub fn node_by_ref(&self, reference: &str) -> Option<u32> {
        self.shape.scopes.get(&None)?.get(reference).copied()
    }

    /// The steps of a workflow, in the order of the document; none for other nodes.
    #[must_use]
    pub fn steps(&self, node: u32) -> &[u32] {
        let place = self.shape.places.get(node as usize);
        place.and_then(|place| place.workflow.as_ref()).map_or(&[], |workflow| &workflow.children)
    }

    /// When something happens by itself next; none if nothing waits for a time.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, ..)| *at);
        let freeze = self.frozen().and_then(|freeze| freeze.until);
        let holds = self.agenda.on_hold.values().filter_map(|held| held.until);
        timer.into_iter().chain(freeze).chain(holds).min()
    }

    /// Nodes whose turn has come and that wait for a free slot, for locks, or for the end of a freeze or a hold.
    pub fn ready(&self) -> impl Iterator<Item = u32> + '_ {
        self.agenda.iter()
    }

    /// Attempts whose request is committed and that have not ended, by node. Those after which nothing waits are
    /// among them, also after the run's end.
    pub fn open_attempts(&self) -> impl Iterator<Item = OpenAttempt<'_>> + '_ {
        self.open.iter().filter_map(|node| {
            let attempt = self.node(*node)?.attempt.as_ref()?;
            Some(OpenAttempt { node: *node, fence: attempt.fence?, attempt })
        })
    }

    /// All open attempts, those included whose request is not committed.
    pub(crate) fn open_nodes(&self) -> impl Iterator<Item = &Attempt> + '_ {
        self.open.iter().filter_map(|node| self.assignment(*node))
    }

    /// The attempt of a node that has not ended.
    #[must_use]
    pub fn assignment(&self, node: u32) -> Option<&Attempt> {
        self.node(node)?.attempt.as_ref()
    }

    /// Nodes of which nobody can know what they did: a person decides.
    pub fn held(&self) -> impl Iterator<Item = u32> + '_ {
        self.held.iter().copied()
    }

    /// Nodes that wait for the time of their next attempt.
    pub fn due(&self) -> impl Iterator<Item = u32> + '_ {
        self.timers.iter().filter(|(.., timer)| *timer == Timer::Due).map(|(_, node, _)| *node)
    }

    /// What a service or job has by its id in documents: released in this run, or there when it started.
    #[must_use]
    pub fn artifact_of(&self, slug: &str) -> Option<&Artifact> {
        self.released.get(slug).or_else(|| self.plan()?.deployed.get(slug))
    }

    /// What was released in this run, by the target's id in documents.
    #[must_use]
    pub const fn released(&self) -> &BTreeMap<String, Artifact> {
        &self.released
    }

    /// What was built in this run, by build id.
    #[must_use]
    pub const fn builds(&self) -> &BTreeMap<String, Artifact> {
        &self.builds
    }

    /// The backups made in this run, by backup id.
    #[must_use]
    pub const fn backups(&self) -> &BTreeMap<String, BackupPin> {
        &self.backups
    }

    /// A build by its id: made in this run, or there when it started.
    #[must_use]
    pub fn build(&self, build: &str) -> Option<&Artifact> {
        self.builds.get(build).or_else(|| self.plan()?.builds.get(build))
    }

    /// A backup by its id: made in this run, or there when it started.
    #[must_use]
    pub fn backup(&self, backup: &str) -> Option<&BackupPin> {
        self.backups.get(backup).or_else(|| self.plan()?.backups.get(backup))
    }
}
