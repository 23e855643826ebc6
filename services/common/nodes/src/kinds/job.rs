//! `Job`: a job, with or without a schedule.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{Cron, JobRunning, JobSettings, Resource, resource_outputs};

described!(
    Job,
    "Job",
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
    /// When a run ends for good, and what runs it by itself.
    settings: Option<Settings>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(flatten)]
    settings: JobSettings,
    /// Its schedule, if it has one.
    cron: Option<Cron>,
}
