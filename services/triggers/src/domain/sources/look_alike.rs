//! The shapes of GitHub, which Gitea and Forgejo took over.

use serde::Deserialize;

use super::{Unreadable, body};
use crate::domain::push::{Commit, PullRequest, Push, Release};

#[derive(Deserialize)]
pub(super) struct Pushed {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    before: String,
    after: String,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    commits: Option<Vec<PayloadCommit>>,
    /// Gitea's: how many there are, of which it may list fewer.
    #[serde(default)]
    total_commits: Option<u64>,
    #[serde(default)]
    head_commit: Option<PayloadCommit>,
    repository: Repository,
    #[serde(default)]
    sender: Option<Sender>,
}

#[derive(Deserialize)]
pub(super) struct PayloadCommit {
    pub(super) id: String,
    #[serde(default)]
    message: String,
}

impl From<PayloadCommit> for Commit {
    fn from(commit: PayloadCommit) -> Self {
        Self { id: commit.id, message: commit.message }
    }
}

#[derive(Deserialize)]
pub(super) struct Repository {
    #[serde(default)]
    pub(super) id: Option<u64>,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    clone_url: Option<String>,
    #[serde(default)]
    ssh_url: Option<String>,
    #[serde(default)]
    git_url: Option<String>,
    #[serde(default)]
    pushed_at: Option<PushedAt>,
    /// Gitea's, and of Shipway's own helper: the others have releases.
    #[serde(default)]
    has_releases: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Sender {
    #[serde(default)]
    pub(super) login: Option<String>,
}

/// Seconds in push events; a text in others and in some copies.
#[derive(Deserialize)]
#[serde(untagged)]
enum PushedAt {
    Seconds(i64),
    Text(String),
}

impl Repository {
    fn given(self) -> [Option<String>; 5] {
        let Self { html_url, clone_url, ssh_url, git_url, url, .. } = self;
        // Some senders give the address of their API as `url`.
        let url = url.filter(|url| !url.contains("/api/") && !url.contains("://api."));
        [clone_url, html_url, ssh_url, git_url, url]
    }

    pub(super) fn addresses(self) -> Result<Vec<String>, Unreadable> {
        body::addresses("repository", self.given())
    }
}

impl Pushed {
    pub(super) fn push(self) -> Result<Push, Unreadable> {
        let before = body::commit("before", &self.before)?;
        let after = body::commit("after", &self.after)?;
        let reference = body::reference("ref", self.reference)?;
        let head: Option<Commit> = self.head_commit.map(Commit::from);
        // An annotated tag is an object of its own; what gets built is the commit that it names.
        let tagged = head.as_ref().filter(|_| reference.starts_with("refs/tags/"));
        let after = match tagged {
            Some(head) if after.is_some() => Some(body::whole_commit("head_commit.id", &head.id)?),
            _ => after,
        };
        let pushed_at = self.repository.pushed_at.as_ref().and_then(|at| match at {
            PushedAt::Seconds(seconds) => Some(*seconds),
            PushedAt::Text(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
        });
        let commits: Vec<Commit> = self.commits.unwrap_or_default().into_iter().map(Commit::from).collect();
        Ok(Push {
            cut: body::is_cut(&commits, self.total_commits),
            without_releases: self.repository.has_releases == Some(false),
            repositories: self.repository.addresses()?,
            created: self.created || before.is_none(),
            deleted: self.deleted || after.is_none(),
            forced: self.forced,
            commits: body::oldest_first(commits, after.as_deref()),
            head,
            sender: self.sender.and_then(|sender| sender.login),
            pushed_at,
            reference,
            before,
            after,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct PullRequested {
    pub(super) action: String,
    pub(super) pull_request: Pull,
    pub(super) repository: Repository,
    #[serde(default)]
    pub(super) label: Option<Label>,
    #[serde(default)]
    pub(super) changes: Option<Changes>,
    #[serde(default)]
    pub(super) sender: Option<Sender>,
}

#[derive(Deserialize)]
pub(super) struct Pull {
    number: u64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    pub(super) draft: bool,
    #[serde(default)]
    pub(super) merged: Option<bool>,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    head: End,
    base: End,
    #[serde(default)]
    labels: Option<Vec<Label>>,
}

/// Where a pull request comes from, or goes to.
#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    label: Option<String>,
    sha: String,
    #[serde(default)]
    repo_id: Option<i64>,
    #[serde(default)]
    repo: Option<Repository>,
}

#[derive(Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
}

/// What an edit changed, as far as it counts.
#[derive(Deserialize)]
pub(super) struct Changes {
    #[serde(default)]
    pub(super) base: Option<serde::de::IgnoredAny>,
    #[serde(default, rename = "ref")]
    pub(super) reference: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    pub(super) title: Option<Was>,
}

#[derive(Deserialize)]
pub(super) struct Was {
    #[serde(default)]
    pub(super) from: String,
}

impl End {
    fn repository(&self) -> Option<i64> {
        let id = self.repo.as_ref().and_then(|repo| repo.id);
        id.and_then(|id| i64::try_from(id).ok()).or(self.repo_id.filter(|_| self.repo.is_some()))
    }

    /// The branch. Of a branch that is gone, Gitea gives `refs/pull/7/head`, and the name as the label.
    fn branch(&self) -> String {
        let label = self.label.as_ref().filter(|_| self.reference.starts_with("refs/pull/"));
        label.unwrap_or(&self.reference).clone()
    }
}

impl PullRequested {
    /// All but what happened.
    pub(super) fn pull_request(self) -> Result<PullRequest, Unreadable> {
        let pull = self.pull_request;
        let source_repositories =
            |repo: Option<Repository>| repo.map_or_else(Vec::new, |repo| body::known_addresses(repo.given()));
        Ok(PullRequest {
            repositories: self.repository.addresses()?,
            number: pull.number,
            title: pull.title,
            url: pull.html_url,
            source: body::name("pull_request.head.ref", pull.head.branch())?,
            target: body::name("pull_request.base.ref", pull.base.branch())?,
            head: body::whole_commit("pull_request.head.sha", &pull.head.sha)?,
            base: body::commit("pull_request.base.sha", &pull.base.sha)?,
            merged_as: pull.merge_commit_sha.filter(|_| pull.merged == Some(true)),
            fork: body::is_fork(pull.head.repository().as_ref(), pull.base.repository().as_ref()),
            source_repositories: source_repositories(pull.head.repo),
            draft: pull.draft,
            labels: pull.labels.unwrap_or_default().into_iter().map(|label| label.name).collect(),
            sender: self.sender.and_then(|sender| sender.login),
            ..PullRequest::default()
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Released {
    pub(super) action: String,
    pub(super) release: PayloadRelease,
    repository: Repository,
    #[serde(default)]
    sender: Option<Sender>,
}

#[derive(Deserialize)]
pub(super) struct PayloadRelease {
    tag_name: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    pub(super) draft: bool,
    #[serde(default)]
    prerelease: bool,
}

impl Released {
    pub(super) fn release(self) -> Result<Release, Unreadable> {
        Ok(Release {
            repositories: self.repository.addresses()?,
            tag: body::name("release.tag_name", self.release.tag_name)?,
            commit: None,
            name: self.release.name.filter(|name| !name.is_empty()),
            prerelease: self.release.prerelease,
            sender: self.sender.and_then(|sender| sender.login),
        })
    }
}
