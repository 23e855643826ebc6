//! `SecretInheritance`: hands secret groups on to later nodes, by name and version, never by value.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::{list, secret};
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
        let (mut values, mut files) = (Map::new(), Map::new());
        for group in config.secrets.iter().chain(&config.configs) {
            let (group, _) = ctx.resource(group, &[ResourceKind::SecretGroup])?;
            for (name, value) in &group.environment {
                merge(values.entry(name.clone()).or_insert(Value::Null), value);
            }
            // A group that is not handed on has no environment; neither are its files.
            if !is_restricted(&group.spec) {
                files.extend(secret::files(&group.spec));
            }
        }
        require(&config.required_keys, &values, "requiredKeys")?;
        require(&config.required_files, &files, "requiredFiles")?;
        let outputs =
            [("values".to_owned(), Value::Object(values)), ("files".to_owned(), Value::Object(files))];
        Ok(Step::Done { outputs: Map::from_iter(outputs) })
    }
}

/// Whether all that has to be there is.
fn require(names: &[String], found: &Map<String, Value>, place: &str) -> Result<(), NodeError> {
    let missing: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !found.contains_key(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let them = if missing.len() == 1 { "it" } else { "them" };
    let file = if place == "requiredFiles" { "file " } else { "" };
    let all = list(missing);
    let message =
        format!("the secret groups have no {file}{all}; set {them} there, or take {them} out of `{place}`");
    Err(fail(codes::MISSING_KEY, message))
}

fn is_restricted(group: &Value) -> bool {
    group.pointer("/restrictions/restricted").and_then(Value::as_bool) == Some(true)
}

/// Objects are merged member by member; everything else replaces what was there.
fn merge(into: &mut Value, value: &Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(value)) if !secret::is_mark(&Value::Object(value.clone())) => {
            for (name, member) in value {
                merge(into.entry(name.clone()).or_insert(Value::Null), member);
            }
        }
        (into, value) => *into = value.clone(),
    }
}
