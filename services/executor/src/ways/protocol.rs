//! What is said over the socket of the ways. One request a connection.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The newest version of the protocol. The process lives longer than the Shipway that started it: what it speaks is
/// asked first, and newer fields are optional.
pub(super) const VERSION: u32 = 1;

/// The socket's name in the folder.
pub(super) const SOCKET: &str = "control.sock";

/// What is forwarded, kept for the next start.
pub(super) const RECORD: &str = "record.json";

/// From a place on this host to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Route {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// The host that it leads to: an address or a name.
    pub(crate) host: String,
    /// The port there.
    pub(crate) port: u16,
}

/// What the process is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub(super) enum Request {
    /// Which version it speaks.
    Hello,
    /// Forward these and no others.
    Set {
        /// All of them.
        routes: Vec<Route>,
    },
    /// Close these ports: a target is about to live here. Until they are set again.
    Release {
        /// The public ports.
        ports: Vec<u16>,
    },
    /// Close everything and end.
    Stop,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub(super) enum Reply {
    /// The version it speaks.
    Hello {
        /// The version.
        version: u32,
    },
    /// Done.
    Open {
        /// Those that could not be opened yet: something else has the port. They are tried again.
        closed: Vec<SocketAddr>,
    },
    /// Not done, or not for good.
    Failed {
        /// Why.
        message: String,
    },
}
