//! `Noop`: goes all the way to the executor and back. Shipway's own, for diagnosis and measurements.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_events::run::NodeError;

use crate::{Kind, Outputs, Shape, Step, StepContext, shape::Config, step::read, workload};

pub(crate) struct Noop;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Computes this Fibonacci number by plain recursion.
    #[schemars(range(min = 0, max = 50))]
    fib: Option<u32>,
    /// Waits so many milliseconds.
    sleep_ms: Option<u64>,
    /// Fails with this message.
    fail: Option<String>,
    /// Becomes the node's outputs.
    #[serde(default)]
    outputs: Map<String, Value>,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for Noop {
    fn name(&self) -> &'static str {
        "Noop"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn conditions(&self) -> &'static [&'static str] {
        &["success"]
    }

    fn outputs(&self, spec: &Value) -> Outputs {
        let given = spec.get("outputs").and_then(Value::as_object).into_iter().flatten();
        let mut finished: Vec<_> = given.map(|(name, _)| format!("{name}.*")).collect();
        if spec.get("fib").is_some() {
            finished.push("fib".into());
        }
        Outputs { finished, ..Outputs::default() }
    }

    fn step(&self, spec: &Value, _ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let Spec { fib, sleep_ms, fail, outputs } = read(self, &CONFIG, spec)?;
        Ok(Step::Work(workload::Workload::Noop(workload::Noop { fib, sleep_ms, fail, outputs })))
    }
}
