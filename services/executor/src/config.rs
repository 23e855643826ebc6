//! How an executor is set up.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use shipway_eventing::Blobs;

use crate::lease::LeaseTimes;

/// How an executor is set up.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// The data folder. What the executor keeps is in its `host` folder.
    pub data: PathBuf,
    /// Shipway's own binary, for keepers, shims and the sandbox: it has to call [`crate::keeper::main`],
    /// [`crate::shim::main`], [`crate::ways::main`] and [`crate::sandbox::main`] for the words `keeper`, `shim`, `way`
    /// and `sandbox`.
    pub binary: PathBuf,
    /// Where artifacts and backups are.
    pub blobs: Blobs,
    /// The address of this host that services' public ports are opened on, beside 127.0.0.1.
    pub listen: IpAddr,
    /// Whether keepers and shims try to be the root of a PID namespace. Off, they are subreapers.
    pub namespaces: bool,
    /// Whether messages and waits may go to loopback and private addresses. On by default: on one machine
    /// everything is local.
    pub allow_private_addresses: bool,
    /// Whether repositories may be folders of this machine, or be reached by http on it.
    pub local_repositories: bool,
    /// The time that stopped commands have between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// Attempts without a process of their own at the same time, as those who give them are told. 256 by default.
    pub light_slots: u32,
    /// Builds, jobs, backups and restores at the same time; what is given beyond waits here. No limit by default: who
    /// gives the work counts too.
    pub heavy_slots: u32,
    /// How large a node's log may grow, in bytes. 64 MiB by default; what follows is not kept, and the log says so.
    pub log_limit: u64,
    /// What nodes may ask of an executor and this one has.
    pub labels: BTreeSet<String>,
    /// When work ends by itself because no beat was good ([`crate::Executor::renew`]). None by default: where there
    /// is one executor, nobody else is ever given its work.
    pub lease: Option<LeaseTimes>,
}

impl ExecutorConfig {
    /// The defaults: ports on 127.0.0.1, private addresses allowed, 10 s of grace.
    #[must_use]
    pub fn new(data: PathBuf, binary: PathBuf, blobs: Blobs) -> Self {
        Self {
            data,
            binary,
            blobs,
            listen: Ipv4Addr::LOCALHOST.into(),
            namespaces: true,
            allow_private_addresses: true,
            local_repositories: true,
            stop_grace: Duration::from_secs(10),
            light_slots: 256,
            heavy_slots: u32::MAX,
            log_limit: crate::node_logs::LIMIT,
            labels: BTreeSet::new(),
            lease: None,
        }
    }
}
