//! `shipway bench`: the workloads of the performance targets against a Shipway of its own, embedded or as many
//! processes, one JSON line a figure.

mod cluster;
mod embedded;
mod floor;
mod grow;
mod hooks;
mod jobs;
mod measured;
mod nats;
mod postgres;
mod process;
mod report;
mod runs;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use shipway_service_kit::Lifecycle;

use self::{
    cluster::Cluster,
    embedded::Embedded,
    measured::{Measured, Spent, Traffic},
    report::{Mode, Report},
};

/// Measures Shipway on this machine; prints one JSON line a figure.
///
/// W1: one run at a time of 10 nodes. W2: many such runs, 100 at once. W3: 100 and 1,000 nodes side by side. W4: nodes
/// that compute, and jobs. W5: signed webhooks. W6: start and memory. G3: runs of one
/// node on an idle Shipway. GROW: runs of 1 to 10,000 nodes. LISTS: pages of
/// runs, by each filter; with `--grow`, and all else too, on so many stored runs. C1 to C4: what a node takes, counted; C1
/// and C4 with W1, C2 and C3 with W2. floor: what the machine takes for the same, before and after. Figures are worth comparing within one sitting, of an optimised build on an idle machine.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Measures many processes instead of one: one of each service, PostgreSQL and NATS, on free ports of this machine.
    #[arg(long)]
    distributed: bool,
    /// The workloads to run, as in `W1,W5`; all when absent.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Repetitions of W1.
    #[arg(long, default_value_t = 200)]
    repetitions: usize,
    /// Runs of W2.
    #[arg(long, default_value_t = 1000)]
    runs: usize,
    /// Runs that are stored before anything is measured.
    #[arg(long, default_value_t = 0, value_name = "RUNS")]
    grow: u64,
    /// Seconds of load in W5.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Where the measured Shipway keeps its data; a temporary folder when absent. It is removed again.
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl BenchArgs {
    fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(workload))
    }
}

/// Runs the workloads.
pub(crate) fn main(args: BenchArgs) -> anyhow::Result<ExitCode> {
    shipway_service_kit::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = measure(&args) => done,
            signal = Lifecycle::signal() => {
                signal.context("waiting for a signal")?;
                bail!("the bench was asked to stop")
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &BenchArgs) -> anyhow::Result<()> {
    let folder = Folder::make(args.folder.as_deref())?;
    if args.distributed {
        run(Cluster::start(&folder.0, args.grow).await?, args, &folder.0, &Report::new(Mode::Distributed))
            .await
    } else {
        run(Embedded::start(&folder.0, args.grow).await?, args, &folder.0, &Report::new(Mode::Embedded)).await
    }
}

async fn run<M: Measured>(
    mut measured: M,
    args: &BenchArgs,
    folder: &Path,
    report: &Report,
) -> anyhow::Result<()> {
    measured.report_start(report)?;
    measured.floor(report).await?;
    if args.wants("LISTS") {
        grow::lists(measured.runs(), report).await?;
    }
    if args.wants("W1") {
        let before = measured.traffic().await?;
        let nodes = runs::sequential(measured.runs(), args.repetitions, report).await?;
        report_traffic(measured.traffic().await?.since(before), nodes, report);
    }
    if args.wants("W2") {
        let mark = measured.mark().await?;
        let nodes = runs::many(measured.runs(), args.runs, 100, report).await?;
        report.figure("W6.rss_after_w2", "one", measured.rss_mb()?, "MB");
        report_spent(&measured.spent_since(mark).await?, nodes, report);
    }
    if args.wants("W3") {
        let before = measured.traffic().await?;
        let nodes = runs::fan_out(measured.runs(), 100, "W3.wall_100", report).await?;
        let traffic = measured.traffic().await?.since(before);
        report.figure("C4.hops_per_node_parallel", "mean", hops_per_node(traffic, nodes), "hops");
        runs::fan_out(measured.runs(), 1000, "W3.wall_1000", report).await?;
    }
    if args.wants("W4") {
        runs::computing(measured.runs(), report).await?;
        jobs::processes(folder, measured.projects(), measured.runs(), report).await?;
    }
    if args.wants("W5") {
        let (projects, runs) = (measured.projects(), measured.runs());
        hooks::flood(measured.ingress(), projects, runs, args.seconds, report).await?;
    }
    if args.wants("G3") {
        runs::idle(measured.runs(), report).await?;
    }
    if args.wants("GROW") {
        runs::growing(measured.runs(), report).await?;
    }
    measured.floor(report).await?;
    measured.stop().await
}

fn report_traffic(traffic: Traffic, nodes: usize, report: &Report) {
    let per_node = |count: u64| count as f64 / nodes as f64;
    report.figure("C1.commits_per_node", "mean", per_node(traffic.commits), "commits");
    report.figure("C4.js_messages_per_node", "mean", per_node(traffic.messages), "messages");
    report.figure("C4.bells_per_node", "mean", per_node(traffic.bells), "messages");
    report.figure("C4.completions_per_node", "mean", per_node(traffic.completions), "calls");
    report.figure("C4.hops_per_node", "mean", hops_per_node(traffic, nodes), "hops");
}

fn hops_per_node(traffic: Traffic, nodes: usize) -> f64 {
    traffic.hops(nodes as u64) as f64 / nodes as f64
}

fn report_spent(spent: &Spent, nodes: usize, report: &Report) {
    let per_node = |total: f64| total / nodes as f64;
    let milliseconds = |time: Duration| per_node(time.as_secs_f64() * 1000.0);
    report.figure("W2.cpu_ms_per_node", "mean", milliseconds(spent.cpu), "ms");
    for (of, time) in &spent.cpu_of {
        report.figure(&format!("W2.cpu_ms_per_node.{of}"), "mean", milliseconds(*time), "ms");
    }
    report.figure("C2.tx_per_node", "mean", per_node(spent.transactions), "transactions");
    let at_rest = per_node(spent.transactions_at_rest);
    report.figure("C2.tx_per_node.at_rest", "mean", at_rest, "transactions");
    report.figure("C3.wal_bytes_per_node", "mean", per_node(spent.wal as f64), "bytes");
    for (part, bytes) in &spent.wal_of {
        report.figure(&format!("C3.wal_bytes_per_node.{part}"), "mean", per_node(*bytes as f64), "bytes");
    }
    for (part, bytes) in &spent.stored {
        report.figure(&format!("C3.stored_bytes_per_node.{part}"), "mean", per_node(*bytes as f64), "bytes");
    }
}

/// A folder that is removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn make(within: Option<&Path>) -> anyhow::Result<Self> {
        let within = within.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = std::path::absolute(within)?.join(format!("shipway-bench-{}", std::process::id()));
        process::make(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} could not be removed: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_the_value() {
        let within = tempfile::tempdir().unwrap();
        let folder = Folder::make(Some(within.path())).unwrap();
        let path = folder.0.clone();
        std::fs::write(path.join("file"), "x").unwrap();
        drop(folder);
        assert!(within.path().exists() && !path.exists());
    }
}
