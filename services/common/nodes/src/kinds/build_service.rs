//! `BuildService`: builds commits of a repository.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{Billing, Building, Resource, resource_outputs};

described!(
    BuildService,
    "BuildService",
    payload: &["/buildArguments", "/buildFiles"],
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    /// Sizes.
    billing: Option<Billing>,
    #[serde(flatten)]
    building: Building,
}
