//! What people say of a run.

use serde::{Deserialize, Serialize};

/// See [`run::Event::NotedWords`](crate::run::Event::NotedWords). What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedWords {
    /// What it is called from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is said about it from now on; empty for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
