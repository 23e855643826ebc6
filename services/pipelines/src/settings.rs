//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use std::time::Duration;

use shipway_service_kit::{
    config::{Reader, Section, section},
    not_for_instances,
};

use crate::StatusConfig;

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
        /// What Git hosts hear of runs.
        pub statuses: Statuses,
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
        } else if let Err(message) = not_for_instances(&(self.first..=self.last)) {
            reader.wrong("ports", "first", message, None);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

shipway_service_kit::keys! {
    /// Statuses of commits at Git hosts.
    pub struct Statuses in "statuses" {
        /// Whether hosts are told of the runs that they started.
        pub on: bool = true;
        /// The address of this Shipway for people; empty: statuses lead nowhere.
        pub address: String = String::new();
        /// How long a host that does not take a status is tried.
        pub give_up: Duration = HOUR * 24, in Duration::from_secs(60)..=HOUR * 24 * 30;
        /// Whether hosts may be at loopback and private addresses.
        pub private_addresses: bool = true;
    }
}

impl Section for Statuses {
    fn check(&self, reader: &mut Reader) {
        let web = self.address.starts_with("https://") || self.address.starts_with("http://");
        if !self.address.is_empty() && !web {
            let message =
                format!("`{}` is no address; write it like https://shipway.example.org", self.address);
            reader.wrong("statuses", "address", message, None);
        }
    }
}

impl Statuses {
    /// The settings as the service takes them.
    #[must_use]
    pub fn config(&self) -> StatusConfig {
        let address = Some(self.address.clone()).filter(|address| !address.is_empty());
        let (on, give_up, private_addresses) = (self.on, self.give_up, self.private_addresses);
        StatusConfig { on, address, give_up, private_addresses }
    }
}

#[cfg(test)]
mod tests {
    use shipway_service_kit::config::{Problems, Sources, load};

    use super::*;

    fn ports(first: u16, last: u16) -> Result<Settings, Problems> {
        let flags = [
            "database.url=postgres://db/shipway".to_owned(),
            "blobs.url=s3://x".to_owned(),
            "keys.folder=/keys".to_owned(),
            format!("ports.first={first}"),
            format!("ports.last={last}"),
        ];
        load(&Sources { flags: flags.to_vec(), ..Sources::default() }, &[]).map(|loaded| loaded.settings)
    }

    #[test]
    fn public_ports_are_a_range_that_instances_are_not_in() {
        assert_eq!(ports(7500, 7500).unwrap().ports, Ports { first: 7500, last: 7500 });
        let why = ports(7500, 7499).unwrap_err().to_string();
        assert!(why.contains("ports.last") && why.contains("7499, is before the first, 7500"), "{why}");
        let why = ports(19_000, 20_000).unwrap_err().to_string();
        assert!(why.contains("ports.first") && why.contains("20000 to 31999"), "{why}");
    }
}
