//! `RolloutStrategy`: how a new release gets its share of the requests.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use crate::Outputs;

described!(
    RolloutStrategy,
    "RolloutStrategy",
    outputs: Outputs::of(&["id", "name", "type", "options.*", "details.*"], &[]).and_others(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// `canary`
    r#type: Type,
    /// Which releases it is for.
    options: Option<Options>,
    /// How requests are shared
    details: Details,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Type {
    Canary,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Options {
    /// Which origins of releases start it.
    triggers: Option<Triggers>,
    /// Whether nothing is deployed while it goes on.
    block_deployment_on_active_rollout: Option<bool>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Triggers {
    /// Releases by templates.
    release_from_template: Option<bool>,
    /// Releases by release flows.
    release_from_release_flow: Option<bool>,
    /// Releases by pushes.
    #[serde(rename = "releaseFromCD")]
    release_from_cd: Option<bool>,
    /// Releases by hand.
    #[serde(rename = "releaseFromUI")]
    release_from_ui: Option<bool>,
    /// Releases by the API.
    release_from_api: Option<bool>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Details {
    /// By share or by header
    canary_strategy: Strategy,
    /// Those shares or headers
    config: Config,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Strategy {
    Percentage,
    Header,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Config {
    /// The new release's share.
    #[schemars(range(min = 0, max = 100))]
    canary_percentage: Option<u32>,
    /// The old release's share.
    #[schemars(range(min = 0, max = 100))]
    stable_percentage: Option<u32>,
    /// What leads to the new release.
    canary_header: Option<Header>,
    /// What leads to the old release.
    stable_header: Option<Header>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Header {
    /// Its name
    header_name: String,
    /// Its value
    header_value: String,
}
