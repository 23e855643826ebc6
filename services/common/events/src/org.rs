//! The stream `org`: the installation's projects. Written by the pipelines service.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ProjectId;

stream_events! {
    /// What happens to the installation.
    pub enum Event, upcast upcast {
        /// A project was made; its name is taken.
        ProjectCreated = "org.project_created", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::ProjectCreated`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCreated {
    /// The project.
    pub project: ProjectId,
    /// Its id in documents and addresses: the slug of its name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What people said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}
