//! Locks that are held above a run until it has ended: a node that needs one of them would wait for ever.

use shipway_documents::{Code, Problem, Problems, flow::is_skipped, is_expression};
use shipway_events::{ProjectId, plan::PlanNode, run::HeldLock};

/// What is wrong with a run whose nodes need locks that are held by who waits for it.
pub(super) fn check(nodes: &[PlanNode], project: ProjectId, held: &[HeldLock]) -> Problems {
    let mut problems = Problems::new();
    let held: Vec<&HeldLock> = held.iter().filter(|lock| lock.project == project).collect();
    if !held.is_empty() {
        within(nodes, &held, &mut problems);
    }
    problems
}

fn within(nodes: &[PlanNode], held: &[&HeldLock], problems: &mut Problems) {
    let mut skipped = vec![false; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        let around = node.parent.and_then(|parent| skipped.get(parent as usize).copied());
        let own = node.skip.as_ref().is_some_and(|skip| !is_expression(skip) && is_skipped(skip));
        skipped[at] = own || around == Some(true);
        if skipped[at] {
            continue;
        }
        for lock in held.iter().filter(|lock| node.locks.contains(&lock.name)) {
            let HeldLock { name, run, flow, node: holder, .. } = lock;
            let message = format!(
                "`{}` needs the lock `{name}`, which `{holder}` of {flow} (run {run}) holds until this run has ended",
                node.reference
            );
            let problem = Problem::error(format!("{}/locks", node.pointer), message).code(Code::LockHeld);
            problems.push(problem.help(
                "take the lock out of one of the two flows, or do not wait for this run: leave the `condition` of the \
                 `RunTemplate` away",
            ));
        }
        within(&node.body, held, problems);
    }
}
