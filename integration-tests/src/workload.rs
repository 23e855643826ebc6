//! Runs whose effects land in a sink: many of them, a few nodes each, started and awaited whatever dies meanwhile.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream};
use shipway_contracts::{
    Channel,
    v1::{GetRunRequest, Run, StartRunReply, StartRunRequest, WatchRunRequest, runs_client::RunsClient},
};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::sink::{Sink, Verdict};

/// How many nodes each run has.
pub const NODES: usize = 5;

/// The flow that the runs are of.
pub const FLOW: &str = "load/work";

/// How long a run may take from its start, whatever is broken meanwhile, before it is stuck: longer than services stand
/// still (E-15).
const STUCK: Duration = Duration::from_secs(600);

/// Runs to be started.
#[derive(Clone, Debug)]
pub struct Workload {
    runs: RunsClient<Channel>,
    /// What a target's name is added to.
    sink: String,
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its number in the workload; its targets in the sink begin with it.
    pub number: usize,
    /// Its id.
    pub run: String,
    /// How it ended.
    pub status: String,
    /// From the call that started it to its end, as its client saw it.
    pub took: Duration,
}

/// The project of the workload: one flow of [`NODES`] messages in a row.
#[must_use]
pub fn project() -> String {
    project_of("load", "")
}

/// The same under another name: its flow is `<name>/work`. `more` are lines of the flow's `spec`, indented by ten.
#[must_use]
pub fn project_of(name: &str, more: &str) -> String {
    let step = |node: usize| {
        format!(
            "                - kind: Message\n                  ref: n{node}\n                  \
             retry: {{maxAttempts: 20, delay: 1}}\n                  \
             spec: {{kind: RAW_WEBHOOK, spec: {{webhookUrl: \"${{args.SINK}}-n{node}\", message: \"one of five\"}}}}\n"
        )
    };
    let steps: String = (0..NODES).map(step).collect();
    format!(
        "kind: Project
spec: {{name: {name}, region: local}}
---
kind: Pipeline
spec:
  name: {name}
  projectId: {name}
  stages:
    - name: Work
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {{SINK: \"\"}}
{more}          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
{steps}    - name: Rest"
    )
}

impl Workload {
    /// Runs of [`project`], which has been applied, with their effects in that sink.
    #[must_use]
    pub fn new(way: Channel, sink: &Sink) -> Self {
        Self::through(way, sink, "effect")
    }

    /// The same, at another door of the sink: `later`, `hold`.
    #[must_use]
    pub fn through(way: Channel, sink: &Sink, door: &str) -> Self {
        Self { runs: RunsClient::new(way), sink: format!("{}/{door}", sink.url()) }
    }

    /// The targets in the sink that a run with that number touches.
    pub fn targets(number: usize) -> impl Iterator<Item = String> {
        (0..NODES).map(move |node| format!("{number}-n{node}"))
    }

    /// Starts so many runs, at most so many at once, and waits for the end of all.
    ///
    /// # Errors
    /// If one does not start or end in ten minutes.
    pub async fn run(&self, numbers: std::ops::Range<usize>, at_once: usize) -> Result<Vec<Ended>> {
        let mut running = stream::iter(numbers).map(|number| self.one(number)).buffer_unordered(at_once);
        let mut all = Vec::new();
        while let Some(ended) = running.next().await {
            all.push(ended?);
        }
        Ok(all)
    }

    /// Starts one run and waits for its end.
    ///
    /// # Errors
    /// If it does not start or end in ten minutes.
    pub async fn one(&self, number: usize) -> Result<Ended> {
        self.one_of(FLOW, number).await
    }

    /// The same, of a flow of [`project_of`].
    ///
    /// # Errors
    /// If it does not start or end in ten minutes.
    pub async fn one_of(&self, flow: &str, number: usize) -> Result<Ended> {
        let begin = Instant::now();
        let arguments = serde_json::json!({ "SINK": format!("{}/{number}", self.sink) });
        let started = start(&self.runs, flow, &number.to_string(), &arguments)
            .await
            .with_context(|| format!("starting run {number}"))?;
        let run = end(&self.runs, &started.run).await.with_context(|| format!("run {number}"))?;
        Ok(Ended { number, run: run.id, status: run.status, took: begin.elapsed() })
    }
}

/// Judges a workload: all runs ended well, and each of their effects is in the sink once.
///
/// # Errors
/// If the ledger cannot be read.
pub fn judge(sink: &Sink, ended: &[Ended]) -> Result<Verdict> {
    sink.judge(ended.iter().flat_map(|ended| Workload::targets(ended.number)))
}

/// Starts a run, with a name if it is not empty. The command's id is the same however often it has to be said.
///
/// # Errors
/// If it is refused, or nobody answers in time.
pub async fn start(
    runs: &RunsClient<Channel>,
    flow: &str,
    name: &str,
    arguments: &serde_json::Value,
) -> Result<StartRunReply> {
    let request = StartRunRequest {
        command: Uuid::now_v7().to_string(),
        flow: flow.to_owned(),
        name: name.to_owned(),
        arguments_json: arguments.to_string(),
        ..StartRunRequest::default()
    };
    let reply = patiently(|| {
        let (mut runs, request) = (runs.clone(), request.clone());
        async move { runs.start_run(request).await }
    })
    .await?;
    match reply.problems.first() {
        Some(problem) => bail!("{flow} was not started: {} ({})", problem.message, problem.pointer),
        None => Ok(reply),
    }
}

/// Waits until a run has ended, and shows it.
///
/// # Errors
/// If it does not in time.
pub async fn end(runs: &RunsClient<Channel>, run: &str) -> Result<Run> {
    let until = Instant::now() + STUCK;
    loop {
        // A watch breaks with the process that it comes from; a silent one is looked behind now and then.
        let mut client = runs.clone();
        let watched = async {
            let mut watch = client.watch_run(WatchRunRequest { run: run.to_owned() }).await?.into_inner();
            while let Some(run) = watch.message().await? {
                if run.concluded {
                    return Ok(run);
                }
            }
            Err(Status::unavailable("the watch ended"))
        };
        let watched: Result<Result<Run, Status>, _> =
            tokio::time::timeout(Duration::from_secs(5), watched).await;
        if let Ok(Ok(run)) = watched {
            return Ok(run);
        }
        let mut client = runs.clone();
        if Instant::now() > until {
            let last = client.get_run(GetRunRequest { run: run.to_owned() }).await;
            bail!("{run} has not ended after {STUCK:?}: {last:#?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks until somebody answers.
///
/// # Errors
/// If the answer is a refusal, or there is none in ten minutes.
pub async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let until = Instant::now() + STUCK;
    loop {
        // Whoever was stopped where it is does not answer, and its connection stays.
        match tokio::time::timeout(Duration::from_secs(5), ask()).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) if !shipway_contracts::is_away(&status) => return Err(status.into()),
            Ok(Err(status)) if Instant::now() > until => {
                return Err(anyhow::Error::from(status).context(format!("nobody answered in {STUCK:?}")));
            }
            Err(_) if Instant::now() > until => bail!("nobody answered in {STUCK:?}"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The time within which so many of a hundred ended.
#[must_use]
pub fn percentile(ended: &[Ended], percent: usize) -> Duration {
    let mut times: Vec<_> = ended.iter().map(|ended| ended.took).collect();
    times.sort();
    times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}
