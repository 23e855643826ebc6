//! The commit into the build's source folder, by git in the build's place.

use std::{fs, path::Path};

use shipway_events::{Timestamp, plan::RepositoryLogin};
use shipway_nodes::workload::Build;
use shipway_repository::{
    Address, Credential, HOSTS_FILE, KEY_FILE, LOCAL, Secret, pull_request_refs, ssh_command,
};
use zeroize::Zeroizing;

use super::{build_failed, folders::Folders};
use crate::{
    build,
    runtime::{Folder, Place, Runtime, Task, TaskEnd},
    work::{Attempt, Failure, error, io_failure, transient},
};

/// Makes the checkout's folder empty, then becomes git.
const CHECKOUT: &str = r#"set -e; find "$1" -mindepth 1 -delete; rm -f "$GIT_INDEX_FILE"; shift; exec "$@""#;

/// Brings the commit into the source folder; says which it is, and when its author says to have written it.
pub(super) async fn checkout(
    attempt: &Attempt<'_>,
    work: &Build,
    folders: &Folders,
) -> Result<(String, Option<Timestamp>), Failure> {
    let source = build::address(&work.repository, attempt.host.config.local_repositories)?;
    // A name that is none is refused before anything is asked.
    let wanted = match work.pull_request {
        Some(number) => Wanted::PullRequest(number),
        None => Wanted::Branch(build::branch_ref(&work.branch)?),
    };
    let login = login(attempt, work, &source).await?;
    let git = Git { attempt, folders, source: &source, login };
    git.run("init", &["init", "--bare", "--quiet"]).await?.ok_or("making the mirror")?;
    let commit = match &work.sha {
        Some(commit) if git.has("known", commit).await? => commit.clone(),
        asked => {
            attempt.note(&format!("fetching {} of {source}", wanted.shown(work)));
            git.bring(&wanted, asked.as_deref()).await?
        }
    };
    git.check_out(&commit).await?;
    let authored = git.authored(&commit).await?;
    Ok((commit, authored))
}

/// What the commit is on.
enum Wanted {
    /// A branch, by its whole ref.
    Branch(String),
    /// A pull request.
    PullRequest(u64),
}

impl Wanted {
    fn shown(&self, work: &Build) -> String {
        match self {
            Self::Branch(_) => work.branch.clone(),
            Self::PullRequest(number) => format!("pull request #{number}"),
        }
    }
}

/// The login that the repository is fetched with: of the linked account, or of the address itself.
async fn login(
    attempt: &Attempt<'_>,
    work: &Build,
    source: &Address,
) -> Result<Option<(Credential, Vec<String>)>, Failure> {
    let Some(RepositoryLogin { account, host, login, secret, known_hosts }) = &work.login else {
        return Ok(Credential::of_address(source).map(|own| {
            let hidden = own.hidden();
            (own, hidden)
        }));
    };
    let (value, _) = attempt.finish(work.service.project, secret).await?;
    let value = Zeroizing::new(value.as_str().unwrap_or_default().to_owned());
    let secret = match known_hosts {
        None => Secret::Token(value),
        Some(known_hosts) => Secret::Key { key: value, known_hosts: known_hosts.clone() },
    };
    let credential = Credential::new(host, login, secret);
    let wrong = |problem| error("bad_account", format!("the account `{account}`: {problem}"));
    credential.check(source).map_err(wrong)?;
    let hidden = credential.hidden();
    Ok(Some((credential, hidden)))
}

fn no_ref(wanted: &Wanted) -> Failure {
    let Wanted::PullRequest(number) = wanted else { return error("fetch_failed", "the branch is not there") };
    let refs = pull_request_refs(*number).join(", ");
    error(
        "fetch_failed",
        format!(
            "the repository keeps no pull request #{number} ({refs}); build its branch, or give `sha` too"
        ),
    )
}

