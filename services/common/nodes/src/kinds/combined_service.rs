//! `CombinedService`: builds commits of a repository and runs the newest.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{Building, Resource, Running, service_outputs};

described!(
    CombinedService,
    "CombinedService",
    payload: &["/buildArguments", "/buildFiles", "/runtimeEnvironment", "/runtimeFiles"],
    outputs: service_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    #[serde(flatten)]
    building: Building,
    #[serde(flatten)]
    running: Running,
}
