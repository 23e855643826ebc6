//! Holds and bad marks, as a project's policies have them.

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::{HoldId, RunId, Timestamp};

/// See [`Event::Held`](super::Event::Held).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The hold.
    pub hold: HoldId,
    /// What people call it: one that is in force has a name of its own in the project.
    pub name: String,
    /// Where it holds: runs of these stages release nothing that it is about.
    pub scope: Scope,
    /// Services and jobs of the scope when it was made, by their ids in documents: those that take builds by themselves do
    /// so in runs of no stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// What it holds.
    pub what: Predicate,
    /// When it ends by itself; when it is released if there is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// What a hold holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Predicate {
    /// These artifacts, whatever else is built of their commits, and what was built of commits before those.
    Lineage {
        /// The artifacts.
        artifacts: Vec<Subject>,
        /// What came before them, as far as builds were recorded.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        earlier: Vec<Before>,
    },
    /// What has a version below this one, and what has none that could be told.
    Version {
        /// The version.
        below: String,
        /// That version itself, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        inclusive: bool,
    },
    /// What contains a commit.
    Commit {
        /// The commit, or the beginning of its id.
        commit: String,
        /// Where it was built: what is built there and did not come before it contains it. Without any, what is built of
        /// that very commit is held and nothing else.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<Line>,
    },
}

/// An artifact, as far as it matters whether another one is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `sha256:…` of the stored archive.
    pub digest: String,
    /// The build service, by its id in documents.
    pub service: String,
    /// The commit that was built; empty where none is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub commit: String,
}

/// Commits that a service had been built of before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The build service, by its id in documents.
    pub service: String,
    /// The commits, the newest first.
    pub commits: Vec<String>,
}

/// A service's builds of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The build service, by its id in documents.
    pub service: String,
    /// The branch.
    pub branch: String,
    /// The commits that it had been built of before, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
}

/// See [`Event::Released`](super::Event::Released).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The hold.
    pub hold: HoldId,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// See [`Event::MarkedBad`](super::Event::MarkedBad).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedBad {
    /// The mark.
    pub mark: HoldId,
    /// The run whose releases are bad, if a run was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What is bad; whatever else is built of the same commit for the same service is, too.
    pub artifacts: Vec<Subject>,
    /// Why.
    pub reason: String,
}

/// See [`Event::Unmarked`](super::Event::Unmarked).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmarked {
    /// The mark.
    pub mark: HoldId,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
