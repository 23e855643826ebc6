//! W1 to W4: runs of diagnostic nodes, from the client's `StartRun` to *ended* on its watch.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use shipway_contracts::v1::{StartRunRequest, WatchRunRequest, runs_client::RunsClient};
use tonic::transport::Channel;
use uuid::Uuid;

use super::report::{Report, percentile};

/// Runs of G3.
const IDLE_RUNS: usize = 200;
/// How long nothing goes on before each of them.
const IDLE: Duration = Duration::from_millis(50);

/// W1: one run at a time of 10 nodes in sequence. Tells how many nodes there were.
pub(crate) async fn sequential(
    channel: &Channel,
    repetitions: usize,
    report: &Report,
) -> anyhow::Result<usize> {
    let document = flow("sequential", 10, &json!({}));
    for _ in 0..10 {
        run(channel, &document).await?;
    }
    let mut samples = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        samples.push(run(channel, &document).await?);
    }
    let (p50, p99) = (percentile(&mut samples, 0.5), percentile(&mut samples, 0.99));
    report.time("W1.per_node", "p50", p50 / 10);
    report.figure("W1.p99_over_p50", "ratio", p99.as_secs_f64() / p50.as_secs_f64(), "");
    Ok((repetitions + 10) * 10)
}

/// W2: many runs of 10 nodes, so many at once. Tells how many nodes there were.
pub(crate) async fn many(
    channel: &Channel,
    runs: usize,
    at_once: usize,
    report: &Report,
) -> anyhow::Result<usize> {
    let document = flow("sequential", 10, &json!({}));
    let start = Instant::now();
    let mut ended = stream::iter(0..runs).map(|_| run(channel, &document)).buffer_unordered(at_once);
    while let Some(run) = ended.next().await {
        run?;
    }
    report.figure("W2.nodes_per_s", "mean", (runs * 10) as f64 / start.elapsed().as_secs_f64(), "nodes/s");
    Ok(runs * 10)
}

/// W3: one run of so many nodes side by side, seven times. Tells how many nodes there were.
pub(crate) async fn fan_out(
    channel: &Channel,
    nodes: usize,
    metric: &str,
    report: &Report,
) -> anyhow::Result<usize> {
    let document = flow("parallel", nodes, &json!({}));
    let mut samples = Vec::new();
    for _ in 0..7 {
        samples.push(run(channel, &document).await?);
    }
    report.time(metric, "p50", percentile(&mut samples, 0.5));
    Ok(samples.len() * nodes)
}

/// G3: one run of one node at a time where nothing else goes on. That is more than until its node is given out.
pub(crate) async fn idle(channel: &Channel, report: &Report) -> anyhow::Result<()> {
    let document = flow("sequential", 1, &json!({}));
    let mut samples = Vec::with_capacity(IDLE_RUNS);
    for _ in 0..IDLE_RUNS {
        // So that nobody is still at the run before.
        tokio::time::sleep(IDLE).await;
        samples.push(run(channel, &document).await?);
    }
    report.time("G3.idle_to_ended", "p99", percentile(&mut samples, 0.99));
    Ok(())
}

/// GROW: what a node of a run takes as runs grow.
pub(crate) async fn growing(channel: &Channel, report: &Report) -> anyhow::Result<()> {
    for (nodes, times) in [(1, 50), (10, 50), (100, 10), (1000, 3), (10_000, 1)] {
        let document = flow("sequential", nodes, &json!({}));
        let mut samples = Vec::with_capacity(times);
        for _ in 0..times {
            samples.push(run(channel, &document).await?);
        }
        let per_node = percentile(&mut samples, 0.5) / u32::try_from(nodes)?;
        report.time(&format!("GROW.per_node_{nodes}"), "p50", per_node);
    }
    Ok(())
}

/// W4: nodes that compute in the executor.
pub(crate) async fn computing(channel: &Channel, report: &Report) -> anyhow::Result<()> {
    let light = run(channel, &flow("sequential", 40, &json!({"fib": 10}))).await?;
    report.time("W4.light", "one", light);
    let start = Instant::now();
    for _ in 0..10 {
        std::hint::black_box(fib(std::hint::black_box(33)));
    }
    let bare = start.elapsed();
    let long = run(channel, &flow("sequential", 10, &json!({"fib": 33}))).await?;
    report.time("W4.long", "one", long);
    report.figure(
        "W4.long_overhead",
        "share",
        long.saturating_sub(bare).as_secs_f64() / bare.as_secs_f64(),
        "",
    );
    Ok(())
}

fn fib(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { fib(n - 1) + fib(n - 2) }
}

fn flow(kind: &str, nodes: usize, spec: &Value) -> String {
    let steps: Vec<Value> =
        (0..nodes).map(|n| json!({"kind": "Noop", "ref": format!("n{n}"), "spec": spec})).collect();
    json!({"apiVersion": "v1.2", "spec": {"kind": "Workflow", "spec": {"type": kind, "steps": steps}}})
        .to_string()
}

async fn run(channel: &Channel, document: &str) -> anyhow::Result<Duration> {
    let mut client = RunsClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let start = Instant::now();
    let request = StartRunRequest {
        command: Uuid::now_v7().to_string(),
        document_json: document.to_owned(),
        ..StartRunRequest::default()
    };
    let reply = client.start_run(request).await.context("starting a run")?.into_inner();
    if let Some(problem) = reply.problems.first() {
        bail!("{}: {}", problem.pointer, problem.message);
    }
    let mut watch = client.watch_run(WatchRunRequest { run: reply.run }).await?.into_inner();
    while let Some(run) = watch.message().await? {
        if run.concluded {
            if run.status != "success" {
                bail!("the run ended with {}: {}", run.status, run.reason);
            }
            return Ok(start.elapsed());
        }
    }
    bail!("the watch ended before the run")
}
