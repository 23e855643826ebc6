//! Who did it, and what led to it.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Position, RunId};

/// Who asked for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Actor {
    /// A person, by the name that their token proves; [`Actor::NOBODY`] without one.
    Person(String),
    /// A webhook or a look at a repository; as the author of a run, who sent the delivery, by their name at the Git host.
    Hook(String),
    /// Shipway itself.
    System(String),
}

impl Actor {
    /// The name of a person who has proved none.
    pub const NOBODY: &'static str = "local";

    /// A person who has proved no name: whoever reaches Shipway's port.
    #[must_use]
    pub fn nobody() -> Self {
        Self::Person(Self::NOBODY.to_owned())
    }

    /// Whether it is a person who has proved no name.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Person(name) if name == Self::NOBODY)
    }

    /// Whether both are, or are called like, the same person. Who sent a delivery is known by their name at the Git
    /// host; case tells no two people apart.
    #[must_use]
    pub fn is_same_person(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System(_), _) | (_, Self::System(_)) => self == other,
            _ => self.name().eq_ignore_ascii_case(other.name()),
        }
    }

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
