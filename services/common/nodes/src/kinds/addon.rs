//! `Addon`: starts an addon, or brings it to its declared state. The node of an addon's one-node flow.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::{flow::Node, names::slug, plain_text};
use shipway_events::{plan::PinnedResource, project::ResourceKind, run::NodeError};

use super::{named, parts::Billing};
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind, Validation,
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
    /// The addon, by its id, in a flow.
    addon_id: Option<String>,
    /// Its name, where it is declared; its id is the slug of it.
    name: Option<String>,
    #[serde(flatten)]
    _declared: Declared,
}

/// What only the node says that declares an addon.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by whoever makes the addon; here it is the shape")]
struct Declared {
    /// What it is for.
    description: Option<String>,
    /// The engine: `postgresql`.
    r#type: Option<String>,
    /// Its version: `16`, `latest`.
    version: Option<String>,
    /// Sizes.
    #[schemars(with = "Option<Billing>")]
    billing: Option<Map<String, Value>>,
    /// The addon that it begins as a copy of.
    source: Option<Source>,
    /// Whether connections are encrypted.
    tls_enabled: Option<bool>,
    /// Whether it is reached from outside.
    external_access_enabled: Option<bool>,
    /// Settings of the engine.
    type_specific_settings: Option<Map<String, Value>>,
    /// When it is backed up by itself.
    backup_schedules: Option<Vec<Map<String, Value>>>,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
    /// The stage that it is made for.
    stage_id: Option<String>,
    /// Tags.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read by whoever makes the addon; here it is the shape")]
struct Source {
    /// The addon, by its id
    addon_id: String,
    /// The backup's id, or `latest`.
    backup_id: Option<String>,
    /// Its project, if another one.
    project_id: Option<String>,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for Addon {
    fn name(&self) -> &'static str {
        "Addon"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let given = |name: &str| node.spec.get(name).is_some_and(|value| !value.is_null());
        if !given("name") && !given("addonId") {
            ctx.error("", "`name` is missing", "name the addon; its id is the slug of its name");
        }
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        named(node, "/addonId", UseKind::Addon, Role::Member).into_iter().collect()
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&["id"], &["status", "port", "name"]).and_others()
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
