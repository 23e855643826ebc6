//! Job runs: a command of an artifact, to its end.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shipway_events::run::Effect;
use shipway_nodes::workload::Job;

use super::{Attempt, Failure, Success, error, now, release};

pub(super) async fn run(attempt: &Attempt<'_>, work: &Job) -> Result<Success, Failure> {
    let folder = attempt.unpacked(&work.job, &work.artifact.digest).await?;
    let mut values = work.environment.clone();
    let files = attempt.files(work.job.project, &mut values).await?;
    let environment = attempt.environment(work.job.project, &values).await?;
    let mut task = attempt.task("job", release::words(&work.command, &folder)?);
    task.place = release::app_place(attempt, &work.job, &folder);
    task.environment = environment.plain;
    task.environment.insert("SHIPWAY_COMMIT".to_owned(), work.artifact.commit.clone());
    task.environment.extend(attempt.fencing());
    task.environment.insert("SHIPWAY_JOB_RUN".to_owned(), work.job_run.clone());
    task.secrets = environment.secrets;
    task.files = files;
    task.mask = environment.mask;
    if let Some(seconds) = work.deadline_seconds {
        let own = now().plus(Duration::from_secs(seconds.into()));
        task.deadline = Some(task.deadline.map_or(own, |node| node.min(own)));
    }
    attempt.note(&format!("running {} ({}) of commit {}", work.job.slug, work.job_run, work.artifact.commit));
    attempt.started(outputs(work, "RUNNING", false));
    let end = attempt.execute(&task).await?;
    if !end.is_success() {
        let code = if end.timed_out { "timeout" } else { "job_failed" };
        return Err(error(code, format!("the job {} {}", work.job.slug, end.describe())));
    }
    let effect = Effect::JobRan {
        job: work.job.slug.clone(),
        job_run: work.job_run.clone(),
        digest: work.artifact.digest.clone(),
    };
    Ok(Success { outputs: outputs(work, "SUCCESS", true), effects: vec![effect] })
}

fn outputs(work: &Job, status: &str, concluded: bool) -> Map<String, Value> {
    let outputs = json!({
        "id": work.job_run,
        "runName": work.job_run,
        "status": status,
        "concluded": concluded,
        "jobId": work.job.slug,
    });
    match outputs {
        Value::Object(outputs) => outputs,
        _ => Map::new(),
    }
}
