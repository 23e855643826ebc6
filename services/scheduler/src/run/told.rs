//! What executors are told of attempts.

use shipway_contracts::v1;
use shipway_engine::{OpenAttempt, RunState};
use shipway_events::{Fence, RunId, run};

use crate::registry::{Bell, Registry};

/// Tells executors what the log says that they do.
pub(super) fn ring_all(
    registry: &Registry,
    state: &RunState,
    told: impl Fn(&OpenAttempt<'_>) -> v1::Assignment,
) {
    for open in state.open_attempts() {
        let bell = match open.attempt.stopping {
            true => Bell::Stop(open.fence),
            false => Bell::Assign(told(&open)),
        };
        registry.ring(open.attempt.executor, bell);
    }
}

/// An attempt as its executor is told of it.
pub(crate) fn assignment(
    state: &RunState,
    run: RunId,
    request: &run::AttemptRequested,
    fence: Fence,
) -> v1::Assignment {
    v1::Assignment {
        run: run.to_string(),
        node: request.node,
        attempt: request.attempt,
        fence: fence.raw(),
        effect: request.effect.to_string(),
        effect_key: effect_key(run, request.node),
        work_json: request.work.to_string(),
        deadline: request.deadline.map_or(0, shipway_events::Timestamp::micros),
        detached: request.detached,
        trace: String::new(),
        project: project(state),
        registration: request.registration.to_string(),
        labels: labels(state, request.node),
        ..v1::Assignment::default()
    }
}

/// An open attempt as its executor is told of it again.
pub(crate) fn offer(state: &RunState, run: RunId, open: &OpenAttempt<'_>) -> v1::Assignment {
    v1::Assignment {
        run: run.to_string(),
        node: open.node,
        attempt: open.attempt.number,
        fence: open.fence.raw(),
        effect: open.attempt.effect.to_string(),
        effect_key: effect_key(run, open.node),
        work_json: open.attempt.work.to_string(),
        deadline: open.attempt.deadline.map_or(0, shipway_events::Timestamp::micros),
        detached: open.attempt.detached,
        project: project(state),
        registration: open.attempt.registration.to_string(),
        labels: labels(state, open.node),
        ..v1::Assignment::default()
    }
}

/// The labels that a node asks for.
pub(crate) fn labels(state: &RunState, node: u32) -> Vec<String> {
    let plan = state.started().and_then(|started| started.plan.nodes.get(node as usize));
    plan.map(|plan| plan.runs_on.clone()).unwrap_or_default()
}

fn project(state: &RunState) -> String {
    state.started().map(|started| started.project.to_string()).unwrap_or_default()
}

/// Stable over all attempts of a node.
pub(crate) fn effect_key(run: RunId, node: u32) -> String {
    format!("{run}/{node}")
}
