//! `SecretGroup`: variables and files that services and jobs are given.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::parts::{Resource, Variables, resource_outputs};

described!(
    SecretGroup,
    "SecretGroup",
    payload: &["/secrets"],
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    /// `secret` or `config`.
    r#type: Option<GroupType>,
    /// What gets them: builds, what runs, or both.
    secret_type: Option<SecretType>,
    /// Of two groups with one variable the one with the higher priority counts.
    #[schemars(range(min = 0, max = 1000))]
    priority: Option<u32>,
    /// The variables and files.
    secrets: Option<Secrets>,
    /// Who gets them; everything in the project unless it is restricted.
    restrictions: Option<Restrictions>,
    /// Addons whose credentials are in it.
    addon_dependencies: Option<Vec<AddonDependency>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum GroupType {
    Secret,
    Config,
}

#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SecretType {
    EnvironmentArguments,
    Environment,
    Arguments,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    /// Variables.
    variables: Option<Variables>,
    /// Files.
    files: Option<BTreeMap<String, File>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct File {
    /// What is in it, as base64: `${fn.toBase64(args.CERT)}`
    data: String,
    /// Whether that is text, or any bytes.
    encoding: Option<FileEncoding>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum FileEncoding {
    #[serde(rename = "utf-8")]
    Utf8,
    Base64,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Restrictions {
    /// Whether only some get them.
    restricted: Option<bool>,
    /// Those resources.
    nf_objects: Option<Vec<Object>>,
    /// Those tags.
    tags: Option<Vec<String>>,
    /// Whether one of the tags is enough.
    tag_match_condition: Option<Match>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Object {
    /// The resource, by its id
    id: String,
    /// `service` or `job`.
    r#type: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Match {
    And,
    Or,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AddonDependency {
    /// The addon, by its id
    addon_id: String,
    /// Its credentials.
    keys: Option<Vec<Key>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Key {
    /// The credential: `POSTGRES_URI`
    key_name: String,
    /// Other names of the variable.
    aliases: Option<Vec<String>>,
}
