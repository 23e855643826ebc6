//! A trigger as the rules read it: the typed form of the documents, taken apart once when the hooks are loaded.

use serde::Deserialize;
use serde_json::Value;

use super::repository::RepositoryKey;

/// What marks a commit as not to be built, unless the trigger says otherwise.
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
    /// Reads the typed form: `{kind, ref, spec}`.
    ///
    /// # Errors
    /// If it is not JSON of that shape; `path` names the flow in the message.
    pub fn parse(path: &str, json: &str) -> Result<Self, TriggerError> {
        let typed: Typed =
            serde_json::from_str(json).map_err(|source| TriggerError { path: path.to_owned(), source })?;
        let Typed { kind, reference, manual_only, spec } = typed;
        let manual_only = manual_only || spec.manual_only;
        let kind = match kind.as_str() {
            "vcs-push" => Kind::Push(spec.push_rule()),
            "webhook" => Kind::Webhook {
                token: spec
                    .token
                    .as_ref()
                    .and_then(Value::as_str)
                    .filter(|t| t.len() >= 32)
                    .map(str::to_owned),
            },
            _ => Kind::Other(kind),
        };
        Ok(Self { reference, kind, manual_only })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    kind: String,
    #[serde(rename = "ref", default)]
    reference: String,
    #[serde(default)]
    manual_only: bool,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    vcs: Vcs,
    branch_name_patterns: Value,
    commit_message_flags: Option<Flags>,
    file_paths: Option<FilePaths>,
    manual_only: bool,
    token: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Vcs {
    repo_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Flags {
    enabled: Option<bool>,
    flags: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FilePaths {
    enabled: Option<bool>,
    paths: Vec<String>,
}

impl Spec {
    fn push_rule(self) -> PushRule {
        let defaults = || DEFAULT_FLAGS.map(str::to_owned).to_vec();
        let flags = match self.commit_message_flags {
            None => defaults(),
            Some(Flags { enabled: Some(false), .. }) => Vec::new(),
            Some(Flags { flags, .. }) if flags.is_empty() => defaults(),
            Some(Flags { flags, .. }) => flags,
        };
        // The patterns are a list for a push and a switched list for a label: both are read.
        let patterns = match &self.branch_name_patterns {
            Value::Object(switched) => switched.get("names"),
            list => Some(list),
        };
        let branches = patterns
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        PushRule {
            key: RepositoryKey::of(&self.vcs.repo_url),
            repository: self.vcs.repo_url,
            branches,
            flags,
            by_path: self.file_paths.is_some_and(|f| f.enabled.unwrap_or(true) && !f.paths.is_empty()),
        }
    }
}
