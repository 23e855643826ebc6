//! Bitbucket Cloud: one delivery tells of every branch and tag that a push changed.

use serde::Deserialize;

use super::{Place, Source, Unreadable, body};
use crate::{
    domain::push::{Commit, Delivered, PullRequest, PullRequestAction, Push},
    signature::Scheme,
};

pub(super) const SOURCE: Source = Source {
    name: "bitbucket",
    title: "Bitbucket Cloud",
    // SHA-256 in spite of the header's name.
    scheme: Scheme::Hub("x-hub-signature"),
    event: Place::Header("x-event-key"),
    keys: &[Place::Header("x-request-uuid")],
    read,
};

fn read(event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    let action = match event {
        "repo:push" => return push(body::shape(event, body)?).map(Delivered::Pushes),
        "pullrequest:created" => PullRequestAction::Opened,
        "pullrequest:updated" => PullRequestAction::Updated,
        "pullrequest:fulfilled" => PullRequestAction::Merged,
        "pullrequest:rejected" => PullRequestAction::Closed,
        other => return Ok(Delivered::Other(other.to_owned())),
    };
    pull_request(action, body::shape(event, body)?)
}

#[derive(Deserialize)]
struct Pushed {
    push: Changes,
    repository: Repository,
    #[serde(default)]
    actor: Option<Actor>,
}

#[derive(Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    new: Option<State>,
    #[serde(default)]
    old: Option<State>,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    commits: Option<Vec<PayloadCommit>>,
    /// Whether there are more.
    #[serde(default)]
    truncated: Option<bool>,
}

/// A branch or tag with its newest commit.
#[derive(Deserialize)]
struct State {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: PayloadCommit,
}

#[derive(Deserialize)]
struct PayloadCommit {
    hash: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Repository {
    #[serde(default)]
    full_name: Option<String>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    links: Links,
}

#[derive(Default, Deserialize)]
struct Links {
    #[serde(default)]
    html: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(default)]
    nickname: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
}

impl Actor {
    fn name(self) -> Option<String> {
        self.nickname.or(self.display_name)
    }
}

impl Repository {
    /// Addresses to clone from are not told, but what people open is one too.
    fn given(self) -> [Option<String>; 2] {
        let by_name = self.full_name.map(|name| format!("https://bitbucket.org/{name}"));
        [self.links.html.map(|html| html.href), by_name]
    }
}

impl From<PayloadCommit> for Commit {
    fn from(commit: PayloadCommit) -> Self {
        Self { id: commit.hash, message: commit.message }
    }
}

fn push(payload: Pushed) -> Result<Vec<Push>, Unreadable> {
    let repositories = body::addresses("repository", payload.repository.given())?;
    let sender = payload.actor.and_then(Actor::name);
    let changes = payload.push.changes.into_iter();
    changes.map(|change| change.push(repositories.clone(), sender.clone())).collect()
}

impl Change {
    fn push(self, repositories: Vec<String>, sender: Option<String>) -> Result<Push, Unreadable> {
        let state = self.new.as_ref().or(self.old.as_ref());
        let state = state.ok_or(Unreadable::Field {
            field: "push.changes",
            expected: "changes with an `old` or a `new` state",
        })?;
        let folder = if state.kind.ends_with("tag") { "tags" } else { "heads" };
        let reference = format!("refs/{folder}/{}", body::name("push.changes.new.name", state.name.clone())?);
        let commit = |field, state: &Option<State>| match state {
            Some(state) => body::whole_commit(field, &state.target.hash).map(Some),
            None => Ok(None),
        };
        let before = commit("push.changes.old.target.hash", &self.old)?;
        let after = commit("push.changes.new.target.hash", &self.new)?;
        let commits = self.commits.unwrap_or_default().into_iter().map(Commit::from).collect();
        Ok(Push {
            repositories,
            reference: body::reference("push.changes.new.name", reference)?,
            created: self.created || before.is_none(),
            deleted: self.closed || after.is_none(),
            forced: self.forced,
            commits: body::oldest_first(commits, after.as_deref()),
            cut: self.truncated,
            head: self.new.map(|new| new.target.into()),
            sender,
            pushed_at: None,
            without_releases: true,
            before,
            after,
        })
    }
}

#[derive(Deserialize)]
struct PullRequested {
    pullrequest: Pull,
    repository: Repository,
    #[serde(default)]
    actor: Option<Actor>,
}

#[derive(Deserialize)]
struct Pull {
    id: u64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    draft: bool,
    source: End,
    destination: End,
    #[serde(default)]
    merge_commit: Option<MergeCommit>,
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize)]
struct End {
    branch: Branch,
    commit: PayloadCommit,
    #[serde(default)]
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize)]
struct MergeCommit {
    hash: String,
}

fn pull_request(action: PullRequestAction, payload: PullRequested) -> Result<Delivered, Unreadable> {
    let Pull { id, title, draft, source, destination, merge_commit, links } = payload.pullrequest;
    let uuid = |end: &End| end.repository.as_ref().and_then(|repository| repository.uuid.clone());
    let fork = body::is_fork(uuid(&source).as_ref(), uuid(&destination).as_ref());
    let is_merged = action == PullRequestAction::Merged;
    Ok(Delivered::PullRequest(Box::new(PullRequest {
        repositories: body::addresses("repository", payload.repository.given())?,
        action,
        number: id,
        title,
        url: links.html.map(|html| html.href),
        source: body::name("pullrequest.source.branch.name", source.branch.name)?,
        target: body::name("pullrequest.destination.branch.name", destination.branch.name)?,
        head: short_commit("pullrequest.source.commit.hash", source.commit.hash)?,
        base: Some(short_commit("pullrequest.destination.commit.hash", destination.commit.hash)?),
        merged_as: merge_commit.map(|commit| commit.hash).filter(|_| is_merged),
        source_repositories: source
            .repository
            .map_or_else(Vec::new, |repository| body::known_addresses(repository.given())),
        fork,
        draft,
        sender: payload.actor.and_then(Actor::name),
        ..PullRequest::default()
    })))
}

/// The commits of pull requests are cut to their first digits.
fn short_commit(field: &'static str, hash: String) -> Result<String, Unreadable> {
    let is_hex = hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && (12..=64).contains(&hash.len()) && hash.bytes().any(|byte| byte != b'0') {
        return Ok(hash);
    }
    Err(Unreadable::Field { field, expected: "the first 12 or more hex digits of a commit id" })
}
