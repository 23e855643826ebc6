//! The stream `delivery-<id>`: a delivery and what was made of it. Written by the triggers service.
//! The body is in the encrypted inbox, never here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{DeliveryId, FlowId, HookId, ProjectId, run::Origin};

stream_events! {
    /// What happens to a delivery.
    pub enum Event, upcast upcast {
        /// Every rule of every trigger of the hook was asked; each match starts one run.
        Matched = "delivery.matched", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::Matched`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matched {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The hook that it came to; none for a push found by asking the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookId>,
    /// SHA-256 of the body, in hex.
    pub body: String,
    /// What it was, in words: `push of 3f2a91c to main`.
    pub summary: String,
    /// The verdict of each trigger.
    pub verdicts: Vec<Verdict>,
}

/// What a trigger made of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The flow's project.
    pub project: ProjectId,
    /// The flow.
    pub flow: FlowId,
    /// The flow by the names people use: `shop/development`.
    pub path: String,
    /// The trigger's ref.
    pub trigger: String,
    /// Whether a run follows.
    pub matched: bool,
    /// Why or why not, in words: `branch main matches the rule main`.
    pub reason: String,
    /// How the run will have come to be.
    pub origin: Origin,
    /// The trigger's values: `branch`, `sha`, `repoUrl`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Map<String, Value>,
    /// Run-time arguments from the webhook's query.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    /// The run's name and description, if the webhook gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
