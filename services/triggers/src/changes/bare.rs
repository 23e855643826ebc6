//! One repository's clone without files, and what it is asked.

use std::path::Path;

use shipway_repository::{Address, Git, pull_request_refs};

use super::{ChangesError, USED, named};
use crate::{
    domain::{
        happened::{Facts, Happened, Needs},
        push::{Commit, is_commit},
    },
    git::{self, AskError, Asking},
};

/// A fetch may take so many times as long as a question.
const FETCH: u32 = 6;

/// At most so many commits of a push are read.
const COMMITS: usize = 2_000;

/// The tree without files, which Git knows in every repository: by SHA-1 and by SHA-256.
const EMPTY_TREES: [&str; 2] = [
    "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
];

/// One repository's clone.
pub(super) struct Bare<'a> {
    folder: &'a Path,
    git: Git<'a>,
    /// With the time that a fetch may take.
    fetching: Git<'a>,
    /// The address without a login.
    url: String,
}

impl<'a> Bare<'a> {
    /// The clone of the repository at `address` in `folder`.
    ///
    /// # Errors
    /// If the login is not for this repository's host.
    pub(super) fn new(address: &'a Address, asking: Asking<'_>, folder: &'a Path) -> Result<Self, AskError> {
        let git = asking.git(address)?.folder(folder);
        let fetching = Asking { limit: asking.limit * FETCH, ..asking }.git(address)?.folder(folder);
        Ok(Self { folder, git, fetching, url: address.url() })
    }

    /// Makes it if it is not there, and notes that it is used.
    pub(super) async fn open(&self, format: &str) -> Result<Result<(), AskError>, std::io::Error> {
        if !self.folder.join("HEAD").exists() {
            tokio::fs::create_dir_all(self.folder).await?;
            let format = format!("--object-format={format}");
            let init = self.local("init", &["init", "--quiet", "--bare", "--template=", &format]).await;
            if let Err(error) = init {
                return Ok(Err(error));
            }
        }
        tokio::fs::write(self.folder.join(USED), b"").await.map(Ok)
    }

    pub(super) async fn facts(&self, happened: &Happened, needs: Needs) -> Result<Facts, ChangesError> {
        let mut facts = Facts::default();
        let head = match happened.commit().filter(|id| is_commit(id)) {
            Some(whole) => whole.to_owned(),
            None => {
                let whole = self.whole_id(happened).await?;
                facts.head = Some(whole.clone());
                whole
            }
        };
        if !(needs.files || needs.commits) {
            return Ok(facts);
        }
        self.fetch_commit(&head, &happened_ref(happened)).await?;
        let base = self.base(happened, &head).await?;
        if needs.files {
            facts.files = Some(self.changed(base.as_deref(), &head).await?);
        }
        if needs.commits {
            facts.commits = Some(match happened {
                Happened::Push(_) => self.brought(base.as_deref(), &head).await?,
                _ => self.commits("--max-count=1", &head).await?,
            });
        }
        Ok(facts)
    }

    /// The commit that the newest one is compared with: where both histories part. None: with nothing.
    async fn base(&self, happened: &Happened, head: &str) -> Result<Option<String>, ChangesError> {
        let other = match happened {
            Happened::Push(push) => match &push.before {
                Some(before)
                    if self.has(before).await
                        || self.fetch_old(before, &format!("before {}", push.reference)).await? =>
                {
                    Some(before.clone())
                }
                // It is new, or what was there before is gone: what the default branch has not is its own.
                _ => match self.default_branch().await? {
                    Some(default) if default != push.reference => self.newest(&default).await?,
                    _ => None,
                },
            },
            Happened::PullRequest(pull) => self.target(&pull.target, pull.base.as_deref(), head).await?,
            Happened::CheckSuite(suite) => match suite.pull_requests.first() {
                Some((_, target)) => self.target(target, None, head).await?,
                None => None,
            },
            Happened::Release(_) => None,
        };
        match other {
            Some(other) => self.fork_point(&other, head).await,
            None => Ok(None),
        }
    }

