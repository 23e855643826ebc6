//! Running Git: words only, never a shell; a time limit and a size limit; what went wrong in words.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, process::Command};

use crate::{
    Address, AddressError, Credential, NameError, WrongHost,
    credential::Files,
    settings::{self, passed_on},
};

/// What stands for what Git said where it said nothing.
const SILENCE: &str = "it said nothing";

/// The longest answer that is read.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;

/// What keeps a repository from answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It wants a login, or does not take the one that it was given.
    Login,
    /// There is no such repository, or this login may not see it.
    Missing,
    /// It is at another place now.
    Moved,
    /// Nobody answers.
    Unreachable,
    /// Something else.
    Other,
}

/// Why a repository could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The address is none that is asked.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A branch, tag or commit is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The credential belongs to another host.
    #[error(transparent)]
    WrongHost(#[from] WrongHost),
    /// Git could not be started.
    #[error("`git` could not be started; install it (package git) and see that it is in PATH")]
    Start(#[source] std::io::Error),
    /// Git said no.
    #[error("git {what} of {address} failed: {said}")]
    Failed {
        /// The Git command.
        what: &'static str,
        /// The repository, without a password.
        address: String,
        /// The end of what Git said.
        said: String,
        /// What kind of trouble that is.
        trouble: Trouble,
    },
    /// It took too long.
    #[error("git {what} of {address} took longer than {} s", limit.as_secs())]
    TimedOut {
        /// The Git command.
        what: &'static str,
        /// The repository, without a password.
        address: String,
        /// How long it may take.
        limit: Duration,
    },
    /// It answered more than is read.
    #[error("git {what} of {address} answered more than 16 MiB")]
    TooLong {
        /// The Git command.
        what: &'static str,
        /// The repository, without a password.
        address: String,
    },
}

impl GitError {
    /// What kind of trouble it is.
    #[must_use]
    pub const fn trouble(&self) -> Trouble {
        match self {
            Self::Failed { trouble, .. } => *trouble,
            Self::TimedOut { .. } => Trouble::Unreachable,
            _ => Trouble::Other,
        }
    }

    /// Whether Git failed without a word, which is how some commands answer *no*.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Failed { said, .. } if said == SILENCE)
    }
}

/// Git for one repository.
#[derive(Clone, Debug)]
pub struct Git<'a> {
    address: &'a Address,
    credential: Option<Credential>,
    limit: Duration,
    folder: Option<PathBuf>,
}

impl<'a> Git<'a> {
    /// Git for the repository at `address`, with the login of an account or with that of the address. Each command
    /// may take as long as `limit`.
    ///
    /// # Errors
    /// [`WrongHost`]: the credential is not for this host.
    pub fn new(
        address: &'a Address,
        credential: Option<&Credential>,
        limit: Duration,
    ) -> Result<Self, WrongHost> {
        if let Some(credential) = credential {
            credential.check(address)?;
        }
        let credential = credential.cloned().or_else(|| Credential::of_address(address));
        Ok(Self { address, credential, limit, folder: None })
    }

    /// Git in this folder.
    #[must_use]
    pub fn folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// Runs a command; gives what it wrote. `words` begin with the command and have `--end-of-options` before
    /// whatever comes from outside; `what` names it in errors.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn run(&self, what: &'static str, words: &[&str]) -> Result<String, GitError> {
        let files =
            Files::make(self.credential.as_ref(), self.address.protocol()).map_err(GitError::Start)?;
        let mut command = self.command(&files);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Git's own helpers are in its group: they go with it when it takes too long.
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(GitError::Start)?;
        let mut group = Group::of(&child);
        let mut stdout = child.stdout.take().expect("standard output is piped").take(MAX_OUTPUT + 1);
        let mut stderr = child.stderr.take().expect("standard error is piped").take(MAX_OUTPUT);
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let whole = async {
            let answer = async {
                let read = stdout.read_to_end(&mut out).await;
                // A full pipe would keep it waiting: nobody reads on.
                if out.len() as u64 > MAX_OUTPUT {
                    group.end();
                }
                read
            };
            let (read, heard) = tokio::join!(answer, stderr.read_to_end(&mut said));
            read.and(heard)?;
            let status = child.wait().await?;
            group.0 = None;
            Ok::<_, std::io::Error>(status)
        };
        let address = || self.address.url();
        let status = tokio::time::timeout(self.limit, whole)
            .await
            .map_err(|_| GitError::TimedOut { what, address: address(), limit: self.limit })?
            .map_err(GitError::Start)?;
        if out.len() as u64 > MAX_OUTPUT {
            return Err(GitError::TooLong { what, address: address() });
        }
        if !status.success() {
            let (said, trouble) = self.heard(&String::from_utf8_lossy(&said));
            return Err(GitError::Failed { what, address: address(), said, trouble });
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn command(&self, files: &Files) -> Command {
        let mut command = Command::new("git");
        command.args(settings::settings()).env_clear();
        if let Some(folder) = &self.folder {
            command.arg("-C").arg(folder).env("GIT_CEILING_DIRECTORIES", folder);
        }
        let own_key = self.credential.as_ref().is_some_and(|credential| credential.key().is_some());
        command.envs(passed_on(!own_key));
        command.envs(files.environment(self.address.protocol()));
        command
    }

    /// What Git said, without what has to be hidden.
    fn heard(&self, said: &str) -> (String, Trouble) {
        let hidden = self.credential.as_ref().map(Credential::hidden).unwrap_or_default();
        let mut said = said.to_owned();
        for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
            said = said.replace(secret.as_str(), "***");
        }
        understood(&said, self.credential.is_some())
    }
}

