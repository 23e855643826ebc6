//! `LLMModelDeployment`: serves a model. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::{Resource, resource_outputs};

described!(
    LlmModelDeployment,
    "LLMModelDeployment",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    /// What it serves, and how
    spec: Map<String, Value>,
}
