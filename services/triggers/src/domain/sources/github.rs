//! GitHub, and whatever speaks like it: Shipway's own `post-receive` helper does.

use serde::Deserialize;

use super::{
    Place, Source, Unreadable, body,
    look_alike::{PayloadCommit, PullRequested, Pushed, Released, Repository},
};
use crate::{
    domain::push::{CheckSuite, Commit, Delivered, PullRequestAction},
    signature::Scheme,
};

pub(super) const SOURCE: Source = Source {
    name: "github",
    title: "GitHub",
    scheme: Scheme::Hub("x-hub-signature-256"),
    event: Place::Header("x-github-event"),
    keys: &[Place::Header("x-github-delivery")],
    read,
};

fn read(event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    match event {
        "ping" => Ok(Delivered::Ping),
        "push" => body::shape::<Pushed>(event, body)?.push().map(|push| Delivered::Pushes(vec![push])),
        "pull_request" => pull_request(body::shape(event, body)?),
        "release" => {
            let released: Released = body::shape(event, body)?;
            if released.action != "published" || released.release.draft {
                return Ok(Delivered::Other(format!("release {}", released.action)));
            }
            released.release().map(Delivered::Release)
        }
        "check_suite" => check_suite(body::shape(event, body)?),
        // `create` and `delete` among them: a push tells the same.
        other => Ok(Delivered::Other(other.to_owned())),
    }
}

fn pull_request(payload: PullRequested) -> Result<Delivered, Unreadable> {
    let label = payload.label.as_ref().map(|label| label.name.clone());
    let action = match (payload.action.as_str(), label) {
        ("opened", _) => PullRequestAction::Opened,
        ("reopened", _) => PullRequestAction::Reopened,
        ("synchronize", _) => PullRequestAction::Synchronized,
        ("ready_for_review", _) => PullRequestAction::Ready,
        ("converted_to_draft", _) => PullRequestAction::Drafted,
        ("labeled", Some(label)) => PullRequestAction::Labelled(label),
        ("unlabeled", Some(label)) => PullRequestAction::Unlabelled(label),
        ("labeled" | "unlabeled", None) => {
            return Err(Unreadable::Field { field: "label", expected: "the label that was changed" });
        }
        ("edited", _) if payload.changes.as_ref().is_some_and(|changes| changes.base.is_some()) => {
            PullRequestAction::Retargeted
        }
        ("closed", _) if payload.pull_request.merged == Some(true) => PullRequestAction::Merged,
        ("closed", _) => PullRequestAction::Closed,
        (other, _) => PullRequestAction::Other(other.to_owned()),
    };
    let mut pull = payload.pull_request()?;
    pull.action = action;
    Ok(Delivered::PullRequest(Box::new(pull)))
}

#[derive(Deserialize)]
struct Checked {
    action: String,
    check_suite: Suite,
    repository: Repository,
}

#[derive(Deserialize)]
struct Suite {
    head_sha: String,
    #[serde(default)]
    head_branch: Option<String>,
    #[serde(default)]
    head_commit: Option<PayloadCommit>,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default)]
    pull_requests: Vec<SuitePull>,
}

#[derive(Deserialize)]
struct SuitePull {
    number: u64,
    head: SuiteEnd,
    base: SuiteEnd,
}

#[derive(Deserialize)]
struct SuiteEnd {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    sha: String,
}

fn check_suite(payload: Checked) -> Result<Delivered, Unreadable> {
    let suite = payload.check_suite;
    if payload.action != "completed" {
        return Ok(Delivered::Other(format!("check_suite {}", payload.action)));
    }
    // GitHub lists every pull request of the branch; one that has moved on is not what was checked.
    let of_head = |pull: &SuitePull| pull.head.sha.is_empty() || pull.head.sha == suite.head_sha;
    let target = |pull: SuitePull| {
        Ok((pull.number, body::name("check_suite.pull_requests.base.ref", pull.base.reference)?))
    };
    Ok(Delivered::CheckSuite(CheckSuite {
        repositories: payload.repository.addresses()?,
        head: body::whole_commit("check_suite.head_sha", &suite.head_sha)?,
        branch: suite.head_branch.filter(|branch| !branch.is_empty()),
        head_commit: suite.head_commit.map(Commit::from),
        succeeded: suite.conclusion.as_deref() == Some("success"),
        pull_requests: suite
            .pull_requests
            .into_iter()
            .filter(of_head)
            .map(target)
            .collect::<Result<_, _>>()?,
    }))
}
