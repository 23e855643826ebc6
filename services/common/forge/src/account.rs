//! Who Shipway is at a Git host.

use std::fmt;

use reqwest::Url;
use zeroize::Zeroizing;

use crate::{ForgeError, RepositoryAddress, hosts};

/// A kind of Git host: each has an API of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostKind {
    /// github.com, and GitHub Enterprise on any host.
    GitHub,
    /// gitlab.com, and GitLab on any host.
    GitLab,
    /// Gitea.
    Gitea,
    /// Forgejo: Gitea's API, as far as it is used here.
    Forgejo,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Bitbucket Data Center, which has another API than the cloud.
    BitbucketDataCenter,
    /// Azure DevOps.
    Azure,
}

impl HostKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::GitHub,
        Self::GitLab,
        Self::Gitea,
        Self::Forgejo,
        Self::Bitbucket,
        Self::BitbucketDataCenter,
        Self::Azure,
    ];

    /// The word for it in documents and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::Bitbucket => "bitbucket",
            Self::BitbucketDataCenter => "bitbucket-dc",
            Self::Azure => "azure",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
            Self::Forgejo => "Forgejo",
            Self::Bitbucket => "Bitbucket",
            Self::BitbucketDataCenter => "Bitbucket Data Center",
            Self::Azure => "Azure DevOps",
        }
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// An account at a host, with the credential that proves it.
#[derive(Clone)]
pub struct Account {
    pub(crate) kind: HostKind,
    pub(crate) host: String,
    pub(crate) api: Url,
    pub(crate) login: String,
    pub(crate) token: Zeroizing<String>,
}

impl Account {
    /// An account at `host` (`github.com`, `git.example.org:3000`). Without `api`, its API is where hosts of that kind
    /// have it. The login is empty where the token alone says who it is.
    ///
    /// # Errors
    /// If the API's address is none, or one that a credential must not be sent to: other than `https://`, except on
    /// this machine.
    pub fn new(
        kind: HostKind,
        host: &str,
        api: Option<&str>,
        login: &str,
        token: Zeroizing<String>,
    ) -> Result<Self, ForgeError> {
        let host = host.trim().trim_end_matches('/').to_ascii_lowercase();
        let address = api.map_or_else(|| hosts::of(kind).api(&host), str::to_owned);
        let wrong = |why: &str| {
            let message = format!("the address `{address}` of the API of {host} {why}");
            ForgeError::refused(message)
        };
        let api: Url = address.parse().map_err(|_| wrong("is not a URL like https://git.example.org/api"))?;
        let Some(name) = api.host_str() else { return Err(wrong("names no host")) };
        if api.username() != "" || api.password().is_some() {
            return Err(wrong("must not have a login in it; the account has one"));
        }
        let local = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
        if api.scheme() != "https" && !(api.scheme() == "http" && local) {
            return Err(wrong("must start with `https://`: a token is sent there"));
        }
        if token.is_empty() || !token.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            return Err(ForgeError::refused(format!(
                "the token for {host} is empty or has characters that no token has"
            )));
        }
        Ok(Self { kind, host, api, login: login.to_owned(), token })
    }

    /// The kind of its host.
    #[must_use]
    pub const fn kind(&self) -> HostKind {
        self.kind
    }

    /// Its host, with the port if it is not the usual one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether a repository is at the account's host.
    #[must_use]
    pub fn covers(&self, repository: &RepositoryAddress) -> bool {
        hosts::of(self.kind).covers(&self.host, repository)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, host, api, login, .. } = self;
        write!(f, "Account({kind}, {host}, {api}, {login:?}, token hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(kind: HostKind, host: &str, api: Option<&str>, token: &str) -> Result<Account, ForgeError> {
        Account::new(kind, host, api, "", Zeroizing::new(token.to_owned()))
    }

    #[test]
    fn each_host_has_its_api_where_its_kind_has_it() {
        let api = |kind, host| account(kind, host, None, "t").unwrap().api.to_string();
        assert_eq!(api(HostKind::GitHub, "github.com"), "https://api.github.com/");
        assert_eq!(api(HostKind::GitHub, "git.acme.org"), "https://git.acme.org/api/v3");
        assert_eq!(api(HostKind::GitLab, "gitlab.com"), "https://gitlab.com/api/v4");
        assert_eq!(api(HostKind::Gitea, "Git.acme.org:3000/"), "https://git.acme.org:3000/api/v1");
        assert_eq!(api(HostKind::Bitbucket, "bitbucket.org"), "https://api.bitbucket.org/2.0");
        assert_eq!(api(HostKind::BitbucketDataCenter, "git.acme.org"), "https://git.acme.org/rest/api/1.0");
        assert_eq!(api(HostKind::Azure, "dev.azure.com"), "https://dev.azure.com/");
    }

    #[test]
    fn a_token_is_sent_encrypted_or_not_at_all_and_is_never_shown() {
        for bad in
            ["http://git.acme.org/api", "ftp://git.acme.org", "git.acme.org", "https://me:pw@git.acme.org"]
        {
            let refused = account(HostKind::Gitea, "git.acme.org", Some(bad), "t").unwrap_err();
            assert!(refused.message.contains("the address `"), "{refused}");
        }
        for bad in ["", "a b", "a\nb", "ä"] {
            assert!(account(HostKind::Gitea, "git.acme.org", None, bad).is_err(), "{bad:?}");
        }
        let here = account(HostKind::Gitea, "127.0.0.1:3000", Some("http://127.0.0.1:3000/api/v1"), "s3cret");
        assert!(!format!("{:?}", here.unwrap()).contains("s3cret"));
    }

    #[test]
    fn words_of_kinds_are_read_back() {
        for kind in HostKind::ALL {
            assert_eq!(HostKind::of(kind.word()), Some(kind));
        }
        assert_eq!(HostKind::of("self-hosted"), None);
    }
}
