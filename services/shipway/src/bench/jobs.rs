//! W4-p: the same as a job process. A job without a program of its own, run ten times in a row.

use std::{path::Path, process::Command};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    ApplyRequest, Run, SourceFile, StartRunRequest, WatchRunRequest, projects_client::ProjectsClient,
    runs_client::RunsClient,
};
use tonic::transport::Channel;
use uuid::Uuid;

use super::report::Report;

const RUNS: usize = 10;

/// Builds nothing, releases it to a job, runs the job and reads the times of its nodes.
pub(crate) async fn processes(
    folder: &Path,
    projects: &Channel,
    runs: &Channel,
    report: &Report,
) -> anyhow::Result<()> {
    let repository = folder.join("jobs");
    repository_of_a_job(&repository)?;
    apply(&repository, projects).await?;
    let mut client = RunsClient::new(runs.clone()).max_decoding_message_size(64 << 20);
    let request = StartRunRequest {
        command: Uuid::now_v7().to_string(),
        flow: "jobs/development".to_owned(),
        ..StartRunRequest::default()
    };
    let started = client.start_run(request).await.context("starting the jobs of W4-p")?.into_inner();
    if let Some(problem) = started.problems.first() {
        bail!("the flow of W4-p: {}: {}", problem.pointer, problem.message);
    }
    let mut watch = client.watch_run(WatchRunRequest { run: started.run }).await?.into_inner();
    let run = loop {
        let run = watch.message().await?.context("the watch ended before the run")?;
        if run.concluded {
            break run;
        }
    };
    let error = run.nodes.iter().map(|node| node.error_message.as_str()).find(|error| !error.is_empty());
    ensure!(
        run.status == "success",
        "the run of W4-p ended with {}: {}",
        run.status,
        error.unwrap_or_default()
    );
    report.figure("W4p.per_node", "mean", per_job(&run)?, "ms");
    Ok(())
}

/// From the first job's start to the last one's end, divided by their number; milliseconds.
fn per_job(run: &Run) -> anyhow::Result<f64> {
    let jobs: Vec<_> = run.nodes.iter().filter(|node| node.kind == "JobRun").collect();
    let (first, last) = jobs.first().zip(jobs.last()).context("the run has no jobs")?;
    let (start, end): (Timestamp, Timestamp) = (first.started_at.parse()?, last.ended_at.parse()?);
    Ok((end - start).total(jiff::Unit::Second)? * 1000.0 / jobs.len() as f64)
}

fn repository_of_a_job(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("Procfile"), "job: /bin/true\n")?;
    for words in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-q", "-m", "a job"],
    ] {
        let done = Command::new("git").args(words).current_dir(folder).status().context("running git")?;
        ensure!(done.success(), "git {} failed", words.join(" "));
    }
    Ok(())
}

async fn apply(repository: &Path, channel: &Channel) -> anyhow::Result<()> {
    let mut steps = vec![
        json!({"kind": "Build", "ref": "build", "condition": "success",
            "spec": {"id": "jobs-build", "type": "service", "branch": "main"}}),
        json!({"kind": "Release", "ref": "release", "condition": "running",
            "spec": {"type": "build", "origin": {"id": "jobs-build", "branch": "main", "build": "${refs.build.id}"},
                "target": {"id": "jobs-true", "type": "job"}}}),
    ];
    let run = |n: usize| {
        json!({"kind": "JobRun", "ref": format!("job{n}"), "condition": "success", "spec": {"jobId": "jobs-true",
            "deployment": {"docker": {"configType": "customCommand", "customCommand": "/bin/true"}}}})
    };
    steps.extend((0..RUNS).map(run));
    let flow: Value = json!({"apiVersion": "v1.2", "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}}});
    let text = json!([
        {"kind": "Project", "spec": {"name": "jobs", "region": "local"}},
        {"kind": "BuildService", "spec": {"name": "jobs-build", "projectId": "jobs",
            "vcsData": {"projectUrl": format!("file://{}", repository.display()), "projectType": "self-hosted"},
            "buildSettings": {"buildpack": {}}}},
        {"kind": "ManualJob", "spec": {"name": "jobs-true", "projectId": "jobs"}},
        {"kind": "Pipeline", "spec": {"name": "jobs", "projectId": "jobs", "stages": [
            {"name": "Development", "nfObjects": [{"id": "jobs-true", "type": "job"}],
             "releaseFlow": {"kind": "ReleaseFlow", "spec": flow}},
            {"name": "Staging"}, {"name": "Production"}]}}
    ]);
    let request = ApplyRequest {
        command: Uuid::now_v7().to_string(),
        files: vec![SourceFile { name: "jobs.json".into(), text: text.to_string() }],
        ..ApplyRequest::default()
    };
    let reply =
        ProjectsClient::new(channel.clone()).apply(request).await.context("applying the project of W4-p")?;
    match reply.into_inner().problems.into_iter().find(|problem| problem.severity == 1) {
        Some(problem) => bail!("the project of W4-p: {}: {}", problem.pointer, problem.message),
        None => Ok(()),
    }
}