/// Git, run in the build's place.
struct Git<'a> {
    attempt: &'a Attempt<'a>,
    folders: &'a Folders,
    source: &'a Address,
    /// With what has to be hidden of it.
    login: Option<(Credential, Vec<String>)>,
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
    /// Fetches what is wanted, and the commit where one is named; says which commit it is.
    async fn bring(&self, wanted: &Wanted, commit: Option<&str>) -> Result<String, Failure> {
        let reference = match wanted {
            Wanted::Branch(reference) => Some(reference.clone()),
            Wanted::PullRequest(number) => self.pull_request(*number).await?,
        };
        let (branch, on) = match wanted {
            Wanted::Branch(_) => ("fetching the branch", "fetching the commit, which is not on the branch,"),
            Wanted::PullRequest(_) => {
                ("fetching the pull request", "fetching the commit, which is not on the pull request,")
            }
        };
        let fetched = match &reference {
            Some(reference) => Some(self.fetch("fetch", &[&format!("+{reference}:{reference}")]).await?),
            None => None,
        };
        let Some(commit) = commit else {
            let (Some(reference), Some(fetched)) = (reference, fetched) else { return Err(no_ref(wanted)) };
            fetched.ok_or_transient(branch)?;
            return self.resolve(&reference).await;
        };
        if !self.has("there", commit).await? {
            // A commit whose branch is gone, or in another repository, may still be there to fetch.
            let alone = self.fetch("fetch-commit", &[commit]).await?;
            if let Some(fetched) = fetched.filter(|_| !alone.end.is_success()) {
                fetched.ok_or_transient(branch)?;
            }
            alone.ok_or(on)?;
        }
        Ok(commit.to_owned())
    }

    /// The ref under which the repository keeps a pull request; none if it keeps none.
    async fn pull_request(&self, number: u64) -> Result<Option<String>, Failure> {
        let (refs, address) = (pull_request_refs(number), self.address());
        let words =
            ["ls-remote", "--end-of-options", &address].into_iter().chain(refs.iter().map(String::as_str));
        let output = self.folders.temporary.join("refs");
        let mut task = self.asking("ls-remote", &words.collect::<Vec<_>>());
        task.stdout = Some(output.clone());
        GitEnd { end: self.attempt.execute(&task).await? }.ok_or_transient("looking for the pull request")?;
        let text = self.read(&output)?;
        let listed: Vec<&str> =
            text.lines().filter_map(|line| line.split_once('\t')).map(|(_, name)| name).collect();
        Ok(refs.into_iter().find(|name| listed.contains(&name.as_str())))
    }

    async fn has(&self, step: &str, commit: &str) -> Result<bool, Failure> {
        let commit = format!("{commit}^{{commit}}");
        Ok(self.run(step, &["cat-file", "-e", "--end-of-options", &commit]).await?.end.is_success())
    }

    fn read(&self, output: &Path) -> Result<String, Failure> {
        fs::read_to_string(output)
            .map_err(|source| io_failure("reading what git said", &source, &self.folders.base))
    }

    fn place(&self) -> Place {
        let mut place = self.folders.place(&self.folders.mirror);
        if let Some(path) = self.source.folder() {
            place.folders.push(Folder { path: path.to_owned(), name: "origin".to_owned(), writable: false });
        }
        place
    }

    fn address(&self) -> String {
        match self.source.folder() {
            None => self.source.url(),
            Some(path) => self.attempt.host.runtime.seen(&self.place(), path).to_string_lossy().into_owned(),
        }
    }

    fn task(&self, step: &str, before: &[&str], words: &[&str]) -> Task {
        let place = self.place();
        let runtime = &self.attempt.host.runtime;
        let mut all: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        all.extend(build::git(&runtime.seen(&place, &self.folders.mirror)));
        all.extend(words.iter().map(|word| (*word).to_owned()));
        let mut task = self.attempt.task(step, all);
        let config = runtime.seen(&place, &self.folders.config.join("gitconfig"));
        task.environment = build::git_environment(&config, self.source);
        task.environment.extend(runtime.passed_on());
        task.place = place;
        task
    }

    async fn run(&self, step: &str, words: &[&str]) -> Result<GitEnd, Failure> {
        Ok(GitEnd { end: self.attempt.execute(&self.task(step, &[], words)).await? })
    }

    async fn fetch(&self, step: &str, what: &[&str]) -> Result<GitEnd, Failure> {
        let address = self.address();
        let fetch = ["fetch", "--no-tags", "--force", "--no-write-fetch-head", "--end-of-options", &address];
        let task = self.asking(step, &[&fetch[..], what].concat());
        Ok(GitEnd { end: self.attempt.execute(&task).await? })
    }

    /// A command that asks the repository: it alone gets the login.
    fn asking(&self, step: &str, words: &[&str]) -> Task {
        let mut task = self.task(step, &[], words);
        if let Some((login, hidden)) = &self.login {
            task.mask.clone_from(hidden);
            if let Some((key, hosts)) = login.key() {
                task.environment.insert("GIT_SSH_COMMAND".to_owned(), ssh_command(true).to_owned());
                task.files.insert(KEY_FILE.to_owned(), key.as_bytes().to_vec());
                task.files.insert(HOSTS_FILE.to_owned(), hosts.as_bytes().to_vec());
            } else {
                let config = format!("{LOCAL}{}", *login.config(self.source.protocol()));
                task.files.insert("GIT_CONFIG_GLOBAL".to_owned(), config.into_bytes());
            }
        }
        task
    }

    async fn resolve(&self, reference: &str) -> Result<String, Failure> {
        let output = self.folders.temporary.join("commit");
        // A merge of a pull request with its target has it as its second parent.
        let merged =
            if reference.starts_with("refs/pull/") && reference.ends_with("/merge") { "^2" } else { "" };
        let commit = format!("{reference}{merged}^{{commit}}");
        let mut task = self.task("resolve", &[], &["rev-parse", "--verify", "--end-of-options", &commit]);
        task.stdout = Some(output.clone());
        GitEnd { end: self.attempt.execute(&task).await? }.ok_or("finding the newest commit")?;
        let text = self.read(&output)?;
        // With this option rev-parse repeats it on a line of its own.
        let commit = text.lines().last().unwrap_or_default().trim().to_owned();
        build::check_commit(&commit)?;
        Ok(commit)
    }

    /// When the author of a commit says to have written it. It is for figures: a build does not fail because of it.
    async fn authored(&self, commit: &str) -> Result<Option<Timestamp>, Failure> {
        let output = self.folders.temporary.join("authored");
        let words = ["log", "-1", "--no-show-signature", "--format=%at", "--end-of-options", commit];
        let mut task = self.task("authored", &[], &words);
        task.stdout = Some(output.clone());
        if !self.attempt.execute(&task).await?.is_success() {
            return Ok(None);
        }
        let seconds = self.read(&output)?.trim().parse::<i64>().ok();
        Ok(seconds.and_then(|seconds| seconds.checked_mul(1_000_000)).map(Timestamp::from_micros))
    }

    async fn check_out(&self, commit: &str) -> Result<(), Failure> {
        let runtime = &self.attempt.host.runtime;
        let source = runtime.seen(&self.place(), &self.folders.source).to_string_lossy().into_owned();
        let tree = format!("--work-tree={source}");
        let before = ["/bin/sh", "-c", CHECKOUT, "checkout", &source];
        let mut task = self.task(
            "checkout",
            &before,
            &[&tree, "read-tree", "--reset", "-u", "--end-of-options", commit],
        );
        let index =
            runtime.seen(&self.place(), &self.folders.home).join(format!("index-{}", self.folders.name()));
        task.environment.insert("GIT_INDEX_FILE".to_owned(), index.to_string_lossy().into_owned());
        let end = self.attempt.execute(&task).await?;
        let _ = fs::remove_file(self.folders.home.join(format!("index-{}", self.folders.name())));
        if end.is_success() {
            return Ok(());
        }
        Err(build_failed(&format!("checking out {commit}"), &end, &self.folders.base))
    }
}
