//! `Addon`: starts an addon, or brings it to its declared state. The node of an addon's one-node flow.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shipway_documents::{flow::Node, names::slug, plain_text};
use shipway_events::{plan::PinnedResource, project::ResourceKind, run::NodeError};

use super::named;
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind,
    shape::Config,
    step::{codes, fail, read},
    workload,
};

pub(crate) struct Addon;

/// Seconds that an addon has to start, unless the node says otherwise.
const TIMEOUT_SECONDS: u32 = 600;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The addon, by its id.
    addon_id: Option<String>,
    /// The addon, by its name, as the declaring node has it.
    name: Option<String>,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for Addon {
    fn name(&self) -> &'static str {
        "Addon"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        named(node, "/addonId", UseKind::Addon, Role::Member).into_iter().collect()
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&["id"], &["status"])
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        let id = config
            .addon_id
            .or_else(|| config.name.as_deref().map(slug))
            .ok_or_else(|| fail(codes::BAD_SPEC, "`spec.addonId` is missing: name the addon by its id"))?;
        Ok(Step::Work(workload::Workload::Addon(pinned(&id, ctx)?)))
    }
}

/// An addon as the run has pinned it.
pub(super) fn pinned(slug: &str, ctx: &StepContext<'_>) -> Result<workload::Addon, NodeError> {
    let (resource, addon) = ctx.resource(slug, &[ResourceKind::Addon])?;
    let text = |name: &str| resource.spec.get(name).and_then(plain_text);
    let engine = match text("type").as_deref() {
        Some("postgresql" | "postgres") => "postgresql".to_owned(),
        other => {
            let engine = other.unwrap_or("nothing");
            let message = format!("the addon `{slug}` is of type `{engine}`; this version runs `postgresql`");
            return Err(fail(codes::UNSUPPORTED, message));
        }
    };
    let port = resource.ports.values().next().copied().ok_or_else(|| {
        fail(codes::NO_PORT, format!("the addon `{slug}` has no port on this host; apply it again"))
    })?;
    Ok(workload::Addon {
        addon,
        engine,
        version: text("version").filter(|version| !version.is_empty()).unwrap_or_else(|| "latest".into()),
        port,
        credentials: credentials(resource),
        timeout_seconds: ctx.timeout_seconds.unwrap_or(TIMEOUT_SECONDS),
    })
}

/// The pinned environment of an addon is what it tells others (`PASSWORD`, `USERNAME`, `DATABASE`, …); its
/// server needs the parts by their plain names. What the `spec` has under `credentials` goes before.
fn credentials(resource: &PinnedResource) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (key, value) in &resource.environment {
        let key = key.to_ascii_lowercase();
        if !matches!(key.as_str(), "host" | "port" | "postgres_uri") {
            all.insert(key, value.clone());
        }
    }
    let own = resource.spec.get("credentials").and_then(Value::as_object).into_iter().flatten();
    all.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    all
}
