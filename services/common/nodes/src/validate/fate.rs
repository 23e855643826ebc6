//! Nodes that never run, and workflows that do nothing.

use shipway_documents::{
    Code, Problem, Problems,
    flow::{Flow, Node},
    pointer,
};
use shipway_events::plan::When;

use super::{
    index::{Index, Steps},
    order::always_skipped,
};

pub(super) fn check(flow: &Flow, index: &Index<'_>, problems: &mut Problems) {
    for (at, item) in index.all() {
        let node = item.node;
        if always_skipped(index, at) {
            let place = pointer::join(&node.pointer, "skipNodeExecution");
            problems.push(
                Problem::warning(place, format!("this is always true: `{}` never runs", node.reference))
                    .code(Code::SkipConstant)
                    .help("take the node away, or let an argument decide: `${args.…}`"),
            );
        }
        let place = pointer::join(&node.spec_pointer(), "steps");
        if is_workflow(node) && node.children.is_empty() && is_empty_list(flow, &place) {
            let what = if at == 0 { "the flow" } else { "this workflow" };
            problems.push(
                Problem::warning(place, format!("{what} has no steps: it does nothing"))
                    .code(Code::WorkflowEmpty)
                    .help("list what it shall do, or take it away"),
            );
        }
        if node.kind == "LoopData" && loop_around(index, at).is_none() {
            problems.push(
                Problem::error(pointer::join(&node.pointer, "kind"), "`LoopData` stands in no loop")
                    .code(Code::LoopData)
                    .help("put it into the `steps` of a `LoopWorkflow`"),
            );
        }
        if node.when == When::Failure && nothing_before(index, at) {
            let problem = Problem::error(
                pointer::join(&node.pointer, "when"),
                format!("`{}` never runs: nothing comes before it that could fail", node.reference),
            );
            problems.push(problem.code(Code::NodeUnreachable).help(match item.parent {
                None => "take `when` away",
                Some(parent) => match index.steps(parent) {
                    Steps::Sequential => "put it after the steps whose failure it is for",
                    Steps::Parallel => "put the steps whose failure it is for beside it",
                    Steps::Graph => "name the steps whose failure it is for: `dependsOn: […]`",
                },
            }));
        }
    }
}

/// The innermost loop around a node.
pub(super) fn loop_around<'a>(index: &Index<'a>, at: u32) -> Option<&'a Node> {
    let mut around = index.outwards(at).skip(1).map(|at| index.get(at).node);
    around.find(|node| node.kind == "LoopWorkflow")
}

fn is_workflow(node: &Node) -> bool {
    matches!(node.kind.as_str(), "Workflow" | "LoopWorkflow")
}

/// Whether the document says so itself: steps that could not be read are steps.
fn is_empty_list(flow: &Flow, steps: &str) -> bool {
    flow.value.pointer(steps).and_then(serde_json::Value::as_array).is_some_and(Vec::is_empty)
}

/// Whether no step that could fail comes before this one.
fn nothing_before(index: &Index<'_>, at: u32) -> bool {
    let item = index.get(at);
    let Some(parent) = item.parent else { return true };
    let steps = &index.get(parent).children;
    let is_plain = |step: u32| index.get(step).node.when != When::Failure;
    match index.steps(parent) {
        // Only the first for failures is looked at: one before it would be as unreachable.
        Steps::Sequential => !steps.iter().take(item.place as usize).any(|step| is_plain(*step)),
        Steps::Parallel => !steps.iter().any(|step| index.get(*step).node.when == When::Success),
        Steps::Graph => item.node.depends_on.is_empty(),
    }
}
