//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use shipway_service_kit::config::{Label, Reader, Section, Size, section};

shipway_service_kit::sections! {
    /// Settings of `shipway serve executor`.
    pub struct Settings for "executor", include_str!("../config.default.toml"), {
        /// The port.
        pub server: section::Server,
        /// NATS.
        pub nats: section::Nats,
        /// Object storage.
        pub blobs: section::Blobs,
        /// Where Shipway's services answer.
        pub shipway: section::Shipway,
        /// What runs on this machine.
        pub executor: Host,
        /// What the process tells about itself.
        pub telemetry: section::Telemetry,
    }
}

shipway_service_kit::keys! {
    /// What runs on this machine.
    pub struct Host in "executor" {
        /// The folder of what this executor keeps.
        pub data: PathBuf = PathBuf::from("/var/lib/shipway/executor");
        /// What it can run that not every executor can.
        pub labels: Vec<Label> = Vec::new();
        /// Attempts without a process of their own at the same time.
        pub light_slots: u32 = 256, in 1..=10_000;
        /// Builds, jobs, backups and restores at the same time; 0: as many as the machine has cores.
        pub heavy_slots: u32 = 0, in 0..=1_000;
        /// The address that public ports are opened on.
        pub listen: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        /// The name or address at which other machines reach those ports; none: the host of `server.advertise`.
        pub host: Option<String> = None;
        /// How long a stopped command has between SIGTERM and SIGKILL.
        pub stop_grace: Duration = Duration::from_secs(10), in Duration::ZERO..=Duration::from_secs(300);
        /// How much of one node's log is kept.
        pub log_limit: Size = Size(64 << 20), in Size(64 << 10)..=Size(16 << 30);
        /// Whether keepers and shims try to be the root of a PID namespace.
        pub namespaces: bool = true;
        /// Whether messages and waits may go to loopback and private addresses.
        pub private_addresses: bool = true;
        /// Whether repositories may be folders of this machine, or be reached by http on it.
        pub local_repositories: bool = true;
    }
}

impl Section for Host {
    fn check(&self, reader: &mut Reader) {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if self.host.as_ref().is_some_and(|host| !host.chars().all(name)) {
            let message = "expected a host's name or address, like 10.0.0.7 or build-1.internal".to_owned();
            reader.wrong("executor", "host", message, None);
        }
    }
}

impl Host {
    /// Builds, jobs, backups and restores at the same time.
    #[must_use]
    pub fn heavy(&self) -> u32 {
        let cores = || std::thread::available_parallelism().map_or(2, |cores| cores.get());
        if self.heavy_slots > 0 { self.heavy_slots } else { u32::try_from(cores()).unwrap_or(2) }
    }
}
