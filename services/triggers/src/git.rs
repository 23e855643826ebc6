//! Asking a repository, by the one way in which Shipway runs Git (`shipway_repository`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use shipway_repository::{Address, Allow, Credential, Git, GitError};

use crate::domain::push::{Commit, is_commit};

/// How many commits back a push is followed to read its messages.
const DEPTH: usize = 100;

/// Why a repository could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Git could not do it.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The ref is not there any more, or has another commit than a moment ago.
    #[error("{reference} moved while it was looked at")]
    Moved {
        /// The ref.
        reference: String,
    },
}

/// How repositories are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    /// The login of the account for it, if there is one.
    pub(crate) login: Option<&'a Credential>,
    /// How long each answer may take.
    pub(crate) limit: Duration,
    /// Which addresses are asked at all.
    pub(crate) allow: Allow,
}

impl Asking<'_> {
    pub(crate) fn git<'a>(&self, address: &'a Address) -> Result<Git<'a>, AskError> {
        Ok(Git::new(address, self.login, self.limit).map_err(GitError::from)?)
    }

    pub(crate) fn parse(&self, address: &str) -> Result<Address, AskError> {
        Ok(Address::parse(address, self.allow).map_err(GitError::from)?)
    }
}

/// Whether Git failed without a word, which is how some commands answer *no*.
pub(crate) fn is_silent(error: &AskError) -> bool {
    matches!(error, AskError::Git(error) if error.is_silent())
}

/// The branches of a repository: whole ref and commit.
///
/// # Errors
/// See [`AskError`].
pub(crate) async fn branches(
    address: &str,
    asking: Asking<'_>,
) -> Result<BTreeMap<String, String>, AskError> {
    let address = asking.parse(address)?;
    let git = asking.git(&address)?;
    let all = shipway_repository::branches(&git, &address.url()).await?;
    Ok(all.into_iter().map(|branch| (format!("refs/heads/{}", branch.name), branch.commit)).collect())
}

/// The commits that a push brought, oldest first, with their messages: those from `after` back to `before`, or the
/// newest alone where `before` is not known or not within the last hundred. `scratch` is an empty folder.
///
/// # Errors
/// See [`AskError`].
pub(crate) async fn pushed_commits(
    address: &str,
    reference: &str,
    before: Option<&str>,
    after: &str,
    scratch: &Path,
    asking: Asking<'_>,
) -> Result<Vec<Commit>, AskError> {
    shipway_repository::check_ref(reference).map_err(GitError::from)?;
    let target = asking.parse(address)?;
    let git = asking.git(&target)?.folder(scratch);
    git.run("init", &["init", "--quiet", "--bare", "--template="]).await?;
    let (target, depth) = (target.url(), format!("--depth={DEPTH}"));
    let refspec = format!("+{reference}:refs/heads/asked");
    let fetch = [
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        "--filter=tree:0",
        &depth,
        "--end-of-options",
        &target,
        &refspec,
    ];
    git.run("fetch", &fetch).await?;
    let output =
        git.run("log", &["log", "-z", "--format=%H%n%P%n%B", "--end-of-options", "refs/heads/asked"]).await?;
    let listed: Vec<Listed> = output.split('\0').filter_map(Listed::read).collect();
    if listed.first().is_none_or(|newest| newest.commit.id != after) {
        return Err(AskError::Moved { reference: reference.to_owned() });
    }
    Ok(since(listed, before))
}

struct Listed {
    commit: Commit,
    parents: Vec<String>,
}

impl Listed {
    fn read(record: &str) -> Option<Self> {
        let mut lines = record.trim_start_matches('\n').splitn(3, '\n');
        let id = lines.next().filter(|id| is_commit(id))?.to_owned();
        let parents = lines.next()?.split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        Some(Self { commit: Commit { id, message: lines.next().unwrap_or_default().to_owned() }, parents })
    }
}

/// Of commits from the newest back, those that `before` does not reach, oldest first.
fn since(listed: Vec<Listed>, before: Option<&str>) -> Vec<Commit> {
    let Some(before) = before.filter(|before| listed.iter().any(|l| l.commit.id == *before)) else {
        return listed.into_iter().take(1).map(|newest| newest.commit).collect();
    };
    let mut old: BTreeSet<String> = BTreeSet::from([before.to_owned()]);
    // Git lists children before their parents only in some orders: look again until nothing is added.
    loop {
        let known = old.len();
        for l in &listed {
            if old.contains(&l.commit.id) {
                old.extend(l.parents.iter().cloned());
            }
        }
        if old.len() == known {
            break;
        }
    }
    listed.into_iter().rev().map(|l| l.commit).filter(|commit| !old.contains(&commit.id)).collect()
}

/// The address as it may be shown.
pub(crate) fn without_password(address: &str) -> String {
    let address = Address::parse(address, Allow::HERE);
    address.map_or_else(|_| "a repository without an address".to_owned(), |address| address.url())
}
