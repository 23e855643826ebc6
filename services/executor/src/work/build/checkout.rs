//! The commit into the build's source folder, by git in the build's place.

use std::fs;

use shipway_events::plan::RepositoryLogin;
use shipway_nodes::workload::Build;
use shipway_repository::{Address, Credential, HOSTS_FILE, KEY_FILE, LOCAL, Secret, ssh_command};
use zeroize::Zeroizing;

use super::{build_failed, folders::Folders};
use crate::{
    build,
    runtime::{Folder, Place, Runtime, Task, TaskEnd},
    work::{Attempt, Failure, error, io_failure, transient},
};

/// Makes the checkout's folder empty, then becomes git.
const CHECKOUT: &str = r#"set -e; find "$1" -mindepth 1 -delete; rm -f "$GIT_INDEX_FILE"; shift; exec "$@""#;

/// Brings the commit into the source folder; says which it is.
pub(super) async fn checkout(
    attempt: &Attempt<'_>,
    work: &Build,
    folders: &Folders,
) -> Result<String, Failure> {
    let source = build::address(&work.repository, attempt.host.config.local_repositories)?;
    let reference = build::branch_ref(&work.branch)?;
    let login = login(attempt, work, &source).await?;
    let git = Git { attempt, folders, source: &source, login };
    git.run("init", &["init", "--bare", "--quiet"]).await?.ok_or("making the mirror")?;
    let known = match &work.sha {
        Some(commit) => git
            .run("known", &["cat-file", "-e", "--end-of-options", &format!("{commit}^{{commit}}")])
            .await?
            .end
            .is_success(),
        None => false,
    };
    if !known {
        attempt.note(&format!("fetching {} of {source}", work.branch));
        let address = git.address();
        let fetch = ["fetch", "--no-tags", "--force", "--no-write-fetch-head", "--end-of-options", &address];
        let wanted = format!("+{reference}:{reference}");
        let fetched = git.fetch("fetch", &[&fetch[..], &[&wanted]].concat()).await?;
        match &work.sha {
            None => fetched.ok_or_transient("fetching the branch")?,
            // A commit whose branch is gone may still be there to fetch.
            Some(commit) => {
                let there = git
                    .run("there", &["cat-file", "-e", "--end-of-options", &format!("{commit}^{{commit}}")])
                    .await?
                    .end
                    .is_success();
                if !there {
                    fetched.ok_or_transient("fetching the branch")?;
                    git.fetch("fetch-commit", &[&fetch[..], &[commit]].concat())
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

    /// A command that asks the repository: it alone gets the login.
    async fn fetch(&self, step: &str, words: &[&str]) -> Result<GitEnd, Failure> {
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
        Ok(GitEnd { end: self.attempt.execute(&task).await? })
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
