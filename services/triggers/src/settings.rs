//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use shipway_service_kit::{
    Guard,
    config::{Section, Size, section},
};

use crate::{Config, Rate};

shipway_service_kit::sections! {
    /// Settings of `shipway serve triggers`.
    pub struct Settings for "triggers", include_str!("../config.default.toml"), {
        /// The port.
        pub server: section::Server,
        /// The database.
        pub database: section::Database,
        /// NATS.
        pub nats: section::Nats,
        /// Object storage.
        pub blobs: section::Blobs,
        /// The keys.
        pub keys: section::Keys,
        /// Deliveries.
        pub hooks: Hooks,
        /// Pushes that nobody told of.
        pub reconcile: Reconcile,
        /// What the process tells about itself.
        pub telemetry: section::Telemetry,
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

shipway_service_kit::keys! {
    /// Deliveries of webhooks.
    pub struct Hooks in "hooks" {
        /// The largest body.
        pub max_body: Size = Size(1 << 20), in Size(1 << 10)..=Size(25 << 20);
        /// Deliveries that each webhook may send per second; 0: no limit.
        pub rate: u32 = 20, in 0..=100_000;
        /// Deliveries that all webhooks together may send per second; 0: no limit.
        pub rate_in_all: u32 = 2_000, in 0..=1_000_000;
        /// Connections in all.
        pub connections: u32 = 2_048, in 16..=1_000_000;
        /// Deliveries of one source that are open at a time, and connections of one address that say nothing.
        pub open: u32 = 64, in 1..=100_000;
        /// Addresses of proxies, which speak for others.
        pub proxies: Vec<IpNet> = Guard::default().proxies;
        /// Bytes of bodies that all open deliveries may hold.
        pub memory: Size = Size(256 << 20), in Size(32 << 20)..=Size(64 << 30);
        /// The folder for deliveries that come while the database is away.
        pub spool: PathBuf = PathBuf::from("/var/lib/shipway/spool");
        /// How much may wait there.
        pub spool_max: Size = Size(1 << 30), in Size(1 << 20)..=Size(1 << 40);
        /// How long deliveries are kept.
        pub retention: Duration = DAY * 90, in DAY * 30..=DAY * 3650;
    }
}

impl Section for Hooks {}

impl Hooks {
    /// How many connections the port takes.
    #[must_use]
    pub fn guard(&self) -> Guard {
        let (connections, silent) = (self.connections as usize, self.open as usize);
        Guard { connections, silent, proxies: self.proxies.clone() }
    }
}

shipway_service_kit::keys! {
    /// Pushes that nobody told of.
    pub struct Reconcile in "reconcile" {
        /// How often each repository is asked; zero: never.
        pub every: Duration = SECOND * 30, in Duration::ZERO..=DAY;
        /// How long a repository may take to answer.
        pub ask_time: Duration = SECOND * 20, in SECOND..=SECOND * 600;
        /// How much the clones may take that are kept to ask what was changed.
        pub clones: Size = Size(2 << 30), in Size(1 << 20)..=Size(1 << 40);
        /// A folder for what is fetched for a moment, and for these clones.
        pub scratch: PathBuf = PathBuf::from("/tmp/shipway-triggers");
        /// Whether repositories may be folders of this machine, or be reached by http on it.
        pub local_repositories: bool = true;
    }
}

impl Section for Reconcile {}

impl Settings {
    /// The settings as the service takes them.
    #[must_use]
    pub fn config(&self) -> Config {
        let (hooks, reconcile) = (&self.hooks, &self.reconcile);
        Config {
            max_body: usize::try_from(hooks.max_body.0).unwrap_or(usize::MAX),
            rate: Rate::of(hooks.rate),
            rate_in_all: Rate::of(hooks.rate_in_all),
            open: hooks.open as usize,
            memory: usize::try_from(hooks.memory.0).unwrap_or(usize::MAX),
            proxies: hooks.proxies.clone(),
            spool_max: hooks.spool_max.0,
            reconcile_every: (!reconcile.every.is_zero()).then_some(reconcile.every),
            ask_time: reconcile.ask_time,
            local_repositories: reconcile.local_repositories,
            clones: reconcile.clones.0,
            retention: hooks.retention,
        }
    }
}
