//! Builds: fetch, checkout, build command, archive. Each command is a shim's, so that a restart of Shipway finds
//! it where it is; the record of a finished build is asked first.

mod checkout;
mod folders;
mod pack;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use shipway_eventing::BlobId;
use shipway_events::{plan::Artifact, run::Effect};
use shipway_nodes::workload::Build;

use checkout::checkout;
use folders::{Folders, inside};
use pack::archive;

use super::{Attempt, Failure, Success, disk_full, error, io_failure};
use crate::{
    build::{self, BuildRecord, Recipe, Records},
    runtime::{Task, TaskEnd},
};

/// Runs the build command under a lock of the cache and takes the programs out while it is held: another build of
/// the same service would put its own there.
const SCRIPT: &str = r#"
set -e
if [ -n "$CARGO_TARGET_DIR" ] && command -v flock >/dev/null 2>&1; then
    mkdir -p "$CARGO_TARGET_DIR"
    exec 9>"$CARGO_TARGET_DIR/.shipway-lock"
    flock 9
fi
/bin/sh -c "$1"
shift
for name in "$@"; do
    if [ -f "$CARGO_TARGET_DIR/release/$name" ]; then
        mkdir -p .shipway/bin
        cp "$CARGO_TARGET_DIR/release/$name" .shipway/bin/
    fi
done
"#;

pub(super) async fn run(attempt: &Attempt<'_>, work: &Build) -> Result<Success, Failure> {
    let base = attempt.host.folder.join("builds").join(folders::owner(work));
    let records =
        Records::new(&base).map_err(|source| io_failure("opening the build records", &source, &base))?;
    let read = |source: io::Error| io_failure("reading a build record", &source, &base);
    if let Some(record) = records.of_build(&work.build).map_err(read)? {
        return Ok(success(work, &record, false));
    }
    if let Some(error) = records.failure(&attempt.given.effect_key, attempt.given.attempt).map_err(read)? {
        return Err(Failure::Error(error));
    }
    if let Some(commit) = &work.sha {
        build::check_commit(commit)?;
        if let Some(found) = reusable(attempt, work, &records, commit).await? {
            return Ok(found);
        }
    }
    let folders = Folders::make(attempt, work, base)
        .map_err(|(folder, source)| io_failure("making the folders of the build", &source, &folder))?;
    let built = make(attempt, work, &folders, &records).await;
    if let Err(Failure::Error(error)) = &built
        && let Err(unrecorded) = records.save_failure(&attempt.given.effect_key, attempt.given.attempt, error)
    {
        tracing::warn!(build = work.build, %unrecorded, "a failed build could not be recorded");
    }
    if !matches!(built, Err(Failure::Unknown(_))) {
        folders.clear();
    }
    built
}

async fn make(
    attempt: &Attempt<'_>,
    work: &Build,
    folders: &Folders,
    records: &Records,
) -> Result<Success, Failure> {
    let (commit, authored) = checkout(attempt, work, folders).await?;
    if work.sha.is_none()
        && let Some(found) = reusable(attempt, work, records, &commit).await?
    {
        return Ok(found);
    }
    let directory = work_dir(work, folders)?;
    let recipe = build::recipe(&directory, work)?;
    let path = attempt.host.runtime.search_path();
    if let Some((tool, package)) = recipe.tool
        && build::find_program(&path, tool).is_none()
    {
        return Err(build::missing_program(
            tool,
            package,
            &format!("building a {} program", recipe.language),
        ));
    }
    attempt.note(&format!("building {} from commit {commit} with: {}", work.service.slug, shown(&recipe)));
    let variables = attempt.environment(work.service.project, &work.arguments).await?;
    let mut task = attempt.task("build", Vec::new());
    task.place = folders.place(&directory);
    task.environment = folders.environment(attempt, work, &commit);
    task.environment.extend(variables.plain);
    task.secrets = variables.secrets;
    task.mask = variables.mask;
    let programs = programs(attempt, &recipe, &task, folders).await?;
    if !recipe.command.is_empty() {
        task.words = ["/bin/sh", "-c", SCRIPT, "build", &recipe.command].map(str::to_owned).into();
        task.words.extend(programs.iter().cloned());
        let end = attempt.execute(&task).await?;
        if !end.is_success() {
            return Err(build_failed(
                &format!("building {} ({})", work.service.slug, shown(&recipe)),
                &end,
                &folders.base,
            ));
        }
    }
    let (digest, bytes) = archive(attempt, &recipe, &programs, &directory, folders).await?;
    let record = BuildRecord {
        artifact: Artifact {
            digest: digest.to_string(),
            build: work.build.clone(),
            service: work.service.slug.clone(),
            commit,
            branch: work.branch.clone(),
        },
        authored,
        bytes,
        command: recipe.command.clone(),
        variables: work.arguments.keys().cloned().collect(),
        tools: tools(&path, recipe.language).await,
        finished: jiff::Timestamp::now().to_string(),
    };
    let saved = records.save(work, &record);
    saved.map_err(|source| io_failure("recording the build", &source, &folders.base))?;
    attempt.note(&format!("built {digest}, {bytes} bytes"));
    Ok(success(work, &record, false))
}

