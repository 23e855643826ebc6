//! What is built: repositories, settings, rules.

#![expect(dead_code, reason = "these are shapes: what stands in them is read by whoever makes the resource")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::Variables;

/// A repository.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Vcs {
    /// The repository's address
    project_url: String,
    /// Where it lies: `github`, `gitlab`, …
    project_type: Option<String>,
    /// The branch.
    project_branch: Option<String>,
    /// The linked account.
    account_login: Option<String>,
    /// The linked account, as older documents name it.
    vcs_link_id: Option<String>,
    /// The host, if it is one of your own.
    self_hosted_vcs_id: Option<String>,
    /// How a job builds.
    build_settings: Option<Map<String, Value>>,
}

/// What a service that builds says.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Building {
    /// The repository
    vcs_data: Vcs,
    /// How it is built.
    build_settings: Option<BuildSettings>,
    /// Which commits are built by themselves.
    build_configuration: Option<BuildConfiguration>,
    /// Variables of builds.
    build_arguments: Option<Variables>,
    /// Files of builds.
    build_files: Option<Map<String, Value>>,
    /// Whether pushes build nothing by themselves.
    #[serde(rename = "disabledCI")]
    disabled_ci: Option<bool>,
}

/// How a commit is built.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BuildSettings {
    /// With a Dockerfile.
    dockerfile: Option<Dockerfile>,
    /// With a buildpack.
    buildpack: Option<Map<String, Value>>,
    /// With a command of your own.
    command: Option<BuildCommand>,
    /// Storage of builds.
    storage: Option<Map<String, Value>>,
}

/// Which Dockerfile, and where.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Dockerfile {
    /// Where it lies: `/Dockerfile`.
    docker_file_path: Option<String>,
    /// The folder that is built.
    docker_work_dir: Option<String>,
    /// The stage that is built.
    dockerfile_target: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BuildCommand {
    /// The shell command
    run: String,
    /// What of the checkout goes into the artifact.
    include: Option<Vec<String>>,
    /// The folder that it runs in.
    work_dir: Option<String>,
}

/// Which commits are built by themselves.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct BuildConfiguration {
    /// Patterns of branches.
    branch_restrictions: Option<Vec<String>>,
    /// Patterns of the source branches of pull requests.
    pr_restrictions: Option<Vec<String>>,
    /// Rules for changed files.
    path_ignore_rules: Option<Vec<String>>,
    /// Whether those files are built, instead of being ignored.
    is_allow_list: Option<bool>,
    /// Whether flags in messages keep commits from being built.
    ci_ignore_flags_enabled: Option<bool>,
    /// Those flags.
    ci_ignore_flags: Option<Vec<String>>,
    /// Whether drafts are ignored.
    ignore_drafts: Option<bool>,
    /// Which other projects may take its builds.
    cross_project_access: Option<CrossProjectAccess>,
}

/// Which other projects may use it.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CrossProjectAccess {
    /// Whether any may.
    enabled: Option<bool>,
    /// Which, or which not.
    projects: Option<Vec<String>>,
    /// Whether the list says who may.
    is_allow_list: Option<bool>,
}

/// Path and message rules, as triggers have them.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct BuildRules {
    /// Rules for changed files.
    path_ignore_rules: Option<Vec<String>>,
    /// Whether those files are built, instead of being ignored.
    is_allow_list: Option<bool>,
    /// Whether flags in messages keep commits from being built.
    ci_ignore_flags_enabled: Option<bool>,
    /// Those flags.
    ci_ignore_flags: Option<Vec<String>>,
}

/// What differs from a build service's settings, for one build.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct BuildOverrides {
    /// Build arguments.
    build_arguments: Option<Variables>,
    /// Files.
    build_files: Option<Map<String, Value>>,
    /// Secret mounts of a Dockerfile build.
    docker_secret_mounts: Option<Map<String, Value>>,
    /// Settings of a Dockerfile build.
    docker: Option<Dockerfile>,
}
