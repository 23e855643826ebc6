//! What a run is going to do, pinned when it starts: it never parses its document again.

mod hash;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{EffectClass, ProjectId, ResourceId, RunId, Timestamp, project::ResourceKind};

/// The pinned plan of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The nodes: the root workflow first, parents before their children. A node's index is its id.
    pub nodes: Vec<PlanNode>,
    /// What was asked of this run alone. The plan's hash leaves it out: what it comes to is in the nodes.
    #[serde(default, skip_serializing_if = "Given::is_empty")]
    pub given: Given,
    /// The arguments after all overrides. A secret is `{"$secret": "name@version"}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub args: Map<String, Value>,
    /// When the plan was made, if its document asks for the date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Why no node may use a secret, if none may: the run is of a fork's commit that was approved without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_secrets: Option<String>,
    /// The pull request of a fork that the run is for, if it is for one: what is built of it, nobody else uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Fork>,
    /// Trigger values by the trigger's ref.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub triggers: Map<String, Value>,
    /// The resources that the nodes may name, by their id in documents, as they were at the start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, PinnedResource>,
    /// What ran where at the start, by the resource's id in documents: promotion takes exactly this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deployed: BTreeMap<String, Artifact>,
    /// Builds that the nodes may name and that existed at the start, by build id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub builds: BTreeMap<String, Artifact>,
    /// Backups that existed at the start, by backup id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backups: BTreeMap<String, BackupPin>,
}

/// What was asked of one run, beside what its flow's document says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// The arguments that it was given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    /// Fields of triggers and nodes that are another's value for this run: `{ref: {field: value}}`. A field is a member of
    /// a trigger's values or of a node's `spec`, or the way to one inside it: `origin/build`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// What is released in the place of what the document says: `{target: {type, origin}}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub releases: Map<String, Value>,
    /// The version of the flow that was asked for; 0: whichever was the newest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flow_version: u32,
    /// The run of which this one is a repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<RunId>,
}

impl Given {
    /// Whether nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A pull request of a fork, at the commit that somebody let run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fork {
    /// The pull request's number.
    pub pull_request: u64,
    /// The commit: no other one was looked at.
    pub head: String,
    /// The branch, which is one of the fork's: the repository may have another of that name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// The repository that the pull request asks to take the commit, as the trigger names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
}

/// One node of a plan. Expressions over arguments and triggers are already resolved, those over other
/// nodes' outputs are resolved when the node's turn comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanNode {
    /// The name in `${refs.<ref>…}`: given in the document or made from its kind.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The kind: `Build`.
    pub kind: String,
    /// The enclosing workflow's index; none for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Where in the document it stands: `/spec/spec/steps/0`.
    pub pointer: String,
    /// The node's `spec`; a workflow's without its steps.
    pub spec: Value,
    /// `condition`: what is waited for before the node counts as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// `timeoutDuration` in seconds, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// `retry`, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// `when`: the fate of what came before that lets this node start.
    #[serde(default)]
    pub when: When,
    /// `skipNodeExecution`, if given: a value or an expression whose truth skips the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Value>,
    /// `effect`, if the document declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<EffectClass>,
    /// `interruptible: false` lets the node finish before its run is aborted by a newer one.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub interruptible: bool,
    /// `dependsOn` inside a workflow of type `graph`: indexes of the nodes that come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<u32>,
    /// `runsOn`: labels that its executor must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs_on: Vec<String>,
    /// `locks`: names that it holds while it runs, across flows; sorted. Those of a workflow hold for all in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// A loop's steps and all in them, parents before their children: each iteration is made of them when the loop is
    /// entered. Indexes in it count from the first of them; a step of the loop itself has no parent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<PlanNode>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

/// When a node starts, by the fate of what came before it in its workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// All before it went well.
    #[default]
    Success,
    /// Something before it failed.
    Failure,
    /// In any case, also when the run is aborted.
    Always,
}

/// A node's retry rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts in all, the first one counted; at least 1.
    pub max_attempts: u32,
    /// How the pause grows.
    #[serde(default)]
    pub backoff: Backoff,
    /// The first pause in seconds.
    #[serde(default)]
    pub delay: u32,
    /// The longest pause in seconds, for `exponential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<u32>,
    /// Each pause is shortened by up to half, so that what failed together does not come back together.
    #[serde(default, skip_serializing_if = "is_false")]
    pub jitter: bool,
}

/// How the pause between attempts grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Backoff {
    /// Always the same pause.
    #[default]
    Fixed,
    /// Twice as long each time.
    Exponential,
}

/// The linked account that a repository is fetched with, as it was when the run started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryLogin {
    /// The account's name.
    pub account: String,
    /// The only host that its credential is sent to.
    pub host: String,
    /// Who Shipway is there.
    pub login: String,
    /// The credential's value, as `{"$secret": "name@version"}`.
    pub secret: Value,
    /// For a private key of ssh: who the host is, as lines of a `known_hosts` file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
}

/// A resource as it was when the run started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedResource {
    /// Its project.
    pub project: ProjectId,
    /// The resource.
    pub id: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// The document's `spec`.
    pub spec: Value,
    /// Public ports by the name of the port, given once and kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// Environment from secret groups and the resource itself; a secret is `{"$secret": "name@version"}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<String, Value>,
    /// Who fetches its repository; nobody in particular when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<RepositoryLogin>,
}

/// A built thing: always the very same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// `sha256:…` of the stored archive.
    pub digest: String,
    /// The build that made it.
    pub build: String,
    /// The build service, by its id in documents.
    pub service: String,
    /// The commit that was built, 40 hex digits.
    pub commit: String,
    /// The branch that was built.
    pub branch: String,
}

/// A backup that a node may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupPin {
    /// The addon, by its id in documents.
    pub addon: String,
    /// `sha256:…` of the stored dump.
    pub digest: String,
}
