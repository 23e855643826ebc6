//! A trigger as the rules read it, in either form of the documents, taken apart once when the hooks are loaded.

use serde::Deserialize;
use serde_json::Value;

use super::{cron::CronRule, paths::PathRules, repository::RepositoryKey};

/// What marks a commit as not to be built, where a trigger switches that on and names nothing else.
pub const DEFAULT_FLAGS: [&str; 7] =
    ["[skip ci]", "[ci skip]", "[no ci]", "[skip nf]", "[nf skip]", "[northflank skip]", "[skip northflank]"];

/// One trigger of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The name in `${refs.<ref>…}` and `${triggers.<ref>…}`.
    pub reference: String,
    /// What fires it.
    pub kind: Kind,
    /// Whether it only holds values for runs by hand.
    pub manual_only: bool,
}

/// What fires a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that happens to a repository.
    Git(GitRule),
    /// A request to the flow's address.
    Webhook {
        /// An address that the document chose itself, if it did.
        token: Option<String>,
    },
    /// A time.
    Cron(CronRule),
    /// A kind that no delivery fires here, by its name.
    Other(String),
}

/// When something that happens to a repository fires a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRule {
    /// The repository, as the document spells it.
    pub repository: String,
    /// The same, comparable.
    pub key: RepositoryKey,
    /// What it listens to.
    pub listens: Listens,
    /// What in a commit's message keeps it from being built.
    pub flags: Vec<String>,
    /// Which changed files count.
    pub paths: PathRules,
    /// Whether drafts of pull requests start nothing.
    pub ignore_drafts: bool,
}

/// What a trigger listens to. Patterns: one that fits is enough, none never fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listens {
    /// New commits. A list that the trigger's kind does not have at all is none.
    Commits {
        /// Patterns of branches that are pushed to.
        branches: Option<Vec<String>>,
        /// Patterns of the source branches of pull requests.
        pull_requests: Option<Vec<String>>,
    },
    /// A label that is put on a pull request.
    Label {
        /// Patterns of labels.
        labels: Vec<String>,
        /// Patterns of the source branches.
        branches: Vec<String>,
    },
    /// A release of a tag.
    Release,
    /// All checks of a pull request's newest commit have passed.
    CheckSuite {
        /// Patterns of the source branches.
        branches: Vec<String>,
    },
}

/// A trigger whose JSON has not the shape of one.
#[derive(Debug, thiserror::Error)]
#[error("a trigger of flow {path} cannot be read: {source}")]
pub struct TriggerError {
    path: String,
    source: serde_json::Error,
}

impl Trigger {
    /// Reads the typed form `{kind, ref, spec}` or the one of release flows, `{type: "git", ref, repoUrl, …}`.
    ///
    /// # Errors
    /// If it is not JSON of either shape; `path` names the flow in the message.
    pub fn parse(path: &str, json: &str) -> Result<Self, TriggerError> {
        let written: Written =
            serde_json::from_str(json).map_err(|source| TriggerError { path: path.to_owned(), source })?;
        let Written { kind, reference, manual_only, spec, git } = written;
        let manual_only = manual_only || spec.manual_only;
        let kind = match kind.as_deref() {
            None | Some("git") => Kind::Git(git.rule()),
            Some("vcs-push") => Kind::Git(
                spec.rule(|spec| Listens::Commits { branches: Some(spec.branches()), pull_requests: None }),
            ),
            Some("vcs-pr") => Kind::Git(
                spec.rule(|spec| Listens::Commits { branches: None, pull_requests: Some(spec.branches()) }),
            ),
            Some("vcs-pr-label") => Kind::Git(spec.rule(|spec| Listens::Label {
                labels: spec.label_name_patterns.take().unwrap_or_default(),
                branches: spec.branches_if_enabled(),
            })),
            Some("vcs-release") => Kind::Git(spec.rule(|_| Listens::Release)),
            Some("vcs-check-suite") => {
                Kind::Git(spec.rule(|spec| Listens::CheckSuite { branches: spec.branches() }))
            }
            Some("webhook") => Kind::Webhook {
                token: spec
                    .token
                    .as_ref()
                    .and_then(Value::as_str)
                    .filter(|t| t.len() >= 32)
                    .map(str::to_owned),
            },
            Some("cron") => Kind::Cron(spec.cron),
            Some(other) => Kind::Other(other.to_owned()),
        };
        Ok(Self { reference, kind, manual_only })
    }
}

