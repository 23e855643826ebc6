//! GitHub, and whatever speaks like it: Shipway's own `post-receive` helper does.

use serde::Deserialize;

use super::{Source, Unreadable};
use crate::domain::push::{Commit, Delivered, Push, commit_or_none, is_commit};

pub(super) const SOURCE: Source = Source {
    name: "github",
    event_header: "x-github-event",
    delivery_header: "x-github-delivery",
    signature_header: "x-hub-signature-256",
    read,
};

fn read(event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    match event {
        "ping" => Ok(Delivered::Ping),
        "push" => {
            let payload: Payload = serde_json::from_slice(body)
                .map_err(|e| Unreadable::Shape { event: event.to_owned(), detail: e.to_string() })?;
            payload.push().map(|push| Delivered::Pushes(vec![push]))
        }
        other => Ok(Delivered::Other(other.to_owned())),
    }
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    before: String,
    after: String,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    commits: Vec<PayloadCommit>,
    #[serde(default)]
    head_commit: Option<PayloadCommit>,
    repository: Repository,
    #[serde(default)]
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct PayloadCommit {
    id: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Repository {
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    clone_url: Option<String>,
    #[serde(default)]
    ssh_url: Option<String>,
    #[serde(default)]
    git_url: Option<String>,
    #[serde(default)]
    pushed_at: Option<PushedAt>,
}

#[derive(Deserialize)]
struct Sender {
    #[serde(default)]
    login: Option<String>,
}

/// Seconds in push events; a text in others and in some copies.
#[derive(Deserialize)]
#[serde(untagged)]
enum PushedAt {
    Seconds(i64),
    Text(String),
}

impl Payload {
    fn push(self) -> Result<Push, Unreadable> {
        let zero = |id: &str| commit_or_none(id).is_none();
        if !zero(&self.after) && !is_commit(&self.after) {
            return Err(Unreadable::Field { field: "after", expected: "a commit id of 40 or 64 hex digits" });
        }
        if !zero(&self.before) && !is_commit(&self.before) {
            return Err(Unreadable::Field {
                field: "before",
                expected: "a commit id of 40 or 64 hex digits",
            });
        }
        if !self.reference.starts_with("refs/") || self.reference.chars().any(char::is_control) {
            return Err(Unreadable::Field { field: "ref", expected: "a whole ref like refs/heads/main" });
        }
        let Repository { html_url, url, clone_url, ssh_url, git_url, pushed_at } = self.repository;
        let mut repositories: Vec<String> = Vec::new();
        for address in [clone_url, html_url, ssh_url, git_url, url].into_iter().flatten() {
            if !address.is_empty()
                && !address.chars().any(char::is_control)
                && !repositories.contains(&address)
            {
                repositories.push(address);
            }
        }
        if repositories.is_empty() {
            return Err(Unreadable::Field { field: "repository", expected: "one with a clone_url" });
        }
        let commit = |commit: PayloadCommit| Commit { id: commit.id, message: commit.message };
        Ok(Push {
            repositories,
            before: commit_or_none(&self.before),
            after: commit_or_none(&self.after),
            created: self.created,
            deleted: self.deleted || zero(&self.after),
            forced: self.forced,
            commits: self.commits.into_iter().map(commit).collect(),
            head: self.head_commit.map(commit),
            sender: self.sender.and_then(|sender| sender.login),
            pushed_at: pushed_at.and_then(|at| match at {
                PushedAt::Seconds(seconds) => Some(seconds),
                PushedAt::Text(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
            }),
            reference: self.reference,
        })
    }
}
