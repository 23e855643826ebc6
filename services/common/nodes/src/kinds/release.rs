//! `Release`: gives a service or a job a build, or what runs in the stage before.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shipway_documents::flow::Node;
use shipway_events::{plan::Artifact, project::ResourceKind, run::NodeError};

use super::{literal, named};
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind, Validation,
    artifacts::BuildChoice,
    service::service_spec,
    shape::Config,
    step::{codes, fail, read},
    workload,
};

pub(crate) struct Release;

/// Seconds that the new instances have to become healthy, unless the node says otherwise.
const TIMEOUT_SECONDS: u32 = 600;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// `build`, `deployment` or `registry`
    r#type: Type,
    /// Where it comes from
    origin: Origin,
    /// What gets it, a member of this stage: `{id, type}`
    target: Target,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Type {
    Build,
    Deployment,
    Registry,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the members of all three types are the shape")]
struct Origin {
    /// The build service, or the member of the stage before.
    id: Option<String>,
    /// `service` or `job`, for a deployment.
    r#type: Option<MemberType>,
    /// The branch, for a build.
    branch: Option<String>,
    /// The build's id or `latest`, for a build.
    build: Option<String>,
    /// The image, for a registry.
    image_path: Option<String>,
    /// The credentials, for a registry.
    credentials: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Target {
    /// the member of this stage, by its id
    id: String,
    /// `service` or `job`
    r#type: MemberType,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
enum MemberType {
    Service,
    Job,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for Release {
    fn name(&self) -> &'static str {
        "Release"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn conditions(&self) -> &'static [&'static str] {
        &["running"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let spec = &node.spec;
        let needs = match literal(spec, "/type") {
            Some("registry") => {
                ctx.unsupported("/type", "releasing an image from a registry needs a container runtime, which this version has not", "release a build: `type: build`");
                "imagePath"
            }
            Some("build" | "deployment") => "id",
            _ => return,
        };
        if spec.get("origin").is_some_and(Value::is_object)
            && spec.pointer(&format!("/origin/{needs}")).is_none()
        {
            let help = match literal(spec, "/type") {
                Some("build") => "name the build service by its id",
                Some("deployment") => "name the member of the stage before by its id",
                _ => "name the image",
            };
            ctx.error("/origin", &format!("`{needs}` is missing"), help);
        }
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        let origin = match literal(&node.spec, "/type") {
            Some("build") => named(node, "/origin/id", UseKind::BuildService, Role::BuildService),
            Some("deployment") => {
                named(node, "/origin/id", member(&node.spec, "/origin/type"), Role::PreviousMember)
            }
            _ => None,
        };
        let target = named(node, "/target/id", member(&node.spec, "/target/type"), Role::Member);
        origin.into_iter().chain(target).collect()
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&["id", "digest", "build", "commit", "branch", "service"], &["status"])
    }

    fn may_be_detached(&self) -> bool {
        true
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        let slug = &config.target.id;
        let is_job = config.target.r#type == MemberType::Job;
        let kinds: &[ResourceKind] = if is_job {
            &[ResourceKind::ManualJob, ResourceKind::CronJob]
        } else {
            &[ResourceKind::DeploymentService]
        };
        let (resource, target) = ctx.resource(slug, kinds)?;
        let artifact = artifact(&config, ctx)?.clone();
        let service = if is_job { None } else { Some(service_spec(slug, resource)?) };
        Ok(Step::Work(workload::Workload::Release(workload::Release {
            target,
            artifact,
            service,
            wait: ctx.condition == Some("running"),
            timeout_seconds: ctx.timeout_seconds.unwrap_or(TIMEOUT_SECONDS),
        })))
    }
}

fn member(spec: &Value, path: &str) -> UseKind {
    if literal(spec, path) == Some("job") { UseKind::Job } else { UseKind::Service }
}

fn artifact<'a>(config: &Spec, ctx: &'a StepContext<'_>) -> Result<&'a Artifact, NodeError> {
    let origin = &config.origin;
    let id = || {
        origin.id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| {
            fail(codes::BAD_SPEC, "`spec.origin.id` is missing: name what is released by its id")
        })
    };
    match config.r#type {
        Type::Build => ctx.built(BuildChoice {
            service: id()?,
            branch: origin.branch.as_deref().filter(|branch| !branch.is_empty()),
            build: origin.build.as_deref(),
            commit: None,
        }),
        Type::Deployment => {
            let id = id()?;
            ctx.deployed.get(id).ok_or_else(|| {
                fail(
                    codes::NOTHING_DEPLOYED,
                    format!("nothing ran at `{id}` when this run started, so there is nothing to promote to `{}`: run the flow of `{id}`'s stage, then this one again", config.target.id),
                )
            })
        }
        Type::Registry => {
            let image = origin.image_path.as_deref().unwrap_or_default();
            Err(fail(
                codes::UNSUPPORTED,
                format!(
                    "the image `{image}` needs a container runtime; the process runtime releases builds: `type: build`"
                ),
            ))
        }
    }
}
