//! Parts that the specs of several kinds have in common.

#![expect(dead_code, reason = "these are shapes: what stands in them is read by whoever makes the resource")]

mod building;
mod jobs;
mod running;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

pub(super) use building::{BuildConfiguration, BuildOverrides, BuildRules, Building, Dockerfile, Vcs};
pub(super) use jobs::{Cron, JobRunning, JobSettings};
pub(super) use running::{Buildpack, Deployment, Docker, External, HealthCheck, Running, Storage};

use crate::Outputs;

/// What every resource of a project may say.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    /// Its name; its id is the slug of it
    name: String,
    /// What it is for.
    description: Option<String>,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
    /// The stage that it is made for.
    stage_id: Option<String>,
    /// Tags.
    tags: Option<Vec<String>>,
}

/// The outputs of a resource: its representation in the API.
pub(super) fn resource_outputs() -> Outputs {
    Outputs::of(&["id", "name"], &[]).and_others()
}

/// The outputs of a service: also where its ports are reached.
pub(super) fn service_outputs() -> Outputs {
    Outputs::of(&["id", "name", "ports.*"], &[]).and_others()
}

/// Sizes.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Billing {
    /// The size of what runs.
    deployment_plan: Option<String>,
    /// The size of what builds.
    build_plan: Option<String>,
    /// How many of it.
    #[schemars(range(min = 0, max = 100))]
    replicas: Option<u32>,
    /// MB of storage.
    #[schemars(range(min = 0))]
    storage: Option<u32>,
    /// The class of storage.
    storage_class: Option<String>,
}

/// Variables: each becomes text.
pub(super) type Variables = BTreeMap<String, Value>;

/// Who may use what a team has.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TeamRestrictions {
    /// Whether only some may.
    restricted: Option<bool>,
    /// Those projects: a list of ids, or `{enabled, items}`.
    projects: Option<Value>,
}
