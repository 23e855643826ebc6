//! Why a run is not done: what each open node waits for.

use shipway_events::{Actor, EffectClass, ExecutorId, NodeStatus, RunId, Timestamp};

use crate::{Holder, RunState, approvals::approvers, freezes, holds, invariants, lane, locks::LockWait};

/// What holds a node up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The node's index in the plan.
    pub node: u32,
    /// The node by the name that people use.
    pub reference: String,
    /// What it waits for.
    pub blocked: Blocked,
    /// Since when.
    pub since: Timestamp,
    /// All of it in words for people, with what would clear it.
    pub words: String,
}

/// What a node can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// An executor's free slot.
    Slot {
        /// It needs one with a process.
        heavy: bool,
        /// The only executor that will do.
        only: Option<ExecutorId>,
    },
    /// An executor at work on it.
    Work {
        /// The executor.
        executor: ExecutorId,
    },
    /// An executor at work on it, which is let finish although the run gives way to another.
    Finish {
        /// The executor.
        executor: ExecutorId,
    },
    /// An executor that is to stop it.
    Stop {
        /// The executor.
        executor: ExecutorId,
    },
    /// A lock that another node has, or that others wait for before it.
    Lock {
        /// Who.
        behind: Holder,
    },
    /// Its turn in the run's lane.
    Lane {
        /// The run that comes before it.
        behind: RunId,
    },
    /// The end of a freeze.
    Freeze {
        /// When it ends by itself; a person has to lift it if it does not.
        until: Option<Timestamp>,
    },
    /// The end of a hold.
    Hold {
        /// When it ends by itself; a person has to end it if it does not.
        until: Option<Timestamp>,
    },
    /// A time.
    Time {
        /// When it goes on.
        until: Timestamp,
    },
    /// A condition.
    Condition,
    /// A person.
    Person,
    /// So many more approvals.
    Approval {
        /// How many.
        missing: u32,
    },
    /// A run of another flow.
    Run {
        /// The run.
        run: RunId,
    },
    /// The steps before it.
    Steps {
        /// How many of them have not ended.
        open: u32,
    },
    /// Nothing at all: the run goes on and nothing will move it, which must not be.
    Nothing,
}

/// What holds up each node that is not done, in the order of the plan. Nodes in workflows whose turn has not
/// come are left out: their workflow is in the list. It is empty only of a run that has not started or is over.
#[must_use]
pub fn why(state: &RunState, now: Timestamp) -> Vec<Blocker> {
    if let (true, Some(behind), Some(since)) = (state.waits_for_lane(), state.behind(), state.started_at()) {
        let (reference, words) = (state.name_of(0), lane::waits_in_words(behind, 0));
        return vec![Blocker { node: 0, reference, blocked: Blocked::Lane { behind }, since, words }];
    }
    let mut all: Vec<Blocker> =
        (0..).zip(state.nodes()).filter_map(|(node, _)| blocker(state, node, now)).collect();
    if let Some(broken) = stuck(state, !all.is_empty()) {
        let since = state.nodes().iter().map(|node| node.since).max().unwrap_or(now);
        let words = format!("nothing will move this run: {broken}; that is a defect of Shipway");
        all.insert(
            0,
            Blocker { node: 0, reference: state.name_of(0), blocked: Blocked::Nothing, since, words },
        );
    }
    all
}

/// Whether [`why`] has anything to say of a run that goes on, without saying all of it.
pub(crate) fn is_explained(state: &RunState) -> bool {
    let at = state.started_at().unwrap_or_default();
    let waits_for_lane = state.waits_for_lane() && state.behind().is_some();
    waits_for_lane || (0..).zip(state.nodes()).any(|(node, _)| blocker(state, node, at).is_some())
}

/// Why nothing will move a run that goes on; none if something will.
fn stuck(state: &RunState, explained: bool) -> Option<String> {
    if state.started().is_none() || state.is_over() {
        return None;
    }
    match invariants::something_will_move_it(state) {
        Err(broken) => Some(broken),
        Ok(()) if !explained => Some(format!("the run is {} and none of its nodes is", state.status())),
        Ok(()) => None,
    }
}

