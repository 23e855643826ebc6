//! What every source's delivery becomes.

/// What a delivery says, whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Somebody pushed to a branch or a tag.
    Push(Push),
    /// The host asks whether anybody is there.
    Ping,
    /// Something that starts nothing here, by the host's name for it.
    Other(String),
}

/// A push to one ref.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// The newest commit, if the delivery gives it.
    pub head: Option<Commit>,
    /// Who pushed, as the host names them. Nothing is decided by it.
    pub sender: Option<String>,
    /// When the repository got it, in seconds since 1970 by the host's clock, if the host says so.
    pub pushed_at: Option<i64>,
}

/// A commit as a delivery tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
