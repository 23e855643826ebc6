//! Questions that every repository answers: its branches, its tags, its newest commits.

use std::collections::BTreeMap;

use crate::{Git, GitError, check_ref, is_commit};

/// A repository's branches and tags: short name and commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Branches.
    pub branches: Vec<Reference>,
    /// Tags; of one with a text of its own, the commit that it means.
    pub tags: Vec<Reference>,
    /// The branch that the repository is at; empty if it does not say.
    pub head: String,
}

/// A branch or tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its name: `main`.
    pub name: String,
    /// Its commit.
    pub commit: String,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// When it was written, in seconds since 1970.
    pub time: i64,
    /// The whole message.
    pub message: String,
}

/// The branches and tags of a repository. Names that Git would not take as names are left out.
///
/// # Errors
/// See [`GitError`].
pub async fn references(git: &Git<'_>, address: &str) -> Result<References, GitError> {
    asked(git, address, &["HEAD", "refs/heads/*", "refs/tags/*"]).await
}

/// The branches of a repository alone. Names that Git would not take as names are left out.
///
/// # Errors
/// See [`GitError`].
pub async fn branches(git: &Git<'_>, address: &str) -> Result<Vec<Reference>, GitError> {
    Ok(asked(git, address, &["refs/heads/*"]).await?.branches)
}

async fn asked(git: &Git<'_>, address: &str, patterns: &[&str]) -> Result<References, GitError> {
    let words = [&["ls-remote", "--symref", "--end-of-options", address][..], patterns].concat();
    let output = git.run("ls-remote", &words).await?;
    let mut all = References::default();
    let (mut branches, mut tags) = (BTreeMap::new(), BTreeMap::new());
    for line in output.lines() {
        let Some((left, reference)) = line.split_once('\t') else { continue };
        if let Some(target) = left.strip_prefix("ref: refs/heads/") {
            target.clone_into(&mut all.head);
            continue;
        }
        if !is_commit(left) {
            continue;
        }
        if let Some(name) = reference.strip_prefix("refs/heads/") {
            branches.insert(name.to_owned(), left.to_owned());
        } else if let Some(name) = reference.strip_prefix("refs/tags/") {
            // `^{}` follows a tag with a text of its own, and names the commit.
            tags.insert(name.strip_suffix("^{}").unwrap_or(name).to_owned(), left.to_owned());
        }
    }
    let listed = |all: BTreeMap<String, String>, kind: &str| {
        let fits = |name: &str| check_ref(&format!("refs/{kind}/{name}")).is_ok();
        let all = all.into_iter().filter(|(name, _)| fits(name));
        all.map(|(name, commit)| Reference { name, commit }).collect()
    };
    all.branches = listed(branches, "heads");
    all.tags = listed(tags, "tags");
    Ok(all)
}

/// The newest commits of a ref (`refs/heads/main`), newest first, without their files.
///
/// # Errors
/// See [`GitError`].
pub async fn commits(
    git: &Git<'_>,
    address: &str,
    reference: &str,
    most: usize,
) -> Result<Vec<Commit>, GitError> {
    check_ref(reference)?;
    let scratch = tempfile::Builder::new().prefix("shipway-git-").tempdir().map_err(GitError::Start)?;
    let git = git.clone().folder(scratch.path());
    git.run("init", &["init", "--quiet", "--bare", "--template="]).await?;
    let depth = format!("--depth={most}");
    let wanted = format!("+{reference}:refs/shipway/asked");
    let fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
    let fetch: Vec<&str> =
        fetch.into_iter().chain(["--filter=tree:0", &depth, "--end-of-options", address, &wanted]).collect();
    git.run("fetch", &fetch).await?;
    let count = format!("--max-count={most}");
    let log = ["log", "-z", &count, "--format=%H%n%an%n%at%n%B", "--end-of-options", "refs/shipway/asked"];
    let output = git.run("log", &log).await?;
    Ok(output.split('\0').filter_map(read).collect())
}

fn read(record: &str) -> Option<Commit> {
    let mut lines = record.trim_start_matches('\n').splitn(4, '\n');
    let id = lines.next().filter(|id| is_commit(id))?.to_owned();
    let author = lines.next()?.to_owned();
    let time = lines.next()?.parse().ok()?;
    Some(Commit { id, author, time, message: lines.next().unwrap_or_default().trim_end().to_owned() })
}
