//! `Workflow`: its steps one after another, side by side, or as they depend on each other. The engine carries it out.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::flow::Node;
use shipway_events::run::NodeError;

use super::literal;
use crate::{
    Kind, Shape, Step, StepContext, Validation,
    shape::{Config, is_on},
};

/// In which order a workflow runs its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each when the one before has ended well.
    Sequential,
    /// All at once.
    Parallel,
    /// Each when those that it names in `dependsOn` have ended well.
    Graph,
}

/// The order that a workflow's `spec` asks for; none if it is missing or not known.
#[must_use]
pub fn order(spec: &Value) -> Option<Order> {
    match spec.get("type")?.as_str()? {
        "sequential" => Some(Order::Sequential),
        "parallel" => Some(Order::Parallel),
        "graph" => Some(Order::Graph),
        _ => None,
    }
}

pub(crate) struct Workflow;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by the engine from the plan; here it is the shape")]
struct Spec {
    /// `sequential`, `parallel` or `graph`
    r#type: Type,
    /// The steps, in order.
    #[serde(default)]
    steps: Vec<Value>,
    /// What the steps have in common.
    context: Option<Map<String, Value>>,
    /// Whether running siblings of a failed step are aborted.
    fail_fast: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Type {
    Sequential,
    Parallel,
    Graph,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for Workflow {
    fn name(&self) -> &'static str {
        "Workflow"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        for (name, help) in
            [("type", "write `sequential`, `parallel` or `graph`"), ("failFast", "write `true` or `false`")]
        {
            if node.spec.get(name).is_some_and(shipway_documents::is_expression) {
                let message = format!("the `{name}` of a workflow cannot be an expression");
                ctx.error(&format!("/{name}"), &message, help);
            }
        }
        let sequential = literal(&node.spec, "/type") == Some("sequential");
        if sequential && is_on(node.spec.get("failFast")) {
            let message = "`failFast` has a meaning only where steps go on side by side";
            ctx.error("/failFast", message, "a `sequential` workflow always ends with the first failure");
        }
        let project = literal(&node.spec, "/context/projectId");
        ctx.check_project("/context/projectId", project);
    }

    fn step(&self, _spec: &Value, _ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        Ok(Step::Done { outputs: Map::new() })
    }
}
