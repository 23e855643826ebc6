//! A trigger as the rules read it, in either form of the documents, taken apart once when the hooks are loaded.

use serde::Deserialize;
use serde_json::Value;

use super::{cron::CronRule, repository::RepositoryKey};

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
    /// A push to a branch.
    Push(PushRule),
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

/// When a push fires a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRule {
    /// The repository, as the document spells it.
    pub repository: String,
    /// The same, comparable.
    pub key: RepositoryKey,
    /// Patterns of branches; one that fits is enough, none never fits.
    pub branches: Vec<String>,
    /// What in a commit's message keeps it from being built.
    pub flags: Vec<String>,
    /// Whether the trigger asks for changed files, which cannot be asked yet.
    pub by_path: bool,
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
            None | Some("git") => Kind::Push(git.rule()),
            Some("vcs-push") => Kind::Push(spec.rule()),
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
    path_ignore_rules: Option<Vec<String>>,
    ci_ignore_flags_enabled: bool,
    ci_ignore_flags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    vcs: Vcs,
    branch_name_patterns: Option<Vec<String>>,
    commit_message_flags: Flags,
    file_paths: Option<FilePaths>,
    manual_only: bool,
    token: Option<Value>,
    #[serde(flatten)]
    cron: CronRule,
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
    paths: Vec<String>,
}

impl Git {
    fn rule(self) -> PushRule {
        PushRule {
            key: RepositoryKey::of(&self.repo_url),
            repository: self.repo_url,
            branches: self.branch_restrictions.unwrap_or_default(),
            flags: flags(self.ci_ignore_flags_enabled, self.ci_ignore_flags),
            by_path: self.path_ignore_rules.is_some_and(|rules| !rules.is_empty()),
        }
    }
}

impl Spec {
    fn rule(self) -> PushRule {
        PushRule {
            key: RepositoryKey::of(&self.vcs.repo_url),
            repository: self.vcs.repo_url,
            branches: self.branch_name_patterns.unwrap_or_default(),
            flags: flags(self.commit_message_flags.enabled, self.commit_message_flags.flags),
            by_path: self.file_paths.is_some_and(|f| f.enabled.unwrap_or(true) && !f.paths.is_empty()),
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
