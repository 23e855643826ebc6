//! The stream `lock-<project>.<name>`: which node of which run has a lock, and who waits for it. Written by the
//! scheduler, in one commit with what the node does.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RunId;

stream_events! {
    /// What happens to a lock.
    pub enum Event, upcast upcast {
        /// A node has it.
        Taken = "lock.taken", 1;
        /// A node waits for it, behind those that wait already.
        Queued = "lock.queued", 1;
        /// A node has it no more, or waits for it no more.
        Released = "lock.released", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::Taken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The run.
    pub run: RunId,
    /// The node's index in its plan.
    pub node: u32,
}

/// See [`Event::Queued`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The run.
    pub run: RunId,
    /// The node's index in its plan.
    pub node: u32,
}

/// See [`Event::Released`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The run.
    pub run: RunId,
    /// The node's index in its plan.
    pub node: u32,
}
