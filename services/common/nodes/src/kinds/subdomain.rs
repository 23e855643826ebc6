//! `Subdomain`: a name below a domain of the team.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;

use super::parts::resource_outputs;

described!(
    Subdomain,
    "Subdomain",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The domain
    domain: String,
    /// The name below it
    name: String,
    /// What it is for.
    description: Option<String>,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}
