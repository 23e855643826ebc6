//! `SSHIdentity`: keys of people who may enter. Out of scope.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::{TeamRestrictions, resource_outputs};

described!(
    SshIdentity,
    "SSHIdentity",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// Its name
    name: String,
    /// What it is for.
    description: Option<String>,
    /// The public keys
    ssh_public_keys: Vec<PublicKey>,
    /// Where they may enter.
    restrictions: Option<TeamRestrictions>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PublicKey {
    /// The key
    key: String,
}
