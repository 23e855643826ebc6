//! Shipway as many processes: one of each service, PostgreSQL and NATS, all on this machine's loopback.
//!
//! Nobody stands between: clients ask the scheduler and the ingress themselves, and so does the executor.

use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::Signal;
use shipway_eventing::{Log, PostgresLog, PostgresOptions};
use tonic::transport::Channel;

use super::{
    floor, grow,
    measured::{Measured, Spent, Traffic, connect, log},
    nats::{Nats, Taken},
    postgres::{self, Postgres},
    process::{Process, resident_together, shipway},
    report::Report,
};

/// The services in the order in which they are started: each finds what it asks.
const SERVICES: [&str; 5] = ["pipelines", "triggers", "scheduler", "executor", "console"];
/// How long readers may take to catch up with the log.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long streams and lags have to stand still to count as settled.
const STILL: Duration = Duration::from_millis(300);
/// The calls by which executors tell of outcomes, as they are counted.
const COMPLETE: &str = "/shipway.v1.Work/Complete";
/// The parts of the database as figures name them.
const PARTS: [&str; 3] = ["log", "views", "beside"];

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    // In this order they are dropped: who works first, then what it stands on.
    services: Vec<Service>,
    nats: Nats,
    postgres: Postgres,
    runs: Channel,
    projects: Channel,
    client: reqwest::Client,
    folder: PathBuf,
}

#[derive(Debug)]
struct Service {
    process: Process,
    url: String,
    ready: Duration,
}

