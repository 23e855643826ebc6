//! Whether two addresses name the same repository, however they are spelt.

use std::fmt;

/// Hosts that tell no upper case from lower case in a repository's path.
const FOLDING_HOSTS: [&str; 3] = ["github.com", "gitlab.com", "bitbucket.org"];

/// What is left of a repository's address when scheme, user, default port, `.git`, trailing slashes and the
/// case of the host are taken away: `github.com/acme/api`, or `file:/srv/git/api` for a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryKey(String);

impl RepositoryKey {
    /// The key of an address: a URL, `user@host:path` or a path.
    #[must_use]
    pub fn of(address: &str) -> Self {
        let address = address.trim();
        if let Some((scheme, rest)) = address.split_once("://") {
            let scheme = scheme.to_ascii_lowercase();
            if scheme == "file" {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                return Self::folder(&percent_decoded(path));
            }
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            return Self::remote(&scheme, authority, &percent_decoded(path));
        }
        match address.split_once(':') {
            // `host:path` as ssh has it; `./a:b` and `/a:b` are paths.
            Some((host, path)) if !host.contains('/') && !host.is_empty() => Self::remote("ssh", host, path),
            _ => Self::folder(address),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a folder of a machine rather than an address.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.0.starts_with("file:")
    }

    fn remote(scheme: &str, authority: &str, path: &str) -> Self {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
        let default_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            "ssh" | "git+ssh" | "ssh+git" => ":22",
            "git" => ":9418",
            _ => "",
        };
        let host =
            if default_port.is_empty() { &host } else { host.strip_suffix(default_port).unwrap_or(&host) };
        let path = bare(&clean(path));
        let path = if FOLDING_HOSTS.contains(&host) { path.to_lowercase() } else { path };
        Self(format!("{host}/{}", path.trim_start_matches('/')))
    }

    fn folder(path: &str) -> Self {
        let cleaned = clean(path);
        let cleaned = cleaned.strip_suffix("/.git").unwrap_or(&cleaned);
        Self(format!("file:{}", bare(cleaned)))
    }
}

impl fmt::Display for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether two addresses name the same repository.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    RepositoryKey::of(one) == RepositoryKey::of(other)
}

fn bare(path: &str) -> String {
    path.strip_suffix(".git")
        .filter(|rest| !rest.is_empty() && !rest.ends_with('/'))
        .unwrap_or(path)
        .to_owned()
}

/// The path without empty, `.` and `..` steps and without a slash at its end.
fn clean(path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| *last != "..") => {
                steps.pop();
            }
            ".." if path.starts_with('/') => {}
            step => steps.push(step),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", steps.join("/"))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_repository_are_one() {
        let families: [&[&str]; 5] = [
            &[
                "https://github.com/acme/api",
                "https://github.com/acme/api.git",
                "https://github.com/acme/api/",
                "https://GitHub.com/Acme/api",
                "http://github.com/acme/api",
                "https://token@github.com:443/acme/api.git",
                "git://github.com/acme/api.git",
                "ssh://git@github.com/acme/api.git",
                "ssh://git@github.com:22/acme/api",
                "git@github.com:acme/api.git",
                "github.com:acme/api",
            ],
            &["https://git.example.com:8443/team/app", "https://me:x@GIT.example.com:8443/team/app.git/"],
            &[
                "/srv/git/api",
                "/srv/git/api/",
                "/srv/git/api.git",
                "/srv/git//./x/../api/.git",
                "file:///srv/git/api",
                "file://localhost/srv/git/api.git",
                "file:///srv/git/%61pi",
            ],
            &["../repos/api", "../repos/api.git"],
            &["/srv/with space/api", "file:///srv/with%20space/api"],
        ];
        for (index, family) in families.iter().enumerate() {
            for spelling in *family {
                assert!(same(family[0], spelling), "{} and {spelling}", family[0]);
                for (other, stranger) in families.iter().enumerate() {
                    assert_eq!(same(spelling, stranger[0]), index == other, "{spelling} and {}", stranger[0]);
                }
            }
        }
    }

    #[test]
    fn different_repositories_stay_apart() {
        let table = [
            ("https://github.com/acme/api", "https://github.com/acme/api2"),
            ("https://github.com/acme/api", "https://github.com.evil.org/acme/api"),
            ("https://github.com/acme/api", "https://evil.org/github.com/acme/api"),
            ("https://github.com@evil.org/acme/api", "https://github.com/acme/api"),
            ("https://git.example.com/Team/app", "https://git.example.com/team/app"),
            ("https://git.example.com/team/app", "https://git.example.com:8443/team/app"),
            ("/srv/git/api", "https://srv/git/api"),
            ("/srv/git/.git", "/srv/git/api"),
        ];
        for (one, other) in table {
            assert!(!same(one, other), "{one} and {other}");
        }
    }
}
