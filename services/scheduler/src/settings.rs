//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use std::time::Duration;

use shipway_service_kit::config::{Section, section};

shipway_service_kit::sections! {
    /// Settings of `shipway serve scheduler`.
    pub struct Settings for "scheduler", include_str!("../config.default.toml"), {
        /// The port.
        pub server: section::Server,
        /// The database.
        pub database: section::Database,
        /// NATS.
        pub nats: section::Nats,
        /// Object storage.
        pub blobs: section::Blobs,
        /// Logs of nodes.
        pub logs: Logs,
        /// What the process tells about itself.
        pub telemetry: section::Telemetry,
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

shipway_service_kit::keys! {
    /// Logs of nodes.
    pub struct Logs in "logs" {
        /// How long they are kept after their run has ended.
        pub retention: Duration = DAY * 90, in DAY..=DAY * 3650;
    }
}

impl Section for Logs {}
