//! What follows what in a plan: computed once when the run starts.

use std::collections::{BTreeMap, BTreeSet};

use shipway_events::plan::{Plan, PlanNode, When};

use crate::loops::{body_as_plan, limit};

/// A plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node} of the plan {reason}")]
pub struct BadPlan {
    /// The node's index.
    pub node: u32,
    /// What is wrong with it.
    pub reason: String,
}

/// How the steps of a workflow follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// One after another.
    Sequential,
    /// Side by side; those for failures and clean-up (`when`) after all the others have ended.
    Parallel,
    /// By `dependsOn`.
    Graph,
}

/// A workflow's part of the shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workflow {
    pub(crate) order: Order,
    /// The first failure stops the other steps of a parallel workflow.
    pub(crate) fail_fast: bool,
    pub(crate) children: Vec<u32>,
    /// The steps that start at once.
    pub(crate) first: Vec<u32>,
    /// Of a parallel workflow: the steps that start when all others have ended.
    pub(crate) last: Vec<u32>,
    /// Of a parallel loop: how many iterations go on at once, if that is limited.
    pub(crate) limit: Option<u32>,
}

/// A node's part of the shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// None for leaves.
    pub(crate) workflow: Option<Workflow>,
    /// How many siblings come first.
    pub(crate) before: u32,
    /// The siblings that come after this one.
    pub(crate) after: Vec<u32>,
    /// It is among the last steps of a parallel workflow.
    pub(crate) is_last: bool,
    /// The workflow of the iteration that it is in, the innermost; none outside of loops.
    pub(crate) scope: Option<u32>,
}

/// Every node's place, and where a reference points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) places: Vec<Place>,
    /// The names of nodes, by the iteration that they are in.
    pub(crate) scopes: BTreeMap<Option<u32>, BTreeMap<String, u32>>,
}

impl Shape {
    /// The shape of a plan that [`check`] has accepted; what it would refuse is left out.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut shape = Self::default();
        shape.extend(&plan.nodes, 0);
        shape
    }

    /// Adds the nodes from the index `from` on; they may be steps of earlier ones.
    pub(crate) fn extend(&mut self, nodes: &[PlanNode], from: usize) {
        self.places.extend(nodes[from..].iter().map(place));
        let mut changed: BTreeSet<usize> = (from..nodes.len()).collect();
        for (node, at) in nodes.iter().zip(0_u32..).skip(from) {
            let parent = node.parent.filter(|parent| *parent < at);
            let scope = parent.and_then(|parent| self.scope_inside(nodes, parent));
            self.places[at as usize].scope = scope;
            self.scopes.entry(scope).or_default().insert(node.reference.clone(), at);
            let Some(parent) = parent else { continue };
            let Some(workflow) = self.places[parent as usize].workflow.as_mut() else { continue };
            changed.insert(parent as usize);
            let previous = workflow.children.last().copied();
            workflow.children.push(at);
            let before: Vec<u32> = match workflow.order {
                Order::Sequential => previous.into_iter().collect(),
                Order::Parallel => Vec::new(),
                Order::Graph => node.depends_on.clone(),
            };
            for earlier in before {
                if let Some(place) = self.places.get_mut(earlier as usize) {
                    place.after.push(at);
                    self.places[at as usize].before += 1;
                }
            }
        }
        for at in changed {
            let Some(mut workflow) = self.places[at].workflow.take() else { continue };
            let plain = |child: &u32| nodes[*child as usize].when == When::Success;
            let free = |child: &u32| self.places[*child as usize].before == 0;
            if workflow.order == Order::Parallel && workflow.children.iter().any(plain) {
                (workflow.first, workflow.last) = workflow.children.iter().partition(|child| plain(child));
            } else {
                workflow.first = workflow.children.iter().copied().filter(free).collect();
            }
            for last in &workflow.last {
                self.places[*last as usize].is_last = true;
            }
            self.places[at].workflow = Some(workflow);
        }
    }

    /// The iteration that the steps of a node are in.
    fn scope_inside(&self, nodes: &[PlanNode], node: u32) -> Option<u32> {
        let around = nodes[node as usize].parent.and_then(|around| nodes.get(around as usize));
        if around.is_some_and(is_loop) { Some(node) } else { self.places[node as usize].scope }
    }
}

