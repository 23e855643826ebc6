//! `SubdomainPath`: a path of a subdomain.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::resource_outputs;

described!(
    SubdomainPath,
    "SubdomainPath",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The subdomain, by its id
    subdomain: String,
    /// The path: `/api`
    uri: String,
    /// How the path is compared
    mode: Mode,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Mode {
    Prefix,
    Exact,
    Regex,
}
