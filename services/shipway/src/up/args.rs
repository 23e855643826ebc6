//! What `up`, `down` and `serve` are told.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

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
    /// The address of this Shipway for people: statuses of commits at Git hosts lead there. To nowhere when absent.
    #[arg(long, env = "SHIPWAY_PUBLIC_ADDRESS", value_name = "URL")]
    pub(crate) public_address: Option<String>,
    /// Public ports of services and addons are given from here on.
    #[arg(long, env = "SHIPWAY_FIRST_PORT", value_name = "PORT", default_value_t = 7500)]
    pub(crate) first_port: u16,
    /// Where traces are sent by OTLP over gRPC: http://127.0.0.1:4317. Off when absent.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// Writes its own log as JSON lines.
    #[arg(long, env = "SHIPWAY_LOG_JSON")]
    pub(crate) log_json: bool,
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