/// What Git and ssh said, as people need it, and what kind of trouble that is.
fn understood(said: &str, with_login: bool) -> (String, Trouble) {
    let lower = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let (explained, trouble) = if has(&["error: 301", "error: 302", "error: 307", "error: 308"]) {
        let moved = "it is at another address now, and a login is not taken along; write its new address";
        (Some(moved), Trouble::Moved)
    } else if has(&[
        "could not read username",
        "could not read password",
        "unable to get password",
        "authentication failed",
        "error: 401",
        "permission denied (publickey",
    ]) {
        (Some(if with_login { "the login was not taken" } else { "it wants a login" }), Trouble::Login)
    } else if has(&["error: 403"]) {
        (Some("the host forbids it; see what the token may do"), Trouble::Login)
    } else if has(&["host key verification failed"]) {
        (Some("the host's key is not among the known ones"), Trouble::Login)
    } else if has(&["not found", "does not appear to be a git repository", "does not exist"]) {
        (None, Trouble::Missing)
    } else if has(&[
        "could not resolve",
        "connection refused",
        "failed to connect",
        "timed out",
        "no route to host",
        "connection reset",
        "couldn't connect",
    ]) {
        (None, Trouble::Unreachable)
    } else {
        (None, Trouble::Other)
    };
    // Where ssh failed, Git only knows that it did.
    let fatal = said.lines().find_map(|line| line.strip_prefix("fatal: "));
    let fatal = fatal.filter(|line| !line.starts_with("Could not read from remote repository"));
    let line = fatal.or(said.lines().map(str::trim).find(|line| !line.is_empty()));
    let line = line.unwrap_or(SILENCE).trim();
    (explained.map_or_else(|| line.to_owned(), |explained| format!("{explained} ({line})")), trouble)
}

/// The processes that a command started, ended when it is given up.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self(pid.and_then(rustix::process::Pid::from_raw))
    }

    fn end(&self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_told_by_what_to_do() {
        let no_ssh = "\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n";
        for (said, trouble, part) in [
            ("fatal: unable to get password from user\n", Trouble::Login, "it wants a login (unable to get"),
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                Trouble::Login,
                "wants a",
            ),
            (
                "fatal: unable to access 'https://h/x/': The requested URL returned error: 301",
                Trouble::Moved,
                "another",
            ),
            (
                "fatal: unable to access 'https://h/x/': The requested URL returned error: 403",
                Trouble::Login,
                "forbids",
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://h/x/' not found",
                Trouble::Missing,
                "repository '",
            ),
            (
                "fatal: unable to access 'https://h/': Could not resolve host: h",
                Trouble::Unreachable,
                "resolve host",
            ),
            ("warning: x\nfatal: fsck error in packed object\n", Trouble::Other, "fsck error"),
            ("", Trouble::Other, "it said nothing"),
        ] {
            let (told, of) = understood(said, false);
            assert!(of == trouble && told.contains(part), "{said}: {told}");
        }
        let (told, of) = understood(&format!("Host key verification failed.{no_ssh}"), true);
        assert!(of == Trouble::Login && told.contains("known ones (Host key"), "{told}");
        let (told, of) = understood(&format!("git@h: Permission denied (publickey).{no_ssh}"), true);
        assert_eq!(
            (&*told, of),
            ("the login was not taken (git@h: Permission denied (publickey).)", Trouble::Login)
        );
        let (told, of) =
            understood(&format!("ssh: connect to host h port 22: Connection refused{no_ssh}"), true);
        assert_eq!(
            (&*told, of),
            ("ssh: connect to host h port 22: Connection refused", Trouble::Unreachable)
        );
    }
}
