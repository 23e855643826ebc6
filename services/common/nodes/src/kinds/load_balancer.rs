//! `LoadBalancer`: ports that lead to resources. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::resource_outputs;

described!(
    LoadBalancer,
    "LoadBalancer",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Its ports, and where they lead
    spec: Map<String, Value>,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}