    /// What a pull request is compared with: its target branch as it is now, or as the delivery tells it once the
    /// branch has all of the pull request.
    async fn target(
        &self,
        branch: &str,
        told: Option<&str>,
        head: &str,
    ) -> Result<Option<String>, ChangesError> {
        let now = self.newest(&format!("refs/heads/{branch}")).await?;
        let told = told.filter(|id| is_commit(id));
        if let (Some(now), Some(told)) = (&now, told)
            && self.fork_point(now, head).await?.as_deref() == Some(head)
            && (self.has(told).await || self.fetch_old(told, &format!("before {branch}")).await?)
        {
            return Ok(Some(told.to_owned()));
        }
        Ok(now)
    }

    async fn changed(&self, base: Option<&str>, head: &str) -> Result<Vec<String>, AskError> {
        let base = base.unwrap_or(EMPTY_TREES[usize::from(head.len() == 64)]);
        let arguments =
            ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--end-of-options", base, head];
        let output = self.local("diff-tree", &arguments).await?;
        Ok(output.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// The commits after `before` up to the newest, oldest first; the newest alone if there is no other.
    async fn brought(&self, before: Option<&str>, head: &str) -> Result<Vec<Commit>, AskError> {
        let most = format!("--max-count={COMMITS}");
        match before {
            None => self.commits(&most, head).await,
            Some(before) if before == head => self.commits("--max-count=1", head).await,
            Some(before) => self.commits(&most, &format!("{before}..{head}")).await,
        }
    }

    async fn commits(&self, most: &str, range: &str) -> Result<Vec<Commit>, AskError> {
        let arguments = ["log", "-z", "--topo-order", "--format=%H%n%B", most, "--end-of-options", range];
        let output = self.local("log", &arguments).await?;
        let read = |record: &str| {
            let (id, message) = record.split_once('\n')?;
            is_commit(id).then(|| Commit { id: id.to_owned(), message: message.to_owned() })
        };
        let mut commits: Vec<Commit> = output.split('\0').filter_map(read).collect();
        commits.reverse();
        Ok(commits)
    }

    /// Where the histories of two commits part, if they have anything in common.
    async fn fork_point(&self, one: &str, other: &str) -> Result<Option<String>, ChangesError> {
        match self.local("merge-base", &["merge-base", "--end-of-options", one, other]).await {
            Ok(output) => Ok(output.lines().next().map(str::to_owned)),
            // Git says nothing at all where there is none.
            Err(error) if git::is_silent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The ref that the repository's `HEAD` stands for.
    async fn default_branch(&self) -> Result<Option<String>, AskError> {
        let output = self.references(&["--symref"], &["HEAD"]).await?;
        let name = |line: &str| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD").map(str::to_owned);
        Ok(output.lines().find_map(name))
    }

    /// The whole id of a commit that a delivery tells the beginning of, or none of but a tag.
    async fn whole_id(&self, happened: &Happened) -> Result<String, ChangesError> {
        let wanted = match happened {
            Happened::Release(release) => release.tag.clone(),
            other => other.commit().unwrap_or_default().to_owned(),
        };
        let output = self.references(&[], &[]).await?;
        let refs: Vec<(&str, &str)> =
            output.lines().filter_map(|line| line.split_once('\t')).filter(|(id, _)| is_commit(id)).collect();
        let found = match happened {
            Happened::Release(_) => {
                let tag = format!("refs/tags/{wanted}");
                // An annotated tag is a thing of its own; `^{}` is the commit that it stands for.
                let peeled = format!("{tag}^{{}}");
                let named = |name: &str| refs.iter().find(|(_, reference)| *reference == name);
                named(&peeled).or_else(|| named(&tag))
            }
            _ => refs.iter().find(|(id, _)| wanted.len() >= 7 && id.starts_with(&wanted)),
        };
        found.map(|(id, _)| (*id).to_owned()).ok_or(ChangesError::NoCommit(wanted))
    }

    /// Fetches a commit by its id, or by a ref that still has it.
    async fn fetch_commit(&self, id: &str, references: &[String]) -> Result<(), ChangesError> {
        let name = references.first().map_or(id, String::as_str);
        if self.has(id).await || self.fetch_old(id, name).await? {
            return Ok(());
        }
        for reference in references {
            match self.fetch(reference, reference).await {
                Ok(()) if self.has(id).await => return Ok(()),
                Ok(()) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangesError::NoCommit(id.to_owned()))
    }

    /// Fetches a commit that no ref may have any more, and keeps it under this name; whether the repository still has it.
    async fn fetch_old(&self, id: &str, name: &str) -> Result<bool, ChangesError> {
        match self.fetch(id, name).await {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest commit of a ref, fetched; none if the repository has no such ref.
    async fn newest(&self, reference: &str) -> Result<Option<String>, ChangesError> {
        match self.fetch(reference, reference).await {
            Ok(()) => {
                let kept = kept_ref(reference);
                let output =
                    self.local("rev-parse", &["rev-parse", "--verify", "--end-of-options", &kept]).await?;
                Ok(output.lines().find(|line| is_commit(line)).map(str::to_owned))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn fetch(&self, what: &str, name: &str) -> Result<(), AskError> {
        let refspec = format!("+{what}:{}", kept_ref(name));
        // By a name of its own, so that no address stays in the clone's settings.
        let remote = format!("remote.asked.url={}", self.url);
        let arguments = [
            "-c",
            &remote,
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--filter=blob:none",
            "--end-of-options",
            "asked",
            &refspec,
        ];
        Ok(self.fetching.run("fetch", &arguments).await.map(drop)?)
    }

    /// Asks for refs.
    async fn references(&self, before: &[&str], after: &[&str]) -> Result<String, AskError> {
        let arguments = [&["ls-remote"][..], before, &["--end-of-options", &self.url], after].concat();
        Ok(self.git.run("ls-remote", &arguments).await?)
    }

    async fn has(&self, id: &str) -> bool {
        let object = format!("{id}^{{commit}}");
        self.local("rev-parse", &["rev-parse", "--verify", "--quiet", "--end-of-options", &object])
            .await
            .is_ok()
    }

    pub(super) fn packs(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.folder.join("objects/pack")) else { return 0 };
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|kind| kind == "pack")).count()
    }

    /// Runs a command on what is here.
    pub(super) async fn local(&self, what: &'static str, arguments: &[&str]) -> Result<String, AskError> {
        Ok(self.git.run(what, arguments).await?)
    }
}

/// Refs of a repository that may have the commit: hosts keep those of forks' pull requests under such names.
fn happened_ref(happened: &Happened) -> Vec<String> {
    match happened {
        Happened::Push(push) => vec![push.reference.clone()],
        Happened::PullRequest(pull) => {
            let mut refs = pull_request_refs(pull.number).to_vec();
            refs.push(format!("refs/heads/{}", pull.source));
            refs
        }
        Happened::Release(release) => vec![format!("refs/tags/{}", release.tag)],
        Happened::CheckSuite(suite) => {
            suite.branch.iter().map(|branch| format!("refs/heads/{branch}")).collect()
        }
    }
}

/// Whether the repository answered that it has no such thing.
fn is_missing(error: &AskError) -> bool {
    let said = error.to_string();
    ["not our ref", "couldn't find remote ref"].iter().any(|words| said.contains(words))
}

/// What is fetched is kept under a ref, so that the next fetch knows it. A digest of its name is always a name of a ref.
fn kept_ref(name: &str) -> String {
    format!("refs/kept/{}", named(name))
}
