//! `OpenTofu`: resources of a provider. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::Outputs;

described!(
    OpenTofu,
    "OpenTofu",
    conditions: &["success"],
    outputs: Outputs::of(&[], &["outputs.*"]),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The key of its state, which must never change
    state_key: String,
    /// Whether each preview has its own state.
    isolate_resources_per_environment: Option<bool>,
    /// Whether its plan is approved before it is carried out.
    use_plan: Option<bool>,
    /// Providers, resources and outputs, as OpenTofu has them
    spec: Tofu,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Tofu {
    /// Providers.
    provider: Option<Map<String, Value>>,
    /// Resources.
    resource: Option<Map<String, Value>>,
    /// What is only read.
    data: Option<Map<String, Value>>,
    /// What later nodes can refer to: `${refs.<ref>.outputs.<name>.value}`.
    output: Option<Map<String, Value>>,
}
