//! `CronJob`: a job that runs by a schedule.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{Cron, JobRunning, JobSettings, Resource, resource_outputs};

described!(
    CronJob,
    "CronJob",
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
    #[serde(flatten)]
    cron: Cron,
    /// The same, as the newer `Job` has it.
    settings: Option<JobSettings>,
}
