//! `Workflow`: its steps one after another, or side by side. The engine carries it out.

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
}

/// The order that a workflow's `spec` asks for; none for one that this version does not run.
#[must_use]
pub fn order(spec: &Value) -> Option<Order> {
    match spec.get("type")?.as_str()? {
        "sequential" => Some(Order::Sequential),
        "parallel" => Some(Order::Parallel),
        _ => None,
    }
}

pub(crate) struct Workflow;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by the engine from the plan; here it is the shape")]
struct Spec {
    /// `sequential` or `parallel`
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
        if literal(&node.spec, "/type") == Some("graph") {
            ctx.unsupported(
                "/type",
                "workflows of type `graph` are not supported yet",
                "nest `sequential` and `parallel` workflows",
            );
        } else if node.spec.get("type").is_some_and(shipway_documents::is_expression) {
            ctx.error(
                "/type",
                "the `type` of a workflow cannot be an expression",
                "write `sequential` or `parallel`",
            );
        }
        if is_on(node.spec.get("failFast")) {
            ctx.unsupported(
                "/failFast",
                "`failFast` is not supported yet",
                "running siblings go on to their end",
            );
        }
        let project = literal(&node.spec, "/context/projectId");
        ctx.check_project("/context/projectId", project);
    }

    fn step(&self, _spec: &Value, _ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        Ok(Step::Done { outputs: Map::new() })
    }
}
