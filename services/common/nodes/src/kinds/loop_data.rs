//! `LoopData`: puts out what the iteration around it is about.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_events::run::NodeError;

use crate::{
    Kind, Outputs, Shape, Step, StepContext,
    shape::Config,
    step::{codes, fail, read},
};

pub(crate) struct LoopData;

#[derive(Deserialize, JsonSchema)]
struct Spec {}

static CONFIG: Config<Spec> = Config::new();

impl Kind for LoopData {
    fn name(&self) -> &'static str {
        "LoopData"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::default().and_others()
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let Spec {} = read(self, &CONFIG, spec)?;
        let Some(data) = ctx.iteration else {
            let message = "`LoopData` stands in no loop: put it into the `steps` of a `LoopWorkflow`";
            return Err(fail(codes::BAD_SPEC, message));
        };
        let outputs = match data {
            Value::Object(data) => data.clone(),
            // A list of plain values: `${refs.<ref>.value}`.
            plain => Map::from_iter([("value".to_owned(), plain.clone())]),
        };
        Ok(Step::Done { outputs })
    }
}