fn blocker(state: &RunState, n: u32, now: Timestamp) -> Option<Blocker> {
    let node = state.node(n)?;
    let name = &state.name_of(n);
    let (blocked, words) = match (&node.attempt, node.status) {
        (Some(attempt), _) if attempt.stopping => {
            let executor = attempt.executor;
            // Work that nothing waited for has another status than that of its end.
            let ago = match node.status {
                NodeStatus::Aborting => format!(" {} s ago", now.since(node.since).as_secs()),
                _ => String::new(),
            };
            let words = format!(
                "`{name}` was told to stop{ago}; executor {executor} has not confirmed that its process has ended"
            );
            (Blocked::Stop { executor }, words)
        }
        (Some(attempt), _) if state.aborting.is_some() && state.is_spared(n) => {
            let executor = attempt.executor;
            let words = format!(
                "`{name}` is let finish on executor {executor}: it is marked `interruptible: false`; `shipway abort` \
                 stops it all the same"
            );
            (Blocked::Finish { executor }, words)
        }
        (Some(attempt), NodeStatus::Waiting) => {
            let limit = attempt.deadline.map(|at| format!(", at most until {at}")).unwrap_or_default();
            (Blocked::Condition, format!("`{name}` waits for its condition{limit}"))
        }
        (Some(attempt), _) => {
            let (executor, number) = (attempt.executor, attempt.number);
            let for_seconds = now.since(attempt.requested_at).as_secs();
            let words =
                format!("`{name}` runs on executor {executor} for {for_seconds} s (attempt {number})");
            (Blocked::Work { executor }, words)
        }
        (None, _) if node.closed && !node.trailing => return None,
        (None, NodeStatus::Waiting) => {
            let what = node.watch.as_deref().unwrap_or("its condition");
            let limit = node.deadline.map(|at| format!(", at most until {at}")).unwrap_or_default();
            (Blocked::Condition, format!("`{name}` waits for {what}{limit}"))
        }
        (None, NodeStatus::ApprovalWait) => approval(state, n, name),
        (None, NodeStatus::Running | NodeStatus::Aborting) if let Some(child) = node.child => {
            let words = match node.status == NodeStatus::Aborting {
                true => format!("`{name}` has told its run {} to stop", child.run),
                false => format!("`{name}` waits for its run {}", child.run),
            };
            (Blocked::Run { run: child.run }, words)
        }
        (None, NodeStatus::Unknown) => {
            let reason = node.reason.as_deref().unwrap_or("what it did cannot be known");
            (Blocked::Person, format!("`{name}`: {reason}; say what became of it, or abort the run"))
        }
        (None, NodeStatus::Pending) => return steps_before(state, n, name),
        (None, _) => match node.due.filter(|due| *due > now) {
            Some(until) => {
                let error =
                    node.error.as_ref().map(|e| format!("; it failed: {}", e.message)).unwrap_or_default();
                (Blocked::Time { until }, format!("`{name}` is tried again at {until}{error}"))
            }
            None if let (Some(freeze), true) = (state.frozen(), state.agenda.contains(n)) => (
                Blocked::Freeze { until: freeze.until },
                format!("`{name}` {}", freezes::held_in_words(freeze)),
            ),
            None if let (Some(held), Some(started)) = (state.hold_on(n), state.started()) => (
                Blocked::Hold { until: held.until },
                format!("`{name}` is held back: {}", holds::in_words(held, started)),
            ),
            None if let Some(wait) = state.lock_waits.get(&n) => lock(state, wait, name),
            None if state.agenda.contains(n) || node.due.is_some() => slot(state, n, name),
            None => return None,
        },
    };
    Some(Blocker { node: n, reference: name.clone(), blocked, since: node.since, words })
}

/// Who has the lock.
fn lock(state: &RunState, wait: &LockWait, name: &str) -> (Blocked, String) {
    let own = state.started().map(|started| started.run);
    let Holder { run, node } = wait.behind;
    let who = match own == Some(run) {
        true => format!("`{}` of this run has it or comes first", state.name_of(node)),
        false => format!("node {node} of run {run} has it or comes first; `shipway show {run}` says more"),
    };
    (Blocked::Lock { behind: wait.behind }, format!("`{name}` waits for the lock `{}`: {who}", wait.name))
}

