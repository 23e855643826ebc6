//! A push as GitHub tells it, from what the repository itself says.

use std::{path::Path, process::Stdio, time::SystemTime};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Options, PostReceiveError};
use crate::domain::push::{commit_or_none, is_commit};

/// As many commits as GitHub lists.
const MAX_COMMITS: usize = 2_048;

/// Messages stop being listed when they have so many bytes together, far below the ingress' limit of 1 MiB.
const MAX_MESSAGES: usize = 512 * 1024;

pub(super) async fn of_push(
    options: &Options,
    old: &str,
    new: &str,
    reference: &str,
) -> Result<String, PostReceiveError> {
    let repository = &options.repository;
    let (before, after) = (commit_or_none(old), commit_or_none(new));
    // A tag's own object is not what gets built; GitHub names the commit too.
    let target = match &after {
        Some(after) => Some(commit_of(repository, after).await?),
        None => None,
    };
    let mut commits = Vec::new();
    let mut forced = false;
    if let Some(target) = &target {
        commits = listed(repository, before.as_deref(), target, reference).await?;
        if let Some(before) = &before {
            forced = !is_ancestor(repository, before, target).await;
        }
    }
    let head = match &target {
        Some(target) => log(repository, &["-n", "1"], &[target]).await?.pop(),
        None => None,
    };
    let address = match &options.address {
        Some(address) => address.clone(),
        None => absolute(repository),
    };
    let name = address.trim_end_matches('/').rsplit('/').next().unwrap_or("repository");
    let name = name.strip_suffix(".git").unwrap_or(name).to_owned();
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let pusher = options.pusher.as_deref().unwrap_or("git");
    let body = json!({
        "ref": reference,
        "before": old,
        "after": target.as_deref().unwrap_or(new),
        "created": before.is_none(),
        "deleted": after.is_none(),
        "forced": forced,
        "base_ref": null,
        "commits": commits,
        "head_commit": head,
        "repository": {
            "name": name,
            "full_name": name,
            "clone_url": address,
            "url": address,
            "pushed_at": seconds,
        },
        "pusher": { "name": pusher },
        "sender": { "login": pusher },
    });
    Ok(body.to_string())
}

/// The commits that the push brought, oldest first; of a new ref, those on no other branch.
async fn listed(
    repository: &Path,
    before: Option<&str>,
    target: &str,
    reference: &str,
) -> Result<Vec<Value>, PostReceiveError> {
    let limit = MAX_COMMITS.to_string();
    let exclude = format!("--exclude={reference}");
    let mut commits = match before {
        Some(before) => log(repository, &["-n", &limit], &[target, &format!("^{before}")]).await?,
        None => {
            let options = ["-n", &limit];
            let others = ["--not", &exclude, "--all"];
            log_with(repository, &options, &[target], &others).await?
        }
    };
    let mut size = 0;
    commits.retain(|commit| {
        size += commit["message"].as_str().map_or(0, str::len) + 100;
        size <= MAX_MESSAGES
    });
    commits.reverse();
    Ok(commits)
}

async fn log(
    repository: &Path,
    options: &[&str],
    revisions: &[&str],
) -> Result<Vec<Value>, PostReceiveError> {
    log_with(repository, options, revisions, &[]).await
}

/// Newest first. The revisions are commit ids that Git itself gave.
async fn log_with(
    repository: &Path,
    options: &[&str],
    revisions: &[&str],
    more: &[&str],
) -> Result<Vec<Value>, PostReceiveError> {
    let mut arguments = vec!["log", "-z", "--format=%H%n%cI%n%an%n%ae%n%B"];
    arguments.extend(options);
    arguments.extend(revisions);
    arguments.extend(more);
    let text = git(repository, &arguments).await?;
    let commit = |record: &str| {
        let mut lines = record.splitn(5, '\n');
        let id = lines.next().filter(|id| is_commit(id))?;
        let (time, name, email) = (lines.next()?, lines.next()?, lines.next()?);
        let message = lines.next().unwrap_or_default().trim_end();
        Some(json!({
            "id": id, "message": message, "timestamp": time, "distinct": true,
            "author": { "name": name, "email": email },
        }))
    };
    Ok(text.split('\0').filter_map(commit).collect())
}

async fn commit_of(repository: &Path, object: &str) -> Result<String, PostReceiveError> {
    let peeled = format!("{object}^{{commit}}");
    let text = git(repository, &["rev-parse", "--verify", "--quiet", &peeled]).await;
    // A tag may name a tree or a blob: then the object itself is told.
    Ok(text.map_or_else(|_| object.to_owned(), |text| text.trim().to_owned()))
}

async fn is_ancestor(repository: &Path, before: &str, after: &str) -> bool {
    git(repository, &["merge-base", "--is-ancestor", before, after]).await.is_ok()
}

fn absolute(repository: &Path) -> String {
    let path = std::fs::canonicalize(repository).unwrap_or_else(|_| repository.to_owned());
    path.to_string_lossy().into_owned()
}

async fn git(repository: &Path, arguments: &[&str]) -> Result<String, PostReceiveError> {
    let failed = |said: String| PostReceiveError::Repository { repository: repository.to_owned(), said };
    let mut command = Command::new("git");
    // In a hook Git's own variables point to the repository already; elsewhere they may point anywhere.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_QUARANTINE_PATH"] {
        command.env_remove(variable);
    }
    command.arg("--git-dir").arg(repository).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|e| failed(format!("`git` could not be started: {e}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
