//! `SecretInheritance`: hands secret groups on to later nodes, by name and version, never by value.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::list;
use shipway_events::{project::ResourceKind, run::NodeError};

use crate::{
    Kind, Outputs, Shape, Step, StepContext,
    shape::Config,
    step::{codes, fail, read},
};

pub(crate) struct SecretInheritance;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Secret groups, by their ids; of equal names the last counts
    #[serde(default)]
    secrets: Vec<String>,
    /// Secret groups with plain settings, by their ids; they count after `secrets`
    #[serde(default)]
    configs: Vec<String>,
    /// Names that have to be there
    #[serde(default)]
    required_keys: Vec<String>,
    /// Files that have to be there
    #[serde(default)]
    required_files: Vec<String>,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for SecretInheritance {
    fn name(&self) -> &'static str {
        "SecretInheritance"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&[], &["values.*", "files.*"])
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        let mut values = Map::new();
        for group in config.secrets.iter().chain(&config.configs) {
            let (group, _) = ctx.resource(group, &[ResourceKind::SecretGroup])?;
            for (name, value) in &group.environment {
                merge(values.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        let missing: Vec<&str> = config
            .required_keys
            .iter()
            .map(String::as_str)
            .filter(|key| !values.contains_key(*key))
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "the secret groups have no {}; set them there, or take them out of `requiredKeys`",
                list(missing)
            );
            return Err(fail(codes::MISSING_KEY, message));
        }
        if let Some(file) = config.required_files.first() {
            let message = format!("files of secret groups are not supported yet, and `{file}` is required");
            return Err(fail(codes::UNSUPPORTED, message));
        }
        let outputs =
            [("values".to_owned(), Value::Object(values)), ("files".to_owned(), Value::Object(Map::new()))];
        Ok(Step::Done { outputs: Map::from_iter(outputs) })
    }
}

/// Objects are merged member by member; everything else replaces what was there.
fn merge(into: &mut Value, value: &Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(value))
            if !shipway_documents::secret::is_mark(&Value::Object(value.clone())) =>
        {
            for (name, member) in value {
                merge(into.entry(name.clone()).or_insert(Value::Null), member);
            }
        }
        (into, value) => *into = value.clone(),
    }
}
