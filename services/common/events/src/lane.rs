//! The stream `lane-<flow>`: which runs of a flow may go on. Written by the scheduler, in one commit with the run that it
//! is about.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RunId;

stream_events! {
    /// What happens in a lane.
    pub enum Event, upcast upcast {
        /// A run was asked for, or its turn has come, and it may go on.
        Admitted = "lane.admitted", 1;
        /// A run was asked for and waits for its turn.
        Queued = "lane.queued", 1;
        /// A run was asked for and will not be.
        Rejected = "lane.rejected", 1;
        /// A run that waited gives its place to a newer one: it ends as skipped.
        Superseded = "lane.superseded", 1;
        /// A run that went on or waited gives way to a newer one: it is aborted.
        Replaced = "lane.replaced", 1;
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
    /// The run that was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RunId>,
}

/// See [`Event::Superseded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// The run.
    pub run: RunId,
    /// The newer one.
    pub by: RunId,
}

/// See [`Event::Replaced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The run.
    pub run: RunId,
    /// The newer one.
    pub by: RunId,
}

/// See [`Event::Left`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The run.
    pub run: RunId,
}
