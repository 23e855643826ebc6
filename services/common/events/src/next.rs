//! What the next release adds to the events, made up for the tests of an upgrade and of the way back: an event type, a
//! field, and the upcast of what was written without it. Only the feature `next-schema` has it, which no release has.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// See [`Event::NotedWriter`](crate::run::Event::NotedWriter).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedWriter {
    /// The version of Shipway.
    pub shipway: String,
}

/// A request of the first schema was for as many attempts as it counts, for all that is known.
pub(crate) fn upcast(kind: &str, from: u16, mut data: Value) -> Value {
    if (kind, from) == ("run.attempt_requested", 1) {
        let of = data.get("attempt").cloned().unwrap_or_else(|| json!(1));
        data["of"] = of;
    }
    data
}
