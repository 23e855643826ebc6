//! What changes in the world by a node.

use serde::{Deserialize, Serialize};

use crate::{ResourceId, Timestamp, plan::Artifact};

/// A change in the world that a node made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "camelCase")]
pub enum Effect {
    /// A service or job now has this artifact.
    Released {
        /// The resource.
        target: ResourceId,
        /// Its id in documents.
        slug: String,
        /// What it has.
        artifact: Artifact,
    },
    /// An artifact was built, or found built already.
    Built {
        /// The artifact.
        artifact: Artifact,
        /// When the author of its commit says to have written it, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authored: Option<Timestamp>,
    },
    /// An addon was started or changed.
    AddonStarted {
        /// The addon.
        addon: ResourceId,
        /// Its id in documents.
        slug: String,
        /// Contents of before a restore that were kept, and are not any more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        let_go: Vec<String>,
    },
    /// An addon was backed up.
    BackedUp {
        /// The addon's id in documents.
        addon: String,
        /// The backup.
        backup: String,
        /// `sha256:…` of the dump.
        digest: String,
        /// Size of the dump in bytes.
        bytes: u64,
    },
    /// An addon's content was replaced by a backup.
    Restored {
        /// The addon's id in documents.
        addon: String,
        /// The backup.
        backup: String,
        /// The addon itself; not known of restores of versions that did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<ResourceId>,
        /// What the content of before is called, if it is kept until somebody confirms the restore.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<String>,
    },
    /// A job ran to its end.
    JobRan {
        /// The job's id in documents.
        job: String,
        /// The job run.
        job_run: String,
        /// What it ran.
        digest: String,
    },
}
