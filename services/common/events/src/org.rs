//! The stream `org`: the installation's projects, its people's tokens, and its accounts at Git hosts. Written by the
//! pipelines service.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AccountId, ProjectId, SecretRef, TokenId};

stream_events! {
    /// What happens to the installation.
    pub enum Event, upcast upcast {
        /// A project was made; its name is taken.
        ProjectCreated = "org.project_created", 1;
        /// An account at a Git host was linked; its credential is in the secrets' home.
        AccountLinked = "org.account_linked", 1;
        /// An account has another credential, for the same host.
        AccountCredentialReplaced = "org.account_credential_replaced", 1;
        /// An account has another name.
        AccountRenamed = "org.account_renamed", 1;
        /// An account is linked no more.
        AccountRemoved = "org.account_removed", 1;
        /// A person was given a token.
        TokenCreated = "org.token_created", 1;
        /// A token proves nothing any more.
        TokenRevoked = "org.token_revoked", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::ProjectCreated`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCreated {
    /// The project.
    pub project: ProjectId,
    /// Its id in documents and addresses: the slug of its name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What people said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What kind of Git host an account is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKind {
    /// GitHub, also on a host of one's own.
    #[serde(rename = "github")]
    GitHub,
    /// GitLab, also on a host of one's own.
    #[serde(rename = "gitlab")]
    GitLab,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Bitbucket Data Center.
    BitbucketDc,
    /// Azure DevOps.
    Azure,
    /// Gitea.
    Gitea,
    /// Forgejo.
    Forgejo,
    /// Any other host that speaks Git.
    SelfHosted,
}

impl HostKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::GitHub,
        Self::GitLab,
        Self::Bitbucket,
        Self::BitbucketDc,
        Self::Azure,
        Self::Gitea,
        Self::Forgejo,
        Self::SelfHosted,
    ];

    /// The word for it in documents and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Bitbucket => "bitbucket",
            Self::BitbucketDc => "bitbucket-dc",
            Self::Azure => "azure",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::SelfHosted => "self-hosted",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// See [`Event::AccountLinked`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountLinked {
    /// The account.
    pub account: AccountId,
    /// Its name in documents.
    pub name: String,
    /// What kind of host it is at.
    pub kind: HostKind,
    /// The only host that its credential is sent to, with the port where that is not the protocol's own.
    pub host: String,
    /// Where the host's API is, if not where hosts of that kind have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Who Shipway is there.
    pub login: String,
    /// What proves it.
    pub credential: Credential,
}

/// What proves a login; the value is in the secrets' home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Where the value is.
    pub secret: SecretRef,
    /// For a private key of ssh: who the host is, as lines of a `known_hosts` file. None for a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
}

/// See [`Event::AccountCredentialReplaced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountCredentialReplaced {
    /// The account.
    pub account: AccountId,
    /// What proves its login now.
    pub credential: Credential,
}

/// See [`Event::AccountRenamed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRenamed {
    /// The account.
    pub account: AccountId,
    /// Its new name.
    pub name: String,
}

/// See [`Event::AccountRemoved`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRemoved {
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
}

/// See [`Event::TokenCreated`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// The token.
    pub token: TokenId,
    /// Whose it is: the name that stands in events.
    pub name: String,
    /// What its holder is, sorted: `admin`, `approver` and whatever else approvals name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// `sha256:…` of the token. The token itself is kept nowhere.
    pub hash: String,
}

/// See [`Event::TokenRevoked`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoked {
    /// The token.
    pub token: TokenId,
    /// Whose it was.
    pub name: String,
}