/// CPU time by whose processes: Shipway's, the database's, NATS'.
type Cpu = [(&'static str, Duration); 3];

/// What it had spent.
#[derive(Debug)]
pub(crate) struct Mark {
    cpu: Cpu,
    database: postgres::Mark,
}

impl Cluster {
    /// Starts everything in this folder and waits until all of it is ready; so many runs are stored there.
    pub(crate) async fn start(folder: &Path, stored: u64) -> anyhow::Result<Self> {
        let nats = program("nats-server").context("scripts/bench --distributed installs it")?;
        let ports = free_ports(SERVICES.len() + 3)?;
        let [database, client, monitor, ports @ ..] = ports.as_slice() else {
            bail!("too few ports are free")
        };
        let postgres = Postgres::start(&folder.join("postgres"), *database).await?;
        if stored > 0 {
            let log = PostgresLog::connect(&postgres.url("shipway"), PostgresOptions::default()).await?;
            grow::fill(&log, stored).await?;
            log.close().await;
        }
        let nats = Nats::start(&nats, &folder.join("nats"), *client, *monitor).await?;
        let http = reqwest::Client::new();
        let urls: BTreeMap<_, _> =
            SERVICES.into_iter().zip(ports.iter().map(|port| format!("http://127.0.0.1:{port}"))).collect();
        let mut services = Vec::new();
        for (name, port) in SERVICES.into_iter().zip(ports) {
            let mut command = shipway()?;
            command.args(["serve", name]);
            command.env("SHIPWAY_SERVER__LISTEN", format!("127.0.0.1:{port}"));
            command.envs(settings(folder, &postgres.url("shipway"), &nats.url(), &urls));
            let mut process =
                Process::start(name, &command, Signal::TERM, Some(folder.join(format!("{name}.log"))))?;
            let url = urls[name].clone();
            let ready = format!("{url}/readyz");
            let is_ready =
                || async { http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) };
            let ready = process.ready_on(stored, is_ready).await?;
            services.push(Service { process, url, ready });
        }
        Ok(Self {
            services,
            nats,
            postgres,
            runs: connect(&urls["scheduler"]).await?,
            projects: connect(&urls["pipelines"]).await?,
            client: http,
            folder: folder.to_owned(),
        })
    }

    fn service(&self, name: &str) -> anyhow::Result<&Service> {
        let service = self.services.iter().find(|service| service.process.name() == name);
        service.with_context(|| format!("there is no {name}"))
    }

    /// Waits until whoever reads the log has all of it: read tables, reactions, the relay and its stream.
    async fn caught_up(&self) -> anyhow::Result<Taken> {
        let begin = Instant::now();
        let mut last = None;
        loop {
            let mut behind = 0.0;
            for service in &self.services {
                behind += lag(&self.metrics(&service.url).await?);
            }
            let now = (self.nats.taken().await?, log(&self.runs).await?.position);
            if behind == 0.0 && last == Some(now) {
                return Ok(now.0);
            }
            if begin.elapsed() > PATIENCE {
                bail!("readers of the log have not caught up after {} s", PATIENCE.as_secs());
            }
            last = Some(now);
            tokio::time::sleep(STILL).await;
        }
    }

    async fn metrics(&self, url: &str) -> anyhow::Result<String> {
        let answer = self.client.get(format!("{url}/metrics")).send().await;
        Ok(answer.with_context(|| format!("reading the metrics of {url}"))?.text().await?)
    }

    fn cpu(&self) -> anyhow::Result<Cpu> {
        let ours = self.services.iter().map(|service| service.process.cpu()).sum::<anyhow::Result<_>>()?;
        Ok([("shipway", ours), ("postgres", self.postgres.cpu()?), ("nats", self.nats.cpu()?)])
    }
}

impl Measured for Cluster {
    type Mark = Mark;

    fn runs(&self) -> &Channel {
        &self.runs
    }

    fn projects(&self) -> &Channel {
        &self.projects
    }

    fn ingress(&self) -> &str {
        self.service("triggers").map_or("", |service| &service.url)
    }

    fn report_start(&self, report: &Report) -> anyhow::Result<()> {
        for Service { process, ready, .. } in &self.services {
            report.time(&format!("W6.ready.{}", process.name()), "one", *ready);
            report.figure(&format!("W6.rss_idle.{}", process.name()), "one", process.rss_mb()?, "MB");
        }
        report.figure("W6.rss_idle", "one", self.rss_mb()?, "MB");
        // The program's pages are there once, however many services run it: as if each were on a machine of its own.
        let apart: f64 = self.services.iter().map(|s| s.process.rss_mb()).sum::<anyhow::Result<_>>()?;
        report.figure("W6.rss_idle.apart", "sum", apart, "MB");
        Ok(())
    }

    fn rss_mb(&self) -> anyhow::Result<f64> {
        resident_together(self.services.iter().map(|service| &service.process))
    }

    async fn traffic(&mut self) -> anyhow::Result<Traffic> {
        let taken = self.caught_up().await?;
        let scheduler = self.metrics(&self.service("scheduler")?.url).await?;
        Ok(Traffic {
            commits: log(&self.runs).await?.commits,
            messages: taken.events + taken.work,
            bells: taken.work,
            completions: calls(&scheduler, COMPLETE),
        })
    }

    async fn mark(&mut self) -> anyhow::Result<Mark> {
        self.caught_up().await?;
        let database = self.postgres.mark().await?;
        Ok(Mark { cpu: self.cpu()?, database })
    }

    async fn spent_since(&mut self, mark: Mark) -> anyhow::Result<Spent> {
        self.caught_up().await?;
        let cpu_of: Vec<_> =
            self.cpu()?.into_iter().zip(mark.cpu).map(|((of, now), (_, then))| (of, now - then)).collect();
        let counted = self.postgres.counted_since(mark.database).await?;
        let parts = |of: &HashMap<String, i64>| {
            PARTS.into_iter().filter_map(|part| Some((part, *of.get(part)?))).collect()
        };
        Ok(Spent {
            cpu: cpu_of.iter().map(|(_, time)| *time).sum(),
            cpu_of,
            transactions: counted.transactions,
            transactions_at_rest: counted.at_rest,
            wal: counted.wal,
            wal_of: parts(&counted.wal_of),
            stored: parts(&counted.stored),
        })
    }

    async fn floor(&mut self, report: &Report) -> anyhow::Result<()> {
        floor::disk(&self.folder, report)?;
        floor::composed(&self.postgres.url("postgres"), &self.nats.url(), report).await
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        for service in self.services.iter_mut().rev() {
            service.process.stop().await?;
        }
        // What the executor has started and detached.
        let mut down = shipway()?;
        let ended = down.args(["down", "--data"]).arg(host(&self.folder)).output().context("running down")?;
        if !ended.status.success() {
            bail!("`shipway down` failed: {}", String::from_utf8_lossy(&ended.stderr).trim());
        }
        self.nats.process().stop().await?;
        self.postgres.process().stop().await?;
        Ok(())
    }
}

/// The settings of all services: each reads what is its own.
fn settings(
    folder: &Path,
    database: &str,
    nats: &str,
    urls: &BTreeMap<&str, String>,
) -> Vec<(&'static str, String)> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    vec![
        ("SHIPWAY_SERVER__LINGER", "0s".to_owned()),
        ("SHIPWAY_DATABASE__URL", database.to_owned()),
        ("SHIPWAY_NATS__URLS", nats.to_owned()),
        ("SHIPWAY_BLOBS__URL", format!("file://{}", folder.join("blobs").display())),
        ("SHIPWAY_KEYS__FOLDER", text(folder.join("keys"))),
        ("SHIPWAY_SHIPWAY__URLS", format!("{},{}", urls["scheduler"], urls["pipelines"])),
        ("SHIPWAY_EXECUTOR__DATA", text(host(folder))),
        ("SHIPWAY_HOOKS__RATE", "0".to_owned()),
        ("SHIPWAY_HOOKS__RATE_IN_ALL", "0".to_owned()),
        ("SHIPWAY_HOOKS__SPOOL", text(folder.join("spool"))),
        ("SHIPWAY_RECONCILE__EVERY", "0s".to_owned()),
        ("SHIPWAY_RECONCILE__SCRATCH", text(folder.join("scratch"))),
        ("SHIPWAY_TELEMETRY__FILTER", "warn".to_owned()),
    ]
}