/// Who has to approve, who has, and how.
fn approval(state: &RunState, n: u32, name: &str) -> (Blocked, String) {
    let node = state.node(n);
    let rule = node.and_then(|node| node.rule.as_deref().cloned()).unwrap_or_default();
    let given: Vec<&str> = state.approvals(n).map(|approval| approval.by.name()).collect();
    let missing = state.missing_approvals(n);
    let excluded = state.excluded(n).map(Actor::name);
    let mut may = rule.clone();
    may.approvers.retain(|name| Some(name.as_str()) != excluded);
    let but = excluded.map(|author| format!(" except {author}, who started the run")).unwrap_or_default();
    let so_far = if given.is_empty() { String::new() } else { format!("; {} approved", given.join(", ")) };
    let limit = node.and_then(|node| node.deadline).map(|at| format!(", at most until {at}"));
    let words = format!(
        "`{name}` waits for {missing} approval{}: {} may approve{but}{so_far}{}; `shipway approve` or `shipway reject`",
        if missing == 1 { "" } else { "s" },
        approvers(&may),
        limit.unwrap_or_default()
    );
    (Blocked::Approval { missing }, words)
}

fn slot(state: &RunState, n: u32, name: &str) -> (Blocked, String) {
    let heavy = state.agenda.heavy.contains(&n);
    let (pinned, host) = state.node(n).map_or((None, None), |node| (node.pinned, node.waits_for));
    let only = pinned.or(host);
    let labels = state.plan_node(n).map_or(&[][..], |plan| plan.runs_on.as_slice());
    let words = match (pinned, host) {
        (Some(only), _) => format!(
            "`{name}` waits for executor {only}: an effect of class `{}` is asked about where it was tried",
            EffectClass::Checked
        ),
        (None, Some(host)) => format!("`{name}` waits for executor {host}: its target is on that host"),
        (None, None) if !labels.is_empty() => {
            format!("`{name}` waits for an executor with a free slot and the labels {}", labels.join(", "))
        }
        (None, None) if heavy => format!("`{name}` waits for an executor with a free process slot"),
        (None, None) => format!("`{name}` waits for an executor with a free slot"),
    };
    (Blocked::Slot { heavy, only }, words)
}

/// A step of a workflow that was entered waits for the steps before it.
fn steps_before(state: &RunState, n: u32, name: &str) -> Option<Blocker> {
    let parent = state.plan_node(n)?.parent?;
    let around = state.node(parent)?;
    let is_last = state.shape.places[n as usize].is_last;
    let open = if is_last { around.scope.first_open } else { state.node(n)?.before };
    (around.status == NodeStatus::Running && open > 0).then(|| Blocker {
        node: n,
        reference: name.to_owned(),
        blocked: Blocked::Steps { open },
        since: around.since,
        words: format!("`{name}` waits for {open} step{} before it", if open == 1 { "" } else { "s" }),
    })
}

#[cfg(test)]
mod tests {
    use shipway_events::{
        ConcurrencyPolicy, FlowId, ProjectId,
        plan::{Plan, PlanNode},
        run::{Aborting, Origin, Started},
    };
    use uuid::Uuid;

    use super::*;

    fn started() -> Started {
        let node = PlanNode { reference: "one".to_owned(), kind: "Noop".to_owned(), ..PlanNode::default() };
        Started {
            run: RunId::new(Uuid::nil()),
            project: ProjectId::new(Uuid::nil()),
            pipeline: None,
            flow: FlowId::new(Uuid::nil()),
            path: "shop/test".to_owned(),
            flow_version: 1,
            name: String::new(),
            description: String::new(),
            origin: Origin::Manual,
            author: None,
            parent: None,
            policy: ConcurrencyPolicy::Allow,
            rollback: None,
            plan: Plan { nodes: vec![node], ..Plan::default() },
        }
    }

    /// There is no way into such a state by events: this takes the node's turn away.
    #[test]
    fn a_run_that_nothing_moves_says_so_and_an_abort_ends_it() {
        let now = Timestamp::from_micros(1);
        let mut state = RunState::new();
        state.apply(&started().into(), now, None);
        assert!(matches!(why(&state, now)[..], [Blocker { blocked: Blocked::Slot { .. }, .. }]));
        state.agenda.fresh.clear();
        let told = why(&state, now);
        assert_eq!((told[0].blocked, told.len()), (Blocked::Nothing, 1));
        assert!(told[0].words.contains("a defect of Shipway"), "{}", told[0].words);
        let broken = invariants::check(&state).unwrap_err();
        assert_eq!(broken.name, "something_will_move_it");
        state.apply(&Aborting { reason: "stuck".to_owned(), by: None }.into(), now, None);
        assert!(state.at(0).closed, "the run ends with the next decision");
        assert!(why(&state, now).iter().all(|told| told.node != 0 || told.blocked == Blocked::Nothing));
    }
}
