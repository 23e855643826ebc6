//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use shipway_service_kit::config::{Reader, Section, section};

shipway_service_kit::sections! {
    /// Settings of `shipway serve pipelines`.
    pub struct Settings for "pipelines", include_str!("../config.default.toml"), {
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
        /// Public ports.
        pub ports: Ports,
        /// Repositories.
        pub repositories: Repositories,
        /// What the process tells about itself.
        pub telemetry: section::Telemetry,
    }
}

shipway_service_kit::keys! {
    /// Public ports of services and addons.
    pub struct Ports in "ports" {
        /// The first that may be given.
        pub first: u16 = 7500, in 1..=u16::MAX;
        /// The last.
        pub last: u16 = 7999, in 1..=u16::MAX;
    }
}

shipway_service_kit::keys! {
    /// Repositories that people look into.
    pub struct Repositories in "repositories" {
        /// Whether they may be folders of this machine, or be reached by http on it.
        pub local: bool = true;
    }
}

impl Section for Repositories {}

impl Section for Ports {
    fn check(&self, reader: &mut Reader) {
        if self.last < self.first {
            let message = format!("the last port, {}, is before the first, {}", self.last, self.first);
            reader.wrong("ports", "last", message, None);
        }
    }
}
