//! Commands in a running service, or in a job's artifact.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shipway_nodes::workload::Exec;

use super::{Attempt, Failure, Success, error, failed, now, release};
use crate::runtime::Runtime;

pub(super) async fn run(attempt: &Attempt<'_>, work: &Exec) -> Result<Success, Failure> {
    if work.command.is_empty() {
        return Err(error("bad_command", "the command is empty"));
    }
    let status = attempt.host.runtime.status(work.target.id).await.map_err(failed)?;
    let running = status.as_ref().and_then(|status| Some((status, status.artifact.as_ref()?)));
    let (digest, ports) = match running {
        Some((status, artifact)) if status.healthy => (
            artifact.digest.clone(),
            status.instances.first().map(|first| first.ports.clone()).unwrap_or_default(),
        ),
        Some(_) => {
            let message = format!("{} has no healthy instance to execute a command in", work.target.slug);
            return Err(super::transient("not_running", message));
        }
        None => (newest(attempt, work)?, std::collections::BTreeMap::new()),
    };
    let folder = attempt.unpacked(&work.target, &digest).await?;
    let environment = attempt.environment(work.target.project, &work.environment).await?;
    let mut task = attempt.task("exec", work.command.clone());
    task.place = release::app_place(attempt, &work.target, &folder);
    task.environment = environment.plain;
    task.environment.extend(attempt.fencing());
    for (position, (name, port)) in ports.iter().enumerate() {
        task.environment.insert(format!("PORT_{}", name.to_uppercase()), port.to_string());
        if position == 0 {
            task.environment.insert("PORT".to_owned(), port.to_string());
        }
    }
    task.secrets = environment.secrets;
    task.mask = environment.mask;
    let own = now().plus(Duration::from_secs(work.timeout_seconds.into()));
    task.deadline = Some(task.deadline.map_or(own, |node| node.min(own)));
    attempt.note(&format!("executing in {}: {}", work.target.slug, work.command[0]));
    if work.dispatch_only {
        attempt.may_act()?;
        let handle = attempt.host.runtime.start(&task).await.map_err(failed)?;
        let runtime = std::sync::Arc::clone(&attempt.host.runtime);
        let writing = attempt.host.logs.write(attempt.given.run, attempt.given.node);
        tokio::spawn(async move {
            // Nobody waits for its end, but its log is open until then.
            let _ = runtime.wait(&handle).await;
            drop(writing);
        });
        return Ok(Success { outputs: outputs("dispatched", None), effects: Vec::new() });
    }
    let end = attempt.execute(&task).await?;
    if end.is_success() {
        return Ok(Success { outputs: outputs("success", Some(end.tail.join("\n"))), effects: Vec::new() });
    }
    let code = if end.timed_out { "timeout" } else { "command_failed" };
    Err(error(code, format!("`{}` in {} {}", work.command[0], work.target.slug, end.describe())))
}

/// The artifact that a job got last.
fn newest(attempt: &Attempt<'_>, work: &Exec) -> Result<String, Failure> {
    let record = attempt.host.folder.join("targets").join(work.target.id.to_string()).join("artifact.json");
    let found: Option<String> = crate::os::files::read_json(&record)
        .map_err(|source| super::io_failure("reading what the job has", &source, &attempt.host.folder))?;
    found.ok_or_else(|| {
        let message = format!(
            "nothing was released to {} yet, so there is nothing to execute a command in",
            work.target.slug
        );
        error("not_running", message)
    })
}

fn outputs(status: &str, output: Option<String>) -> Map<String, Value> {
    match json!({ "status": status, "output": output }) {
        Value::Object(outputs) => outputs,
        _ => Map::new(),
    }
}
