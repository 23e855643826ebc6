//! `ReleaseStage`: an environment of a project.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::resource_outputs;

described!(
    ReleaseStage,
    "ReleaseStage",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// Its place among the others
    position: u32,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}
