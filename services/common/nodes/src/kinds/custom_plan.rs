//! `CustomPlan`: a size of your own. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::resource_outputs;

described!(
    CustomPlan,
    "CustomPlan",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// What it is for: `deployment`, `build`, …
    r#type: Vec<String>,
    /// Processors and memory
    configuration: Configuration,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    /// `kubernetes`.
    r#type: Option<String>,
    /// Processors and memory.
    resources: Option<Map<String, Value>>,
}
