//! `ExternalAddon`: a resource of somebody's cloud. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::{Resource, resource_outputs};

described!(
    ExternalAddon,
    "ExternalAddon",
    conditions: &["success"],
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    /// Whether its plan is approved before it is carried out.
    use_plan: Option<bool>,
    /// What it is
    spec: External,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct External {
    /// Its type: `s3`
    resource_type: String,
    /// Where it is made
    provider: Map<String, Value>,
    /// Its settings.
    config: Option<Map<String, Value>>,
}
