//! What each kind of host is asked, and what its answers mean: one file each.

mod azure;
mod bitbucket;
mod bitbucket_dc;
mod gitea;
mod github;
mod gitlab;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    Account, Answer, Comment, ForgeError, HostKind, Pull, RepositoryAddress, Request, Status, said::cut,
};

/// What is attempted when a status is set.
const STATUS: &str = "setting the commit status";
/// When comments are looked through.
const LOOK: &str = "reading the comments of the pull request";
/// When one is added.
const ADD: &str = "commenting on the pull request";
/// When one is changed.
const CHANGE: &str = "changing the comment on the pull request";

/// Comments asked for at once.
const PAGE: usize = 100;

/// The most characters of a description and a name at hosts that do not say how much they take.
const LONGEST: usize = 255;

/// A page of comments.
pub(crate) struct Page {
    /// The comments.
    pub(crate) comments: Vec<Comment>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<u64>,
}

/// A kind of host.
pub(crate) trait Host: Sync {
    /// Where hosts of this kind have their API.
    fn api(&self, host: &str) -> String;

    /// Whether a repository is at that host.
    fn covers(&self, host: &str, repository: &RepositoryAddress) -> bool {
        same_host(host, repository)
    }

    /// Every header of a request, with the credential's.
    fn headers(&self, account: &Account) -> Vec<(&'static str, String)>;

    /// What an account must be allowed to do, in words.
    fn rights(&self) -> &'static str;

    /// Sets a status.
    fn status(&self, at: &RepositoryAddress, commit: &str, status: &Status) -> Result<Request, ForgeError>;

    /// Whether an answer that is not good says that the status was what it should be already.
    fn was_set(&self, _answer: &Answer, _status: &Status) -> bool {
        false
    }

    /// Asks for a page of the comments, newest first where the host can.
    fn comments(&self, at: &RepositoryAddress, pull: Pull, page: Option<u64>) -> Result<Request, ForgeError>;

    /// Reads such a page.
    fn read_comments(&self, answer: &Answer, page: Option<u64>) -> Page;

    /// Adds a comment.
    fn add(&self, at: &RepositoryAddress, pull: Pull, text: &str) -> Result<Request, ForgeError>;

    /// Changes one.
    fn change(
        &self,
        at: &RepositoryAddress,
        pull: Pull,
        old: &Comment,
        text: &str,
    ) -> Result<Request, ForgeError>;

    /// The most characters of a comment.
    fn longest(&self) -> usize;

    /// The line that a comment begins with and nobody sees, by which it is found again.
    fn marker(&self, key: &str) -> String {
        format!("<!-- shipway {key} -->\n")
    }
}

pub(crate) fn of(kind: HostKind) -> &'static dyn Host {
    match kind {
        HostKind::GitHub => &github::GitHub,
        HostKind::GitLab => &gitlab::GitLab,
        HostKind::Gitea | HostKind::Forgejo => &gitea::Gitea,
        HostKind::Bitbucket => &bitbucket::Bitbucket,
        HostKind::BitbucketDataCenter => &bitbucket_dc::BitbucketDataCenter,
        HostKind::Azure => &azure::Azure,
    }
}

/// Whether the repository's host is this one; an SSH address has another port than the API, so only its name counts.
fn same_host(host: &str, repository: &RepositoryAddress) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if repository.ssh { repository.name == name } else { repository.host() == host }
}

fn bearer(account: &Account) -> String {
    format!("Bearer {}", account.token.as_str())
}

fn basic(login: &str, account: &Account) -> String {
    format!("Basic {}", STANDARD.encode(format!("{login}:{}", account.token.as_str())))
}

/// The items of a list, read as comments.
fn listed(list: &Value, read: impl Fn(&Value) -> Option<Comment>) -> Vec<Comment> {
    list.as_array().map(|items| items.iter().filter_map(read).collect()).unwrap_or_default()
}

/// A comment of hosts that have neither threads nor versions: its id and its text in these places.
fn plain(item: &Value, text: &str) -> Option<Comment> {
    let id = item.get("id")?.as_u64()?.to_string();
    let text = item.pointer(text)?.as_str()?.to_owned();
    Some(Comment { id, thread: None, version: None, text })
}

/// A context and description as a host takes them.
fn short(status: &Status, description: usize) -> (String, String) {
    (cut(&status.context, LONGEST), cut(&status.description, description))
}