/// The executor's folder.
fn host(folder: &Path) -> PathBuf {
    folder.join("executor")
}

/// A program of this machine; administrators' programs are not on everybody's path.
pub(super) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.exists());
    found.with_context(|| format!("{name} is not installed"))
}

/// Ports that were free a moment ago, each another.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let bound: Result<Vec<_>, _> = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect();
    let ports: Result<Vec<_>, _> =
        bound.context("finding free ports")?.iter().map(TcpListener::local_addr).collect();
    Ok(ports.context("finding free ports")?.iter().map(SocketAddr::port).collect())
}

/// The sum of all lags, in events, that a process tells.
fn lag(metrics: &str) -> f64 {
    samples(metrics).filter(|(name, ..)| name.ends_with("_lag_events")).map(|(_, _, value)| value).sum()
}

/// How many calls of a method a process has answered.
fn calls(metrics: &str, method: &str) -> u64 {
    let label = format!("method=\"{method}\"");
    let of = samples(metrics)
        .filter(|(name, labels, _)| *name == "shipway_requests_total" && labels.contains(&label));
    of.map(|(_, _, value)| value as u64).sum()
}

/// Name, labels and value of each line.
fn samples(metrics: &str) -> impl Iterator<Item = (&str, &str, f64)> {
    metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        Some((name, labels, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP shipway_requests_total Calls.\n\
        shipway_requests_total{code=\"Ok\",method=\"/shipway.v1.Work/Complete\",protocol=\"grpc\"} 12\n\
        shipway_requests_total{code=\"Unavailable\",method=\"/shipway.v1.Work/Complete\",protocol=\"grpc\"} 1\n\
        shipway_requests_total{code=\"Ok\",method=\"/shipway.v1.Work/Beat\",protocol=\"grpc\"} 100\n\
        shipway_view_lag_events{view=\"runs\"} 3\nshipway_relay_lag_events 2\nshipway_log_position 77\n";

    #[test]
    fn calls_and_lags_are_read_from_what_a_process_tells() {
        assert_eq!(calls(METRICS, COMPLETE), 13);
        assert_eq!(calls(METRICS, "/shipway.v1.Work/Register"), 0);
        assert_eq!(lag(METRICS), 5.0);
    }

    #[test]
    fn ports_are_different() {
        let ports = free_ports(20).unwrap();
        assert_eq!(ports.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
    }
}
