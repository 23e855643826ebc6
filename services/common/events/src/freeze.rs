//! What freezes do to a run.

use serde::{Deserialize, Serialize};

use crate::{Actor, FreezeId, Timestamp};

/// See [`run::Event::Frozen`](crate::run::Event::Frozen).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The freeze.
    pub freeze: FreezeId,
    /// What people call it.
    pub name: String,
    /// Who froze.
    pub by: Actor,
    /// Why, as they said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it ends by itself; a person has to end it if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Also what goes on begins nothing more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stops_all: bool,
}

/// See [`run::Event::Thawed`](crate::run::Event::Thawed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thawed {}

/// See [`run::Event::FreezeOverridden`](crate::run::Event::FreezeOverridden).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeOverridden {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
}
