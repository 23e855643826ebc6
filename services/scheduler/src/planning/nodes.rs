//! The nodes of a plan: what the document says of each, with everything resolved that can be.

use std::collections::BTreeMap;

use serde_json::Value;
use shipway_contracts::v1;
use shipway_documents::{
    Problem, Problems,
    expr::resolve_partly,
    flow::{Flow, Node},
};
use shipway_events::plan::PlanNode;

use super::{Start, shown};

/// Plans every node of a flow: the root first, parents before their children. The steps of a loop are its body.
pub(super) fn nodes(flow: &Flow, scope: &Start<'_>) -> Result<Vec<PlanNode>, Vec<v1::Problem>> {
    let mut planner = Planner { scope, problems: Problems::new() };
    let mut nodes = Vec::new();
    planner.place(&flow.root, None, &mut nodes);
    if planner.problems.has_errors() { Err(shown(&planner.problems)) } else { Ok(nodes) }
}

struct Planner<'a> {
    scope: &'a Start<'a>,
    problems: Problems,
}

impl Planner<'_> {
    fn place(&mut self, node: &Node, parent: Option<u32>, nodes: &mut Vec<PlanNode>) {
        let at = nodes.len();
        let planned = self.node(node, parent);
        nodes.push(planned);
        let index = u32::try_from(at).ok();
        if node.kind == "LoopWorkflow" {
            let mut body = Vec::new();
            self.steps(node, None, &mut body);
            nodes[at].body = body;
        } else {
            self.steps(node, index, nodes);
        }
    }

    /// Places the steps of a node, and then says which of them wait for which.
    fn steps(&mut self, node: &Node, parent: Option<u32>, nodes: &mut Vec<PlanNode>) {
        let mut places = BTreeMap::new();
        for step in &node.children {
            places.insert(step.reference.as_str(), nodes.len());
            self.place(step, parent, nodes);
        }
        for step in node.children.iter().filter(|step| !step.depends_on.is_empty()) {
            for name in &step.depends_on {
                match places.get(name.as_str()).and_then(|at| u32::try_from(*at).ok()) {
                    Some(other) => nodes[places[step.reference.as_str()]].depends_on.push(other),
                    None => self.problems.push(
                        Problem::error(
                            format!("{}/dependsOn", step.pointer),
                            format!("no step beside `{}` is called `{name}`", step.reference),
                        )
                        .suggest(name, places.keys().copied()),
                    ),
                }
            }
        }
    }

    fn node(&mut self, node: &Node, parent: Option<u32>) -> PlanNode {
        let at = |name: &str| format!("{}/{name}", node.pointer);
        let spec = self.resolved(&node.spec, &at("spec"));
        let skip = node.skip.as_ref().map(|skip| self.resolved(skip, &at("skipNodeExecution")));
        let timeout = node.timeout.as_ref().map(|timeout| self.resolved(timeout, &at("timeoutDuration")));
        PlanNode {
            reference: node.reference.clone(),
            kind: node.kind.clone(),
            parent,
            pointer: node.pointer.clone(),
            spec,
            condition: node.condition.clone(),
            timeout_seconds: timeout.and_then(|timeout| self.seconds(&timeout, node)),
            retry: node.retry.clone(),
            when: node.when,
            skip,
            effect: node.effect,
            interruptible: node.interruptible,
            depends_on: Vec::new(),
            runs_on: node.runs_on.clone(),
            locks: Vec::new(),
            body: Vec::new(),
        }
    }

    fn resolved(&mut self, value: &Value, pointer: &str) -> Value {
        match resolve_partly(value, self.scope, pointer) {
            Ok(value) => value,
            Err(found) => {
                self.problems.extend(found);
                Value::Null
            }
        }
    }

    /// A timeout in seconds, after arguments: 30 to 14,400.
    fn seconds(&mut self, timeout: &Value, node: &Node) -> Option<u32> {
        let number = timeout.as_u64().or_else(|| timeout.as_str()?.trim().parse().ok());
        match number.and_then(|number| u32::try_from(number).ok()) {
            Some(seconds) if (30..=14_400).contains(&seconds) => Some(seconds),
            _ => {
                let pointer = format!("{}/timeoutDuration", node.pointer);
                let message =
                    format!("`timeoutDuration` is {timeout}, not a number of seconds from 30 to 14400");
                self.problems.push(Problem::error(pointer, message));
                None
            }
        }
    }
}
