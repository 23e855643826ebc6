//! Loops: a plan that grows. A loop's steps stand in the plan as its body; when the loop is entered, each iteration
//! becomes a workflow with copies of them, added to the end of the plan, so that indexes stay what they are.

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Map, Value, json};
use shipway_events::{
    NodeStatus, Timestamp,
    plan::PlanNode,
    run::{self, NodeError},
};

use crate::{
    RunState,
    decide::Decision,
    flow::Op,
    shape::{is_loop, is_workflow},
    state::NodeState,
};

/// A run has at most so many nodes, those of its loops included.
pub(crate) const MAX_NODES: usize = 10_000;

/// Where an iteration's workflow keeps what it is about.
const DATA: &str = "data";

/// The nodes that a loop becomes, `first` being the index of the first of them: for each iteration a workflow, and under
/// it the loop's body.
fn unrolled(plan: &PlanNode, node: u32, iterations: &[Value], first: u32) -> Vec<PlanNode> {
    let mut nodes = Vec::with_capacity(iterations.len() * (1 + plan.body.len()));
    for (data, number) in iterations.iter().zip(0_u32..) {
        let around = first + u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        nodes.push(PlanNode {
            reference: format!("{}[{number}]", plan.reference),
            kind: "Workflow".to_owned(),
            parent: Some(node),
            pointer: plan.pointer.clone(),
            spec: json!({ "type": "sequential", DATA: data }),
            interruptible: plan.interruptible,
            ..PlanNode::default()
        });
        nodes.extend(plan.body.iter().map(|step| PlanNode {
            parent: Some(step.parent.map_or(around, |parent| around + 1 + parent)),
            depends_on: step.depends_on.iter().map(|other| around + 1 + other).collect(),
            ..step.clone()
        }));
    }
    nodes
}

/// A loop's body as a plan of its own, so that it can be checked like one.
pub(crate) fn body_as_plan(node: &PlanNode) -> Vec<PlanNode> {
    let mut nodes = unrolled(node, 0, &[Value::Null], 0);
    if let Some(root) = nodes.first_mut() {
        root.parent = None;
    }
    nodes
}

impl Decision<'_> {
    /// A loop's turn has come: its iterations are found out and pinned.
    pub(crate) fn enter_loop(&mut self, node: u32) {
        let iterations = match self.language.iterations(self.state, node) {
            Ok(iterations) => iterations,
            Err(error) => return self.record(run::NodeFailed { node, fence: None, error }),
        };
        let each = 1 + self.state.plan_node(node).map_or(0, |plan| plan.body.len());
        let all = iterations.len().saturating_mul(each).saturating_add(self.state.nodes.len());
        if all > MAX_NODES {
            let message = format!(
                "with {} iterations of {each} nodes the run would have {all} nodes; a run has at most {MAX_NODES}. \
                 Loop over less, or start runs of another flow in the loop",
                iterations.len()
            );
            let error = NodeError { code: "too_many_nodes".to_owned(), message, transient: false };
            return self.record(run::NodeFailed { node, fence: None, error });
        }
        self.record(run::LoopEntered { node, iterations });
    }
}

impl RunState {
    /// A loop's iterations are nodes from now on.
    pub(crate) fn grow(&mut self, event: &run::LoopEntered, at: Timestamp, ops: &mut VecDeque<Op>) {
        let first = self.nodes.len();
        let Some(plan) = self.plan_node(event.node).filter(|plan| is_loop(plan)) else { return };
        let added = unrolled(plan, event.node, &event.iterations, u32::try_from(first).unwrap_or(u32::MAX));
        let Some(started) = self.started.as_mut() else { return };
        let nodes = &mut Arc::make_mut(started).plan.nodes;
        nodes.extend(added);
        Arc::make_mut(&mut self.shape).extend(nodes, first);
        let places = &self.shape.places[first..];
        self.nodes.extend(places.iter().map(|place| NodeState::new(place.before, at)));
        let leaves = places.iter().filter(|place| place.workflow.is_none()).count();
        self.counts[NodeStatus::Pending as usize] += u32::try_from(leaves).unwrap_or(u32::MAX);
        self.agenda.remove(event.node);
        self.enter(event.node, at, ops);
    }

    /// The node that a reference (`${refs.<reference>…}`) means in the specification of `from`: the one of its own
    /// iteration if it is in a loop that has one of that name, else the one around.
    #[must_use]
    pub fn node_meant(&self, from: u32, reference: &str) -> Option<u32> {
        let mut scope = self.shape.places.get(from as usize)?.scope;
        loop {
            if let Some(node) = self.shape.scopes.get(&scope).and_then(|names| names.get(reference)) {
                return Some(*node);
            }
            scope = self.shape.places[scope? as usize].scope;
        }
    }

    /// What the iteration around a node is about; none outside of loops.
    #[must_use]
    pub fn iteration_of(&self, node: u32) -> Option<&Value> {
        let around = self.shape.places.get(node as usize)?.scope?;
        self.plan_node(around)?.spec.get(DATA)
    }

    /// Whether a node is a loop.
    #[must_use]
    pub fn is_loop(&self, node: u32) -> bool {
        self.plan_node(node).is_some_and(is_loop)
    }

    /// What a loop's iterations have put out, for `${refs.<loop>.iterations.<n>.<ref>…}`; none for a loop that has not
    /// ended, or was not entered.
    #[must_use]
    pub fn loop_outputs(&self, node: u32) -> Option<Map<String, Value>> {
        let state = self.node(node)?;
        if !self.is_loop(node) || !state.closed || state.started_at.is_none() {
            return None;
        }
        let iterations: Vec<Value> = self.steps(node).iter().map(|at| self.iteration_outputs(*at)).collect();
        Some(Map::from_iter([("iterations".to_owned(), iterations.into())]))
    }

    fn iteration_outputs(&self, iteration: u32) -> Value {
        let names = self.shape.scopes.get(&Some(iteration)).into_iter().flatten();
        let outputs = names.filter_map(|(name, node)| {
            let outputs =
                self.loop_outputs(*node).or_else(|| self.node(*node)?.outputs.as_deref().cloned())?;
            Some((name.clone(), Value::Object(outputs)))
        });
        Value::Object(outputs.collect())
    }

    /// A node's name among all nodes of the run: `per-region[0].warm` for `warm` in a loop's first iteration.
    #[must_use]
    pub fn name_of(&self, node: u32) -> String {
        let Some(plan) = self.plan_node(node) else { return String::new() };
        match self.shape.places[node as usize].scope {
            None => plan.reference.clone(),
            // The iteration itself is named after its loop.
            Some(around) => format!("{}.{}", self.name_of(around), plan.reference),
        }
    }

    /// The node of that name ([`RunState::name_of`]).
    #[must_use]
    pub fn node_by_name(&self, name: &str) -> Option<u32> {
        let mut scope = None;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            let node = *self.shape.scopes.get(&scope)?.get(part)?;
            if parts.peek().is_none() {
                return Some(node);
            }
            scope = Some(node);
        }
        None
    }
}

/// The steps that a workflow lets go on at once, if it limits them.
pub(crate) fn limit(node: &PlanNode) -> Option<u32> {
    let most = is_workflow(node).then(|| node.spec.get("maxParallel")).flatten()?;
    let most = most.as_u64().or_else(|| most.as_str()?.trim().parse().ok())?;
    Some(u32::try_from(most).unwrap_or(u32::MAX).max(1))
}
