//! `Condition`: waits until something holds.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shipway_documents::{flow::Node, secret};
use shipway_events::{project::ResourceKind, run::NodeError};

use super::{literal, named};
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind, Validation,
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
    /// What is watched: `Service`, `Addon` or `Http`
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
    /// Seconds until the wait is given up.
    #[schemars(range(min = 30, max = 14_400))]
    timeout_duration: Option<u32>,
    /// The project, if not the flow's.
    #[expect(dead_code, reason = "checked when the flow is published")]
    project_id: Option<String>,
}

static CONFIG: Config<Spec> = Config::new();

const SUPPORTED: &str = "supported are `Service`, `Addon` and `Http`";

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
            "Build" | "JobRun" => {
                let help = format!("give the `{kind}` node itself `condition: success`; {SUPPORTED}");
                ctx.unsupported("/kind", &format!("waiting for a `{kind}` is not supported yet"), &help);
                return;
            }
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

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&[], &["status"])
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        let data = config.spec.data;
        let missing = |name: &str| fail(codes::BAD_SPEC, format!("`spec.spec.data.{name}` is missing"));
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
            other => {
                let message = format!("waiting for {other:?} is not supported; {SUPPORTED}");
                return Err(fail(codes::UNSUPPORTED, message));
            }
        };
        let timeout_seconds = data.timeout_duration.or(ctx.timeout_seconds).unwrap_or(TIMEOUT_SECONDS);
        Ok(Step::Work(workload::Workload::Await(workload::Await { watch, timeout_seconds })))
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
