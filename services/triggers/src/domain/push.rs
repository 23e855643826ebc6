//! What every source's delivery becomes.

use serde::Serialize;

/// What a delivery says, whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Delivered {
    /// Somebody pushed to branches or tags: one for each ref, in the order of the delivery. Only Bitbucket tells of
    /// several at once; none is a delivery without a change.
    Pushes(Vec<Push>),
    /// Something happened to a pull or merge request.
    PullRequest(Box<PullRequest>),
    /// A release of a tag was published.
    Release(Release),
    /// All checks of a commit were completed.
    CheckSuite(CheckSuite),
    /// The host asks whether anybody is there.
    Ping,
    /// Something that starts nothing here, by the host's name for it.
    Other(String),
}

/// A push to one ref.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// Every address that the delivery gives for the repository.
    pub repositories: Vec<String>,
    /// The whole ref: `refs/heads/main`.
    pub reference: String,
    /// The commit before; none for a new ref.
    pub before: Option<String>,
    /// The commit after, which is what gets built; none if the ref is gone.
    pub after: Option<String>,
    /// Whether the host says that the ref is new.
    pub created: bool,
    /// Whether the host says that the ref is gone.
    pub deleted: bool,
    /// Whether history was rewritten.
    pub forced: bool,
    /// The commits that the delivery lists, oldest first. Hosts cut the list: never build from it.
    pub commits: Vec<Commit>,
    /// Whether the host says that it cut the list, if it says so at all.
    #[serde(skip)]
    pub cut: Option<bool>,
    /// The newest commit, if the delivery gives it.
    pub head: Option<Commit>,
    /// Who pushed, as the host names them: the author of the run, who may be kept from approving it. Nothing else is
    /// decided by it.
    pub sender: Option<String>,
    /// When the repository got it, in seconds since 1970 by the host's clock, if the host says so.
    pub pushed_at: Option<i64>,
    /// Whether its host knows tags and no releases: a new tag is one there.
    #[serde(skip)]
    pub without_releases: bool,
}

/// Something that happened to a pull or merge request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// Every address that the delivery gives for the repository that it was opened in: the one to merge into.
    pub repositories: Vec<String>,
    /// What happened.
    pub action: PullRequestAction,
    /// Its number in that repository, as its address shows it.
    pub number: u64,
    /// Its title. Nothing is decided by it.
    pub title: String,
    /// The address that people open.
    pub url: Option<String>,
    /// The branch that it comes from, without `refs/heads/`.
    pub source: String,
    /// The branch that it goes to.
    pub target: String,
    /// Its newest commit, which is what gets built. Bitbucket Cloud tells the first 12 digits alone: the repository
    /// knows the rest.
    pub head: String,
    /// The target's commit when the delivery was made, if it says; hosts may have it older than the target is.
    pub base: Option<String>,
    /// The commit that the merge made, once it is merged.
    pub merged_as: Option<String>,
    /// Every address of the repository that the source branch is in: another one for a fork. Empty where the
    /// host does not tell, because the fork is gone: that is a fork too.
    pub source_repositories: Vec<String>,
    /// Whether the source is in another repository, by the host's own ids.
    pub fork: bool,
    /// Whether it is a draft.
    pub draft: bool,
    /// Its labels' names.
    pub labels: Vec<String>,
    /// Labels that this delivery says were put on beside the one of [`PullRequestAction::Labelled`], or beside what else
    /// happened: GitLab tells of several things at once.
    pub also_labelled: Vec<String>,
    /// The newest commit with its message, if the delivery gives it.
    pub head_commit: Option<Commit>,
    /// Who did it, as the host names them: the author of the run, who may be kept from approving it. Nothing else is
    /// decided by it.
    pub sender: Option<String>,
}

/// What happened to a pull or merge request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PullRequestAction {
    /// It was opened.
    #[default]
    Opened,
    /// It was opened again after it had been closed.
    Reopened,
    /// It got other commits.
    Synchronized,
    /// Something of it was changed, and its host does not tell what: its commits, its title, who has to look at it.
    Updated,
    /// It is no draft any more.
    Ready,
    /// It was made a draft.
    Drafted,
    /// This label was put on it.
    Labelled(String),
    /// This label was taken off.
    Unlabelled(String),
    /// It goes to another branch.
    Retargeted,
    /// It was closed without a merge.
    Closed,
    /// It was merged.
    Merged,
    /// Something else that starts and ends nothing, by the host's name for it.
    Other(String),
}

/// A published release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Every address that the delivery gives for the repository.
    pub repositories: Vec<String>,
    /// The tag that it is of.
    pub tag: String,
    /// The tag's commit; none where the delivery does not tell: the repository knows.
    pub commit: Option<String>,
    /// The release's name.
    pub name: Option<String>,
    /// Whether it is marked as not ready for production.
    pub prerelease: bool,
    /// Who published it, as the host names them.
    pub sender: Option<String>,
}

/// Checks of a commit that were completed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckSuite {
    /// Every address that the delivery gives for the repository.
    pub repositories: Vec<String>,
    /// The commit.
    pub head: String,
    /// The branch, if the delivery gives it.
    pub branch: Option<String>,
    /// The newest commit with its message, if the delivery gives it.
    pub head_commit: Option<Commit>,
    /// Whether all of them succeeded.
    pub succeeded: bool,
    /// The pull requests whose newest commit it is, by number, with their target branches: those of this repository
    /// alone, hosts do not tell of forks'.
    pub pull_requests: Vec<(u64, String)>,
}

