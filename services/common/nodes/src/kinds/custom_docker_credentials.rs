//! `CustomDockerCredentials`: how a registry lets the team in.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{TeamRestrictions, resource_outputs};

described!(
    CustomDockerCredentials,
    "CustomDockerCredentials",
    payload: &["/credentials"],
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Where the registry is: `github`, `dockerhub`, …
    provider: String,
    /// The registry's address.
    registry_url: Option<String>,
    /// How it lets the team in
    credentials: Credentials,
    /// Who may use it.
    restrictions: Option<TeamRestrictions>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    /// The user.
    username: Option<String>,
    /// The password or token.
    password: Option<String>,
    /// What they allow.
    scope: Option<Scope>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Scope {
    /// Whether images can be pulled.
    pull: Option<bool>,
    /// Whether images can be pushed.
    push: Option<bool>,
}
