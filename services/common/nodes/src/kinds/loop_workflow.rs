//! `LoopWorkflow`: its steps once for each iteration. The engine carries it out.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::{flow::Node, is_expression, list, secret, type_name};
use shipway_events::run::NodeError;

use crate::{
    Kind, Outputs, Shape, Step, StepContext, Validation,
    shape::Config,
    step::{codes, fail},
};

pub(crate) struct LoopWorkflow;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by the engine from the plan; here it is the shape")]
struct Spec {
    /// What each iteration is about, in order: a list, or an expression that is one
    iterations: Vec<Value>,
    /// The steps of each iteration, one after another
    #[serde(default)]
    steps: Vec<Value>,
    /// `sequential` or `parallel`: how the iterations follow each other
    r#type: Option<Type>,
    /// How many iterations go on at once, where they go on side by side
    #[schemars(range(min = 1, max = 1000))]
    max_parallel: Option<u32>,
    /// Whether a failed iteration ends the others, where they go on side by side
    fail_fast: Option<bool>,
    /// What the steps have in common
    context: Option<Map<String, Value>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Type {
    Sequential,
    Parallel,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for LoopWorkflow {
    fn name(&self) -> &'static str {
        "LoopWorkflow"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let spec = &node.spec;
        for (name, help) in [
            ("type", "write `sequential` or `parallel`"),
            ("maxParallel", "write a number"),
            ("failFast", "write `true` or `false`"),
        ] {
            if spec.get(name).is_some_and(is_expression) {
                let message = format!("the `{name}` of a loop cannot be an expression");
                ctx.error(&format!("/{name}"), &message, help);
            }
        }
        let parallel = spec.get("type").and_then(Value::as_str) == Some("parallel");
        for name in ["maxParallel", "failFast"].into_iter().filter(|name| spec.get(*name).is_some()) {
            if !parallel {
                let message = format!("`{name}` has a meaning only where iterations go on side by side");
                ctx.error(&format!("/{name}"), &message, "add `type: parallel`, or take it away");
            }
        }
        let project = spec.pointer("/context/projectId").and_then(Value::as_str);
        ctx.check_project("/context/projectId", project.filter(|id| !id.contains("${")));
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&[], &["iterations.*"])
    }

    fn step(&self, _spec: &Value, _ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        Ok(Step::Done { outputs: Map::new() })
    }
}

/// What the iterations of a loop are about, from its resolved `iterations`.
///
/// # Errors
/// If that is no list, or depends on a secret.
pub fn iterations(spec: &Value) -> Result<Vec<Value>, NodeError> {
    let value = spec.get("iterations").unwrap_or(&Value::Null);
    if secret::is_secret(value) {
        let message = "`spec.iterations` depends on a secret; what a flow does may not, use a plain argument";
        return Err(fail(codes::SECRET, message));
    }
    match value {
        Value::Array(iterations) => Ok(iterations.clone()),
        Value::String(text) => {
            let functions = list(["fn.split(…, ',')", "fn.parseJSON(…)"]);
            let message =
                format!("`spec.iterations` is the text `{text}`, not a list; make one with {functions}");
            Err(fail(codes::BAD_SPEC, message))
        }
        other => {
            let message = format!("`spec.iterations` must be a list, not {}", type_name(other));
            Err(fail(codes::BAD_SPEC, message))
        }
    }
}
