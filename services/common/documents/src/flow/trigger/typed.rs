//! The typed triggers beside pushes and webhooks.

use serde_json::Value;

use super::{CronTrigger, GitTrigger, patterns};
use crate::{Fields, Problem, Problems, pointer};

/// A typed trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedTrigger {
    /// What it waits for.
    pub kind: TypedKind,
    /// The repository and its rules; empty for schedules.
    pub git: GitTrigger,
    /// Patterns of labels.
    pub labels: Vec<String>,
    /// The schedule.
    pub schedule: Option<CronTrigger>,
}

/// What a typed trigger waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedKind {
    /// A pull request is opened or updated.
    PullRequest,
    /// A pull request is given a label.
    PullRequestLabel,
    /// A release is published.
    Release,
    /// All checks of a pull request have passed.
    CheckSuite,
    /// A time.
    Cron,
}

impl TypedKind {
    const ALL: [Self; 5] =
        [Self::PullRequest, Self::PullRequestLabel, Self::Release, Self::CheckSuite, Self::Cron];

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PullRequest => "vcs-pr",
            Self::PullRequestLabel => "vcs-pr-label",
            Self::Release => "vcs-release",
            Self::CheckSuite => "vcs-check-suite",
            Self::Cron => "cron",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::as_str)
    }
}

/// The `spec` of a typed trigger, which must be there.
pub(super) fn spec<'v>(
    value: &'v Value,
    at: &str,
    shown: &str,
    problems: &mut Problems,
) -> Option<&'v Value> {
    let mut fields = Fields::new(value, at, "a trigger", problems);
    let spec = fields.get("spec");
    if spec.is_none() {
        fields.missing("spec", &format!("give it `spec: {shown}`"));
    }
    spec
}

impl TypedTrigger {
    pub(super) fn read(kind: TypedKind, value: &Value, at: &str, problems: &mut Problems) -> Option<Self> {
        let shown = if kind == TypedKind::Cron { "{cron: 0 2 * * *}" } else { "{vcs: {repoUrl}}" };
        spec(value, at, shown, problems).map(|spec| Self::read_spec(kind, spec, at, problems))
    }

    fn read_spec(kind: TypedKind, spec: &Value, at: &str, problems: &mut Problems) -> Self {
        let at = pointer::join(at, "spec");
        let mut fields = Fields::new(spec, &at, "the `spec` of a trigger", problems);
        let mut trigger = Self { kind, git: GitTrigger::default(), labels: Vec::new(), schedule: None };
        let known: &[&str] = match kind {
            TypedKind::Cron => CronTrigger::MEMBERS,
            TypedKind::Release => &["vcs"],
            TypedKind::CheckSuite => &["vcs", "branchNamePatterns", "commitMessageFlags", "filePaths"],
            TypedKind::PullRequest => {
                &["vcs", "branchNamePatterns", "commitMessageFlags", "filePaths", "ignoreDrafts"]
            }
            TypedKind::PullRequestLabel => &[
                "vcs",
                "labelNamePatterns",
                "branchNamePatterns",
                "commitMessageFlags",
                "filePaths",
                "ignoreDrafts",
            ],
        };
        fields.known(known);
        if kind == TypedKind::Cron {
            trigger.schedule = CronTrigger::read(&mut fields);
            return trigger;
        }
        trigger.git = GitTrigger::read_vcs(&mut fields);
        if let Some(problem) = never_told(kind, &trigger.git, fields.at("vcs")) {
            fields.note(problem);
        }
        if kind == TypedKind::Release {
            return trigger;
        }
        if kind == TypedKind::PullRequestLabel {
            trigger.labels = fields.texts("labelNamePatterns");
            trigger.git.pr_restrictions = read_named_patterns(&mut fields);
        } else {
            trigger.git.pr_restrictions = patterns(&mut fields, "branchNamePatterns");
        }
        trigger.git.read_rules(&mut fields);
        trigger.git.ignore_drafts = fields.boolean("ignoreDrafts").unwrap_or_default();
        trigger
    }
}

/// What a host tells nobody of, a trigger waits for in vain.
fn never_told(kind: TypedKind, git: &GitTrigger, at: String) -> Option<Problem> {
    let url = git.repo_url.to_ascii_lowercase();
    let is_at = |host: &str| url.split(['/', '@', ':']).any(|part| part == host);
    let host = match git.vcs_service.as_str() {
        "gitlab" => "GitLab",
        "bitbucket" => "Bitbucket",
        "azure" => "Azure DevOps",
        _ if is_at("gitlab.com") => "GitLab",
        _ if is_at("bitbucket.org") => "Bitbucket",
        _ if is_at("dev.azure.com") => "Azure DevOps",
        _ => return None,
    };
    let (what, instead) = match kind {
        TypedKind::CheckSuite => (
            "when all checks have passed",
            "a trigger on pushes, or a `webhook` trigger that its pipeline calls",
        ),
        TypedKind::PullRequestLabel if host != "GitLab" => {
            ("of labels", "`vcs-pr` with `branchNamePatterns`")
        }
        _ => return None,
    };
    let problem = Problem::warning(at, format!("the trigger never fires: {host} does not tell {what}"));
    Some(problem.help(format!("use {instead}")))
}

/// `branchNamePatterns: {enabled, names}`; every branch when they are switched off.
fn read_named_patterns(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let Some(value) = fields.get("branchNamePatterns") else { return vec!["*".to_owned()] };
    let at = fields.at("branchNamePatterns");
    let mut inner = Fields::new(value, &at, "`branchNamePatterns`", fields.problems());
    inner.known(&["enabled", "names"]);
    let (enabled, names) = (inner.boolean("enabled"), patterns(&mut inner, "names"));
    if enabled.unwrap_or_default() { names } else { vec!["*".to_owned()] }
}
