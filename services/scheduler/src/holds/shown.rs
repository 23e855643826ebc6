//! Holds and bad marks as the API shows them.

use shipway_contracts::v1::{BadArtifact, BadMark, Hold as Shown};
use shipway_events::policy::{Held, MarkedBad, Predicate, Scope, Subject};

use super::{Kept, Mark};
use crate::run::present;

/// A hold, with what it can tell by.
pub(crate) fn shown_hold(kept: &Kept) -> Shown {
    let Held { hold, name, scope, what, until, reason, .. } = &kept.held;
    let Scope { project, pipeline, stage } = scope;
    let (kind, digests, value) = match what {
        Predicate::Lineage { artifacts, .. } => {
            let mut digests: Vec<String> = artifacts.iter().map(|subject| subject.digest.clone()).collect();
            digests.dedup();
            ("lineage", digests, String::new())
        }
        Predicate::Version { below, .. } => ("version", Vec::new(), below.clone()),
        Predicate::Commit { commit, .. } => ("commit", Vec::new(), commit.clone()),
    };
    Shown {
        id: hold.to_string(),
        name: name.clone(),
        project: project.clone(),
        scope: match (pipeline, stage) {
            (None, _) => project.clone(),
            (Some(pipeline), None) => format!("{project}/{pipeline}/*"),
            (Some(pipeline), Some(stage)) => format!("{project}/{pipeline}/{stage}"),
        },
        what: in_words(what),
        reason: reason.clone(),
        created_at: kept.at.to_string(),
        created_by: kept.by.name().to_owned(),
        until: present::text(*until),
        note: note(what),
        kind: kind.to_owned(),
        digests,
        value,
    }
}

/// A bad mark.
pub(crate) fn shown_bad(mark: &Mark, project: &str) -> BadMark {
    let MarkedBad { mark: id, run, artifacts, reason } = mark.marked.clone();
    let artifact = |Subject { digest, service, commit }| BadArtifact { digest, service, commit };
    BadMark {
        id: id.to_string(),
        project: project.to_owned(),
        run: run.map(|run| run.to_string()).unwrap_or_default(),
        artifacts: artifacts.into_iter().map(artifact).collect(),
        reason,
        marked_at: mark.at.to_string(),
        marked_by: mark.by.name().to_owned(),
    }
}

fn in_words(what: &Predicate) -> String {
    match what {
        Predicate::Lineage { artifacts, .. } => {
            let of = |Subject { service, commit, digest }: &Subject| match short(commit) {
                "" => format!("{service} {}", digest.get(..15).unwrap_or(digest)),
                commit => format!("{service} at {commit}"),
            };
            let mut all: Vec<String> = artifacts.iter().map(of).collect();
            all.dedup();
            format!("{} and what came before", all.join(", "))
        }
        Predicate::Version { below, inclusive: false } => format!("versions below {below}"),
        Predicate::Version { below, inclusive: true } => format!("versions up to {below}"),
        Predicate::Commit { commit, .. } => format!("what contains commit {}", short(commit)),
    }
}

/// What it can tell by, and what it cannot.
fn note(what: &Predicate) -> String {
    match what {
        Predicate::Lineage { artifacts, .. } if artifacts.iter().all(|one| one.commit.is_empty()) => {
            "no commit of it is known: that very artifact is held, and nothing else".to_owned()
        }
        Predicate::Lineage { earlier, .. } => {
            let commits: usize = earlier.iter().map(|before| before.commits.len()).sum();
            format!(
                "what came before is known from builds of the same branch: {commits} commit{}",
                if commits == 1 { "" } else { "s" }
            )
        }
        Predicate::Version { .. } => {
            "a version is the tag of a release, the run's name or the branch; what has none is held".to_owned()
        }
        Predicate::Commit { lines, .. } if lines.is_empty() => {
            "no build of that commit is known: only what is built of that very commit is held, not what is built of \
             commits after it"
                .to_owned()
        }
        Predicate::Commit { lines, .. } => {
            let branches: Vec<String> =
                lines.iter().map(|line| format!("{} of {}", line.branch, line.service)).collect();
            format!("what came after it is known from builds of {}", branches.join(", "))
        }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
