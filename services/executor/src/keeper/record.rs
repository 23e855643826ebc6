//! What a keeper knows after a crash of everything: two small synced files.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use shipway_events::Fence;

use super::protocol::Spec;
use crate::os::files;

/// The state that the last roll-out reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Its fence.
    pub(crate) fence: Fence,
    /// Its effect key.
    pub(crate) effect_key: String,
    /// What runs. Names of secrets, no values.
    pub(crate) spec: Spec,
}

/// The two files in a keeper's folder.
#[derive(Debug)]
pub(super) struct Records {
    record: PathBuf,
    fence: PathBuf,
}

impl Records {
    pub(super) fn new(folder: &Path) -> Self {
        Self { record: folder.join("record.json"), fence: folder.join("fence.json") }
    }

    /// The state and the highest fence seen. A roll-out that failed has raised the fence and left the state.
    pub(super) fn load(&self) -> io::Result<(Option<Record>, Fence)> {
        let record: Option<Record> = files::read_json(&self.record)?;
        let seen: Option<Fence> = files::read_json(&self.fence)?;
        let applied = record.as_ref().map(|record| record.fence);
        Ok((record, seen.max(applied).unwrap_or_default()))
    }

    pub(super) fn save(&self, record: &Record) -> io::Result<()> {
        files::write_json(&self.record, record)
    }

    /// From here on lower fences are refused.
    pub(super) fn raise(&self, fence: Fence) -> io::Result<()> {
        files::write_json(&self.fence, &fence)
    }
}

/// The state of the keeper in `folder`, read without asking it.
pub(crate) fn read(folder: &Path) -> io::Result<Option<Record>> {
    files::read_json(&folder.join("record.json"))
}
