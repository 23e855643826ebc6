//! The stream `place-<resource>`: the host that a service or addon is on. Written by the scheduler.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ExecutorId, RunId};

stream_events! {
    /// What happens to a target's place.
    pub enum Event, upcast upcast {
        /// The target's first release found it a host.
        Chosen = "place.chosen", 1;
        /// Its host was away for too long.
        Lost = "place.lost", 1;
        /// It was given another host.
        Moved = "place.moved", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::Chosen`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The executor of the host.
    pub executor: ExecutorId,
    /// The run that released it first.
    pub run: RunId,
    /// Labels that its release asked for: another host must have them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// See [`Event::Lost`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// The executor that is away.
    pub executor: ExecutorId,
    /// How long it had not been heard of, in seconds.
    pub away_seconds: u64,
}

/// See [`Event::Moved`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The executor of the host that it had.
    pub from: ExecutorId,
    /// The executor of the host that it has.
    pub to: ExecutorId,
    /// The run that starts it there.
    pub run: RunId,
}
