//! `shipway bench`: the workloads of the performance targets against a Shipway of its own on the embedded
//! default, one JSON line a figure.

mod floor;
mod hooks;
mod jobs;
mod process;
mod report;
mod runs;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use shipway_contracts::v1::{GetLogRequest, events_client::EventsClient};
use tonic::transport::Endpoint;

use report::Report;

/// Measures Shipway on this machine; prints one JSON line a figure.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The workloads to run, as in `W1,W5`; all when absent.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Repetitions of W1.
    #[arg(long, default_value_t = 200)]
    repetitions: usize,
    /// Runs of W2.
    #[arg(long, default_value_t = 1000)]
    runs: usize,
    /// Seconds of load in W5.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Where the measured Shipway keeps its data; a temporary folder when absent.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs the workloads.
pub(crate) fn main(args: BenchArgs) -> anyhow::Result<ExitCode> {
    shipway_service_kit::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: BenchArgs) -> anyhow::Result<()> {
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|only| only.eq_ignore_ascii_case(name));
    let report = Report::new("embedded");
    let folder = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = folder.join(format!("shipway-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    floor::measure(&folder, &report).await?;

    let mut server = process::Server::start(&folder.join("data")).await?;
    report.time("W6.ready", "one", server.ready);
    let channel = Endpoint::from_shared(server.url.clone())?
        .connect()
        .await
        .context("connecting to the measured Shipway")?;
    report.figure("W6.rss_idle", "one", server.rss_mb()?, "MB");

    if wanted("W1") {
        let before = log(&channel).await?;
        let nodes = runs::sequential(&channel, args.repetitions, &report).await?;
        let after = log(&channel).await?;
        report.figure(
            "C1.commits_per_node",
            "mean",
            (after.commits - before.commits) as f64 / nodes as f64,
            "commits",
        );
        report.figure("C4.js_messages_per_node", "mean", 0.0, "messages");
        report.figure("C4.hops_per_node", "mean", 0.0, "hops");
    }
    if wanted("W2") {
        let (before, cpu, wal) = (log(&channel).await?, server.cpu()?, server.written()?);
        let nodes = runs::many(&channel, args.runs, 100, &report).await?;
        let after = log(&channel).await?;
        let per_node = |total: f64| total / nodes as f64;
        report.figure(
            "W2.cpu_ms_per_node",
            "mean",
            per_node((server.cpu()? - cpu).as_secs_f64() * 1000.0),
            "ms",
        );
        report.figure(
            "C2.tx_per_node",
            "mean",
            per_node((after.transactions - before.transactions) as f64),
            "transactions",
        );
        report.figure("C3.wal_bytes_per_node", "mean", per_node((server.written()? - wal) as f64), "bytes");
        report.figure("W6.rss_after_w2", "one", server.rss_mb()?, "MB");
    }
    if wanted("W3") {
        runs::fan_out(&channel, 100, "W3.wall_100", &report).await?;
        runs::fan_out(&channel, 1000, "W3.wall_1000", &report).await?;
    }
    if wanted("W4") {
        runs::computing(&channel, &report).await?;
        jobs::processes(&folder, &channel, &report).await?;
    }
    if wanted("W5") {
        hooks::flood(&server.url, &channel, args.seconds, &report).await?;
    }
    floor::measure(&folder, &report).await?;
    server.stop().await?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
}

async fn log(channel: &tonic::transport::Channel) -> anyhow::Result<shipway_contracts::v1::GetLogReply> {
    Ok(EventsClient::new(channel.clone())
        .get_log(GetLogRequest {})
        .await
        .context("reading the log's counters")?
        .into_inner())
}
