//! The demo's Git repository: a bare one that is pushed to, and a clone to work in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::files::Round;

/// The bare repository and its clone, both in the data folder.
#[derive(Debug)]
pub(crate) struct Repository {
    bare: PathBuf,
    work: PathBuf,
    url: String,
}

impl Repository {
    /// Opens both; makes what is missing.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let (bare, work) = (folder.join("shop.git"), folder.join("shop"));
        let url = format!("file://{}", encoded(&bare.display().to_string()));
        let repository = Self { bare, work, url };
        if !repository.bare.join("HEAD").exists() {
            let name = repository.bare.display().to_string();
            git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", &name])?;
            // A hooks folder in the user's own settings would hide the one of this repository.
            git(&repository.bare, &["config", "core.hooksPath", "hooks"])?;
        }
        if !repository.work.join(".git").exists() {
            let (from, to) = (repository.bare.display().to_string(), repository.work.display().to_string());
            git(folder, &["clone", "--quiet", &from, &to])?;
            git(&repository.work, &["symbolic-ref", "HEAD", "refs/heads/main"])?;
        }
        Ok(repository)
    }

    /// The bare repository's folder.
    pub(crate) fn bare(&self) -> &Path {
        &self.bare
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many commits were pushed to its main branch.
    pub(crate) fn commits(&self) -> anyhow::Result<usize> {
        let exists = git(&self.bare, &["for-each-ref", "refs/heads/main"])?;
        if exists.is_empty() {
            return Ok(0);
        }
        git(&self.bare, &["rev-list", "--count", "main"])?.trim().parse().context("counting commits")
    }

    /// Writes the round's files on top of what was pushed and commits them; the commit's id.
    pub(crate) fn commit(&self, round: &Round) -> anyhow::Result<String> {
        // A commit that an interrupted demo has not pushed is made again.
        if self.commits()? > 0 {
            git(&self.work, &["fetch", "--quiet", "origin"])?;
            git(&self.work, &["reset", "--quiet", "--hard", "origin/main"])?;
        }
        for (path, text) in round.files() {
            let path = self.work.join(path);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        git(&self.work, &["add", "--all"])?;
        git(&self.work, &["commit", "--quiet", "--message", &round.message()])?;
        Ok(git(&self.work, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Pushes; what the other side said.
    pub(crate) fn push(&self) -> anyhow::Result<Vec<String>> {
        let said = run(&self.work, &["push", "origin", "HEAD:main"])?.1;
        Ok(said
            .lines()
            .filter(|line| line.starts_with("remote:"))
            .map(|line| line.trim().to_owned())
            .collect())
    }
}

fn git(folder: &Path, words: &[&str]) -> anyhow::Result<String> {
    Ok(run(folder, words)?.0)
}

fn run(folder: &Path, words: &[&str]) -> anyhow::Result<(String, String)> {
    let mut command = Command::new("git");
    command.current_dir(folder);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_QUARANTINE_PATH"]
    {
        command.env_remove(name);
    }
    let settings = ["user.name=Demo", "user.email=demo@localhost", "commit.gpgsign=false"];
    for setting in settings {
        command.args(["-c", setting]);
    }
    let output = command.args(words).output().context("running git; is it installed?")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("git {} failed in {}: {}", words.join(" "), folder.display(), said.trim());
    }
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), said))
}

/// A path as it may stand in a URL.
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'.'
            | b'-'
            | b'_'
            | b'~'
            | b'+'
            | b'@'
            | b',' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_become_commits_that_are_pushed() {
        let root = tempfile::tempdir().unwrap();
        let repository = Repository::open(root.path()).unwrap();
        assert_eq!(repository.commits().unwrap(), 0);
        let mut seen = Vec::new();
        for round in [Round::First, Round::Second, Round::Further(3)] {
            // Whoever opens it again finds the same repository.
            let repository = Repository::open(root.path()).unwrap();
            let commit = repository.commit(&round).unwrap();
            repository.push().unwrap();
            let pushed = git(repository.bare(), &["rev-parse", "main"]).unwrap();
            assert_eq!(pushed.trim(), commit);
            seen.push(commit);
        }
        assert_eq!(repository.commits().unwrap(), 3);
        let message = git(repository.bare(), &["show", "main:src/message.txt"]).unwrap();
        assert_eq!(message, "change 3\n");
    }

    #[test]
    fn a_commit_that_was_not_pushed_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        let repository = Repository::open(root.path()).unwrap();
        repository.commit(&Round::First).unwrap();
        repository.push().unwrap();
        repository.commit(&Round::Second).unwrap();
        repository.commit(&Round::Second).unwrap();
        repository.push().unwrap();
        assert_eq!(repository.commits().unwrap(), 2);
    }
}