/// A commit as a delivery tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// Its id in hex.
    pub id: String,
    /// Its whole message.
    pub message: String,
}

impl Push {
    /// The branch, if the ref is one.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.reference.strip_prefix("refs/heads/").filter(|branch| !branch.is_empty())
    }

    /// The commit to build: none where the ref is gone.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        if self.deleted { None } else { self.after.as_deref() }
    }

    /// The tag, if the ref is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.reference.strip_prefix("refs/tags/").filter(|tag| !tag.is_empty())
    }

    /// The release that a new tag is where a host has nothing else that is one. What the tag is on, the repository knows:
    /// of an annotated one some hosts tell the tag's own id.
    #[must_use]
    pub fn as_release(&self) -> Option<Release> {
        let is_new = self.created && self.target().is_some();
        let tag = self.tag().filter(|_| self.without_releases && is_new)?;
        Some(Release {
            repositories: self.repositories.clone(),
            tag: tag.to_owned(),
            sender: self.sender.clone(),
            ..Release::default()
        })
    }

    /// What happened, in words: `push of 3f2a91c to main`.
    #[must_use]
    pub fn summary(&self) -> String {
        let name = self.branch().unwrap_or(&self.reference);
        match self.target() {
            Some(after) => {
                format!("{} of {} to {name}", if self.forced { "forced push" } else { "push" }, short(after))
            }
            None => format!("{name} was deleted"),
        }
    }

    /// The messages of all commits that the delivery tells of.
    pub fn messages(&self) -> impl Iterator<Item = &Commit> {
        let head = self.head.iter().filter(|head| self.commits.iter().all(|commit| commit.id != head.id));
        self.commits.iter().chain(head)
    }
}

impl PullRequest {
    /// Whether there may be something new to build: it was opened, opened again, got commits or is no draft any more.
    #[must_use]
    pub fn is_news(&self) -> bool {
        use PullRequestAction::{Opened, Ready, Reopened, Synchronized, Updated};
        matches!(self.action, Opened | Reopened | Synchronized | Updated | Ready)
    }

    /// The labels that were put on it.
    pub fn put_on(&self) -> impl Iterator<Item = &str> {
        let named = match &self.action {
            PullRequestAction::Labelled(label) => Some(label),
            _ => None,
        };
        named.into_iter().chain(&self.also_labelled).map(String::as_str)
    }

    /// What happened, in words: `pull request #7 from feature/x was opened (3f2a91c)`.
    #[must_use]
    pub fn summary(&self) -> String {
        let what = match &self.action {
            PullRequestAction::Opened => "was opened".to_owned(),
            PullRequestAction::Reopened => "was opened again".to_owned(),
            PullRequestAction::Synchronized => "has new commits".to_owned(),
            PullRequestAction::Updated => "was updated".to_owned(),
            PullRequestAction::Ready => "is no draft any more".to_owned(),
            PullRequestAction::Drafted => "is a draft now".to_owned(),
            PullRequestAction::Labelled(label) => format!("was labelled {label}"),
            PullRequestAction::Unlabelled(label) => format!("lost the label {label}"),
            PullRequestAction::Retargeted => format!("goes to {} now", self.target),
            PullRequestAction::Closed => "was closed".to_owned(),
            PullRequestAction::Merged => "was merged".to_owned(),
            PullRequestAction::Other(name) => format!("`{name}`"),
        };
        let fork = if self.fork { " of a fork" } else { "" };
        format!("pull request #{} from {}{fork} {what} ({})", self.number, self.source, short(&self.head))
    }
}

impl Delivered {
    /// What happened, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Pushes(pushes) if pushes.is_empty() => "a push of nothing".to_owned(),
            Self::Pushes(pushes) => pushes.iter().map(Push::summary).collect::<Vec<_>>().join(", "),
            Self::PullRequest(pull) => pull.summary(),
            Self::Release(release) => release.summary(),
            Self::CheckSuite(suite) => suite.summary(),
            Self::Ping => "ping: the hook works".to_owned(),
            Self::Other(event) => format!("`{event}` event"),
        }
    }
}

impl Release {
    /// What happened, in words: `release of v1.2.0`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} of {}", if self.prerelease { "pre-release" } else { "release" }, self.tag)
    }
}

impl CheckSuite {
    /// What happened, in words: `all checks of 3f2a91c passed`.
    #[must_use]
    pub fn summary(&self) -> String {
        let result = if self.succeeded { "all checks of" } else { "not all checks of" };
        format!("{result} {} passed", short(&self.head))
    }
}

/// A commit id as people read it.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..7).unwrap_or(id)
}

/// Whether it is a whole commit id: 40 or 64 lower-case hex digits.
#[must_use]
pub fn is_commit(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// The commit id, or none for the one of zeros that says "nothing".
pub(crate) fn commit_or_none(id: &str) -> Option<String> {
    (!id.is_empty() && id.bytes().any(|byte| byte != b'0')).then(|| id.to_owned())
}
