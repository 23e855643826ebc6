//! `RunTemplate`: runs another flow. The engine asks for it, a reaction starts it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::flow::Node;
use shipway_events::run::NodeError;

use super::literal;
use crate::{
    Kind, Outputs, Shape, Step, StepContext, Validation,
    shape::Config,
    step::{Child, codes, fail, read},
};

pub(crate) struct RunTemplate;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// What is run: `release-flow-template`
    template_type: TemplateType,
    /// The flow: `pipeline/stage`, or its id
    template_id: String,
    /// What it is given
    arguments: Option<Arguments>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum TemplateType {
    Template,
    ReleaseFlowTemplate,
    PreviewEnvTemplate,
    Workflow,
    PreviewBlueprint,
    TemplateTeardown,
    WorkflowTeardown,
    PreviewBlueprintTeardown,
}

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The arguments by name
    #[serde(default)]
    variables: Vec<Variable>,
}

#[derive(Deserialize, JsonSchema)]
struct Variable {
    /// The argument
    key: String,
    /// Its value; empty when absent
    value: Option<Value>,
}

static CONFIG: Config<Spec> = Config::new();

const SUPPORTED: &str = "supported is `release-flow-template`, with the flow as `templateId`";

impl Kind for RunTemplate {
    fn name(&self) -> &'static str {
        "RunTemplate"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn conditions(&self) -> &'static [&'static str] {
        &["success"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        if let Some(other) = literal(&node.spec, "/templateType").filter(|it| *it != "release-flow-template")
        {
            let message = format!("running a `{other}` is not supported yet");
            ctx.unsupported("/templateType", &message, SUPPORTED);
        }
        for name in ["argumentOverrides", "argumentsOverride"] {
            if node.spec.get(name).is_some_and(|given| !given.is_null()) {
                ctx.no_effect(name, "give them one by one: `arguments: {variables: [{key: …, value: …}]}`");
            }
        }
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&["id"], &["status", "refs.*"])
    }

    fn may_be_detached(&self) -> bool {
        true
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        if config.template_type != TemplateType::ReleaseFlowTemplate {
            return Err(fail(codes::UNSUPPORTED, format!("only flows can be run; {SUPPORTED}")));
        }
        let mut arguments = Map::new();
        for Variable { key, value } in config.arguments.into_iter().flat_map(|given| given.variables) {
            arguments.insert(key, value.unwrap_or_else(|| "".into()));
        }
        let wait = ctx.condition.is_some();
        Ok(Step::Child(Child { flow: config.template_id, arguments, wait }))
    }
}
