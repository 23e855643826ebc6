//! Names of streams. Nobody formats one by hand.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, FlowId, ProjectId, ResourceId, RunId};

/// The name of a stream: what one decision keeps consistent. `<kind>` or `<kind>-<id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamName(String);

/// A text that is no stream's name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a stream's name: letters, digits, `-`, `_` and `.`, at most 120")]
pub struct StreamNameError(String);

impl StreamName {
    /// The installation's projects, people, roles and tokens.
    #[must_use]
    pub fn org() -> Self {
        Self("org".to_owned())
    }

    /// A project with its resources, pipelines and flows.
    #[must_use]
    pub fn project(id: ProjectId) -> Self {
        Self(format!("project-{id}"))
    }

    /// A delivery and what was made of it.
    #[must_use]
    pub fn delivery(id: DeliveryId) -> Self {
        Self(format!("delivery-{id}"))
    }

    /// The schedule of a flow.
    #[must_use]
    pub fn schedule(flow: FlowId) -> Self {
        Self(format!("schedule-{flow}"))
    }

    /// The lane of a flow: which of its runs may go on.
    #[must_use]
    pub fn lane(flow: FlowId) -> Self {
        Self(format!("lane-{flow}"))
    }

    /// A run.
    #[must_use]
    pub fn run(id: RunId) -> Self {
        Self(format!("run-{id}"))
    }

    /// The place of a service or addon.
    #[must_use]
    pub fn place(target: ResourceId) -> Self {
        Self(format!("place-{target}"))
    }

    /// What a project's runs are held by, whatever their flows say.
    #[must_use]
    pub fn policy(project: ProjectId) -> Self {
        Self(format!("policy-{project}"))
    }

    /// A lock of a project's flows.
    #[must_use]
    pub fn lock(project: ProjectId, name: &str) -> Self {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        // Names are checked in documents; whatever came otherwise still makes a name of a stream.
        let name: String = name.chars().filter(|c| fits(*c)).take(64).collect();
        Self(format!("lock-{project}.{name}"))
    }

    /// A name that came from outside (an operator's query, a test).
    ///
    /// # Errors
    /// If it holds anything that a name may not.
    pub fn parse(text: &str) -> Result<Self, StreamNameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 120 || !text.chars().all(fits) {
            return Err(StreamNameError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind: `run` of `run-0190…`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('-').map_or(self.0.as_str(), |(kind, _)| kind)
    }

    /// The id after the kind, if the stream has one: `0190…` of `run-0190…`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0.split_once('-').map(|(_, id)| id)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
