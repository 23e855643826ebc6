//! One thing that happened to a repository, as the rules are asked about it.

use super::{
    heads::Came,
    push::{CheckSuite, Commit, Delivered, PullRequest, PullRequestAction, Push, Release},
    repository::RepositoryKey,
};

/// One thing that a delivery tells of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Somebody pushed to one ref.
    Push(Push),
    /// Something happened to a pull request.
    PullRequest(Box<PullRequest>),
    /// A release of a tag was published.
    Release(Release),
    /// All checks of a commit were completed.
    CheckSuite(CheckSuite),
}

/// What only the repository knows, as far as it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The names of the changed files; of a renamed one both.
    pub files: Option<Vec<String>>,
    /// The commits that a push brought, or the newest commit of anything else.
    pub commits: Option<Vec<Commit>>,
    /// The whole id of the commit to build.
    pub head: Option<String>,
}

/// Which of its facts are needed to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// See [`Facts::files`].
    pub files: bool,
    /// See [`Facts::commits`].
    pub commits: bool,
    /// See [`Facts::head`].
    pub head: bool,
}

impl Needs {
    /// Whether nothing is needed.
    #[must_use]
    pub const fn none(self) -> bool {
        !(self.files || self.commits || self.head)
    }

    /// What either needs.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            files: self.files || other.files,
            commits: self.commits || other.commits,
            head: self.head || other.head,
        }
    }
}

impl Happened {
    /// What a delivery tells of, in its order; nothing if it tells of nothing that a trigger could listen to.
    #[must_use]
    pub fn all(delivered: Delivered) -> Vec<Self> {
        match delivered {
            Delivered::Pushes(pushes) => {
                let told = |push: Push| push.as_release().map_or(Self::Push(push), Self::Release);
                pushes.into_iter().map(told).collect()
            }
            Delivered::PullRequest(pull) => vec![Self::PullRequest(pull)],
            Delivered::Release(release) => vec![Self::Release(release)],
            Delivered::CheckSuite(suite) => vec![Self::CheckSuite(suite)],
            Delivered::Ping | Delivered::Other(_) => Vec::new(),
        }
    }

    /// Every address that the delivery gives for the repository.
    #[must_use]
    pub fn repositories(&self) -> &[String] {
        match self {
            Self::Push(push) => &push.repositories,
            Self::PullRequest(pull) => &pull.repositories,
            Self::Release(release) => &release.repositories,
            Self::CheckSuite(suite) => &suite.repositories,
        }
    }

    /// Who did it, by their name at the Git host, where it says so.
    #[must_use]
    pub fn sender(&self) -> Option<&str> {
        let name = match self {
            Self::Push(push) => push.sender.as_deref(),
            Self::PullRequest(pull) => pull.sender.as_deref(),
            Self::Release(release) => release.sender.as_deref(),
            Self::CheckSuite(_) => None,
        };
        // It goes into events: what is no name does not.
        name.filter(|name| (1..=100).contains(&name.len()) && !name.chars().any(char::is_control))
    }

    /// Whether it happened to this repository.
    #[must_use]
    pub fn is_about(&self, repository: &RepositoryKey) -> bool {
        is_one_of(self.repositories(), repository)
    }

    /// What happened, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Push(push) => push.summary(),
            Self::PullRequest(pull) => pull.summary(),
            Self::Release(release) => release.summary(),
            Self::CheckSuite(suite) => suite.summary(),
        }
    }

    /// The ref whose things are judged in the order in which they came: the branch that commits come to, of this
    /// repository or of a pull request's fork.
    #[must_use]
    pub fn reference(&self, repository: &RepositoryKey) -> String {
        match self {
            Self::Push(push) => push.reference.clone(),
            Self::PullRequest(pull) if pull.is_from_fork(repository) => {
                format!("refs/pull/{}/head", pull.number)
            }
            Self::PullRequest(pull) => format!("refs/heads/{}", pull.source),
            Self::Release(release) => format!("refs/tags/{}", release.tag),
            Self::CheckSuite(suite) => match &suite.branch {
                Some(branch) => format!("refs/heads/{branch}"),
                None => suite.head.clone(),
            },
        }
    }

    /// The commit to build, as the delivery tells it.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::Push(push) => push.target(),
            Self::PullRequest(pull) => Some(&pull.head),
            Self::Release(release) => release.commit.as_deref(),
            Self::CheckSuite(suite) => Some(&suite.head),
        }
    }
}

impl PullRequest {
    /// Whether its commits come from another repository than this one. What the host says of the two repositories
    /// decides, and in doubt it is a fork: names of people are never looked at.
    #[must_use]
    pub fn is_from_fork(&self, repository: &RepositoryKey) -> bool {
        self.fork || !is_one_of(&self.source_repositories, repository)
    }

    /// When its newest commit came to it, as far as the delivery tells.
    #[must_use]
    pub fn came(&self) -> Came {
        match self.action {
            PullRequestAction::Synchronized => Came::Now,
            PullRequestAction::Updated => Came::NowIfOther,
            _ => Came::Before,
        }
    }
}

fn is_one_of(addresses: &[String], repository: &RepositoryKey) -> bool {
    addresses.iter().any(|address| RepositoryKey::of(address) == *repository)
}
