//! Releases: a service or a job gets an artifact.

use std::{path::Path, time::Duration};

use serde_json::{Map, Value, json};
use shipway_events::run::Effect;
use shipway_nodes::workload::{Command, Release, ServiceSpec};

use super::{Attempt, Failure, Success, error, failed};
use crate::{
    build::Manifest,
    runtime::{Deployment, Folder, Keeping, Place, Runtime},
};

pub(super) async fn run(attempt: &Attempt<'_>, work: &Release) -> Result<Success, Failure> {
    let folder = attempt.unpacked(&work.target, &work.artifact.digest).await?;
    if let Some(spec) = &work.service {
        serve(attempt, work, spec, &folder).await?;
    }
    remember(attempt, work)?;
    prune(&folder);
    let effect = Effect::Released {
        target: work.target.id,
        slug: work.target.slug.clone(),
        artifact: work.artifact.clone(),
    };
    Ok(Success { outputs: outputs(work), effects: vec![effect] })
}

async fn serve(
    attempt: &Attempt<'_>,
    work: &Release,
    spec: &ServiceSpec,
    folder: &Path,
) -> Result<(), Failure> {
    let environment = attempt.environment(work.target.project, &spec.environment).await?;
    let mut plain = environment.plain;
    plain.insert("SHIPWAY_COMMIT".to_owned(), work.artifact.commit.clone());
    plain.insert("SHIPWAY_DIGEST".to_owned(), work.artifact.digest.clone());
    let deployment = Deployment {
        target: work.target.clone(),
        fence: attempt.given.fence,
        effect_key: attempt.given.effect_key.clone(),
        keeping: Keeping::Proxied,
        artifact: Some(work.artifact.clone()),
        place: app_place(attempt, &work.target, folder),
        instances: spec.instances,
        words: words(&spec.command, folder)?,
        environment: plain,
        secret_names: environment.names,
        secrets: environment.secrets,
        ports: spec.ports.clone(),
        health: spec.health.clone(),
        grace_seconds: spec.grace_seconds,
        timeout: Duration::from_secs(work.timeout_seconds.into()),
    };
    attempt.note(&format!(
        "rolling {} out to {}: {} instance(s)",
        work.artifact.digest, work.target.slug, spec.instances
    ));
    attempt.started(outputs(work));
    roll(attempt, deployment).await?;
    attempt.note("all instances are healthy and serve");
    Ok(())
}

/// Applies it; when the scheduler wants it stopped, the target gives it up.
pub(crate) async fn roll(attempt: &Attempt<'_>, deployment: Deployment) -> Result<(), Failure> {
    let runtime = &attempt.host.runtime;
    attempt.may_act()?;
    let (target, fence) = (deployment.target.id, deployment.fence);
    let slug = deployment.target.slug.clone();
    let mut apply = std::pin::pin!(runtime.apply(deployment));
    let applied = tokio::select! {
        applied = &mut apply => applied,
        () = attempt.stop.cancelled() => {
            runtime.cancel(target, fence).await.map_err(failed)?;
            apply.await
        }
    };
    applied.map(|_| ()).map_err(|failure| match failed(failure) {
        Failure::Error(mut error) => {
            error.message =
                format!("releasing to {slug} failed, and what ran before still runs: {}", error.message);
            Failure::Error(error)
        }
        other => other,
    })
}

/// Where the processes of an artifact run.
pub(super) fn app_place(
    attempt: &Attempt<'_>,
    target: &shipway_nodes::workload::Target,
    folder: &Path,
) -> Place {
    let home = attempt.home(target);
    Place {
        owner: target.id.to_string(),
        folders: vec![
            Folder { path: folder.to_owned(), name: "app".to_owned(), writable: false },
            Folder { path: home, name: "home".to_owned(), writable: true },
        ],
        directory: folder.to_owned(),
        tools: false,
    }
}

/// The words of a command. A process type's line is a shell's, as everywhere that Procfiles are known.
pub(super) fn words(command: &Command, folder: &Path) -> Result<Vec<String>, Failure> {
    let name = match command {
        Command::Words(words) if words.is_empty() => {
            return Err(error("bad_command", "the command is empty"));
        }
        Command::Words(words) => return Ok(words.clone()),
        Command::Process(name) => name,
    };
    let manifest = Manifest::read(folder).map_err(|failure| {
        error("bad_artifact", format!("the artifact's manifest cannot be read: {failure}"))
    })?;
    let Some(line) = manifest.processes.get(name) else {
        let known: Vec<&str> = manifest.processes.keys().map(String::as_str).collect();
        let message = format!(
            "the artifact has no process `{name}`; it has: {}. Add `{name}: …` to the Procfile, or give a command",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        );
        return Err(error("bad_command", message));
    };
    let plain = line.chars().all(|c| c.is_ascii_alphanumeric() || " ./_-:=,@+".contains(c));
    let first = line.split_whitespace().next().unwrap_or_default();
    if plain && !first.contains('=') {
        // Without a shell there is nothing that `exec` would replace.
        let words = line.split_whitespace().skip(usize::from(first == "exec"));
        return Ok(words.map(str::to_owned).collect());
    }
    Ok(["/bin/sh", "-c", line].map(str::to_owned).into())
}

fn outputs(work: &Release) -> Map<String, Value> {
    let outputs = json!({
        "id": work.target.slug,
        "digest": work.artifact.digest,
        "sha": work.artifact.commit,
        "branch": work.artifact.branch,
        "buildId": work.artifact.build,
        "ports": work.service.iter().flat_map(|spec| &spec.ports).map(|port| json!({
            "name": port.name,
            "public": port.public,
            "dns": format!("127.0.0.1:{}", port.public),
        })).collect::<Vec<_>>(),
    });
    match outputs {
        Value::Object(outputs) => outputs,
        _ => Map::new(),
    }
}

/// Which artifact the target has: a job's has no keeper that knows.
fn remember(attempt: &Attempt<'_>, work: &Release) -> Result<(), Failure> {
    let record = attempt.host.folder.join("targets").join(work.target.id.to_string()).join("artifact.json");
    crate::os::files::write_json(&record, &work.artifact.digest)
        .map_err(|source| super::io_failure("recording what the target has", &source, &record))
}

/// Keeps the newest unpacked artifacts of a target: what runs, what ran before, and one more.
fn prune(current: &Path) {
    let Some(Ok(entries)) = current.parent().map(std::fs::read_dir) else { return };
    let mut others: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path != current && path.extension().is_none())
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.created().ok()?, path)))
        .collect();
    others.sort();
    let old = others.len().saturating_sub(3);
    for (_, path) in others.drain(..old) {
        let _ = std::fs::remove_dir_all(path);
    }
}
