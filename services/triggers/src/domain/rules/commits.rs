//! Triggers that new commits fire: pushes and pull requests.

use serde_json::{Map, Value, json};
use shipway_events::delivery::{Held, Verdict};

use super::{Asked, Case, listened, object};
use crate::domain::{
    glob,
    happened::Happened,
    push::{Commit, PullRequest, Push, short},
    repository::RepositoryKey,
    trigger::{GitRule, Listens},
};

impl Case<'_> {
    /// Asks about a push.
    pub(super) fn push(&self, push: &Push, rule: &GitRule, asked: &mut Asked) -> Option<Map<String, Value>> {
        let Some(branch) = push.branch() else {
            asked.fail("event", format!("{} is not a branch", push.reference));
            return None;
        };
        let Listens::Commits { branches: Some(branches), .. } = &rule.listens else {
            asked
                .fail("event", format!("the trigger listens to {}, this is a push", listened(&rule.listens)));
            return None;
        };
        let Some(after) = push.target() else {
            asked.fail("event", format!("branch {branch} was deleted: there is nothing to run"));
            return None;
        };
        asked.patterns("branch", branches, branch);
        match &self.facts.commits {
            Some(commits) => self.flags(rule, commits.iter(), true, asked),
            None => self.flags(rule, push.messages(), self.tells_all(push), asked),
        }
        self.paths(rule, asked);
        Some(object(json!({ "branch": branch, "sha": after, "repoUrl": rule.repository })))
    }

    /// Asks about a pull request.
    pub(super) fn pull_request(
        &self,
        pull: &PullRequest,
        rule: &GitRule,
        asked: &mut Asked,
    ) -> Option<Map<String, Value>> {
        let mut label = None;
        match &rule.listens {
            Listens::Commits { pull_requests: Some(patterns), .. } => {
                if !pull.is_news() {
                    asked.fail("event", format!("{}: there is nothing new to run", pull.summary()));
                    return None;
                }
                asked.patterns("branch", patterns, &pull.source);
            }
            Listens::Label { labels, branches } => {
                // Several may be put on at once, also by an update that is told as something else: one that fits is
                // enough.
                let mut all = pull.put_on();
                let Some(first) = all.next() else {
                    asked.fail("event", format!("{}: no label was put on it", pull.summary()));
                    return None;
                };
                let fits = |name: &&str| labels.iter().any(|pattern| glob::matches(pattern, name));
                let name = [first].into_iter().chain(all).find(fits).unwrap_or(first);
                asked.patterns("label", labels, name);
                asked.patterns("branch", branches, &pull.source);
                label = Some(name);
            }
            other => {
                let words = format!("the trigger listens to {}, this is a pull request", listened(other));
                asked.fail("event", words);
                return None;
            }
        }
        if rule.ignore_drafts {
            let number = pull.number;
            match pull.draft {
                true => asked
                    .fail("drafts", format!("pull request #{number} is a draft, which the trigger ignores")),
                false => asked.pass("drafts", format!("pull request #{number} is no draft")),
            }
        }
        let head = self.commit(Some(pull.head.as_str()), asked);
        self.newest_flags(rule, pull.head_commit.as_ref(), asked);
        self.paths(rule, asked);
        let mut values = object(json!({
            "branch": pull.source, "sha": head.unwrap_or(pull.head.as_str()), "repoUrl": rule.repository,
            "pullRequestId": pull.number, "title": pull.title, "targetBranch": pull.target,
        }));
        values.extend(label.map(|label| ("label".to_owned(), Value::from(label))));
        Some(values)
    }

    /// Whether the messages of all commits of a push are in its delivery. A list that ends before the newest commit is
    /// cut; and where its sender does not say whether it is, one that is as long as their lists get may be.
    fn tells_all(&self, push: &Push) -> bool {
        let newest = push.target();
        let is_cut = push.cut.unwrap_or(push.commits.len() >= self.listed);
        !is_cut && push.messages().any(|commit| Some(commit.id.as_str()) == newest)
    }

    /// Asks the flags about the newest commit alone.
    pub(super) fn newest_flags(&self, rule: &GitRule, told: Option<&Commit>, asked: &mut Asked) {
        let newest = self.facts.commits.as_ref().and_then(|commits| commits.last()).or(told);
        self.flags(rule, newest.into_iter(), newest.is_some(), asked);
    }

    /// Asks the flags about commits, of which one that is flagged is enough. `whole` says whether these are all.
    fn flags<'c>(
        &self,
        rule: &GitRule,
        commits: impl Iterator<Item = &'c Commit>,
        whole: bool,
        asked: &mut Asked,
    ) {
        let flags: Vec<&String> = rule.flags.iter().filter(|flag| !flag.is_empty()).collect();
        if flags.is_empty() {
            return;
        }
        let mut count = 0;
        for commit in commits {
            count += 1;
            if let Some(flag) = flags.iter().find(|flag| commit.message.contains(flag.as_str())) {
                asked.fail("flags", format!("commit {} says `{flag}`", short(&commit.id)));
                return;
            }
        }
        match (whole, count) {
            (false, _) => {
                asked.open("flags", "the delivery does not hold the message of every commit", |needs| {
                    needs.commits = true
                })
            }
            (true, 1) => asked.pass("flags", "the commit's message has no ignore flag".to_owned()),
            (true, count) => {
                asked.pass("flags", format!("none of {count} commits' messages has an ignore flag"))
            }
        }
    }

    /// Asks the path rules.
    pub(super) fn paths(&self, rule: &GitRule, asked: &mut Asked) {
        if rule.paths.is_empty() {
            return;
        }
        match &self.facts.files {
            None => {
                asked.open("paths", "which files were changed, only Git can tell", |needs| needs.files = true)
            }
            Some(files) => {
                let verdict = rule.paths.judge(files);
                match verdict.passed {
                    true => asked.pass("paths", verdict.words),
                    false => asked.fail("paths", verdict.words),
                }
            }
        }
    }
}

/// What a fork's pull request wants to run waits for somebody to look at exactly this commit.
pub(super) fn hold_if_fork(pull: &PullRequest, repository: &RepositoryKey, verdict: &mut Verdict) {
    if !pull.is_from_fork(repository) {
        return;
    }
    let head = verdict.values.get("sha").and_then(Value::as_str).unwrap_or(&pull.head).to_owned();
    verdict.matched = false;
    verdict.reason = format!(
        "{}; it comes from a fork, and commit {} is held until somebody approves it",
        verdict.reason,
        short(&head)
    );
    verdict.held = Some(Held { pull_request: pull.number, head, approval: None });
}

impl Happened {
    /// Whether it is a push or a pull request with commits to build, which are told of twice.
    #[must_use]
    pub fn is_told_twice(&self) -> bool {
        match self {
            Self::Push(push) => push.target().is_some(),
            Self::PullRequest(pull) => pull.is_news(),
            Self::Release(_) | Self::CheckSuite(_) => false,
        }
    }
}
