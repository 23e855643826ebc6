//! `JobRun`: runs a job to its end.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shipway_documents::flow::Node;
use shipway_events::{
    plan::{Artifact, PinnedResource},
    project::ResourceKind,
    run::NodeError,
};

use super::{
    literal, named,
    parts::{Billing, Buildpack, Docker, External, Storage},
};
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind, Validation,
    artifacts::BuildChoice,
    service::{command, whole},
    shape::Config,
    step::{codes, environment, fail, read},
    workload,
    workload::Command,
};

pub(crate) struct JobRun;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The job, by its id
    job_id: String,
    /// Variables for this run only, over those of the job.
    #[serde(default)]
    runtime_environment: Map<String, Value>,
    /// Files for this run only.
    #[serde(default)]
    runtime_files: Map<String, Value>,
    /// Secret mounts.
    #[serde(default)]
    docker_secret_mounts: Map<String, Value>,
    /// Another size, for this run only.
    #[expect(dead_code, reason = "sizes mean nothing to processes; kept in the document")]
    #[schemars(with = "Option<Billing>")]
    billing: Option<Map<String, Value>>,
    /// Another command or source, for this run only.
    #[serde(default)]
    deployment: Deployment,
    /// The project, if not the flow's.
    #[expect(dead_code, reason = "checked when the flow is published")]
    project_id: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    /// Another command.
    #[schemars(with = "Option<Docker>")]
    docker: Option<Map<String, Value>>,
    /// Another command or process.
    #[schemars(with = "Option<Buildpack>")]
    buildpack: Option<Map<String, Value>>,
    /// Other storage.
    #[expect(dead_code, reason = "storage means nothing to processes; kept in the document")]
    #[schemars(with = "Option<Storage>")]
    storage: Option<Map<String, Value>>,
    /// Another build.
    internal: Option<Internal>,
    /// An image.
    #[schemars(with = "Option<External>")]
    external: Option<Map<String, Value>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Internal {
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

static CONFIG: Config<Spec> = Config::new();

impl Kind for JobRun {
    fn name(&self) -> &'static str {
        "JobRun"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn conditions(&self) -> &'static [&'static str] {
        &["success"]
    }

    fn payload(&self) -> &'static [&'static str] {
        &["/runtimeEnvironment"]
    }

    fn takes_file(&self, place: &str) -> bool {
        place.strip_prefix("/runtimeEnvironment/").is_some_and(|name| !name.contains('/'))
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        for part in ["runtimeFiles", "dockerSecretMounts"] {
            if node.spec.get(part).and_then(Value::as_object).is_some_and(|members| !members.is_empty()) {
                let message = format!("`{part}` is not supported yet");
                ctx.unsupported(&format!("/{part}"), &message, "use `runtimeEnvironment`");
            }
        }
        if node.spec.pointer("/deployment/external").is_some() {
            ctx.unsupported(
                "/deployment/external",
                "running an image needs a container runtime, which this version has not",
                "run a build: `deployment.internal`",
            );
        }
        ctx.check_project("/projectId", literal(&node.spec, "/projectId"));
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        let job = named(node, "/jobId", UseKind::Job, Role::Member);
        let source = named(node, "/deployment/internal/id", UseKind::BuildService, Role::BuildService);
        job.into_iter().chain(source).collect()
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&["id", "runName", "jobId"], &["status", "concluded"])
            .and_later(&["startedAt", "concludedAt"])
    }

    fn may_be_detached(&self) -> bool {
        true
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        if !config.runtime_files.is_empty() || !config.docker_secret_mounts.is_empty() {
            return Err(fail(
                codes::UNSUPPORTED,
                "files for a job run are not supported; use `runtimeEnvironment`",
            ));
        }
        if config.deployment.external.is_some() {
            return Err(fail(
                codes::UNSUPPORTED,
                "running an image needs a container runtime; run a build: `deployment.internal`",
            ));
        }
        let slug = &config.job_id;
        let (resource, job) = ctx.resource(slug, &[ResourceKind::ManualJob, ResourceKind::CronJob])?;
        let own = json!({ "docker": config.deployment.docker, "buildpack": config.deployment.buildpack });
        let own = command(slug, &without_nulls(own))?;
        Ok(Step::Work(workload::Workload::Job(workload::Job {
            job,
            job_run: ctx.made("jr"),
            artifact: artifact(&config, resource, ctx)?.clone(),
            command: own.map_or_else(|| declared_command(slug, resource), Ok)?,
            environment: environment([&resource.environment, &config.runtime_environment])?,
            deadline_seconds: deadline(resource, ctx),
        })))
    }
}

/// What a job runs by itself. There is no process that every job has, as services have `web`.
pub(super) fn declared_command(slug: &str, resource: &PinnedResource) -> Result<Command, NodeError> {
    let deployment = resource.spec.get("deployment").unwrap_or(&Value::Null);
    command(slug, deployment)?.ok_or_else(|| {
        fail(
            codes::NO_COMMAND,
            format!("the job `{slug}` does not say what it runs; set `deployment.docker: {{configType: customCommand, customCommand: …}}` or `deployment.buildpack: {{configType: customProcess, customProcess: …}}`"),
        )
    })
}

/// Seconds that a job may take: its own limit or the node's, the smaller one.
pub(super) fn deadline(resource: &PinnedResource, ctx: &StepContext<'_>) -> Option<u32> {
    let own = ["/settings/activeDeadlineSeconds", "/activeDeadlineSeconds"];
    let own = own.iter().find_map(|path| resource.spec.pointer(path).and_then(whole));
    [own, ctx.timeout_seconds].into_iter().flatten().min()
}

/// What a job runs: what the node says, what this run released to it, what it had, what it declares.
fn artifact<'a>(
    config: &Spec,
    resource: &PinnedResource,
    ctx: &'a StepContext<'_>,
) -> Result<&'a Artifact, NodeError> {
    if let Some(internal) = &config.deployment.internal {
        return ctx.built(BuildChoice {
            service: &internal.id,
            branch: internal.branch.as_deref(),
            build: internal.build_id.as_deref(),
            commit: internal.build_sha.as_deref(),
        });
    }
    job_artifact(&config.job_id, resource, ctx)
}

/// What a job has without a node's saying.
pub(super) fn job_artifact<'a>(
    slug: &str,
    resource: &PinnedResource,
    ctx: &'a StepContext<'_>,
) -> Result<&'a Artifact, NodeError> {
    if let Some(artifact) = ctx.current(slug) {
        return Ok(artifact);
    }
    let text =
        |name: &str| resource.spec.pointer(&format!("/deployment/internal/{name}")).and_then(Value::as_str);
    let declared = text("id").map(|service| {
        ctx.built(BuildChoice {
            service,
            branch: text("branch"),
            build: text("buildId"),
            commit: text("buildSHA"),
        })
    });
    declared.and_then(Result::ok).ok_or_else(|| {
        fail(
            codes::NOTHING_DEPLOYED,
            format!("the job `{slug}` has nothing to run: release a build to it first, with a `Release` node whose target is `{{id: {slug}, type: job}}`"),
        )
    })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}
