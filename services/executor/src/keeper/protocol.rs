//! What is said over a keeper's socket. One request a connection; the last reply ends it.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shipway_events::{Fence, ProjectId, ResourceId, plan::Artifact};
use shipway_nodes::workload::Port;

use crate::sandbox::Sandbox;

/// The newest version of the protocol. A keeper lives longer than the Shipway that started it: what it
/// speaks is asked first, and newer fields are optional.
pub(crate) const VERSION: u32 = 1;

/// The socket's name in the keeper's folder.
pub(crate) const SOCKET: &str = "control.sock";

/// What a keeper is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub(crate) enum Request {
    /// Which version it speaks.
    Hello,
    /// Bring the target to this state; answered when that is done or has failed.
    Apply(Box<Apply>),
    /// The values that a keeper started from its record lacks, by the variable they go to.
    Secrets { values: BTreeMap<String, String> },
    /// How things stand.
    Status,
    /// Start the instances anew, one set after the other.
    Restart { fence: Fence, effect_key: String, timeout_ms: u64 },
    /// Give up the roll-out of this fence, if it is still going.
    Cancel { fence: Fence },
    /// End all instances, then yourself.
    Stop,
}

/// A roll-out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Apply {
    /// Refused when a higher one was seen.
    pub(crate) fence: Fence,
    /// The same key is the same roll-out: it is not made twice.
    pub(crate) effect_key: String,
    /// The state.
    pub(crate) spec: Spec,
    /// Values by the variable they go to. Kept in memory only.
    pub(crate) secrets: BTreeMap<String, String>,
    /// Milliseconds that all new instances have to become healthy.
    pub(crate) timeout_ms: u64,
}

/// What a keeper answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub(crate) enum Reply {
    /// The version it speaks.
    Hello { version: u32 },
    /// The state is as asked.
    Done {
        /// It was so already.
        already: bool,
    },
    /// A higher fence was seen.
    Stale { current: Fence },
    /// Not done, and everything is as it was.
    Failed { code: String, message: String },
    /// How things stand.
    Status(Box<Status>),
}

/// What runs, as recorded: no secret values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its project.
    pub(crate) project: ProjectId,
    /// The resource.
    pub(crate) resource: ResourceId,
    /// Its id in documents.
    pub(crate) slug: String,
    /// What it was made from, for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact: Option<Artifact>,
    /// How many instances.
    pub(crate) instances: u32,
    /// What is executed.
    pub(crate) words: Vec<String>,
    /// The plain part of the environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The secret part: variables, and what their values are made of (names and versions).
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, Value>,
    /// As whom and where.
    pub(crate) sandbox: Sandbox,
    /// The public ports.
    pub(crate) ports: Vec<Port>,
    /// The address that public ports are opened on.
    pub(crate) listen: IpAddr,
    /// All of them must hold for an instance to be healthy.
    pub(crate) checks: Vec<Check>,
    /// Seconds between the stop signal and SIGKILL.
    pub(crate) grace_seconds: u32,
    /// The signal that asks an instance to end.
    pub(crate) stop_signal: i32,
}

/// What a keeper keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// Instances behind a proxy; a new set takes over from the old one.
    Service,
    /// One server that opens its port itself and owns its data: replaced, never doubled.
    Addon,
}

/// A health check of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// What is tried.
    pub(crate) probe: Probe,
    /// Milliseconds between two.
    pub(crate) period_ms: u64,
    /// Milliseconds that one may take.
    pub(crate) timeout_ms: u64,
    /// Good ones in a row that make an instance healthy.
    pub(crate) successes: u32,
    /// Bad ones in a row that make a healthy instance ill.
    pub(crate) failures: u32,
}

/// What a health check tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Probe {
    /// GET of a path; 2xx or 3xx is good.
    Http {
        /// The port's name.
        port: String,
        /// The path.
        path: String,
    },
    /// A connect to the private port of that name.
    Tcp {
        /// The port's name.
        port: String,
    },
    /// A program whose exit code 0 is good, run in the instance's place.
    Program {
        /// What is executed.
        words: Vec<String>,
    },
}

/// How things stand with a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// The highest fence seen.
    pub(crate) fence: Fence,
    /// The fence of the roll-out that the state comes from.
    #[serde(default)]
    pub(crate) applied: Option<Fence>,
    /// The roll-out that the state comes from.
    pub(crate) effect_key: Option<String>,
    /// The state; none before the first roll-out.
    pub(crate) spec: Option<Spec>,
    /// The instances.
    pub(crate) instances: Vec<Instance>,
    /// A roll-out is going.
    pub(crate) rolling: bool,
    /// It waits for these: variables, and what their values are made of.
    pub(crate) needs_secrets: BTreeMap<String, Value>,
}

impl Status {
    /// All instances that there should be are healthy.
    pub(crate) fn is_healthy(&self) -> bool {
        let wanted = self.spec.as_ref().map_or(0, |spec| spec.instances as usize);
        let healthy = self.instances.iter().filter(|instance| instance.phase == Phase::Healthy).count();
        self.spec.is_some() && self.needs_secrets.is_empty() && healthy >= wanted
    }
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    /// Its name in logs: set and number.
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// Its private ports by name.
    pub(crate) ports: BTreeMap<String, u16>,
    /// How often it was started again after it had ended by itself.
    pub(crate) restarts: u32,
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Started, not yet healthy.
    Starting,
    /// Gets traffic.
    Healthy,
    /// Was healthy; its checks fail now.
    Ill,
    /// Ended by itself; started again after a pause.
    Down,
    /// Ended as asked, or for good.
    Stopped,
}
