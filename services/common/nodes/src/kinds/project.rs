//! `Project`: what resources and pipelines belong to.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::resource_outputs;

described!(
    Project,
    "Project",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name; its id is the slug of it
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Where it runs.
    region: Option<String>,
    /// The cluster that it runs on.
    cluster_id: Option<String>,
    /// Its colour.
    color: Option<String>,
    /// Who may reach it.
    networking: Option<Networking>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Networking {
    /// Other projects that may reach it.
    allowed_ingress_projects: Option<Vec<String>>,
}
