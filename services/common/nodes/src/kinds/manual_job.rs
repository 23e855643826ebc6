//! `ManualJob`: a job that runs when it is asked to.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{JobRunning, JobSettings, Resource, resource_outputs};

described!(
    ManualJob,
    "ManualJob",
    payload: &["/runtimeEnvironment", "/runtimeFiles", "/buildArguments"],
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    #[serde(flatten)]
    running: JobRunning,
    #[serde(flatten)]
    own: JobSettings,
    /// The same, as the newer `Job` has it.
    settings: Option<JobSettings>,
}
