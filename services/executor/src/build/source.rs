//! Where the commit comes from: addresses, refs and commits are checked, git gets words and never text to parse,
//! and its configuration is ours alone.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::work::{Failure, error};

/// A repository that may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// By `https://` or `ssh://`.
    Remote(String),
    /// A folder of this machine.
    Local(PathBuf),
}

impl Source {
    /// Checks an address. What git would take for an option or a program is refused.
    pub(crate) fn parse(address: &str) -> Result<Self, Failure> {
        let bad = |why: &str| {
            let message = format!(
                "`{address}` is not a repository's address: {why}; write https://host/path, ssh://user@host/path, \
                 file:///path or an absolute path"
            );
            error("bad_repository", message)
        };
        if address.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("it holds spaces or control characters"));
        }
        if let Some(path) = address.strip_prefix("file://").or(address.starts_with('/').then_some(address)) {
            let path = Path::new(path);
            if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
                return Err(bad("the path is not absolute or goes up"));
            }
            return Ok(Self::Local(path.to_owned()));
        }
        let Some((scheme @ ("https" | "ssh" | "http"), rest)) = address.split_once("://") else {
            return Err(bad("only https, ssh and file are known"));
        };
        let (authority, path) = rest.split_once('/').ok_or_else(|| bad("it has no path"))?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let loopback = matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"));
        if scheme == "http" && !loopback {
            return Err(bad("http is allowed to this machine only"));
        }
        if host.is_empty() || host.starts_with('-') || authority.starts_with('-') || path.is_empty() {
            return Err(bad("the host or the path is missing"));
        }
        Ok(Self::Remote(format!("{scheme}://{authority}/{path}")))
    }
}

/// The full name of a branch.
pub(crate) fn branch_ref(branch: &str) -> Result<String, Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let fine = branch.starts_with(|c: char| c.is_ascii_alphanumeric())
        && branch.chars().all(good)
        && !branch.contains("..")
        && !branch.contains("//")
        && !branch.ends_with(['/', '.'])
        && !branch.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"));
    if fine {
        Ok(format!("refs/heads/{branch}"))
    } else {
        Err(error("bad_branch", format!("`{branch}` is not the name of a branch")))
    }
}

/// A full commit id.
pub(crate) fn check_commit(commit: &str) -> Result<(), Failure> {
    let digits = commit.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if digits && matches!(commit.len(), 40 | 64) {
        Ok(())
    } else {
        Err(error("bad_commit", format!("`{commit}` is not a full commit id of 40 or 64 hex digits")))
    }
}

/// The words before a git command.
pub(crate) fn git(repository: &Path) -> Vec<String> {
    let mut words = vec!["git".to_owned(), format!("--git-dir={}", repository.display())];
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.symlinks=false",
        "transfer.fsckObjects=true",
        "fetch.recurseSubmodules=false",
        "submodule.recurse=false",
        "protocol.version=2",
        "gc.auto=0",
        "advice.detachedHead=false",
        "init.defaultBranch=main",
    ] {
        words.extend(["-c".to_owned(), setting.to_owned()]);
    }
    words
}

/// The environment of git: no configuration but ours. `config` is the global one: it trusts local repositories,
/// which belong to another user than the one that git runs as.
pub(crate) fn git_environment(config: &Path) -> BTreeMap<String, String> {
    [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", &config.to_string_lossy()),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ALLOW_PROTOCOL", "https:http:ssh:file"),
        ("GIT_ASKPASS", "/bin/false"),
        ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
        ("GIT_ADVICE", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_run_programs_or_read_elsewhere_are_refused() {
        for bad in [
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "-x",
            "relative/path",
            "https://",
            "ssh://-oProxyCommand=id/x",
            "ssh://user@-oProxyCommand=id/x",
            "http://example.org/x",
            "git://example.org/x",
            "file://relative",
            "https://example.org/a\nb",
            "/a/../b",
            "ftp://example.org/x",
            "user@host:path",
        ] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
        for good in [
            "https://example.org/a/b.git",
            "ssh://git@example.org:2222/a",
            "http://127.0.0.1:80/a",
            "/srv/a.git",
        ] {
            assert!(Source::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Source::parse("file:///srv/a").ok(), Some(Source::Local("/srv/a".into())));
    }

    #[test]
    fn refs_and_commits_are_names_and_nothing_else() {
        for bad in ["-x", "a..b", "a b", "a:b", "+a", "", "a.lock", "/a", "a/", "a/.b", "@{-1}", "a~1", "a*"]
        {
            assert!(branch_ref(bad).is_err(), "{bad}");
        }
        assert!(branch_ref("feature/x-1.2").is_ok());
        for bad in ["HEAD", "abc", "--output=x", &"G".repeat(40), &"a".repeat(41)] {
            assert!(check_commit(bad).is_err(), "{bad}");
        }
        assert!(check_commit(&"a1".repeat(20)).is_ok());
    }
}
