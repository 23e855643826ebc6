//! Bitbucket Data Center: other names for nearly the same as in the cloud.

use serde::Deserialize;

use super::{Place, Source, Unreadable, body};
use crate::{
    domain::push::{Commit, Delivered, PullRequest, PullRequestAction, Push, commit_or_none},
    signature::Scheme,
};

pub(super) const SOURCE: Source = Source {
    name: "bitbucket-dc",
    title: "Bitbucket Data Center",
    scheme: Scheme::Hub("x-hub-signature"),
    event: Place::Header("x-event-key"),
    keys: &[Place::Header("x-request-id")],
    read,
};

fn read(event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    let action = match event {
        "diagnostics:ping" => return Ok(Delivered::Ping),
        "repo:refs_changed" => return push(body::shape(event, body)?).map(Delivered::Pushes),
        "pr:opened" => PullRequestAction::Opened,
        "pr:reopened" => PullRequestAction::Reopened,
        "pr:from_ref_updated" => PullRequestAction::Synchronized,
        "pr:modified" => PullRequestAction::Other(event.to_owned()),
        "pr:merged" => PullRequestAction::Merged,
        "pr:declined" | "pr:deleted" => PullRequestAction::Closed,
        other => return Ok(Delivered::Other(other.to_owned())),
    };
    pull_request(action, body::shape(event, body)?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    #[serde(default)]
    date: Option<String>,
    #[serde(default)]
    actor: Option<Actor>,
    repository: Repository,
    changes: Vec<Change>,
    #[serde(default)]
    commits: Option<Vec<PayloadCommit>>,
    #[serde(default)]
    to_commit: Option<PayloadCommit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(rename = "ref")]
    reference: Reference,
    from_hash: String,
    to_hash: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Reference {
    id: String,
}

#[derive(Clone, Deserialize)]
struct PayloadCommit {
    id: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
    #[serde(default)]
    links: Links,
}

#[derive(Default, Deserialize)]
struct Links {
    /// Some versions have an empty link in the list.
    #[serde(default, rename = "self")]
    own: Vec<Option<Link>>,
    #[serde(default)]
    clone: Vec<Option<Link>>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

impl Repository {
    fn given(self) -> impl Iterator<Item = Option<String>> {
        let page = |link: Link| link.href.strip_suffix("/browse").map(str::to_owned).unwrap_or(link.href);
        let clone = self.links.clone.into_iter().map(|link| link.map(|link| link.href));
        clone.chain(self.links.own.into_iter().map(move |link| link.map(page)))
    }
}

impl From<PayloadCommit> for Commit {
    fn from(commit: PayloadCommit) -> Self {
        Self { id: commit.id, message: commit.message }
    }
}

fn push(payload: Pushed) -> Result<Vec<Push>, Unreadable> {
    let repositories = body::addresses("repository.links", payload.repository.given())?;
    let sender = payload.actor.and_then(|actor| actor.name);
    let pushed_at = payload.date.and_then(|date| date.parse::<jiff::Timestamp>().ok());
    // The commits are told for the delivery: whose they are is known where one ref was changed.
    let commits = match (payload.commits, payload.changes.len()) {
        (Some(commits), 1) => commits.into_iter().map(Commit::from).collect(),
        _ => Vec::new(),
    };
    let newest = payload.to_commit.map(Commit::from);
    let push = |change: Change| {
        let before = body::commit("changes.fromHash", &change.from_hash)?;
        let after = body::commit("changes.toHash", &change.to_hash)?;
        let head = newest.clone().filter(|commit| Some(&commit.id) == after.as_ref());
        Ok(Push {
            repositories: repositories.clone(),
            reference: body::reference("changes.ref.id", change.reference.id)?,
            created: change.kind == "ADD" || before.is_none(),
            deleted: change.kind == "DELETE" || after.is_none(),
            forced: false,
            commits: body::oldest_first(commits.clone(), after.as_deref()),
            cut: None,
            head,
            sender: sender.clone(),
            pushed_at: pushed_at.map(jiff::Timestamp::as_second),
            without_releases: true,
            before,
            after,
        })
    };
    payload.changes.into_iter().map(push).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullRequested {
    #[serde(default)]
    actor: Option<Actor>,
    pull_request: Pull,
    /// The target before, where it was changed.
    #[serde(default)]
    previous_target: Option<Reference>,
    #[serde(default)]
    previous_draft: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pull {
    id: u64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    draft: bool,
    from_ref: End,
    to_ref: End,
    #[serde(default)]
    properties: Properties,
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    id: String,
    latest_commit: String,
    repository: Repository,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    merge_commit: Option<PayloadCommit>,
}

fn pull_request(action: PullRequestAction, payload: PullRequested) -> Result<Delivered, Unreadable> {
    let pull = payload.pull_request;
    let target = body::name("pullRequest.toRef.id", pull.to_ref.id)?;
    let was_target =
        payload.previous_target.map(|was| body::name("previousTarget.id", was.id)).transpose()?;
    let action = match (&action, was_target, payload.previous_draft) {
        (PullRequestAction::Other(_), Some(was), _) if was != target => PullRequestAction::Retargeted,
        (PullRequestAction::Other(_), _, Some(true)) if !pull.draft => PullRequestAction::Ready,
        (PullRequestAction::Other(_), _, Some(false)) if pull.draft => PullRequestAction::Drafted,
        _ => action,
    };
    let is_merged = action == PullRequestAction::Merged;
    let own_link = |links: Links| links.own.into_iter().flatten().next().map(|link| link.href);
    Ok(Delivered::PullRequest(Box::new(PullRequest {
        fork: body::is_fork(Some(&pull.from_ref.repository.id), Some(&pull.to_ref.repository.id)),
        repositories: body::addresses("pullRequest.toRef.repository.links", pull.to_ref.repository.given())?,
        action,
        number: pull.id,
        title: pull.title,
        url: own_link(pull.links),
        source: body::name("pullRequest.fromRef.id", pull.from_ref.id)?,
        target,
        head: body::whole_commit("pullRequest.fromRef.latestCommit", &pull.from_ref.latest_commit)?,
        base: body::commit("pullRequest.toRef.latestCommit", &pull.to_ref.latest_commit)?,
        merged_as: pull
            .properties
            .merge_commit
            .and_then(|commit| commit_or_none(&commit.id))
            .filter(|_| is_merged),
        source_repositories: body::known_addresses(pull.from_ref.repository.given()),
        draft: pull.draft,
        sender: payload.actor.and_then(|actor| actor.name),
        ..PullRequest::default()
    })))
}
