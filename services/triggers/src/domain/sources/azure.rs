//! Azure DevOps: service hooks, which sign nothing and show a password, or a header that their settings hold.

use serde::Deserialize;

use super::{Place, Source, Unreadable, body};
use crate::{
    domain::push::{Commit, Delivered, PullRequest, PullRequestAction, Push},
    signature::Scheme,
};

pub(super) const SOURCE: Source = Source {
    name: "azure",
    title: "Azure DevOps",
    scheme: Scheme::BasicOrToken("x-shipway-token"),
    event: Place::Field("eventType"),
    keys: &[Place::Field("id")],
    read,
};

fn read(event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    match event {
        "git.push" => push(body::shape(event, body)?).map(Delivered::Pushes),
        "git.pullrequest.created" | "git.pullrequest.updated" | "git.pullrequest.merged" => {
            pull_request(event, body::shape(event, body)?)
        }
        other => Ok(Delivered::Other(other.to_owned())),
    }
}

#[derive(Deserialize)]
struct Payload<T> {
    resource: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    #[serde(default)]
    commits: Option<Vec<PayloadCommit>>,
    ref_updates: Vec<RefUpdate>,
    repository: Repository,
    #[serde(default)]
    pushed_by: Option<Identity>,
    #[serde(default)]
    date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefUpdate {
    name: String,
    old_object_id: String,
    new_object_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadCommit {
    commit_id: String,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(default)]
    unique_name: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    id: String,
    #[serde(default)]
    remote_url: Option<String>,
    #[serde(default)]
    web_url: Option<String>,
    #[serde(default)]
    ssh_url: Option<String>,
}

impl Repository {
    fn given(self) -> [Option<String>; 4] {
        let ssh = self.remote_url.as_deref().and_then(ssh_address);
        [self.remote_url, self.web_url, self.ssh_url, ssh]
    }
}

impl Identity {
    fn name(self) -> Option<String> {
        self.unique_name.or(self.display_name)
    }
}

impl From<PayloadCommit> for Commit {
    fn from(commit: PayloadCommit) -> Self {
        Self { id: commit.commit_id, message: commit.comment }
    }
}

/// The address for SSH, which most deliveries leave out: of `https://dev.azure.com/<organisation>/<project>/_git/<name>`
/// it is `git@ssh.dev.azure.com:v3/<organisation>/<project>/<name>`.
fn ssh_address(remote: &str) -> Option<String> {
    let (_, rest) = remote.strip_prefix("https://")?.split_once("dev.azure.com/")?;
    let (project, name) = rest.split_once("/_git/")?;
    Some(format!("git@ssh.dev.azure.com:v3/{project}/{name}"))
}

fn push(payload: Payload<Pushed>) -> Result<Vec<Push>, Unreadable> {
    let pushed = payload.resource;
    let repositories = body::addresses("resource.repository", pushed.repository.given())?;
    let sender = pushed.pushed_by.and_then(Identity::name);
    let pushed_at = pushed.date.and_then(|date| date.parse::<jiff::Timestamp>().ok());
    let commits: Vec<Commit> = pushed.commits.unwrap_or_default().into_iter().map(Commit::from).collect();
    let is_one = pushed.ref_updates.len() == 1;
    let push = |update: RefUpdate| {
        let before = body::commit("resource.refUpdates.oldObjectId", &update.old_object_id)?;
        let after = body::commit("resource.refUpdates.newObjectId", &update.new_object_id)?;
        // The commits are told for the delivery: whose they are is known where one ref was changed.
        let own = if is_one { commits.clone() } else { Vec::new() };
        Ok(Push {
            repositories: repositories.clone(),
            reference: body::reference("resource.refUpdates.name", update.name)?,
            created: before.is_none(),
            deleted: after.is_none(),
            forced: false,
            head: commits.iter().find(|commit| Some(&commit.id) == after.as_ref()).cloned(),
            commits: body::oldest_first(own, after.as_deref()),
            cut: None,
            sender: sender.clone(),
            pushed_at: pushed_at.map(jiff::Timestamp::as_second),
            without_releases: true,
            before,
            after,
        })
    };
    pushed.ref_updates.into_iter().map(push).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pull {
    pull_request_id: u64,
    status: String,
    #[serde(default)]
    title: String,
    source_ref_name: String,
    target_ref_name: String,
    #[serde(default)]
    is_draft: bool,
    repository: Repository,
    #[serde(default)]
    fork_source: Option<ForkSource>,
    last_merge_source_commit: PayloadCommit,
    #[serde(default)]
    last_merge_target_commit: Option<PayloadCommit>,
    #[serde(default)]
    last_merge_commit: Option<PayloadCommit>,
    #[serde(default)]
    labels: Option<Vec<Label>>,
    #[serde(default)]
    created_by: Option<Identity>,
    #[serde(default, rename = "_links")]
    links: Links,
}

#[derive(Deserialize)]
struct ForkSource {
    #[serde(default)]
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Default, Deserialize)]
struct Links {
    #[serde(default)]
    web: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

fn pull_request(event: &str, payload: Payload<Pull>) -> Result<Delivered, Unreadable> {
    let pull = payload.resource;
    let action = match (event, pull.status.as_str()) {
        (_, "completed") => PullRequestAction::Merged,
        (_, "abandoned") => PullRequestAction::Closed,
        ("git.pullrequest.created", _) => PullRequestAction::Opened,
        ("git.pullrequest.updated", "active") => PullRequestAction::Updated,
        // `merged` tells of every merge that was tried, to see whether it could be.
        (other, _) => PullRequestAction::Other(other.to_owned()),
    };
    let is_merged = action == PullRequestAction::Merged;
    let fork_id = match &pull.fork_source {
        Some(fork) => fork.repository.as_ref().map(|repository| repository.id.clone()),
        None => Some(pull.repository.id.clone()),
    };
    let fork = body::is_fork(fork_id.as_ref(), Some(&pull.repository.id));
    let repositories = body::addresses("resource.repository", pull.repository.given())?;
    let source_repositories = match pull.fork_source {
        Some(fork) => {
            fork.repository.map_or_else(Vec::new, |repository| body::known_addresses(repository.given()))
        }
        None => repositories.clone(),
    };
    let base = pull.last_merge_target_commit.map(|commit| commit.commit_id);
    let base =
        base.map(|id| body::whole_commit("resource.lastMergeTargetCommit.commitId", &id)).transpose()?;
    Ok(Delivered::PullRequest(Box::new(PullRequest {
        repositories,
        action,
        number: pull.pull_request_id,
        title: pull.title,
        url: pull.links.web.map(|web| web.href),
        source: body::name("resource.sourceRefName", pull.source_ref_name)?,
        target: body::name("resource.targetRefName", pull.target_ref_name)?,
        head: body::whole_commit(
            "resource.lastMergeSourceCommit.commitId",
            &pull.last_merge_source_commit.commit_id,
        )?,
        base,
        merged_as: pull.last_merge_commit.map(|commit| commit.commit_id).filter(|_| is_merged),
        source_repositories,
        fork,
        draft: pull.is_draft,
        labels: pull.labels.unwrap_or_default().into_iter().map(|label| label.name).collect(),
        sender: pull.created_by.and_then(Identity::name),
        ..PullRequest::default()
    })))
}
