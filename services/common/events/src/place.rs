//! The stream `place-<resource>`: the host that a service or addon is on. Written by the scheduler.
//!
//! A move is over when its target is settled. One that failed is made again at the time that its failure names.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ExecutorId, RunId, Timestamp};

stream_events! {
    /// What happens to a target's place.
    pub enum Event, upcast upcast {
        /// The target's first release found it a host.
        Chosen = "place.chosen", 1;
        /// Its host was away for too long.
        Lost = "place.lost", 1;
        /// Its host came back before it was given another.
        Returned = "place.returned", 1;
        /// It was given another host, or the same one again after a move that failed.
        Moved = "place.moved", 1;
        /// The run that was to start it there did not.
        MoveFailed = "place.move_failed", 1;
        /// It is on the host that it was given.
        Settled = "place.settled", 1;
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

/// See [`Event::Returned`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// The executor that was away.
    pub executor: ExecutorId,
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
    /// The backup that an addon's content comes from: a person asked for it. A service has its artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

/// See [`Event::MoveFailed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveFailed {
    /// The move's run.
    pub run: RunId,
    /// Why, in words.
    pub reason: String,
    /// When it is moved again; without it a person decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
}

/// See [`Event::Settled`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The move's run.
    pub run: RunId,
}
