//! What runs to its end: jobs and their schedules.

#![expect(dead_code, reason = "these are shapes: what stands in them is read by whoever makes the resource")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{Billing, BuildConfiguration, Deployment, HealthCheck, Variables};

/// When a job ends for good, and what runs it by itself.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct JobSettings {
    /// How often a run is tried again.
    #[schemars(range(min = 0, max = 100))]
    backoff_limit: Option<u32>,
    /// Seconds that a run may take.
    #[schemars(range(min = 1, max = 86_400))]
    active_deadline_seconds: Option<u32>,
    /// Whether a new image runs it.
    run_on_source_change: Option<SourceChange>,
    /// Whether it takes no builds by itself.
    #[serde(rename = "disabledCD")]
    disabled_cd: Option<bool>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SourceChange {
    Never,
    CdPromote,
    Always,
}

/// When a job runs by itself.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Cron {
    /// The schedule, UTC: `0 3 * * *`
    schedule: String,
    /// Whether it does not run for now.
    suspended: Option<bool>,
    /// What happens when the run before has not ended.
    concurrency_policy: Option<CronPolicy>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum CronPolicy {
    Allow,
    Forbid,
    Replace,
}

/// What a job runs.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct JobRunning {
    /// Sizes.
    billing: Option<Billing>,
    /// What runs, and how.
    deployment: Option<Deployment>,
    /// Variables of what runs.
    runtime_environment: Option<Variables>,
    /// Files of what runs.
    runtime_files: Option<Map<String, Value>>,
    /// Variables of what it builds.
    build_arguments: Option<Variables>,
    /// Files of what it builds.
    build_files: Option<Map<String, Value>>,
    /// Which commits are built by themselves.
    build_configuration: Option<BuildConfiguration>,
    /// How it is known that it is well.
    health_checks: Option<Vec<HealthCheck>>,
}
