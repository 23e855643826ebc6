//! What executors are told of attempts.

use shipway_contracts::v1;
use shipway_engine::{OpenAttempt, RunState};
use shipway_eventing::log::Log;
use shipway_events::{Fence, RunId, run};
use shipway_service_kit::current_trace;

use crate::registry::{Bell, Registry};

/// Tells executors what the log says that they do.
pub(super) async fn ring_all(
    log: &dyn Log,
    registry: &Registry,
    state: &RunState,
    told: impl Fn(&OpenAttempt<'_>) -> v1::Assignment,
) {
    for open in state.open_attempts() {
        let bell = match open.attempt.stopping {
            true => Bell::Stop(open.fence),
            false => Bell::Assign(traced(log, told(&open)).await),
        };
        registry.ring(open.attempt.executor, bell);
    }
}

/// An attempt with the trace of what it follows from. A state does not have it, but the log does; whoever hears of the
/// attempt only now points to it all the same. Nothing is read where nothing is traced.
pub(crate) async fn traced(log: &dyn Log, assignment: v1::Assignment) -> v1::Assignment {
    if current_trace().is_none() {
        return assignment;
    }
    let before = Fence::from_raw(assignment.fence).position().saturating_sub(1);
    // A trace that cannot be read is one that points to nothing.
    let request = log.read(before, 1).await.ok().and_then(|events| events.into_iter().next());
    let trace = request.and_then(|request| request.meta.trace).unwrap_or_default();
    v1::Assignment { trace, ..assignment }
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