/// Checks what the engine relies on.
///
/// # Errors
/// If nodes do not form one tree with parents first, if a workflow has an unknown type, or if `dependsOn` names
/// other nodes than siblings or goes in a circle.
pub(crate) fn check(plan: &Plan) -> Result<(), BadPlan> {
    let bad = |node: u32, reason: String| Err(BadPlan { node, reason });
    if plan.nodes.is_empty() {
        return bad(0, "is missing: a run needs at least its root".to_owned());
    }
    for (node, at) in plan.nodes.iter().zip(0_u32..) {
        match node.parent {
            None if at > 0 => return bad(at, "has no parent and is not the root".to_owned()),
            Some(parent) if parent >= at => return bad(at, format!("comes before its parent {parent}")),
            Some(parent) if !is_workflow(&plan.nodes[parent as usize]) => {
                return bad(at, format!("is a step of node {parent}, which is no workflow"));
            }
            Some(parent) if is_loop(&plan.nodes[parent as usize]) => {
                return bad(at, format!("is a step of the loop {parent} and not in its body"));
            }
            _ => {}
        }
        if is_loop(node)
            && let Err(inside) = check(&Plan { nodes: body_as_plan(node), ..Plan::default() })
        {
            return bad(at, format!("has a body whose node {} {}", inside.node.max(1) - 1, inside.reason));
        }
        if is_workflow(node) && order(node).is_none() {
            let kind = &node.spec["type"];
            return bad(at, format!("has the workflow type {kind}; use `sequential`, `parallel` or `graph`"));
        }
        let sibling = |other: &u32| plan.nodes.get(*other as usize).is_some_and(|n| n.parent == node.parent);
        if let Some(other) = node.depends_on.iter().find(|other| !sibling(other)) {
            return bad(at, format!("depends on node {other}, which is not a step of the same workflow"));
        }
    }
    let places = Shape::of(plan).places;
    let mut before: Vec<u32> = places.iter().map(|place| place.before).collect();
    let mut free: Vec<u32> =
        (0..).zip(&before).filter(|(_, before)| **before == 0).map(|(at, _)| at).collect();
    while let Some(at) = free.pop() {
        for after in &places[at as usize].after {
            before[*after as usize] -= 1;
            if before[*after as usize] == 0 {
                free.push(*after);
            }
        }
    }
    match (0..).zip(&before).find(|(_, before)| **before > 0) {
        Some((at, _)) => bad(at, "depends on itself through `dependsOn`".to_owned()),
        None => Ok(()),
    }
}

fn place(node: &PlanNode) -> Place {
    let workflow = is_workflow(node).then(|| Workflow {
        order: order(node).unwrap_or(Order::Sequential),
        fail_fast: node.spec.get("failFast").and_then(serde_json::Value::as_bool).unwrap_or(false),
        children: Vec::new(),
        first: Vec::new(),
        last: Vec::new(),
        limit: limit(node),
    });
    Place { workflow, ..Place::default() }
}

/// Whether a node has steps.
pub(crate) fn is_workflow(node: &PlanNode) -> bool {
    node.kind == "Workflow" || is_loop(node)
}

/// Whether its steps are made when it is entered.
pub(crate) fn is_loop(node: &PlanNode) -> bool {
    node.kind == "LoopWorkflow"
}

fn order(node: &PlanNode) -> Option<Order> {
    match node.spec.get("type").and_then(serde_json::Value::as_str) {
        Some("sequential") => Some(Order::Sequential),
        Some("parallel") => Some(Order::Parallel),
        Some("graph") if !is_loop(node) => Some(Order::Graph),
        None if is_loop(node) => Some(Order::Sequential),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(kind: &str, parent: Option<u32>, depends_on: &[u32]) -> PlanNode {
        let spec = json!({ "type": "graph" });
        PlanNode {
            kind: kind.to_owned(),
            parent,
            spec,
            depends_on: depends_on.to_vec(),
            runs_on: Vec::new(),
            ..PlanNode::default()
        }
    }

    fn refusal(nodes: Vec<PlanNode>) -> String {
        check(&Plan { nodes, ..Plan::default() }).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused_with_the_reason() {
        let root = || node("Workflow", None, &[]);
        assert_eq!(refusal(vec![]), "node 0 of the plan is missing: a run needs at least its root");
        let two_roots = refusal(vec![root(), node("Noop", None, &[])]);
        assert_eq!(two_roots, "node 1 of the plan has no parent and is not the root");
        let backwards = refusal(vec![root(), node("Noop", Some(2), &[]), root()]);
        assert_eq!(backwards, "node 1 of the plan comes before its parent 2");
        let leaf = refusal(vec![root(), node("Noop", Some(0), &[]), node("Noop", Some(1), &[])]);
        assert_eq!(leaf, "node 2 of the plan is a step of node 1, which is no workflow");
        let circle = refusal(vec![root(), node("Noop", Some(0), &[2]), node("Noop", Some(0), &[1])]);
        assert_eq!(circle, "node 1 of the plan depends on itself through `dependsOn`");
        let stranger = refusal(vec![root(), node("Noop", Some(0), &[0])]);
        assert_eq!(
            stranger,
            "node 1 of the plan depends on node 0, which is not a step of the same workflow"
        );
        let odd = PlanNode { spec: json!({ "type": "odd" }), ..root() };
        let odd = refusal(vec![odd]);
        assert!(odd.starts_with("node 0 of the plan has the workflow type \"odd\""), "{odd}");
    }
}
