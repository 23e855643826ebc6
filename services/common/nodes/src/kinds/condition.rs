//! `Condition`: waits until something holds.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::{flow::Node, secret};
use shipway_events::{project::ResourceKind, run::NodeError};

use super::{literal, named};
use crate::{
    Kind, Made, Role, Shape, Step, StepContext, Use, UseKind, Validation,
    shape::Config,
    step::{codes, fail, read},
    workload,
    workload::Watch,
};

pub(crate) struct Condition;

/// Seconds until a wait is given up, unless the node says otherwise.
const TIMEOUT_SECONDS: u32 = 600;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// What is watched: `Service`, `Addon`, `Build`, `JobRun`, `AddonBackup`, `Http` or `Expression`
    kind: Subject,
    /// The state that is waited for: `{type, data}`
    spec: Inner,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum Subject {
    Service,
    Addon,
    Http,
    Build,
    JobRun,
    AddonBackup,
    AddonImport,
    #[serde(rename = "BYOCCluster")]
    ByocCluster,
    #[serde(rename = "VCS")]
    Vcs,
    Expression,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Inner {
    /// The state: `running`, `success`.
    #[expect(dead_code, reason = "each subject has one state, which is checked when the flow is published")]
    r#type: Option<String>,
    /// What it needs to know
    data: Data,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Data {
    /// The service, by its id.
    service_id: Option<String>,
    /// The addon, by its id.
    addon_id: Option<String>,
    /// The address, `http://…` or `https://…`.
    url: Option<Value>,
    /// The status that is waited for; 200 unless said otherwise.
    #[schemars(range(min = 100, max = 599))]
    status: Option<u16>,
    /// A text that the answer has to hold.
    body: Option<String>,
    /// The build, by its id.
    build_id: Option<String>,
    /// The job, by its id.
    #[expect(dead_code, reason = "a job run is known by its own id")]
    job_id: Option<String>,
    /// The job run, by its id.
    run_id: Option<String>,
    /// The backup, by its id.
    backup_id: Option<String>,
    /// What has to be true.
    #[expect(dead_code, reason = "read where the outputs of nodes are known")]
    expression: Option<Value>,
    /// Seconds until the wait is given up.
    #[schemars(range(min = 30, max = 14_400))]
    timeout_duration: Option<u32>,
    /// The project, if not the flow's.
    #[expect(dead_code, reason = "checked when the flow is published")]
    project_id: Option<String>,
}

static CONFIG: Config<Spec> = Config::new();

const SUPPORTED: &str =
    "supported are `Service`, `Addon`, `Build`, `JobRun`, `AddonBackup`, `Http` and `Expression`";

impl Kind for Condition {
    fn name(&self) -> &'static str {
        "Condition"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn payload(&self) -> &'static [&'static str] {
        &["/spec/data/url"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let spec = &node.spec;
        let Some(kind) = literal(spec, "/kind") else { return };
        let (needs, states): (&str, &[&str]) = match kind {
            "Service" => ("serviceId", &["running"]),
            "Addon" => ("addonId", &["running"]),
            "Http" => ("url", &["success", "status", "running"]),
            "Build" => ("buildId", &["success"]),
            "JobRun" => ("runId", &["success"]),
            "AddonBackup" => ("backupId", &["success"]),
            "Expression" => ("expression", &["true", "success"]),
            other => {
                ctx.unsupported("/kind", &format!("waiting for `{other}` is not supported yet"), SUPPORTED);
                return;
            }
        };
        if spec.pointer("/spec/data").is_some_and(Value::is_object)
            && spec.pointer(&format!("/spec/data/{needs}")).is_none()
        {
            ctx.error(
                "/spec/data",
                &format!("`{needs}` is missing"),
                &format!("a condition on `{kind}` needs it"),
            );
        }
        if let Some(state) = literal(spec, "/spec/type").filter(|state| !states.contains(state)) {
            let message = format!("a condition on `{kind}` cannot wait for `{state}`");
            ctx.error("/spec/type", &message, &format!("write `{}`", states[0]));
        }
        if let Some(url) = literal(spec, "/spec/data/url").filter(|url| !is_http(url)) {
            ctx.error(
                "/spec/data/url",
                &format!("`{url}` is no address"),
                "start it with `http://` or `https://`",
            );
        }
        ctx.check_project("/spec/data/projectId", literal(spec, "/spec/data/projectId"));
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        let found = match literal(&node.spec, "/kind") {
            Some("Service") => named(node, "/spec/data/serviceId", UseKind::Service, Role::Watched),
            Some("Addon") => named(node, "/spec/data/addonId", UseKind::Addon, Role::Watched),
            _ => None,
        };
        found.into_iter().collect()
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        let data = config.spec.data;
        let missing = |name: &str| fail(codes::BAD_SPEC, format!("`spec.spec.data.{name}` is missing"));
        let timeout_seconds = data.timeout_duration.or(ctx.timeout_seconds).unwrap_or(TIMEOUT_SECONDS);
        let watch = match config.kind {
            Subject::Service => {
                let id = data.service_id.ok_or_else(|| missing("serviceId"))?;
                Watch::Service { target: ctx.resource(&id, &[ResourceKind::DeploymentService])?.1 }
            }
            Subject::Addon => {
                let id = data.addon_id.ok_or_else(|| missing("addonId"))?;
                Watch::Addon { target: ctx.resource(&id, &[ResourceKind::Addon])?.1 }
            }
            Subject::Http => {
                let url = data.url.ok_or_else(|| missing("url"))?;
                check_url(&url, "spec.spec.data.url")?;
                Watch::Http { url, status: data.status.unwrap_or(200), body: data.body }
            }
            Subject::Build => {
                let id = data.build_id.ok_or_else(|| missing("buildId"))?;
                let there = ctx.builds.contains_key(&id);
                return Ok(made("Build", id, there, timeout_seconds));
            }
            Subject::JobRun => {
                let id = data.run_id.ok_or_else(|| missing("runId"))?;
                return Ok(made("JobRun", id, false, timeout_seconds));
            }
            Subject::AddonBackup => {
                let id = data.backup_id.ok_or_else(|| missing("backupId"))?;
                let there = ctx.backups.contains_key(&id);
                return Ok(made("AddonBackup", id, there, timeout_seconds));
            }
            other => {
                let message = format!("waiting for {other:?} is not supported; {SUPPORTED}");
                return Err(fail(codes::UNSUPPORTED, message));
            }
        };
        Ok(Step::Work(workload::Workload::Await(workload::Await { watch, timeout_seconds })))
    }
}

/// Done if it is there, else to be waited for.
fn made(kind: &'static str, id: String, there: bool, timeout_seconds: u32) -> Step {
    match there {
        true => Step::Done { outputs: Map::from_iter([("id".to_owned(), id.into())]) },
        false => Step::Await { made: Made { kind, id }, timeout_seconds },
    }
}

pub(super) fn is_http(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

/// An address, or one that depends on a secret and is checked where it is used.
pub(super) fn check_url(url: &Value, place: &str) -> Result<(), NodeError> {
    match url {
        mark if secret::is_mark(mark) => Ok(()),
        Value::String(url) if is_http(url) => Ok(()),
        _ => Err(fail(
            codes::BAD_SPEC,
            format!("`{place}` is no address: start it with `http://` or `https://`"),
        )),
    }
}
