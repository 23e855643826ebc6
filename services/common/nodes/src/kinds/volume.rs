//! `Volume`: storage that services mount.

#![expect(dead_code, reason = "this is a shape: flows do not run it")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::parts::{Resource, resource_outputs};

described!(
    Volume,
    "Volume",
    outputs: resource_outputs(),
);

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(flatten)]
    resource: Resource,
    /// Where it is mounted.
    mounts: Option<Vec<Mount>>,
    /// What it is
    spec: VolumeSpec,
    /// What mounts it; attaching it restarts the service.
    attached_objects: Option<Vec<Attached>>,
    /// What it begins as.
    source: Option<Map<String, Value>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Mount {
    /// The path in what mounts it
    container_mount_path: String,
    /// The path in the volume.
    volume_mount_path: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct VolumeSpec {
    /// `ReadWriteOnce` or `ReadWriteMany`.
    access_mode: Option<String>,
    /// The class of storage.
    storage_class_name: Option<String>,
    /// MB
    #[schemars(range(min = 1))]
    storage_size: u32,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Attached {
    /// The resource, by its id
    id: String,
    /// `service` or `job`.
    r#type: Option<String>,
}
