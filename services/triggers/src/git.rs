//! Asking a repository, with what an untrusted address or answer can do taken away.
//!
//! Arguments only, never a shell; `--end-of-options` before every value; no configuration but the command's own;
//! no hooks, no prompts, no helpers; a time limit and a size limit.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, process::Command};

use crate::domain::push::{Commit, is_commit};

/// How many commits back a push is followed to read its messages.
const DEPTH: usize = 100;

/// The longest answer of Git that is read.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;

/// What stands for what Git said where it said nothing.
const SILENCE: &str = "it said nothing";

/// Why a repository could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The address is none that is asked.
    #[error(
        "`{0}` is not asked: only https, ssh and file addresses, absolute paths and http to this machine are"
    )]
    Address(String),
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
    /// The ref is not there any more, or has another commit than a moment ago.
    #[error("{reference} moved while it was looked at")]
    Moved {
        /// The ref.
        reference: String,
    },
}

/// Whether Git failed without a word, which is how some commands answer *no*.
pub(crate) fn is_silent(error: &AskError) -> bool {
    matches!(error, AskError::Failed { said, .. } if said == SILENCE)
}

/// The branches of a repository: whole ref and commit.
///
/// # Errors
/// See [`AskError`].
pub(crate) async fn branches(address: &str, limit: Duration) -> Result<BTreeMap<String, String>, AskError> {
    let arguments = ["ls-remote", "--heads", "--end-of-options", checked(address)?];
    let output = run("ls-remote", address, limit, None, &arguments).await?;
    let line = |line: &str| {
        let (commit, reference) = line.split_once('\t')?;
        let fits = is_commit(commit) && is_branch(reference);
        fits.then(|| (reference.to_owned(), commit.to_owned()))
    };
    Ok(output.lines().filter_map(line).collect())
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
    limit: Duration,
) -> Result<Vec<Commit>, AskError> {
    let target = checked(address)?;
    run("init", address, limit, Some(scratch), &["init", "--quiet", "--bare", "--template="]).await?;
    let depth = format!("--depth={DEPTH}");
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
        target,
        &refspec,
    ];
    run("fetch", address, limit, Some(scratch), &fetch).await?;
    let log = ["log", "-z", "--format=%H%n%P%n%B", "--end-of-options", "refs/heads/asked"];
    let output = run("log", address, limit, Some(scratch), &log).await?;
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

fn is_branch(reference: &str) -> bool {
    let name = reference.strip_prefix("refs/heads/").unwrap_or_default();
    let plain = |c: char| !c.is_control() && !matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    !name.is_empty() && !name.starts_with('-') && !name.contains("..") && name.chars().all(plain)
}

/// The address itself, if Git cannot read anything but an address out of it.
pub(crate) fn checked(address: &str) -> Result<&str, AskError> {
    let refused = || Err(AskError::Address(without_password(address)));
    if address.starts_with('-') || address.contains("::") || address.chars().any(char::is_control) {
        return refused();
    }
    let host_fits = |authority: &str| {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        !host.is_empty() && !host.starts_with('-') && !authority.starts_with('-')
    };
    let fits = match address.split_once("://") {
        Some(("file", path)) => path.starts_with('/'),
        Some(("https" | "ssh", rest)) => host_fits(rest.split('/').next().unwrap_or_default()),
        // Nobody is on the way to this machine itself.
        Some(("http", rest)) => is_loopback(rest.split('/').next().unwrap_or_default()),
        Some(_) => false,
        None if address.starts_with('/') => true,
        None => match address.split_once(':') {
            Some((host, path)) => !host.contains('/') && host_fits(host) && !path.starts_with('-'),
            None => false,
        },
    };
    if fits { Ok(address) } else { refused() }
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(host, _)| host);
    host == "localhost" || host == "127.0.0.1" || host == "[::1]"
}

pub(crate) async fn run(
    what: &'static str,
    address: &str,
    limit: Duration,
    folder: Option<&Path>,
    arguments: &[&str],
) -> Result<String, AskError> {
    let mut command = Command::new("git");
    command.args([
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.symlinks=false",
    ]);
    command.args(["-c", "transfer.fsckObjects=true", "-c", "credential.helper=", "-c", "gc.auto=0"]);
    command.args(["-c", "protocol.allow=never", "-c", "protocol.https.allow=always"]);
    command.args(["-c", "protocol.http.allow=always"]);
    command.args(["-c", "protocol.ssh.allow=always", "-c", "protocol.file.allow=always"]);
    command.args(["-c", "http.followRedirects=false"]);
    if let Some(folder) = folder {
        command.arg("-C").arg(folder).env("GIT_CEILING_DIRECTORIES", folder);
    }
    command.args(arguments).env_clear();
    for kept in ["PATH", "SSH_AUTH_SOCK", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let environment: [(&str, &OsStr); 8] = [
        ("GIT_CONFIG_NOSYSTEM", "1".as_ref()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".as_ref()),
        ("GIT_TERMINAL_PROMPT", "0".as_ref()),
        ("GIT_ALLOW_PROTOCOL", "https:http:ssh:file".as_ref()),
        ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes".as_ref()),
        ("GIT_NO_LAZY_FETCH", "1".as_ref()),
        ("GIT_OPTIONAL_LOCKS", "0".as_ref()),
        ("LC_ALL", "C".as_ref()),
    ];
    command.envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(AskError::Start)?;
    let mut stdout = child.stdout.take().expect("standard output is piped").take(MAX_OUTPUT);
    let mut stderr = child.stderr.take().expect("standard error is piped").take(MAX_OUTPUT);
    let (mut out, mut said) = (Vec::new(), Vec::new());
    let whole = async {
        let (read, heard) = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut said));
        read.and(heard)?;
        child.wait().await
    };
    let address = || without_password(address);
    let status = tokio::time::timeout(limit, whole)
        .await
        .map_err(|_| AskError::TimedOut { what, address: address(), limit })?
        .map_err(AskError::Start)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&said);
        let fatal = said.lines().find_map(|line| line.strip_prefix("fatal: "));
        let said = fatal.or(said.trim().lines().last()).unwrap_or(SILENCE).to_owned();
        return Err(AskError::Failed { what, address: address(), said });
    }
    if out.len() as u64 >= MAX_OUTPUT {
        let said = format!("it said more than {} MiB", MAX_OUTPUT >> 20);
        return Err(AskError::Failed { what, address: address(), said });
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The address as it may be shown.
pub(crate) fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_addresses() {
        for good in [
            "https://github.com/acme/shop.git",
            "https://token@github.com/acme/shop",
            "ssh://git@example.com:2222/x",
            "git@github.com:acme/shop.git",
            "/srv/git/shop",
            "file:///srv/git/shop",
        ] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in [
            "--upload-pack=touch /tmp/x",
            "ext::sh -c x",
            "ssh://-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "git@-oProxyCommand=x:y",
            "host:-x",
            "http://example.com/x",
            "git://example.com/x",
            "file://host/x",
            "relative/path",
            "",
            "/srv/a\nb",
            "https:///x",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        assert_eq!(without_password("https://me:pw@h/x"), "https://h/x");
    }
}
