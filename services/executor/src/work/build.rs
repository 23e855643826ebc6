//! Builds: fetch, checkout, build command, archive. Each command is a shim's, so that a restart of Shipway finds
//! it where it is; the record of a finished build is asked first.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shipway_eventing::BlobId;
use shipway_events::{plan::Artifact, run::Effect};
use shipway_nodes::workload::Build;

use super::{Attempt, Failure, Success, disk_full, error, io_failure, transient};
use crate::{
    build::{self, BuildRecord, Entries, Manifest, Recipe, Records, Source},
    runtime::{Folder, Place, Runtime, Task, TaskEnd},
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

/// Makes the checkout's folder empty, then becomes git.
const CHECKOUT: &str = r#"set -e; find "$1" -mindepth 1 -delete; rm -f "$GIT_INDEX_FILE"; shift; exec "$@""#;

/// The folders of one build.
struct Folders {
    base: PathBuf,
    mirror: PathBuf,
    cache: PathBuf,
    home: PathBuf,
    source: PathBuf,
    config: PathBuf,
    temporary: PathBuf,
}

pub(super) async fn run(attempt: &Attempt<'_>, work: &Build) -> Result<Success, Failure> {
    let base = attempt.host.folder.join("builds").join(work.service.id.to_string());
    let records = Records::new(&base).map_err(|source| io_failure("opening the build records", &source, &base))?;
    let read = |source: io::Error| io_failure("reading a build record", &source, &base);
    if let Some(record) = records.of_build(&work.build).map_err(read)? {
        return Ok(success(work, &record, false));
    }
    if let Some(commit) = &work.sha {
        build::check_commit(commit)?;
        if let Some(found) = reusable(attempt, work, &records, commit).await? {
            return Ok(found);
        }
    }
    let folders = Folders::make(attempt, work, base).map_err(|(folder, source)| {
        io_failure("making the folders of the build", &source, &folder)
    })?;
    let built = make(attempt, work, &folders, &records).await;
    if !matches!(built, Err(Failure::Unknown(_))) {
        let _ = fs::remove_dir_all(&folders.source);
        let _ = fs::remove_dir_all(&folders.temporary);
    }
    built
}

async fn make(
    attempt: &Attempt<'_>,
    work: &Build,
    folders: &Folders,
    records: &Records,
) -> Result<Success, Failure> {
    let commit = checkout(attempt, work, folders).await?;
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
        return Err(build::missing_program(tool, package, &format!("building a {} program", recipe.language)));
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
            return Err(build_failed(&format!("building {} ({})", work.service.slug, shown(&recipe)), &end, &folders.base));
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
    let outputs = json!({
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
    let Value::Object(outputs) = outputs else { unreachable!("it is written as an object") };
    Success { outputs, effects: vec![Effect::Built { artifact: artifact.clone() }] }
}

/// Brings the commit into the source folder; says which it is.
async fn checkout(attempt: &Attempt<'_>, work: &Build, folders: &Folders) -> Result<String, Failure> {
    let source = Source::parse(&work.repository)?;
    let reference = build::branch_ref(&work.branch)?;
    let git = Git { attempt, folders, source: &source };
    git.run("init", &["init", "--bare", "--quiet"]).await?.ok_or("making the mirror")?;
    let known = match &work.sha {
        Some(commit) => git.run("known", &["cat-file", "-e", &format!("{commit}^{{commit}}")]).await?.end.is_success(),
        None => false,
    };
    if !known {
        attempt.note(&format!("fetching {} of {}", work.branch, work.repository));
        let address = git.address();
        let fetch = ["fetch", "--no-tags", "--force", "--no-write-fetch-head", "--end-of-options", &address];
        let wanted = format!("+{reference}:{reference}");
        let fetched = git.run("fetch", &[&fetch[..], &[&wanted]].concat()).await?;
        match &work.sha {
            None => fetched.ok_or_transient("fetching the branch")?,
            // A commit whose branch is gone may still be there to fetch.
            Some(commit) => {
                let there =
                    git.run("there", &["cat-file", "-e", &format!("{commit}^{{commit}}")]).await?.end.is_success();
                if !there {
                    fetched.ok_or_transient("fetching the branch")?;
                    git.run("fetch-commit", &[&fetch[..], &[commit]].concat())
                        .await?
                        .ok_or("fetching the commit, which is not on the branch,")?;
                }
            }
        }
    }
    let commit = match &work.sha {
        Some(commit) => commit.clone(),
        None => git.resolve(&reference).await?,
    };
    git.check_out(&commit).await?;
    Ok(commit)
}

/// Git, run in the build's place.
struct Git<'a> {
    attempt: &'a Attempt<'a>,
    folders: &'a Folders,
    source: &'a Source,
}

/// A git command that has ended.
struct GitEnd {
    end: TaskEnd,
}

impl GitEnd {
    fn ok_or(self, what: &str) -> Result<(), Failure> {
        if self.end.is_success() {
            return Ok(());
        }
        Err(error("fetch_failed", format!("{what} failed: git {}", self.end.describe())))
    }

    fn ok_or_transient(self, what: &str) -> Result<(), Failure> {
        if self.end.is_success() {
            return Ok(());
        }
        Err(transient("fetch_failed", format!("{what} failed: git {}", self.end.describe())))
    }
}

impl Git<'_> {
    fn place(&self) -> Place {
        let mut place = self.folders.place(&self.folders.mirror);
        if let Source::Local(path) = self.source {
            place.folders.push(Folder { path: path.clone(), name: "origin".to_owned(), writable: false });
        }
        place
    }

    fn address(&self) -> String {
        match self.source {
            Source::Remote(address) => address.clone(),
            Source::Local(path) => self.attempt.host.runtime.seen(&self.place(), path).to_string_lossy().into_owned(),
        }
    }

    fn task(&self, step: &str, before: &[&str], words: &[&str]) -> Task {
        let place = self.place();
        let runtime = &self.attempt.host.runtime;
        let mut all: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        all.extend(build::git(&runtime.seen(&place, &self.folders.mirror)));
        all.extend(words.iter().map(|word| (*word).to_owned()));
        let mut task = self.attempt.task(step, all);
        task.environment = build::git_environment(&runtime.seen(&place, &self.folders.config.join("gitconfig")));
        task.environment.extend(runtime.passed_on());
        task.place = place;
        task
    }

    async fn run(&self, step: &str, words: &[&str]) -> Result<GitEnd, Failure> {
        Ok(GitEnd { end: self.attempt.execute(&self.task(step, &[], words)).await? })
    }

    async fn resolve(&self, reference: &str) -> Result<String, Failure> {
        let output = self.folders.temporary.join("commit");
        let commit = format!("{reference}^{{commit}}");
        let mut task = self.task("resolve", &[], &["rev-parse", "--verify", "--end-of-options", &commit]);
        task.stdout = Some(output.clone());
        GitEnd { end: self.attempt.execute(&task).await? }.ok_or("finding the branch's newest commit")?;
        let text = fs::read_to_string(&output)
            .map_err(|source| io_failure("reading the commit", &source, &self.folders.base))?;
        // With this option rev-parse repeats it on a line of its own.
        let commit = text.lines().last().unwrap_or_default().trim().to_owned();
        build::check_commit(&commit)?;
        Ok(commit)
    }

    async fn check_out(&self, commit: &str) -> Result<(), Failure> {
        let runtime = &self.attempt.host.runtime;
        let source = runtime.seen(&self.place(), &self.folders.source).to_string_lossy().into_owned();
        let tree = format!("--work-tree={source}");
        let before = ["/bin/sh", "-c", CHECKOUT, "checkout", &source];
        let mut task = self.task("checkout", &before, &[&tree, "read-tree", "--reset", "-u", commit]);
        let index = runtime.seen(&self.place(), &self.folders.home).join(format!("index-{}", self.folders.name()));
        task.environment.insert("GIT_INDEX_FILE".to_owned(), index.to_string_lossy().into_owned());
        let end = self.attempt.execute(&task).await?;
        let _ = fs::remove_file(self.folders.home.join(format!("index-{}", self.folders.name())));
        if end.is_success() {
            return Ok(());
        }
        Err(build_failed(&format!("checking out {commit}"), &end, &self.folders.base))
    }
}

impl Folders {
    fn make(attempt: &Attempt<'_>, work: &Build, base: PathBuf) -> Result<Self, (PathBuf, io::Error)> {
        let name = &hex::encode(Sha256::digest(&work.build))[..16];
        let folders = Self {
            mirror: base.join("mirror.git"),
            cache: base.join("cache"),
            home: base.join("home"),
            source: base.join(format!("src-{name}")),
            config: base.join("config"),
            temporary: base.join(format!("tmp-{name}")),
            base,
        };
        let write = || -> io::Result<()> {
            for folder in [&folders.config, &folders.temporary] {
                fs::create_dir_all(folder)?;
            }
            fs::write(folders.config.join("gitconfig"), "[safe]\n\tdirectory = *\n")?;
            let user = attempt.host.runtime.user(&work.service.id.to_string()).map_err(io::Error::other)?;
            let cargo = folders.cache.join("cargo");
            crate::sandbox::own_folder(&folders.cache, user)?;
            crate::sandbox::own_folder(&cargo, user)?;
            if let Some(config) = attempt.host.runtime.toolchain().cargo_config() {
                fs::copy(config, cargo.join("config.toml"))?;
            }
            Ok(())
        };
        write().map_err(|source| (folders.base.clone(), source))?;
        Ok(folders)
    }

    fn name(&self) -> String {
        self.source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn place(&self, directory: &Path) -> Place {
        let folder = |path: &Path, name: &str, writable| Folder { path: path.to_owned(), name: name.to_owned(), writable };
        let owner = self.base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Place {
            owner,
            folders: vec![
                folder(&self.mirror, "mirror", true),
                folder(&self.cache, "cache", true),
                folder(&self.home, "home", true),
                folder(&self.source, "src", true),
                folder(&self.config, "config", false),
            ],
            directory: directory.to_owned(),
            tools: true,
        }
    }

    fn environment(&self, attempt: &Attempt<'_>, work: &Build, commit: &str) -> BTreeMap<String, String> {
        let place = self.place(&self.source);
        let seen = |path: &Path| attempt.host.runtime.seen(&place, path).to_string_lossy().into_owned();
        let mut all: BTreeMap<String, String> = [
            ("CI", "true".to_owned()),
            ("CARGO_HOME", seen(&self.cache.join("cargo"))),
            ("CARGO_TARGET_DIR", seen(&self.cache.join("target"))),
            ("CARGO_TERM_COLOR", "never".to_owned()),
            ("GOCACHE", seen(&self.cache.join("go"))),
            ("GOPATH", seen(&self.cache.join("gopath"))),
            ("npm_config_cache", seen(&self.cache.join("npm"))),
            ("SHIPWAY_COMMIT", commit.to_owned()),
            ("SHIPWAY_BRANCH", work.branch.clone()),
            ("SHIPWAY_BUILD", work.build.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        all.extend(attempt.host.runtime.passed_on());
        all
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
        let message = format!("the repository has no folder `{}`, which the build service names as its work dir", below.display());
        Err(error("bad_work_dir", message))
    }
}

/// The relative path, if it stays inside.
fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        .then(|| path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
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

async fn archive(
    attempt: &Attempt<'_>,
    recipe: &Recipe,
    programs: &[String],
    directory: &Path,
    folders: &Folders,
) -> Result<(BlobId, u64), Failure> {
    let (recipe, programs, directory) = (recipe.clone(), programs.to_vec(), directory.to_owned());
    let file = folders.temporary.join("artifact.tar.zst");
    let to = file.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let (entries, manifest) = gather(&recipe, &programs, &directory)?;
        build::pack(&entries, &manifest, &to).map_err(Gather::Io)
    });
    let digest = packed.await.map_err(|failure| error("io", failure.to_string()))?.map_err(|failure| match failure {
        Gather::Io(source) => io_failure("packing the artifact", &source, &folders.base),
        Gather::Missing(message) => error("build_incomplete", message),
    })?;
    let bytes = fs::metadata(&file).map(|data| data.len()).unwrap_or(0);
    let stored = attempt.host.blobs.put_file(&file).await;
    stored.map_err(|failure| build::blob_failure("storing the artifact", &failure, &attempt.host.config.data))?;
    Ok((digest, bytes))
}

enum Gather {
    Io(io::Error),
    Missing(String),
}

impl From<io::Error> for Gather {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

fn gather(recipe: &Recipe, programs: &[String], directory: &Path) -> Result<(Entries, Manifest), Gather> {
    let mut entries = Entries::new();
    let mut processes = BTreeMap::new();
    let mut include = recipe.include.clone();
    if recipe.cargo {
        for name in programs {
            let program = directory.join(".shipway/bin").join(name);
            if program.is_file() {
                build::collect(&mut entries, &program, &format!("bin/{name}"), &|_| false)?;
                processes.insert(name.clone(), format!("./bin/{name}"));
            }
        }
        if processes.is_empty() {
            let message = format!(
                "the build made none of the programs that Cargo.toml names ({}): does the command build with --release?",
                programs.join(", ")
            );
            return Err(Gather::Missing(message));
        }
        if let [only] = programs {
            processes.insert("web".to_owned(), format!("./bin/{only}"));
        }
    } else if include.is_empty() {
        build::collect(&mut entries, directory, "", &|name| matches!(name, ".git" | ".shipway" | "target"))?;
    }
    if directory.join("Procfile").is_file() {
        include.push("Procfile".to_owned());
    }
    for path in include {
        let Some(below) = inside(&path).filter(|below| directory.join(below).exists()) else {
            let message = format!("`{path}`, which the artifact is to hold, is not there after the build");
            return Err(Gather::Missing(message));
        };
        build::collect(&mut entries, &directory.join(&below), &below.to_string_lossy(), &|_| false)?;
    }
    processes.extend(recipe.processes.clone());
    Ok((entries, Manifest { processes }))
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
