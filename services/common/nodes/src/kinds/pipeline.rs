//! `Pipeline`: stages in order, their members, and what flows do there.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::Value;

use super::parts::resource_outputs;

described!(
    Pipeline,
    "Pipeline",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name; its id is the slug of it
    name: String,
    /// What it is for.
    description: Option<String>,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
    /// Its stages in order; `Development`, `Staging` and `Production` when absent.
    stages: Option<Vec<Stage>>,
    /// Its preview template.
    preview: Option<Preview>,
    /// Members, as older documents name them.
    nf_objects: Option<Vec<StageMember>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Stage {
    /// Its name
    name: String,
    /// Its members.
    nf_objects: Option<Vec<Member>>,
    /// What happens there when it is run.
    release_flow: Option<ReleaseFlow>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Member {
    /// The resource, by its id
    id: String,
    /// `service`, `job` or `addon`
    r#type: MemberType,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StageMember {
    /// The resource, by its id
    id: String,
    /// `service`, `job` or `addon`
    r#type: MemberType,
    /// The stage, by its name
    stage: String,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum MemberType {
    Service,
    Job,
    Addon,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ReleaseFlow {
    /// `ReleaseFlow`.
    kind: Option<FlowKind>,
    /// A release flow document
    #[schemars(extend("x-document" = "release-flow"))]
    spec: Value,
}

#[derive(JsonSchema)]
enum FlowKind {
    ReleaseFlow,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Preview {
    /// `PreviewEnv`.
    kind: Option<PreviewKind>,
    /// A preview template document
    #[schemars(extend("x-document" = "preview"))]
    spec: Value,
}

#[derive(JsonSchema)]
enum PreviewKind {
    PreviewEnv,
}
