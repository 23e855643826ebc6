//! `ResourceTag`: a tag, and where what bears it runs.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::{Resource, resource_outputs};

described!(
    ResourceTag,
    "ResourceTag",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    /// Its colour: `#57637A`.
    color: Option<String>,
    /// Where what bears it runs.
    placement: Option<Map<String, Value>>,
    /// How what bears it is kept apart.
    sandboxing: Option<Map<String, Value>>,
}
