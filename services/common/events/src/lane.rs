//! The stream `lane-<flow>`: which runs of a flow may go on. Written by the scheduler.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RunId;

stream_events! {
    /// What happens in a lane.
    pub enum Event, upcast upcast {
        /// A run was asked for and may go on.
        Admitted = "lane.admitted", 1;
        /// A run was asked for and waits for its turn.
        Queued = "lane.queued", 1;
        /// A run was asked for and will not be.
        Rejected = "lane.rejected", 1;
        /// A run has ended and leaves the lane.
        Left = "lane.left", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::Admitted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The run.
    pub run: RunId,
}

/// See [`Event::Queued`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The run.
    pub run: RunId,
    /// The run that it waits for.
    pub behind: RunId,
}

/// See [`Event::Rejected`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The run.
    pub run: RunId,
    /// Why, in words.
    pub reason: String,
}

/// See [`Event::Left`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The run.
    pub run: RunId,
}
