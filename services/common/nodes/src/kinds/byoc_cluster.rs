//! `BYOCCluster`: a cluster in somebody's cloud. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::resource_outputs;

described!(
    ByocCluster,
    "BYOCCluster",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Whose cloud it is: `aws`, `gcp`, `byok`, …
    provider: String,
    /// Where it is.
    region: Option<String>,
    /// The account, by its id.
    integration_id: Option<String>,
    /// Its machines.
    node_pools: Option<Vec<Map<String, Value>>>,
    /// Its settings.
    settings: Option<Map<String, Value>>,
}
