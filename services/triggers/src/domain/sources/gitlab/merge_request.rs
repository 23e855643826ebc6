//! GitLab's merge requests: an update says what changed only by what it was before.

use serde::Deserialize;

use super::{PayloadCommit, Project};
use crate::domain::{
    push::{Delivered, PullRequest, PullRequestAction},
    sources::{Unreadable, body},
};

#[derive(Deserialize)]
pub(super) struct Payload {
    #[serde(default)]
    user: Option<User>,
    project: Project,
    object_attributes: Attributes,
    #[serde(default)]
    labels: Option<Vec<Label>>,
    #[serde(default)]
    changes: Changes,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: Option<String>,
}

#[derive(Deserialize)]
struct Label {
    title: String,
}

#[derive(Deserialize)]
struct Attributes {
    iid: u64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    action: Option<String>,
    /// The head before, where an update brought commits.
    #[serde(default)]
    oldrev: Option<String>,
    source_branch: String,
    target_branch: String,
    #[serde(default)]
    source_project_id: Option<u64>,
    #[serde(default)]
    target_project_id: Option<u64>,
    #[serde(default)]
    source: Option<Project>,
    last_commit: PayloadCommit,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    squash_commit_sha: Option<String>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    work_in_progress: Option<bool>,
}

/// What an update changed, as far as it counts.
#[derive(Default, Deserialize)]
struct Changes {
    #[serde(default)]
    draft: Option<Change<Option<bool>>>,
    #[serde(default)]
    work_in_progress: Option<Change<Option<bool>>>,
    #[serde(default)]
    target_branch: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    labels: Option<Change<Vec<Label>>>,
}

#[derive(Deserialize)]
struct Change<T> {
    previous: T,
    current: T,
}

pub(super) fn read(payload: Payload) -> Result<Delivered, Unreadable> {
    let what = payload.object_attributes;
    let (added, removed) = payload.changes.labels.as_ref().map(label_changes).unwrap_or_default();
    let (action, also_labelled) = match what.action.as_deref().unwrap_or_default() {
        "open" => (PullRequestAction::Opened, Vec::new()),
        "reopen" => (PullRequestAction::Reopened, Vec::new()),
        "close" => (PullRequestAction::Closed, Vec::new()),
        "merge" => (PullRequestAction::Merged, Vec::new()),
        "update" => updated(&payload.changes, what.oldrev.is_some(), added, removed),
        other => (PullRequestAction::Other(other.to_owned()), Vec::new()),
    };
    let is_merged = action == PullRequestAction::Merged;
    let head = body::whole_commit("object_attributes.last_commit.id", &what.last_commit.id)?;
    let pull = PullRequest {
        repositories: body::addresses("project", payload.project.given())?,
        action,
        number: what.iid,
        title: what.title,
        url: what.url,
        source: body::name("object_attributes.source_branch", what.source_branch)?,
        target: body::name("object_attributes.target_branch", what.target_branch)?,
        head,
        base: None,
        merged_as: what.merge_commit_sha.or(what.squash_commit_sha).filter(|_| is_merged),
        source_repositories: what
            .source
            .map_or_else(Vec::new, |source| body::known_addresses(source.given())),
        fork: body::is_fork(what.source_project_id.as_ref(), what.target_project_id.as_ref()),
        draft: what.draft.or(what.work_in_progress).unwrap_or_default(),
        labels: titles(payload.labels.unwrap_or_default()),
        also_labelled,
        head_commit: Some(what.last_commit.into()),
        sender: payload.user.and_then(|user| user.username),
    };
    Ok(Delivered::PullRequest(Box::new(pull)))
}

/// What an update was, the weightiest first, and the labels that it put on beside the one that is named.
fn updated(
    changes: &Changes,
    has_commits: bool,
    mut added: Vec<String>,
    removed: Vec<String>,
) -> (PullRequestAction, Vec<String>) {
    let draft = changes.draft.as_ref().or(changes.work_in_progress.as_ref());
    let action = match draft.map(|draft| draft.current.unwrap_or_default()) {
        _ if has_commits => PullRequestAction::Synchronized,
        _ if changes.target_branch.is_some() => PullRequestAction::Retargeted,
        Some(false) => PullRequestAction::Ready,
        Some(true) => PullRequestAction::Drafted,
        None if !added.is_empty() => PullRequestAction::Labelled(added.remove(0)),
        None => match removed.into_iter().next() {
            Some(label) => PullRequestAction::Unlabelled(label),
            None => PullRequestAction::Other("update".to_owned()),
        },
    };
    (action, added)
}

fn label_changes(labels: &Change<Vec<Label>>) -> (Vec<String>, Vec<String>) {
    let only = |some: &[Label], others: &[Label]| {
        let new = some.iter().filter(|label| others.iter().all(|other| other.title != label.title));
        new.map(|label| label.title.clone()).collect()
    };
    (only(&labels.current, &labels.previous), only(&labels.previous, &labels.current))
}

fn titles(labels: Vec<Label>) -> Vec<String> {
    labels.into_iter().map(|label| label.title).collect()
}
