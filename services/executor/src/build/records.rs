//! Which builds there were: one synced file each, and an index by what was built.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shipway_events::{Timestamp, plan::Artifact, run::NodeError};
use shipway_nodes::workload::Build;

use crate::os::files;

/// One finished build. What would make an archive different each time is here and not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildRecord {
    /// What it made.
    pub(crate) artifact: Artifact,
    /// When the author of its commit says to have written it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authored: Option<Timestamp>,
    /// Size of the archive in bytes.
    pub(crate) bytes: u64,
    /// The command.
    pub(crate) command: String,
    /// The names of the variables that the command was given beside the runtime's own.
    pub(crate) variables: Vec<String>,
    /// Versions of the tools.
    pub(crate) tools: BTreeMap<String, String>,
    /// When it was finished, RFC 3339.
    pub(crate) finished: String,
}

/// The records of one build service.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(crate) fn new(service: &Path) -> io::Result<Self> {
        let folder = service.join("records");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// The build of that id: done by an earlier attempt.
    pub(crate) fn of_build(&self, build: &str) -> io::Result<Option<BuildRecord>> {
        files::read_json(&self.build(build))
    }

    /// An earlier build of the same commit in the same way.
    pub(crate) fn of_commit(&self, work: &Build, commit: &str) -> io::Result<Option<BuildRecord>> {
        files::read_json(&self.commit(work, commit))
    }

    /// How that attempt at the build failed, if it has.
    pub(crate) fn failure(&self, effect_key: &str, attempt: u32) -> io::Result<Option<NodeError>> {
        files::read_json(&self.failed(effect_key, attempt))
    }

    /// Recorded before the folders of the attempt are cleared: asked again, it is answered the same, and not by
    /// what is missing then.
    pub(crate) fn save_failure(&self, effect_key: &str, attempt: u32, error: &NodeError) -> io::Result<()> {
        files::write_json(&self.failed(effect_key, attempt), error)
    }

    pub(crate) fn save(&self, work: &Build, record: &BuildRecord) -> io::Result<()> {
        files::write_json(&self.commit(work, &record.artifact.commit), record)?;
        files::write_json(&self.build(&work.build), record)
    }

    fn failed(&self, effect_key: &str, attempt: u32) -> PathBuf {
        let name = hex::encode(Sha256::digest(effect_key));
        self.folder.join(format!("failed-{}-{attempt}.json", &name[..16]))
    }

    fn build(&self, build: &str) -> PathBuf {
        self.folder.join(format!("build-{}.json", &hex::encode(Sha256::digest(build))[..32]))
    }

    fn commit(&self, work: &Build, commit: &str) -> PathBuf {
        let how = serde_json::json!([work.command, work.include, work.work_dir, work.arguments]);
        self.folder
            .join(format!("commit-{commit}-{}.json", &hex::encode(Sha256::digest(how.to_string()))[..16]))
    }
}
