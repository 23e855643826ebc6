//! `BYOCIntegration`: an account of somebody's cloud. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::resource_outputs;

described!(
    ByocIntegration,
    "BYOCIntegration",
    payload: &["/credentials"],
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Whose cloud it is: `aws`, `gcp`, …
    provider: String,
    /// What it is used for.
    features: Option<Vec<String>>,
    /// How it lets the team in.
    credentials: Option<Map<String, Value>>,
}
