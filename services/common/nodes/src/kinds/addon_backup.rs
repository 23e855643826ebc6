//! `AddonBackup`: backs an addon up.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shipway_documents::flow::Node;
use shipway_events::run::NodeError;

use super::{addon, literal, named};
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind, Validation, shape::Config, step::read,
    workload,
};

pub(crate) struct AddonBackup;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "destinations are refused when the flow is published; they are the shape")]
struct Spec {
    /// The addon, by its id
    addon_id: String,
    /// `snapshot` or `dump`.
    backup_type: Option<BackupType>,
    /// `zstd`, `gz` or `none`.
    compression_type: Option<Compression>,
    /// Another place for it.
    custom_destination_id: Option<String>,
    /// More places for it.
    additional_destinations: Option<Vec<Destination>>,
    /// The project, if not the flow's.
    project_id: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "destinations are refused when the flow is published; they are the shape")]
struct Destination {
    /// The place, by its id
    destination_id: String,
    /// Days that it is kept there.
    #[schemars(range(min = 1))]
    retention_time: Option<u32>,
    /// `custom`.
    r#type: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum BackupType {
    #[default]
    Snapshot,
    Dump,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Compression {
    #[default]
    Zstd,
    Gz,
    None,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for AddonBackup {
    fn name(&self) -> &'static str {
        "AddonBackup"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn conditions(&self) -> &'static [&'static str] {
        &["success"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        for part in ["customDestinationId", "additionalDestinations"] {
            if node
                .spec
                .get(part)
                .is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
            {
                let message = format!("`{part}` is not supported yet");
                ctx.unsupported(&format!("/{part}"), &message, "backups are kept in the data folder");
            }
        }
        ctx.check_project("/projectId", literal(&node.spec, "/projectId"));
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        named(node, "/addonId", UseKind::Addon, Role::Member).into_iter().collect()
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        let later = ["uid", "config.addonVersion", "config.size", "createdAt", "completedAt"];
        Outputs::of(&["id", "name", "addonId"], &["status", "type"]).and_later(&later)
    }

    fn may_be_detached(&self) -> bool {
        true
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        Ok(Step::Work(workload::Workload::Backup(workload::Backup {
            addon: addon::pinned(&config.addon_id, ctx)?,
            backup: ctx.made("bk"),
            backup_type: match config.backup_type.unwrap_or_default() {
                BackupType::Snapshot => "snapshot",
                BackupType::Dump => "dump",
            }
            .into(),
            compression: match config.compression_type.unwrap_or_default() {
                Compression::Zstd => "zstd",
                Compression::Gz => "gz",
                Compression::None => "none",
            }
            .into(),
        })))
    }
}
