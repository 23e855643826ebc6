//! One round of everything that an installation does: a project is declared, a delivery comes, runs start, wait for a
//! retry and end. Whoever asks repeats what was not answered, as people's clients and Git hosts do.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shipway_contracts::{
    Channel,
    v1::{
        ApplyRequest, ListRunsRequest, SourceFile, problem::Severity, projects_client::ProjectsClient,
        runs_client::RunsClient,
    },
};
use shipway_integration_tests::{
    shipway::http,
    sink::Sink,
    workload::{self, Ended, Workload, patiently, project_of},
};
use uuid::Uuid;

/// How many runs a round has: one follows from the delivery, one waits for a retry.
pub(super) const RUNS: usize = 4;

/// How long a sender repeats its delivery.
const SENDER: Duration = Duration::from_secs(120);

/// What a round needs of the installation.
pub(super) struct Round {
    pub(super) url: String,
    pub(super) channel: Channel,
    pub(super) sink: Arc<Sink>,
    /// The number of its first run.
    pub(super) first: usize,
    /// The project that it declares; another name is another project.
    pub(super) project: String,
}

impl Round {
    /// Goes through it; the runs that ended.
    pub(super) async fn go(self) -> Result<Vec<Ended>> {
        let token = format!("{}-{:032}", self.project, self.first);
        let more = format!(
            "          webhook: {{enabled: true, token: {token}}}\n          description: round {}\n",
            self.first
        );
        self.apply(&project_of(&self.project, &more)).await.context("declaring a project")?;
        let through = |door| Workload::through(self.channel.clone(), &self.sink, door);
        let (at_once, with_retries) = (through("effect"), through("once"));
        let last = self.first + RUNS - 1;
        let (delivered, effects, later) = tokio::join!(
            self.deliver(&token, self.first),
            at_once.run(self.first + 1..last, RUNS),
            with_retries.one(last),
        );
        let mut ended = effects?;
        ended.extend([delivered.context("delivering")?, later?]);
        let runs = RunsClient::new(self.channel.clone());
        let listed = patiently(|| {
            let mut runs = runs.clone();
            async move { runs.list_runs(ListRunsRequest::default()).await }
        });
        ensure!(!listed.await?.runs.is_empty(), "no run is listed");
        Ok(ended)
    }

    /// Declares a document.
    pub(super) async fn apply(&self, document: &str) -> Result<()> {
        apply(&self.channel, document).await
    }

    /// Posts a delivery until it is taken, and once more; the run that follows, when it has ended.
    async fn deliver(&self, token: &str, number: usize) -> Result<Ended> {
        let begin = std::time::Instant::now();
        let sink = format!("{}/effect/{number}", self.sink.url());
        let key = Uuid::now_v7().to_string();
        let (address, client) = (format!("{}/hooks/flow/{token}?SINK={sink}", self.url), http());
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let request = client.post(&address).header("webhook-id", &key);
            let answer = request.timeout(Duration::from_secs(10)).send().await;
            match answer {
                Ok(answer) if answer.status() == 202 => {
                    let answer = answer.json::<Value>().await?;
                    // Where the database was away it is only known to be safe: what it is, a repeat tells later.
                    if answer["message"].as_str().is_some_and(|text| text.contains("the database is away")) {
                        ensure!(begin.elapsed() < SENDER, "nothing but that it is safe: {answer}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    } else {
                        answers.push(answer);
                    }
                }
                // The address may not be known everywhere at once; whoever died did not answer.
                other if begin.elapsed() > SENDER => {
                    anyhow::bail!("the delivery was not taken in {SENDER:?}: {other:?}")
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        ensure!(answers[0] == answers[1], "two answers to one delivery: {answers:#?}");
        let run = answers[0]["runs"][0]["id"].as_str().context("an answer without a run")?;
        let runs = RunsClient::new(self.channel.clone());
        let run = workload::end(&runs, run).await?;
        Ok(Ended { number, run: run.id, status: run.status, took: begin.elapsed() })
    }
}

/// Declares a document; the command's id is the same however often it has to be said.
pub(super) async fn apply(channel: &Channel, document: &str) -> Result<()> {
    let file = SourceFile { name: "declared.yaml".to_owned(), text: document.to_owned() };
    let request =
        ApplyRequest { command: Uuid::now_v7().to_string(), files: vec![file], ..ApplyRequest::default() };
    let projects = ProjectsClient::new(channel.clone());
    let reply = patiently(|| {
        let (mut projects, request) = (projects.clone(), request.clone());
        async move { projects.apply(request).await }
    });
    let errors: Vec<_> =
        reply.await?.problems.into_iter().filter(|problem| problem.severity() == Severity::Error).collect();
    ensure!(errors.is_empty(), "{errors:#?}");
    Ok(())
}
