//! `PreviewBlueprint`: a preview blueprint of the project, with its whole document.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::resource_outputs;

described!(PreviewBlueprint, "PreviewBlueprint", outputs: resource_outputs());

/// The whole of it is a document; what else a node says of it is the project.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-document" = "blueprint"))]
struct Spec {
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}
