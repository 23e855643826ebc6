//! GitLab: signed as Standard Webhooks say where the hook has a signing token, else with the secret in a header.

use serde::Deserialize;

use super::{Place, Source, Unreadable, body};
use crate::{
    domain::push::{Commit, Delivered, Push, Release},
    signature::Scheme,
};

mod merge_request;

pub(super) const SOURCE: Source = Source {
    name: "gitlab",
    title: "GitLab",
    scheme: Scheme::StandardOrToken("x-gitlab-token"),
    event: Place::Header("x-gitlab-event"),
    // Deliveries that one push of several branches causes share the event's id.
    keys: &[
        Place::Header("webhook-id"),
        Place::Header("idempotency-key"),
        Place::HeaderAndBody("x-gitlab-event-uuid"),
    ],
    read,
};

fn read(event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    // The header is under no signature: the body says itself what it is.
    let promised = match event {
        "Push Hook" => "push",
        "Tag Push Hook" => "tag_push",
        "Merge Request Hook" => "merge_request",
        "Release Hook" => "release",
        other => return Ok(Delivered::Other(other.to_owned())),
    };
    let Kind { object_kind } = body::shape(event, body)?;
    if object_kind != promised {
        return Err(Unreadable::Field {
            field: "object_kind",
            expected: "what the header `x-gitlab-event` says",
        });
    }
    match promised {
        "merge_request" => merge_request::read(body::shape(event, body)?),
        "release" => release(body::shape(event, body)?),
        _ => push(body::shape(event, body)?).map(|push| Delivered::Pushes(vec![push])),
    }
}

#[derive(Deserialize)]
struct Kind {
    object_kind: String,
}

#[derive(Deserialize)]
struct Pushed {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    #[serde(default)]
    checkout_sha: Option<String>,
    #[serde(default)]
    user_username: Option<String>,
    project: Project,
    #[serde(default)]
    commits: Option<Vec<PayloadCommit>>,
    /// How many there are, of which it lists the newest.
    #[serde(default)]
    total_commits_count: Option<u64>,
}

#[derive(Deserialize)]
struct PayloadCommit {
    id: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    git_http_url: Option<String>,
    #[serde(default)]
    web_url: Option<String>,
    #[serde(default)]
    git_ssh_url: Option<String>,
}

impl Project {
    fn given(self) -> [Option<String>; 3] {
        [self.git_http_url, self.web_url, self.git_ssh_url]
    }
}

impl From<PayloadCommit> for Commit {
    fn from(commit: PayloadCommit) -> Self {
        Self { id: commit.id, message: commit.message }
    }
}

fn push(payload: Pushed) -> Result<Push, Unreadable> {
    let before = body::commit("before", &payload.before)?;
    let after = body::commit("after", &payload.after)?;
    let reference = body::reference("ref", payload.reference)?;
    // An annotated tag is an object of its own; what gets built is the commit that it names.
    let checked_out = payload.checkout_sha.filter(|_| after.is_some() && reference.starts_with("refs/tags/"));
    let after = match checked_out {
        Some(commit) => Some(body::whole_commit("checkout_sha", &commit)?),
        None => after,
    };
    let commits = payload.commits.unwrap_or_default().into_iter().map(Commit::from).collect();
    let commits = body::oldest_first(commits, after.as_deref());
    Ok(Push {
        cut: body::is_cut(&commits, payload.total_commits_count),
        repositories: body::addresses("project", payload.project.given())?,
        created: before.is_none(),
        deleted: after.is_none(),
        // Whether history was rewritten is not told: the repository knows.
        forced: false,
        head: commits.iter().find(|commit| Some(&commit.id) == after.as_ref()).cloned(),
        commits,
        sender: payload.user_username,
        pushed_at: None,
        without_releases: false,
        reference,
        before,
        after,
    })
}

#[derive(Deserialize)]
struct Released {
    action: String,
    tag: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    commit: Option<PayloadCommit>,
    project: Project,
}

fn release(payload: Released) -> Result<Delivered, Unreadable> {
    if payload.action != "create" {
        return Ok(Delivered::Other(format!("release {}", payload.action)));
    }
    let commit = payload.commit.map(|commit| body::whole_commit("commit.id", &commit.id)).transpose()?;
    Ok(Delivered::Release(Release {
        repositories: body::addresses("project", payload.project.given())?,
        tag: body::name("tag", payload.tag)?,
        commit,
        name: payload.name.filter(|name| !name.is_empty()),
        prerelease: false,
        sender: None,
    }))
}
