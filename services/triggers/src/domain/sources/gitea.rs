//! Gitea. It sends the headers of GitHub and Gogs too, which decide nothing.

use super::{
    Place, Source, Unreadable, body,
    look_alike::{PullRequested, Pushed, Released},
};
use crate::{
    domain::push::{Delivered, PullRequestAction},
    signature::Scheme,
};

pub(super) const SOURCE: Source = Source {
    name: "gitea",
    title: "Gitea",
    scheme: Scheme::Hex("x-gitea-signature"),
    event: Place::Header("x-gitea-event"),
    keys: &[Place::Header("x-gitea-delivery")],
    read,
};

/// How the title of a draft begins, unless a server is set up otherwise.
const DRAFT_TITLES: [&str; 2] = ["wip:", "[wip]"];

pub(super) fn read(event: &str, body: &[u8]) -> Result<Delivered, Unreadable> {
    match event {
        "push" => {
            let push = body::shape::<Pushed>(event, body)?.push()?;
            // The test of the settings page is a push of nothing to where the branch is already.
            if push.before.is_some() && push.before == push.after {
                return Ok(Delivered::Ping);
            }
            Ok(Delivered::Pushes(vec![push]))
        }
        "pull_request" | "pull_request_label" | "pull_request_sync" => {
            pull_request(body::shape(event, body)?)
        }
        "release" => {
            let released: Released = body::shape(event, body)?;
            if released.action != "published" || released.release.draft {
                return Ok(Delivered::Other(format!("release {}", released.action)));
            }
            released.release().map(Delivered::Release)
        }
        other => Ok(Delivered::Other(other.to_owned())),
    }
}

fn pull_request(payload: PullRequested) -> Result<Delivered, Unreadable> {
    let label = payload.label.as_ref().map(|label| label.name.clone());
    let action = match (payload.action.as_str(), label) {
        ("opened", _) => PullRequestAction::Opened,
        ("reopened", _) => PullRequestAction::Reopened,
        ("synchronized" | "synchronize", _) => PullRequestAction::Synchronized,
        ("label_updated", Some(label)) => PullRequestAction::Labelled(label),
        ("label_cleared", Some(label)) => PullRequestAction::Unlabelled(label),
        ("edited", _) => edited(&payload),
        ("closed", _) if payload.pull_request.merged == Some(true) => PullRequestAction::Merged,
        ("closed", _) => PullRequestAction::Closed,
        // Which label was put on is not told: the list is all there is.
        (other, _) => PullRequestAction::Other(other.to_owned()),
    };
    let mut pull = payload.pull_request()?;
    pull.action = action;
    Ok(Delivered::PullRequest(Box::new(pull)))
}

/// A draft is one by its title here, so that making or ending it is an edit.
fn edited(payload: &PullRequested) -> PullRequestAction {
    let Some(changes) = &payload.changes else { return PullRequestAction::Other("edited".to_owned()) };
    let was_draft = changes.title.as_ref().map(|title| {
        let title = title.from.trim_start().to_lowercase();
        DRAFT_TITLES.iter().any(|prefix| title.starts_with(prefix))
    });
    match (was_draft, payload.pull_request.draft) {
        _ if changes.reference.is_some() || changes.base.is_some() => PullRequestAction::Retargeted,
        (Some(true), false) => PullRequestAction::Ready,
        (Some(false), true) => PullRequestAction::Drafted,
        _ => PullRequestAction::Other("edited".to_owned()),
    }
}
