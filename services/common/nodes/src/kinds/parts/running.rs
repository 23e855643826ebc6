//! What runs: deployments, ports, checks.

#![expect(dead_code, reason = "these are shapes: what stands in them is read by whoever makes the resource")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{Billing, Variables, Vcs};

/// What runs, and how.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Deployment {
    /// How many run side by side.
    #[schemars(range(min = 0, max = 100))]
    instances: Option<u32>,
    /// What an image executes.
    docker: Option<Docker>,
    /// What a buildpack's image executes.
    buildpack: Option<Buildpack>,
    /// Storage of each instance.
    storage: Option<Storage>,
    /// How instances are replaced.
    strategy: Option<Map<String, Value>>,
    /// A build of a build service.
    internal: Option<Internal>,
    /// An image of a registry.
    external: Option<External>,
    /// A repository that a job builds by itself.
    vcs: Option<Vcs>,
    /// Seconds that an instance has to end by itself.
    #[schemars(range(min = 0, max = 600))]
    grace_period_seconds: Option<u32>,
    /// Whether only release flows deploy to it.
    release_flow_controlled: Option<bool>,
}

/// What an image executes.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Docker {
    /// Which parts of the image's own command are replaced.
    config_type: Option<DockerConfig>,
    /// Instead of the image's entrypoint.
    custom_entrypoint: Option<String>,
    /// Instead of the image's command.
    custom_command: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum DockerConfig {
    Default,
    CustomEntrypoint,
    CustomCommand,
    CustomEntrypointCustomCommand,
}

/// What a buildpack's image executes.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Buildpack {
    /// Which parts of its own command are replaced.
    config_type: Option<BuildpackConfig>,
    /// A process of its `Procfile`.
    custom_process: Option<String>,
    /// Instead of its entrypoint.
    custom_entrypoint: Option<String>,
    /// Instead of its command.
    custom_command: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum BuildpackConfig {
    Default,
    CustomProcess,
    CustomCommand,
    CustomEntrypoint,
    CustomEntrypointCustomCommand,
    OriginalEntrypointCustomCommand,
}

/// Storage of an instance.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Storage {
    /// Storage that goes with the instance.
    ephemeral_storage: Option<EphemeralStorage>,
    /// MB of shared memory.
    #[schemars(range(min = 0))]
    shm_size: Option<u32>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EphemeralStorage {
    /// MB.
    #[schemars(range(min = 0))]
    storage_size: Option<u32>,
}

/// A build.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Internal {
    /// The build service, by its id
    id: String,
    /// Its branch.
    branch: Option<String>,
    /// The commit, 40 hex digits or `latest`.
    #[serde(rename = "buildSHA")]
    build_sha: Option<String>,
    /// The build.
    build_id: Option<String>,
}

/// An image.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct External {
    /// The image with its registry and tag
    image_path: String,
    /// The credentials, by their id.
    credentials: Option<String>,
}

/// A port.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Port {
    /// Its name.
    name: Option<String>,
    /// The port that the service listens on
    #[schemars(range(min = 1, max = 65_535))]
    internal_port: Option<u32>,
    /// Whether it is reached from outside.
    public: Option<bool>,
    /// What is spoken on it.
    protocol: Option<Protocol>,
    /// Domains that lead to it.
    domains: Option<Vec<String>>,
    /// Who may reach it.
    security: Option<Map<String, Value>>,
    /// Whether it has no domain of the platform.
    disable_nf_domain: Option<bool>,
}

#[derive(JsonSchema)]
enum Protocol {
    #[serde(rename = "HTTP")]
    Http,
    #[serde(rename = "HTTP/2")]
    Http2,
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
}

/// How it is known that an instance is well.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct HealthCheck {
    /// How it is asked.
    protocol: Option<CheckProtocol>,
    /// `startupProbe`, `readinessProbe` or `livenessProbe`.
    r#type: Option<String>,
    /// The path that answers, of `HTTP`.
    path: Option<String>,
    /// The command, of `CMD`.
    cmd: Option<String>,
    /// The port, by number or name.
    port: Option<Value>,
    /// Seconds before the first.
    initial_delay_seconds: Option<f64>,
    /// Seconds between two.
    period_seconds: Option<f64>,
    /// Seconds that an answer may take.
    timeout_seconds: Option<f64>,
    /// Failures in a row until it is ill.
    #[schemars(range(min = 1, max = 1000))]
    failure_threshold: Option<u32>,
    /// Successes in a row until it is well.
    #[schemars(range(min = 1, max = 1000))]
    success_threshold: Option<u32>,
}

#[derive(JsonSchema)]
enum CheckProtocol {
    #[serde(rename = "HTTP")]
    Http,
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "CMD")]
    Cmd,
}

/// What a service that runs says.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::kinds) struct Running {
    /// Whether it takes no builds by itself.
    #[serde(rename = "disabledCD")]
    disabled_cd: Option<bool>,
    /// Sizes.
    billing: Option<Billing>,
    /// What runs, and how.
    deployment: Option<Deployment>,
    /// Ports.
    ports: Option<Vec<Port>>,
    /// Variables of what runs.
    runtime_environment: Option<Variables>,
    /// Files of what runs.
    runtime_files: Option<Map<String, Value>>,
    /// How it is known that it is well.
    health_checks: Option<Vec<HealthCheck>>,
    /// When instances are added and taken away.
    autoscaling: Option<Map<String, Value>>,
}
