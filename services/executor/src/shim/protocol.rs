//! A shim's folder and socket.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use shipway_events::Fence;

use crate::{lease::Deadlines, os::children::Exit, sandbox::Sandbox};

/// What is to be done; written before the shim starts. Holds no secrets.
pub(super) const SPEC: &str = "spec.json";
/// Written before the process is executed: from then on its effect may have happened.
pub(super) const STARTED: &str = "started.json";
/// Written when it ended.
pub(super) const EXIT: &str = "exit.json";
/// Where it is asked.
pub(super) const SOCKET: &str = "control.sock";

/// What a shim does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    /// The node's effect key.
    pub(crate) effect_key: String,
    /// The attempt, 1 for the first.
    pub(crate) attempt: u32,
    /// The attempt's fence.
    #[serde(default)]
    pub(crate) fence: Fence,
    /// Which step of the node.
    pub(crate) step: String,
    /// What is executed.
    pub(crate) words: Vec<String>,
    /// The plain part of the environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// As whom and where.
    pub(crate) sandbox: Sandbox,
    /// Where its output is appended.
    pub(crate) log: PathBuf,
    /// How large that may grow.
    #[serde(default = "log_limit")]
    pub(crate) log_limit: u64,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdin: Option<PathBuf>,
    /// Where its standard output goes instead of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdout: Option<PathBuf>,
    /// When it has to have ended: microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<i64>,
    /// Milliseconds between SIGTERM and SIGKILL at the deadline.
    pub(crate) grace_ms: u64,
}

const fn log_limit() -> u64 {
    crate::node_logs::LIMIT
}

/// What comes through a pipe at the start and stays in memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Input {
    /// The secret part of the environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// More values to mask in the output.
    pub(crate) mask: Vec<String>,
    /// When it ends unless its executor's lease is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<Deadlines>,
}

/// How it ended, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    /// The process' end; none if it could not be started.
    pub(crate) exit: Option<Exit>,
    /// Why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Its deadline ended it.
    pub(crate) timed_out: bool,
    /// A request ended it.
    pub(crate) stopped: bool,
    /// The end of its executor's lease ended it: the fence of the attempt that it was started for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lapsed: Option<Fence>,
    /// The last lines of its output.
    pub(crate) tail: Vec<String>,
}

/// What a shim is asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub(super) enum Request {
    /// Tell when it has ended.
    Wait,
    /// End it.
    Stop {
        /// Milliseconds between SIGTERM and SIGKILL.
        grace_ms: u64,
    },
    /// The executor's lease was renewed. Answered with whether the command goes on.
    Renew {
        /// Its new end.
        lease: Deadlines,
    },
}
