//! Who did it, and what led to it.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Position, RunId};

/// Who asked for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Actor {
    /// A person, by the name that the front verified (the operating system's user on the embedded default).
    Person(String),
    /// A webhook or a look at a repository.
    Hook(String),
    /// Shipway itself.
    System(String),
}

impl Actor {
    /// The name, whatever it is the name of.
    #[must_use]
    pub fn name(&self) -> &str {
        let (Self::Person(name) | Self::Hook(name) | Self::System(name)) = self;
        name
    }
}

/// What led to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Somebody asked directly.
    Request,
    /// An earlier event, by its position.
    Event(Position),
    /// A webhook delivery.
    Delivery(DeliveryId),
    /// A run.
    Run(RunId),
    /// The clock.
    Clock,
}
