//! `OpenTofuDestroy`: takes away what an `OpenTofu` node has made. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

described!(
    OpenTofuDestroy,
    "OpenTofuDestroy",
    conditions: &["success"],
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The node, by its `ref`
    node_ref: String,
}