/// An earlier build of the commit, if the node wants one and its artifact is still there.
async fn reusable(
    attempt: &Attempt<'_>,
    work: &Build,
    records: &Records,
    commit: &str,
) -> Result<Option<Success>, Failure> {
    if !work.reuse {
        return Ok(None);
    }
    let found = records.of_commit(work, commit);
    let found = found.map_err(|source| error("io", format!("reading a build record failed: {source}")))?;
    let Some(record) = found else { return Ok(None) };
    let Ok(id) = record.artifact.digest.parse::<BlobId>() else { return Ok(None) };
    if !attempt.host.blobs.exists(&id).await.unwrap_or(false) {
        return Ok(None);
    }
    attempt.note(&format!("commit {commit} was built before: {}", record.artifact.digest));
    Ok(Some(success(work, &record, true)))
}

fn success(work: &Build, record: &BuildRecord, reused: bool) -> Success {
    let artifact = &record.artifact;
    let mut outputs = json!({
        "id": artifact.build,
        "branch": work.branch,
        "sha": artifact.commit,
        "status": "SUCCESS",
        "concluded": true,
        "success": true,
        "createdAt": record.finished,
        "nfObjectId": work.service.slug,
        "digest": artifact.digest,
        "reused": reused,
    });
    if let Some(number) = work.pull_request {
        outputs["pullRequestId"] = number.into();
    }
    let Value::Object(outputs) = outputs else { unreachable!("it is written as an object") };
    Success {
        outputs,
        effects: vec![Effect::Built { artifact: artifact.clone(), authored: record.authored }],
    }
}

fn work_dir(work: &Build, folders: &Folders) -> Result<PathBuf, Failure> {
    let Some(below) = &work.work_dir else { return Ok(folders.source.clone()) };
    let below = inside(below).ok_or_else(|| {
        error("bad_work_dir", format!("the work dir `{below}` is not a folder inside of the repository"))
    })?;
    let directory = folders.source.join(&below);
    if directory.is_dir() {
        Ok(directory)
    } else {
        let message = format!(
            "the repository has no folder `{}`, which the build service names as its work dir",
            below.display()
        );
        Err(error("bad_work_dir", message))
    }
}

/// The programs of a Cargo workspace.
async fn programs(
    attempt: &Attempt<'_>,
    recipe: &Recipe,
    like: &Task,
    folders: &Folders,
) -> Result<Vec<String>, Failure> {
    if !recipe.cargo {
        return Ok(Vec::new());
    }
    let output = folders.temporary.join("metadata.json");
    let words = ["cargo", "metadata", "--no-deps", "--format-version", "1"].map(str::to_owned).to_vec();
    let task = Task {
        place: like.place.clone(),
        environment: like.environment.clone(),
        stdout: Some(output.clone()),
        ..attempt.task("metadata", words)
    };
    let end = attempt.execute(&task).await?;
    if !end.is_success() {
        return Err(build_failed("reading Cargo.toml", &end, &folders.base));
    }
    build::cargo_binaries(&output).map_err(|source| io_failure("reading Cargo.toml", &source, &folders.base))
}

fn build_failed(what: &str, end: &TaskEnd, folder: &Path) -> Failure {
    if end.tail.iter().any(|line| line.contains("No space left on device")) {
        return disk_full(what, folder);
    }
    let code = if end.timed_out { "timeout" } else { "build_failed" };
    error(code, format!("{what}: the command {}", end.describe()))
}

fn shown(recipe: &Recipe) -> &str {
    if recipe.command.is_empty() { "nothing to run" } else { &recipe.command }
}

/// What the tools say of themselves: for the record, never part of the archive.
async fn tools(path: &str, language: &str) -> BTreeMap<String, String> {
    let names: &[&str] = match language {
        "Rust" => &["cargo", "rustc", "cc", "git"],
        "Node" => &["node", "npm", "git"],
        "Go" => &["git"],
        _ => &["git", "cc"],
    };
    let mut all = BTreeMap::new();
    for name in names {
        let Some(program) = build::find_program(path, name) else { continue };
        let said = tokio::process::Command::new(program).arg("--version").current_dir("/").output().await;
        if let Ok(said) = said {
            let text = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned();
            all.insert((*name).to_owned(), text);
        }
    }
    all
}
