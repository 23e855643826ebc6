//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use std::{path::PathBuf, time::Duration};

use shipway_service_kit::config::{Section, Size, section};

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
        pub max_body: Size = Size(1 << 20), in Size(1 << 10)..=Size(64 << 20);
        /// Deliveries that each webhook may send per second; 0: no limit.
        pub rate: u32 = 20, in 0..=100_000;
        /// How long deliveries are kept.
        pub retention: Duration = DAY * 90, in DAY * 30..=DAY * 3650;
    }
}

impl Section for Hooks {}

shipway_service_kit::keys! {
    /// Pushes that nobody told of.
    pub struct Reconcile in "reconcile" {
        /// How often each repository is asked; zero: never.
        pub every: Duration = SECOND * 300, in Duration::ZERO..=DAY;
        /// How long a repository may take to answer.
        pub ask_time: Duration = SECOND * 20, in SECOND..=SECOND * 600;
        /// How much the clones may take that are kept to ask what was changed.
        pub clones: Size = Size(2 << 30), in Size(1 << 20)..=Size(1 << 40);
        /// A folder for what is fetched for a moment, and for these clones.
        pub scratch: PathBuf = PathBuf::from("/tmp/shipway-triggers");
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
            rate: (hooks.rate > 0).then(|| Rate { per_second: hooks.rate, burst: hooks.rate * 5 }),
            reconcile_every: (!reconcile.every.is_zero()).then_some(reconcile.every),
            ask_time: reconcile.ask_time,
            clones: reconcile.clones.0,
            retention: hooks.retention,
        }
    }
}