impl GitRule {
    /// Whether a push could fire it.
    #[must_use]
    pub fn hears_pushes(&self) -> bool {
        matches!(&self.listens, Listens::Commits { branches: Some(branches), .. } if !branches.is_empty())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    kind: Option<String>,
    #[serde(rename = "ref", default)]
    reference: String,
    #[serde(default)]
    manual_only: bool,
    #[serde(default)]
    spec: Spec,
    #[serde(flatten)]
    git: Git,
}

/// What the form of release flows has beside `ref`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Git {
    repo_url: String,
    branch_restrictions: Option<Vec<String>>,
    pr_restrictions: Option<Vec<String>>,
    path_ignore_rules: Option<Vec<String>>,
    is_allow_list: bool,
    ci_ignore_flags_enabled: bool,
    ci_ignore_flags: Option<Vec<String>>,
    ignore_drafts: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    vcs: Vcs,
    branch_name_patterns: Option<Branches>,
    label_name_patterns: Option<Vec<String>>,
    commit_message_flags: Flags,
    file_paths: Option<FilePaths>,
    ignore_drafts: bool,
    manual_only: bool,
    token: Option<Value>,
    #[serde(flatten)]
    cron: CronRule,
}

/// A list, or for labels one that can be switched off.
#[derive(Deserialize)]
#[serde(untagged)]
enum Branches {
    List(Vec<String>),
    Switch {
        #[serde(default)]
        enabled: bool,
        #[serde(default)]
        names: Vec<String>,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Vcs {
    repo_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Flags {
    enabled: bool,
    flags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FilePaths {
    enabled: Option<bool>,
    allow_list: bool,
    paths: Vec<String>,
}

impl Git {
    fn rule(self) -> GitRule {
        GitRule {
            key: RepositoryKey::of(&self.repo_url),
            repository: self.repo_url,
            listens: Listens::Commits {
                branches: Some(self.branch_restrictions.unwrap_or_default()),
                pull_requests: Some(self.pr_restrictions.unwrap_or_default()),
            },
            flags: flags(self.ci_ignore_flags_enabled, self.ci_ignore_flags),
            paths: PathRules::new(&self.path_ignore_rules.unwrap_or_default(), self.is_allow_list),
            ignore_drafts: self.ignore_drafts,
        }
    }
}

impl Spec {
    fn rule(mut self, listens: impl FnOnce(&mut Self) -> Listens) -> GitRule {
        let paths = self.file_paths.take().filter(|files| files.enabled.unwrap_or(true)).unwrap_or_default();
        GitRule {
            listens: listens(&mut self),
            key: RepositoryKey::of(&self.vcs.repo_url),
            repository: self.vcs.repo_url,
            flags: flags(self.commit_message_flags.enabled, self.commit_message_flags.flags),
            paths: PathRules::new(&paths.paths, paths.allow_list),
            ignore_drafts: self.ignore_drafts,
        }
    }

    fn branches(&mut self) -> Vec<String> {
        match self.branch_name_patterns.take() {
            None => Vec::new(),
            Some(Branches::List(names) | Branches::Switch { names, .. }) => names,
        }
    }

    /// Every branch, unless the list is there and switched on.
    fn branches_if_enabled(&mut self) -> Vec<String> {
        match self.branch_name_patterns.take() {
            Some(Branches::List(names) | Branches::Switch { enabled: true, names }) => names,
            None | Some(Branches::Switch { .. }) => vec!["*".to_owned()],
        }
    }
}

/// The flags that count: none unless they are switched on, the usual ones unless others are named.
fn flags(enabled: bool, named: Option<Vec<String>>) -> Vec<String> {
    if !enabled {
        return Vec::new();
    }
    named.unwrap_or_else(|| DEFAULT_FLAGS.map(str::to_owned).to_vec())
}
