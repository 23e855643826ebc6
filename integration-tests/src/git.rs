//! Git repositories of a test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// A bare repository and a clone of it to work in.
#[derive(Debug)]
pub struct Repository {
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Makes both below `folder`.
    ///
    /// # Errors
    /// If Git fails.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (bare, work) = (folder.join(format!("{name}.git")), folder.join(name));
        git(folder, &["init", "-q", "--bare", "-b", "main", &bare.to_string_lossy()])?;
        git(folder, &["init", "-q", "-b", "main", &work.to_string_lossy()])?;
        git(&work, &["remote", "add", "origin", &bare.to_string_lossy()])?;
        Ok(Self { bare, work })
    }

    /// The bare repository.
    #[must_use]
    pub fn bare(&self) -> &Path {
        &self.bare
    }

    /// Writes a file of the work tree; executable if asked.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &str, content: &str) -> Result<()> {
        let path = self.work.join(path);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        Ok(fs::write(path, content)?)
    }

    /// Commits everything; the commit's id.
    ///
    /// # Errors
    /// If Git fails.
    pub fn commit(&self, message: &str) -> Result<String> {
        git(&self.work, &["add", "-A"])?;
        git(&self.work, &["commit", "-q", "--allow-empty", "-m", message])?;
        Ok(git(&self.work, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Pushes `main`.
    ///
    /// # Errors
    /// If Git fails.
    pub fn push(&self) -> Result<()> {
        git(&self.work, &["push", "-q", "origin", "main"]).map(drop)
    }
}

/// Runs Git with an identity of its own and nobody's settings.
///
/// # Errors
/// If it fails; the error has what it said.
pub fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Test")
        .env("GIT_AUTHOR_EMAIL", "test@example.com")
        .env("GIT_COMMITTER_NAME", "Test")
        .env("GIT_COMMITTER_EMAIL", "test@example.com")
        .output()
        .context("running git")?;
    if !output.status.success() {
        bail!("git {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
