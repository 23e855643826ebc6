//! `BuildSource`: builds what a preview's trigger has brought.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{BuildOverrides, BuildRules};

described!(
    BuildSource,
    "BuildSource",
    conditions: &["success"],
    payload: &["/buildOverrides/buildArguments"],
    outputs: super::build::outputs().and(&["sha"]),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The build service, by its id
    id: String,
    /// `service` or `job`.
    r#type: Option<Type>,
    /// The branch to build.
    branch: Option<String>,
    /// The pull request to build.
    pull_request_id: Option<u64>,
    /// The commit to build, 40 hex digits; the branch's newest when absent.
    sha: Option<String>,
    /// What is built when the run was caused by something else.
    defaults: Option<Defaults>,
    /// Whether an earlier build of the commit is given back; true unless said otherwise.
    reuse_existing_builds: Option<bool>,
    /// What happens when `buildRules` say that the commit should not be built.
    build_rule_fall_through_handling: Option<FallThrough>,
    /// Path and message rules.
    build_rules: Option<BuildRules>,
    /// What differs from the build service's settings, for this build only.
    build_overrides: Option<BuildOverrides>,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Defaults {
    /// The branch to build.
    branch: Option<String>,
    /// The commit to build.
    sha: Option<String>,
    /// The pull request to build.
    pull_request_id: Option<u64>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Type {
    Service,
    Job,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum FallThrough {
    Fail,
    Skip,
    UseLastBuild,
}
