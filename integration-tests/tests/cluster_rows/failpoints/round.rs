//! One round of everything that an installation does: a project is declared, a request and a push come, runs start, wait
//! for a retry and end. Whoever asks repeats what was not answered, as people's clients and Git hosts do.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use shipway_contracts::{
    Channel,
    v1::{
        ApplyRequest, Hook, ListRunsRequest, Problem, RotateHookRequest, SourceFile, problem::Severity,
        projects_client::ProjectsClient, runs_client::RunsClient,
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

/// Longer than a scheduler waits for its read tables.
const READS: Duration = Duration::from_secs(15);

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
        // A repository of its own has a hook of its own, whose secret is in this answer alone.
        let more = format!(
            "          webhook: {{enabled: true, token: {token}}}\n          description: round {0}\n          \
             triggers: [{{ref: push, vcsService: github, repoUrl: \"https://github.com/round/r{0}\", \
             branchRestrictions: [release], prRestrictions: []}}]\n",
            self.first
        );
        let hooks = self.apply(&project_of(&self.project, &more)).await.context("declaring a project")?;
        let through = |door| Workload::through(self.channel.clone(), &self.sink, door);
        let (at_once, with_retries) = (through("effect"), through("once"));
        let last = self.first + RUNS - 1;
        let (delivered, pushed, effects, later) = tokio::join!(
            self.deliver(&token, self.first),
            self.push(&hooks),
            at_once.run(self.first + 1..last, RUNS),
            with_retries.one(last),
        );
        pushed.context("pushing")?;
        let mut ended = effects?;
        ended.extend([delivered.context("delivering")?, later?]);
        let runs = RunsClient::new(self.channel.clone());
        // Once by somebody who waits for as long as schedulers do for their read tables, whatever comes of it.
        let mut patient = runs.clone();
        drop(tokio::time::timeout(READS, patient.list_runs(ListRunsRequest::default())).await);
        let listed = patiently(|| {
            let mut runs = runs.clone();
            async move { runs.list_runs(ListRunsRequest::default()).await }
        });
        ensure!(!listed.await?.runs.is_empty(), "no run is listed");
        Ok(ended)
    }

    /// Declares a document; its hooks.
    pub(super) async fn apply(&self, document: &str) -> Result<Vec<Hook>> {
        apply(&self.channel, document).await
    }

    /// Posts a push that no trigger wants until it is taken, and once more. Nobody can sign it where the answer with the
    /// secret was lost.
    async fn push(&self, hooks: &[Hook]) -> Result<()> {
        let repository = format!("r{}", self.first);
        let ours = |hook: &&Hook| hook.of.ends_with(&repository) && !hook.secret.is_empty();
        let Some(hook) = hooks.iter().find(ours) else { return Ok(()) };
        let body = serde_json::json!({
            "ref": "refs/heads/main", "before": "1".repeat(40), "after": "2".repeat(40), "commits": [],
            "repository": {"clone_url": format!("https://github.com/round/{repository}")},
        })
        .to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(hook.secret.as_bytes())?;
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let (address, key, client) =
            (format!("{}{}", self.url, hook.path), Uuid::now_v7().to_string(), http());
        let (begin, mut taken) = (std::time::Instant::now(), 0);
        while taken < 2 {
            let request = client
                .post(&address)
                .header("content-type", "application/json")
                .header("x-github-event", "push")
                .header("x-github-delivery", &key)
                .header("x-hub-signature-256", &signature)
                .body(body.clone());
            match request.timeout(Duration::from_secs(10)).send().await {
                Ok(answer) if answer.status() == 202 => taken += 1,
                other if begin.elapsed() > SENDER => {
                    anyhow::bail!("the push was not taken in {SENDER:?}: {other:?}")
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        self.rotate(hook).await
    }

    /// Gives a hook another secret, which it is told.
    async fn rotate(&self, hook: &Hook) -> Result<()> {
        let request = RotateHookRequest {
            command: Uuid::now_v7().to_string(),
            hook: hook.id.clone(),
            ..RotateHookRequest::default()
        };
        let projects = ProjectsClient::new(self.channel.clone());
        let rotated = patiently(|| {
            let (mut projects, request) = (projects.clone(), request.clone());
            async move { projects.rotate_hook(request).await }
        });
        let secret = rotated.await.context("rotating a hook")?.hook.unwrap_or_default().secret;
        ensure!(!secret.is_empty() && secret != hook.secret, "a hook without another secret");
        Ok(())
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

/// Declares a document, and gives back its hooks; the command's id is the same however often it has to be said.
pub(super) async fn apply(channel: &Channel, document: &str) -> Result<Vec<Hook>> {
    let file = SourceFile { name: "declared.yaml".to_owned(), text: document.to_owned() };
    let request =
        ApplyRequest { command: Uuid::now_v7().to_string(), files: vec![file], ..ApplyRequest::default() };
    let projects = ProjectsClient::new(channel.clone());
    let reply = patiently(|| {
        let (mut projects, request) = (projects.clone(), request.clone());
        async move { projects.apply(request).await }
    });
    let reply = reply.await?;
    let is_error = |problem: &Problem| problem.severity() == Severity::Error;
    let errors: Vec<_> = reply.problems.into_iter().filter(is_error).collect();
    ensure!(errors.is_empty(), "{errors:#?}");
    Ok(reply.hooks)
}
