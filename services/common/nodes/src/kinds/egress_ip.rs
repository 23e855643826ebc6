//! `EgressIp`: an address that traffic goes out from. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::resource_outputs;

described!(
    EgressIp,
    "EgressIp",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Where it is, and for which traffic
    spec: Map<String, Value>,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}
