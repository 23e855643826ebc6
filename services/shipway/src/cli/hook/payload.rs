//! A push as Git hosts tell it: the payload of GitHub's `push` event, from what the repository knows.

use std::process::Command;

use serde_json::{Value, json};

use crate::cli::Failure;

/// One line of what Git tells a post-receive hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Push {
    before: String,
    after: String,
    reference: String,
}

/// Commits that one payload lists at most: with the limits below it stays under the 1 MiB that a hook takes.
const MOST: &str = "--max-count=100";
/// Characters of a commit's message, and files of a commit, that are told.
const LONGEST: usize = 2_000;
const FILES: usize = 50;

impl Push {
    /// Reads `<old> <new> <ref>`.
    pub(crate) fn parse(line: &str) -> Result<Self, Failure> {
        let hex = |text: &str| text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match line.split(' ').collect::<Vec<_>>()[..] {
            [before, after, reference] if hex(before) && hex(after) && reference.starts_with("refs/") => {
                Ok(Self {
                    before: before.to_owned(),
                    after: after.to_owned(),
                    reference: reference.to_owned(),
                })
            }
            _ => Err(Failure::usage(format!("`{line}` is not what Git tells a post-receive hook"))
                .help("expected `<old> <new> <ref>` on standard input")),
        }
    }

    /// The payload, asked from the repository in the current folder.
    pub(crate) fn payload(&self, repository: &str) -> Result<Vec<u8>, Failure> {
        let created = zero(&self.before);
        let deleted = zero(&self.after);
        let commits = if deleted { Vec::new() } else { self.commits(created)? };
        let forced = !created
            && !deleted
            && !git(&["merge-base", "--is-ancestor", &self.before, &self.after]).is_ok_and(|done| done.0);
        let name = repository.rsplit('/').next().unwrap_or(repository).trim_end_matches(".git");
        let payload = json!({
            "ref": self.reference,
            "before": self.before,
            "after": self.after,
            "created": created,
            "deleted": deleted,
            "forced": forced,
            "head_commit": commits.last(),
            "commits": commits,
            "repository": {
                "name": name,
                "full_name": name,
                "clone_url": repository,
                "html_url": repository,
                "url": repository,
                // Git has tags alone: a new one is a release.
                "has_releases": false,
            },
            "pusher": {"name": "git"},
        });
        Ok(payload.to_string().into_bytes())
    }

    fn commits(&self, created: bool) -> Result<Vec<Value>, Failure> {
        // Of a new branch only what no other branch had: one commit if that is nothing.
        let range = format!("{}..{}", self.before, self.after);
        let exclude = format!("--exclude={}", self.reference);
        let words: Vec<&str> = if created {
            vec!["rev-list", MOST, &self.after, "--not", &exclude, "--all"]
        } else {
            vec!["rev-list", MOST, &range]
        };
        let mut ids: Vec<String> = text(&words)?.lines().map(str::to_owned).collect();
        if ids.is_empty() {
            // An annotated tag is an object of its own; what is told is the commit that it names.
            let commit = format!("{}^{{commit}}", self.after);
            ids.push(text(&["rev-parse", "--verify", "--quiet", &commit])?.trim().to_owned());
        }
        ids.reverse();
        ids.iter().map(|id| commit(id)).collect()
    }
}

fn commit(id: &str) -> Result<Value, Failure> {
    let shown = text(&["show", "-s", "--format=%H%x00%an%x00%ae%x00%cI%x00%B", id])?;
    let mut parts = shown.splitn(5, '\0');
    let mut part = || parts.next().unwrap_or_default().trim_end().to_owned();
    let (id, name, email, at, message) = (part(), part(), part(), part(), part());
    let (mut added, mut removed, mut modified) = (Vec::new(), Vec::new(), Vec::new());
    let words = ["diff-tree", "--no-commit-id", "--name-status", "--no-renames", "-r", "--root", "-z", &id];
    let files = text(&words)?;
    let mut fields = files.split('\0');
    while let (Some(status), Some(path)) = (fields.next(), fields.next()) {
        match status {
            "A" => added.push(path.to_owned()),
            "D" => removed.push(path.to_owned()),
            _ => modified.push(path.to_owned()),
        }
    }
    let mut shown = json!({
        "id": id,
        "message": message.chars().take(LONGEST).collect::<String>(),
        "timestamp": at,
        "author": {"name": name, "email": email},
    });
    // Hosts leave long lists out as well; who needs them asks the repository.
    if added.len() + removed.len() + modified.len() <= FILES {
        shown["added"] = added.into();
        shown["removed"] = removed.into();
        shown["modified"] = modified.into();
    }
    Ok(shown)
}

fn zero(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

fn text(words: &[&str]) -> Result<String, Failure> {
    match git(words)? {
        (true, text) => Ok(text),
        (false, _) => Err(Failure::new(format!("git {} failed", words.join(" ")))),
    }
}

fn git(words: &[&str]) -> Result<(bool, String), Failure> {
    let output = Command::new("git")
        .args(words)
        .output()
        .map_err(|error| Failure::new(format!("running git {}: {error}", words[0])))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_git_says_is_a_push() {
        let line = format!("{} {} refs/heads/main", "0".repeat(40), "a".repeat(40));
        assert_eq!(Push::parse(&line).unwrap().reference, "refs/heads/main");
        for wrong in ["", "a b", "x y refs/heads/main", &format!("{line} more")] {
            assert!(Push::parse(wrong).is_err(), "{wrong}");
        }
    }
}
