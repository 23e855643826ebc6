//! The meaning of nodes' specifications, for the engine: the documents' expressions and the kinds of nodes.

mod condition;

use std::borrow::Cow;

use serde_json::Value;
use shipway_documents::{
    Problem,
    expr::{Lookup, Place, Scope, resolve},
    secret, truthy,
};
use shipway_engine::{Candidate, Language, RunState, Step};
use shipway_events::{
    FlowId, NodeStatus, SecretRef, Timestamp,
    plan::Plan,
    run::{NodeError, Origin, Started},
};
use shipway_nodes::{StepContext, find};

use crate::secrets;

/// Documents' expressions and the list of kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Documents;

impl Language for Documents {
    fn step(&self, state: &RunState, node: u32) -> Result<Step, NodeError> {
        let (plan, planned) = state.plan().zip(state.plan_node(node)).ok_or_else(|| gone(node))?;
        let started = state.started().ok_or_else(|| gone(node))?;
        let scope = Outputs { state, plan, node, flow: started.flow };
        let pointer = format!("{}/spec", planned.pointer);
        if let Some(step) = condition::expression(planned, &scope, &pointer) {
            return step;
        }
        let spec = resolve(&planned.spec, &scope, &pointer).map_err(unresolved)?;
        let kind = find(&planned.kind).ok_or_else(|| gone(node))?;
        let mut builds = Cow::Borrowed(&plan.builds);
        if !state.builds().is_empty() {
            builds
                .to_mut()
                .extend(state.builds().iter().map(|(id, artifact)| (id.clone(), artifact.clone())));
        }
        let mut backups = Cow::Borrowed(&plan.backups);
        if !state.backups().is_empty() {
            backups.to_mut().extend(state.backups().iter().map(|(id, pin)| (id.clone(), pin.clone())));
        }
        let step = kind.step(
            &spec,
            &StepContext {
                run: started.run,
                node,
                reference: &planned.reference,
                project: started.project,
                condition: planned.condition.as_deref(),
                timeout_seconds: planned.timeout_seconds,
                resources: &plan.resources,
                deployed: &plan.deployed,
                released: state.released(),
                builds: &builds,
                backups: &backups,
                iteration: state.iteration_of(node),
                fork: plan.fork.as_ref(),
                own_pull_request: own_pull_request(started.origin, plan),
            },
        )?;
        Ok(match step {
            shipway_nodes::Step::Done { outputs } => Step::Done { outputs },
            shipway_nodes::Step::Work(work) => {
                let detached = !kind.awaited(&spec, planned.condition.as_deref());
                Step::Work { work, detached }
            }
            shipway_nodes::Step::Approve { rule, timeout_seconds } => Step::Approve { rule, timeout_seconds },
            shipway_nodes::Step::Child(child) => Step::Child(child),
            shipway_nodes::Step::Await { made, timeout_seconds } => {
                condition::made(state, &made, timeout_seconds)?
            }
        })
    }

    fn iterations(&self, state: &RunState, node: u32) -> Result<Vec<Value>, NodeError> {
        let (plan, planned) = state.plan().zip(state.plan_node(node)).ok_or_else(|| gone(node))?;
        let flow = state.started().ok_or_else(|| gone(node))?.flow;
        let scope = Outputs { state, plan, node, flow };
        let spec =
            resolve(&planned.spec, &scope, &format!("{}/spec", planned.pointer)).map_err(unresolved)?;
        shipway_nodes::iterations(&spec)
    }

    fn candidates(&self, started: &Started) -> Vec<Candidate> {
        crate::holds::candidates(started)
    }

    fn truthy(&self, state: &RunState, node: u32, value: &Value) -> Result<bool, NodeError> {
        let (plan, planned) = state.plan().zip(state.plan_node(node)).ok_or_else(|| gone(node))?;
        let flow = state.started().ok_or_else(|| gone(node))?.flow;
        let scope = Outputs { state, plan, node, flow };
        let pointer = format!("{}/skipNodeExecution", planned.pointer);
        let value = resolve(value, &scope, &pointer).map_err(unresolved)?;
        if secret::is_secret(&value) {
            return Err(NodeError {
                code: "secret_steers".to_owned(),
                message: format!(
                    "{pointer}: what is skipped may not depend on a secret; use a plain argument"
                ),
                transient: false,
            });
        }
        // The reference writes the words in quotes.
        Ok(value.as_str().map_or_else(|| truthy(&value), |text| !matches!(text, "" | "false")))
    }
}

/// The names that are known when a node's turn comes.
struct Outputs<'a> {
    state: &'a RunState,
    plan: &'a Plan,
    /// The node whose turn it is: in a loop, names mean the nodes of its iteration.
    node: u32,
    flow: FlowId,
}

impl Scope for Outputs<'_> {
    fn arg(&self, name: &str) -> Lookup<'_> {
        Lookup::from_option(self.plan.args.get(name), || self.plan.args.keys().cloned().collect())
    }

    fn reference(&self, reference: &str) -> Lookup<'_> {
        let meant = self.state.node_meant(self.node, reference);
        let Some((index, node)) = meant.and_then(|index| Some((index, self.state.node(index)?))) else {
            let known = self.plan.nodes.iter().map(|node| node.reference.clone()).collect();
            return Lookup::Missing { known };
        };
        if let Some(outputs) = self.state.loop_outputs(index) {
            return Lookup::Value(Cow::Owned(Value::Object(outputs)));
        }
        match (&node.outputs, node.status) {
            (Some(outputs), _) => Lookup::Value(Cow::Owned(Value::Object((**outputs).clone()))),
            (None, NodeStatus::Skipped) => Lookup::Skipped(reference.to_owned()),
            (None, _) => Lookup::Later,
        }
    }

    fn trigger(&self, reference: &str) -> Lookup<'_> {
        Lookup::from_option(self.plan.triggers.get(reference), || {
            self.plan.triggers.keys().cloned().collect()
        })
    }

    fn secret(&self, id: &str) -> Lookup<'_> {
        secrets::group(&self.plan.resources, id)
    }

    fn random_secret(&self, place: Place<'_>) -> Option<SecretRef> {
        let node_at = |at: &str| {
            let found = self.plan.nodes.iter().find(|node| node.pointer == at);
            found.map(|node| node.reference.as_str())
        };
        secrets::random(self.flow, node_at, place)
    }

    fn now(&self) -> Option<Timestamp> {
        self.plan.at
    }
}

/// The pull request that a run is for, if a Git host told of it and it is of a branch of the repository itself. Whoever
/// starts a run in another way may name any.
fn own_pull_request(origin: Origin, plan: &Plan) -> Option<u64> {
    let own = origin == Origin::Git && plan.fork.is_none();
    let mut triggers = plan.triggers.values().filter(|_| own);
    triggers.find_map(|values| values.get("pullRequestId")?.as_u64())
}

fn unresolved(problems: Vec<Problem>) -> NodeError {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| {
            let help = problem.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{}: {}{help}", problem.pointer, problem.message)
        })
        .collect();
    NodeError { code: "unresolved".to_owned(), message: lines.join("\n"), transient: false }
}

fn gone(node: u32) -> NodeError {
    let message = format!("node {node} is not in the plan, or of a kind that this Shipway does not have");
    NodeError { code: "unknown_kind".to_owned(), message, transient: false }
}
