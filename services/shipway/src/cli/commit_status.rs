//! What a Git host hears of a run as a status of its commit: a part of `shipway show`.

use serde_json::{Value, json};
use shipway_contracts::v1::{CommitStatus, GetCommitStatusRequest, Run};

use super::{Client, Style, short_commit, short_id};

/// What is told of a run; none of one that no Git host started, or if nobody can say at the moment: it is not what a run
/// is shown for.
pub(super) async fn told(client: &Client, run: &Run) -> Option<CommitStatus> {
    if run.origin != "git" {
        return None;
    }
    let request = GetCommitStatusRequest { run: run.id.clone() };
    client.accounts().get_commit_status(request).await.ok()?.into_inner().status
}

/// The same in a line.
pub(super) fn line(told: &CommitStatus) -> (String, Style) {
    let CommitStatus { commit, state, outcome, note, tries, .. } = told;
    let commit = short_commit(commit);
    match outcome.as_str() {
        "said" => (format!("commit {commit} has the status {state}"), Style::Quiet),
        "silent" => (format!("commit {commit} gets no status: {note}"), Style::Quiet),
        "replaced" => {
            (format!("commit {commit} has the status of the other run {}", short_id(note)), Style::Quiet)
        }
        "given up" => (format!("commit {commit} did not get the status {state}: {note}"), Style::Bad),
        _ if *tries == 0 => (format!("commit {commit} is to get the status {state}"), Style::Quiet),
        _ => {
            (format!("commit {commit} waits for the status {state} after {tries} tries: {note}"), Style::Bad)
        }
    }
}

/// The same for programs.
pub(super) fn shown(told: &CommitStatus) -> Value {
    json!({
        "repository": told.repository,
        "commit": told.commit,
        "state": told.state,
        "outcome": told.outcome,
        "note": told.note,
        "tries": told.tries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_words() {
        let said = |outcome: &str, tries, note: &str| {
            let status = CommitStatus {
                commit: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned(),
                state: "failure".to_owned(),
                outcome: outcome.to_owned(),
                note: note.to_owned(),
                tries,
                ..CommitStatus::default()
            };
            line(&status)
        };
        for (outcome, tries, note, words, style) in [
            ("open", 0, "", "commit 4b825dc6 is to get the status failure", Style::Quiet),
            ("open", 2, "503", "commit 4b825dc6 waits for the status failure after 2 tries: 503", Style::Bad),
            ("said", 0, "", "commit 4b825dc6 has the status failure", Style::Quiet),
            ("silent", 0, "no account", "commit 4b825dc6 gets no status: no account", Style::Quiet),
            (
                "replaced",
                0,
                "01934f2e-8c1a-7000-8000-000000000001",
                "commit 4b825dc6 has the status of the other run 01934f2e-8c1a",
                Style::Quiet,
            ),
            ("given up", 9, "401", "commit 4b825dc6 did not get the status failure: 401", Style::Bad),
        ] {
            assert_eq!(said(outcome, tries, note), (words.to_owned(), style));
        }
    }
}
