//! What `up`, `down` and `serve` are told.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    path::PathBuf,
};

use shipway_service_kit::not_for_instances;

/// How many public ports may be given out.
const PUBLIC_PORTS: u16 = 500;

/// Arguments of `shipway up`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// The data folder; made when missing.
    #[arg(long, env = "SHIPWAY_DATA", value_name = "FOLDER", default_value = ".shipway")]
    pub(crate) data: PathBuf,
    /// The port; a taken one means the next free one, 0 any.
    #[arg(long, env = "SHIPWAY_PORT", value_name = "PORT", default_value_t = 7400)]
    pub(crate) port: u16,
    /// The address to listen on. There is no login yet: whoever reaches it may do everything.
    #[arg(long, env = "SHIPWAY_LISTEN", value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) listen: IpAddr,
    /// Makes the demo project, pushes to it and shows what happens.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Builds, jobs, backups and restores at the same time; the machine's cores when absent.
    #[arg(long, env = "SHIPWAY_HEAVY_SLOTS", value_name = "COUNT")]
    pub(crate) heavy_slots: Option<u32>,
    /// Deliveries that each webhook may send per second; 0 for no limit.
    #[arg(long, env = "SHIPWAY_HOOK_RATE", value_name = "COUNT", default_value_t = 20)]
    pub(crate) hook_rate: u32,
    /// Seconds between looks at the repositories for pushes that nobody told of; 0 for never.
    #[arg(long, env = "SHIPWAY_RECONCILE", value_name = "SECONDS", default_value_t = 30)]
    pub(crate) reconcile: u64,
    /// Days for which what nodes printed is kept: 1 to 3650.
    #[arg(long, env = "SHIPWAY_LOG_RETENTION", value_name = "DAYS", default_value_t = 90,
          value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub(crate) log_retention: u64,
    /// The address of this Shipway for people: statuses of commits at Git hosts lead there. To nowhere when absent.
    #[arg(long, env = "SHIPWAY_PUBLIC_ADDRESS", value_name = "URL")]
    pub(crate) public_address: Option<String>,
    /// Public ports of services and addons are given from here on, 500 of them; not from 20000 to 31999, which instances
    /// of services listen on.
    #[arg(long, env = "SHIPWAY_FIRST_PORT", value_name = "PORT", default_value_t = 7500, value_parser = first_port)]
    pub(crate) first_port: u16,
    /// Where traces are sent by OTLP over gRPC: http://127.0.0.1:4317. Off when absent.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// Writes its own log as JSON lines.
    #[arg(long, env = "SHIPWAY_LOG_JSON")]
    pub(crate) log_json: bool,
}

impl UpArgs {
    /// The ports that services and addons may get.
    pub(crate) fn public_ports(&self) -> RangeInclusive<u16> {
        public_ports(self.first_port)
    }
}

fn public_ports(first: u16) -> RangeInclusive<u16> {
    first..=first.saturating_add(PUBLIC_PORTS - 1)
}

fn first_port(text: &str) -> Result<u16, String> {
    let first = text.parse().map_err(|_| "a port is a number from 1 to 65535".to_owned())?;
    if first == 0 {
        return Err("port 0 is none that can be given; name the first one".to_owned());
    }
    not_for_instances(&public_ports(first))?;
    Ok(first)
}

/// Arguments of `shipway down`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DownArgs {
    /// The data folder of the Shipway to stop.
    #[arg(long, env = "SHIPWAY_DATA", value_name = "FOLDER", default_value = ".shipway")]
    pub(crate) data: PathBuf,
}

/// Arguments of `shipway serve`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The service.
    pub(crate) service: Service,
    #[command(flatten)]
    pub(crate) given: Given,
}

/// A service that runs as a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Service {
    /// Projects, resources, pipelines, flows and secrets.
    Pipelines,
    /// Webhooks and what they start.
    Triggers,
    /// Runs, their order and their work.
    Scheduler,
    /// Attempts at nodes, and what runs on a machine.
    Executor,
    /// The HTTP front.
    Console,
}

/// Where settings are besides the default file and the environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Given {
    /// The file of settings; what it leaves out keeps its default.
    #[arg(long, env = "SHIPWAY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Sets one key, over file and environment: --set server.listen=0.0.0.0:7400
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_public_port_is_none_of_those_of_instances() {
        assert_eq!(first_port("7500"), Ok(7500));
        assert_eq!(first_port("19500"), Ok(19_500));
        assert_eq!(first_port("65500").map(public_ports), Ok(65_500..=65_535));
        for text in ["0", "70000", "http", "19501", "31999"] {
            assert!(first_port(text).is_err(), "{text}");
        }
    }
}
