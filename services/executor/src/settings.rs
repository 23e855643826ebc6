//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use shipway_eventing::Blobs;
use shipway_service_kit::config::{Label, Reader, Section, Size, section};

use crate::{ExecutorConfig, LeaseTimes};

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
    /// An executor with these settings, which keeps artifacts there. Every setting is named here, so none can be
    /// forgotten.
    #[must_use]
    pub fn config(&self, binary: PathBuf, blobs: Blobs) -> ExecutorConfig {
        let Self {
            data,
            labels,
            light_slots,
            heavy_slots,
            listen,
            // It is told to others, and nothing is done with it here.
            host: _,
            stop_grace,
            log_limit,
            namespaces,
            private_addresses,
            local_repositories,
        } = self.clone();
        let cores = || std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        ExecutorConfig {
            data,
            binary,
            blobs,
            listen,
            namespaces,
            allow_private_addresses: private_addresses,
            local_repositories,
            stop_grace,
            light_slots,
            heavy_slots: if heavy_slots > 0 { heavy_slots } else { u32::try_from(cores()).unwrap_or(2) },
            log_limit: log_limit.0,
            labels: labels.iter().map(|label| label.as_str().to_owned()).collect(),
            lease: Some(LeaseTimes::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use shipway_service_kit::config::{self, Settings as _, Sources};

    use super::*;

    #[tokio::test]
    async fn an_executor_has_what_its_settings_say() {
        let flags = [
            "shipway.urls=http://x:1",
            "blobs.url=s3://x",
            "executor.data=/data",
            "executor.labels=gpu",
            "executor.light_slots=7",
            "executor.heavy_slots=3",
            "executor.listen=0.0.0.0",
            "executor.stop_grace=1s",
            "executor.log_limit=128KiB",
            "executor.namespaces=false",
            "executor.private_addresses=false",
            "executor.local_repositories=false",
            "server.listen=0.0.0.0:7400",
            "server.advertise=http://build-1.internal:7400",
        ];
        let mut sources = Sources { flags: flags.map(str::to_owned).into(), ..Sources::default() };
        let load = |sources: &Sources| config::load::<Settings>(sources, &Settings::keys()).unwrap().settings;
        let settings = load(&sources);
        assert_eq!(settings.server.host(), "build-1.internal");
        sources.flags.push("server.advertise=http://[fd00::7]:7400".to_owned());
        assert_eq!(load(&sources).server.host(), "fd00::7", "as an address is dialled");
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).await.unwrap();
        let config = settings.executor.config("/shipway".into(), blobs);
        assert_eq!((config.data, config.binary), (PathBuf::from("/data"), PathBuf::from("/shipway")));
        assert_eq!((config.light_slots, config.heavy_slots, config.log_limit), (7, 3, 128 << 10));
        assert_eq!(config.labels, ["gpu".to_owned()].into());
        assert_eq!(
            (config.listen, config.stop_grace),
            (Ipv4Addr::UNSPECIFIED.into(), Duration::from_secs(1))
        );
        assert!(!config.namespaces && !config.allow_private_addresses && !config.local_repositories);
        assert!(config.lease.is_some(), "another may be given its work");
    }
}
