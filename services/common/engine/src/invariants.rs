//! What must hold of every run at every moment, by name: checked in tests and in the running service.

use std::collections::{BTreeMap, BTreeSet};

use shipway_events::{Fence, NodeStatus, Recorded, plan::When, run::Event};

use crate::{RunState, state::Timer, why::is_explained};

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant `{name}` is broken: {what}")]
pub struct Broken {
    /// The invariant's name.
    pub name: &'static str,
    /// What was found.
    pub what: String,
}

/// An invariant of a run's state: its name and the predicate, which says what is wrong.
pub type Invariant = (&'static str, fn(&RunState) -> Result<(), String>);

/// The invariants of a run's state.
pub const STATE: &[Invariant] = &[
    ("something_will_move_it", something_will_move_it),
    ("it_says_what_it_waits_for", it_says_what_it_waits_for),
    ("ended_means_all_closed", ended_means_all_closed),
    ("nothing_starts_before_what_it_depends_on", nothing_starts_before_what_it_depends_on),
    ("the_open_attempt_has_the_highest_fence", the_open_attempt_has_the_highest_fence),
    ("bookkeeping_agrees", bookkeeping_agrees),
    ("nothing_new_starts_while_aborting", nothing_new_starts_while_aborting),
    ("a_terminal_run_holds_no_lock", a_terminal_run_holds_no_lock),
    ("a_loop_keeps_to_its_limit", a_loop_keeps_to_its_limit),
    ("a_freeze_ends_with_the_run", a_freeze_ends_with_the_run),
];

/// Checks all of [`STATE`].
///
/// # Errors
/// The first that is broken.
pub fn check(state: &RunState) -> Result<(), Broken> {
    STATE.iter().try_for_each(|(name, holds)| holds(state).map_err(|what| Broken { name, what }))
}

/// Checks what must hold of a run's events, oldest first: they start with the one start and have at most one end,
/// fences grow, every outcome carries the fence that is current, only failures count as attempts, and a node's own
/// end comes at most once.
///
/// # Errors
/// The first that is broken.
pub fn check_history(events: &[Recorded<Event>], generation: u32) -> Result<(), Broken> {
    let broken = |name, what: String| Err(Broken { name, what });
    let mut current = BTreeMap::<u32, Fence>::new();
    let mut next_attempt = BTreeMap::<u32, u32>::new();
    let mut ended_nodes = BTreeSet::new();
    let (mut ended, mut last) = (false, 0);
    for (at, recorded) in events.iter().enumerate() {
        let position = recorded.position;
        if position <= last {
            return broken("positions_grow", format!("{position} after {last}"));
        }
        last = position;
        if (at == 0) != matches!(recorded.event, Event::Started(_)) {
            return broken("one_start", format!("event {at} at {position}"));
        }
        let (node, fence, ends) = match &recorded.event {
            Event::Ended(_) if ended => return broken("one_terminal_event", format!("again at {position}")),
            Event::Ended(_) => {
                ended = true;
                continue;
            }
            Event::AttemptRequested(e) if next_attempt.get(&e.node).copied().unwrap_or(1) != e.attempt => {
                return broken("only_failures_count_as_attempts", format!("node {} at {position}", e.node));
            }
            Event::RetryScheduled(e) => {
                next_attempt.insert(e.node, e.attempt);
                continue;
            }
            Event::AttemptRequested(e) => {
                current.insert(e.node, Fence::new(generation, position));
                continue;
            }
            Event::NodeStarted(e) => (e.node, Some(e.fence), true),
            Event::NodeSucceeded(e) => (e.node, e.fence, true),
            Event::NodeFailed(e) => (e.node, e.fence, true),
            Event::NodeSkipped(e) => (e.node, None, true),
            Event::NodeAborted(e) => (e.node, e.fence, true),
            Event::AttemptFailed(e) => (e.node, e.fence, false),
            Event::AttemptLost(e) => (e.node, Some(e.fence), false),
            Event::NodeUnknown(e) => (e.node, Some(e.fence), false),
            Event::NodeEndedLater(e) => (e.node, Some(e.fence), false),
            _ => continue,
        };
        if fence.is_some() && fence != current.get(&node).copied() {
            return broken("only_the_current_fence_counts", format!("node {node} at {position}"));
        }
        if ends && (ended || !ended_nodes.insert(node)) {
            return broken("a_node_ends_once", format!("node {node} at {position}"));
        }
    }
    Ok(())
}

/// A run that has not ended has an open attempt, a timer, a ready node, a run of another flow, a person or its lane that
/// will move it; one that has ended and is not over, too.
pub(crate) fn something_will_move_it(state: &RunState) -> Result<(), String> {
    let moved = !state.open.is_empty()
        || !state.timers.is_empty()
        || state.ready().next().is_some()
        || !state.held.is_empty()
        || !state.asking.is_empty()
        || !state.children.is_empty()
        || state.waits_for_lane();
    match state.started().is_none() || state.ended().is_some() || moved {
        true => Ok(()),
        false => Err(format!("the run is {} and nothing will move it", state.status())),
    }
}

/// Whoever asks why a run that goes on is not done is told something.
fn it_says_what_it_waits_for(state: &RunState) -> Result<(), String> {
    let goes_on = state.started().is_some() && state.ended().is_none();
    match !goes_on || is_explained(state) {
        true => Ok(()),
        false => Err(format!("the run is {} and says nothing of what it waits for", state.status())),
    }
}

/// Only a run that goes on can be held by a freeze, and what waits for its end waits for one that is known.
fn a_freeze_ends_with_the_run(state: &RunState) -> Result<(), String> {
    match (state.frozen(), state.ended().is_some(), state.agenda.frozen.first()) {
        (Some(freeze), true, _) => Err(format!("the freeze `{}` holds a run that has ended", freeze.name)),
        (None, _, Some(node)) => Err(format!("node {node} waits for the end of a freeze, and there is none")),
        _ => Ok(()),
    }
}

fn ended_means_all_closed(state: &RunState) -> Result<(), String> {
    if state.ended().is_none() {
        return Ok(());
    }
    let open =
        |(_, node): &(u32, &crate::NodeState)| !node.closed || (node.attempt.is_some() && !node.trailing);
    match (0..).zip(state.nodes()).find(open) {
        None => Ok(()),
        Some((n, node)) => Err(format!("the run has ended and node {n} is {}", node.status)),
    }
}

fn nothing_starts_before_what_it_depends_on(state: &RunState) -> Result<(), String> {
    for (n, node) in (0_u32..).zip(state.nodes()) {
        let began = node.attempts > 0 || node.status == NodeStatus::Running;
        let Some(plan) = state.plan_node(n).filter(|_| began) else { continue };
        if node.before > 0 {
            return Err(format!("node {n} began before {} of its siblings ended", node.before));
        }
        let Some(parent) = plan.parent else { continue };
        let around = &state.nodes()[parent as usize];
        if around.started_at.is_none() {
            return Err(format!("node {n} began before its workflow {parent} was entered"));
        }
        if state.shape.places[n as usize].is_last && around.scope.first_open > 0 {
            return Err(format!("node {n} began before the steps that come first in {parent}"));
        }
        if plan.when == When::Success && node.tainted {
            return Err(format!("node {n} began although a step before it had failed"));
        }
    }
    Ok(())
}

fn the_open_attempt_has_the_highest_fence(state: &RunState) -> Result<(), String> {
    for (n, node) in (0_u32..).zip(state.nodes()) {
        let past = node.past.iter().map(|(fence, _)| *fence).max();
        let open = node.attempt.as_ref().and_then(|attempt| attempt.fence);
        if let (Some(past), Some(open)) = (past, open)
            && past >= open
        {
            return Err(format!("node {n} had fence {past} and now has {open}"));
        }
    }
    Ok(())
}

fn bookkeeping_agrees(state: &RunState) -> Result<(), String> {
    let mut counts = [0; NodeStatus::ALL.len()];
    let waiting: BTreeSet<u32> = state.agenda.iter().chain(state.timers.iter().map(|(_, n, _)| *n)).collect();
    for (n, node) in (0_u32..).zip(state.nodes()) {
        if state.is_leaf(n) {
            counts[node.status as usize] += 1;
        }
        if node.attempt.is_some() != state.open.contains(&n) {
            return Err(format!("node {n} is open in one place and not in another"));
        }
        let idle = [&state.asking, &state.watching, &state.children].iter().any(|set| set.contains(&n));
        if node.closed && idle {
            return Err(format!("node {n} has ended and still waits for somebody"));
        }
        if node.closed && !node.trailing && waiting.contains(&n) {
            return Err(format!("node {n} has ended and still waits for a slot or a time"));
        }
    }
    if counts != state.counts {
        return Err(format!("the counts are {:?} and should be {counts:?}", state.counts));
    }
    let timer = |(_, n, timer): &&(_, u32, Timer)| *timer == Timer::Due && state.open.contains(n);
    match state.timers.iter().find(timer) {
        Some((_, n, _)) => Err(format!("node {n} runs and waits for its next attempt at once")),
        None => Ok(()),
    }
}

fn nothing_new_starts_while_aborting(state: &RunState) -> Result<(), String> {
    if state.aborting().is_none() {
        return Ok(());
    }
    for (n, node) in (0_u32..).zip(state.nodes()) {
        let runs = node.attempt.as_ref().is_some_and(|attempt| !attempt.stopping) && !node.trailing;
        if runs && state.cancelled(n).is_some() && !state.is_spared(n) {
            return Err(format!("node {n} runs on although its run is aborting"));
        }
    }
    Ok(())
}

/// What has ended has given its locks back, and waits for none.
fn a_terminal_run_holds_no_lock(state: &RunState) -> Result<(), String> {
    let keeps = |n: &&u32| state.holds_locks(**n) || state.agenda.locked.contains(n);
    match state.locking.iter().find(keeps).filter(|_| state.ended().is_some()) {
        Some(n) => Err(format!("the run has ended and node {n} has or wants a lock")),
        None => Ok(()),
    }
}

/// Of a parallel loop at most so many iterations go on at once as it says.
fn a_loop_keeps_to_its_limit(state: &RunState) -> Result<(), String> {
    for (n, place) in (0_u32..).zip(&state.shape.places) {
        let Some(limit) = place.workflow.as_ref().and_then(|workflow| workflow.limit) else { continue };
        let goes_on = |step: &&u32| {
            let step = &state.nodes()[**step as usize];
            !step.closed && step.status != NodeStatus::Pending
        };
        let going_on = state.steps(n).iter().filter(goes_on).count();
        if going_on > limit as usize {
            return Err(format!("{going_on} iterations of node {n} go on, and its limit is {limit}"));
        }
    }
    Ok(())
}
