//! `DeploymentService`: a service that runs a build or an image.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{Resource, Running, service_outputs};

described!(
    DeploymentService,
    "DeploymentService",
    payload: &["/runtimeEnvironment", "/runtimeFiles"],
    outputs: service_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    #[serde(flatten)]
    running: Running,
}
