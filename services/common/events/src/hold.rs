//! What holds and bad marks do to a run.

use serde::{Deserialize, Serialize};

use crate::{Actor, HoldId, Timestamp, plan::Artifact};

/// See [`run::Event::Held`](crate::run::Event::Held).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The node that would release it: its index in the plan.
    pub node: u32,
    /// What would get it, by its id in documents.
    pub target: String,
    /// What it would get. Before it is built its commit is known, and its digest is not.
    pub artifact: Artifact,
    /// The hold, or the mark.
    pub hold: HoldId,
    /// What people call the hold; empty for a mark.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// It is marked bad.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bad: bool,
    /// Who holds it, or has marked it.
    pub by: Actor,
    /// Why, as they said.
    pub reason: String,
    /// When the hold ends by itself; a person has to end it if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// See [`run::Event::LetGo`](crate::run::Event::LetGo).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetGo {
    /// The node's index in the plan.
    pub node: u32,
}

/// See [`run::Event::HoldOverridden`](crate::run::Event::HoldOverridden).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldOverridden {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
}
