//! The stream `project-<id>`: resources, pipelines, stages, members, flows and their versions. One
//! consistency boundary, so that "a resource is in at most one pipeline" is a single decision.
//! Written by the pipelines service.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{FlowId, HookId, PipelineId, ResourceId, RunId, SecretRef};

stream_events! {
    /// What happens in a project.
    pub enum Event, upcast upcast {
        /// A resource was made or changed.
        ResourceApplied = "project.resource_applied", 1;
        /// A resource is no longer.
        ResourceDeleted = "project.resource_deleted", 1;
        /// A pipeline was made or changed, its flows apart.
        PipelineApplied = "project.pipeline_applied", 1;
        /// A pipeline is no longer; its resources go on.
        PipelineDeleted = "project.pipeline_deleted", 1;
        /// A resource became a member of a stage.
        MemberAdded = "project.member_added", 1;
        /// A resource left its stage; it goes on running.
        MemberRemoved = "project.member_removed", 1;
        /// A flow has a new version.
        FlowPublished = "project.flow_published", 1;
        /// An argument of a flow was overridden; the value is in the secrets' home.
        OverrideSet = "project.override_set", 1;
        /// A repository, or a flow, got an address for webhooks; its secret is in the secrets' home.
        HookCreated = "project.hook_created", 1;
        /// A flow's triggers start nothing from now on.
        FlowPaused = "project.flow_paused", 1;
        /// A flow's triggers start runs again.
        FlowResumed = "project.flow_resumed", 1;
        /// A hook has one more secret that its deliveries may be signed with.
        HookRotated = "project.hook_rotated", 1;
        /// Secrets of a hook count no more.
        HookRetired = "project.hook_retired", 1;
        /// A resource takes a build by itself: the newest of the branch that it follows.
        BuildFollowed = "project.build_followed", 1;
        /// A resource takes no more builds by itself: somebody has released something there.
        CdSwitchedOff = "project.cd_switched_off", 1;
        /// A job is due: what it runs was changed.
        JobDue = "project.job_due", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceKind {
    /// Builds a repository's branches and pull requests.
    BuildService,
    /// Runs what was built elsewhere.
    DeploymentService,
    /// Builds and runs one branch.
    CombinedService,
    /// Runs something once, when asked.
    ManualJob,
    /// Runs something on a schedule.
    CronJob,
    /// A managed database.
    Addon,
    /// A set of variables for services and jobs.
    SecretGroup,
}

impl ResourceKind {
    /// The word in stage members and release targets: `service`, `job`, `addon` or `secretGroup`.
    #[must_use]
    pub const fn member_type(self) -> &'static str {
        match self {
            Self::BuildService | Self::DeploymentService | Self::CombinedService => "service",
            Self::ManualJob | Self::CronJob => "job",
            Self::Addon => "addon",
            Self::SecretGroup => "secretGroup",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// See [`Event::ResourceApplied`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceApplied {
    /// The resource.
    pub resource: ResourceId,
    /// Its id in documents: the slug of its name.
    pub slug: String,
    /// What it is.
    pub kind: ResourceKind,
    /// The document's `spec`, secret values replaced by `{"$secret": "name@version"}`.
    pub spec: Value,
    /// Public ports by the name of the port, given once and kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
}

/// See [`Event::ResourceDeleted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDeleted {
    /// The resource.
    pub resource: ResourceId,
    /// Its id in documents.
    pub slug: String,
}

/// See [`Event::PipelineApplied`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineApplied {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its id in documents: the slug of its name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What people said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its stages in their order.
    pub stages: Vec<Stage>,
}

/// A stage: its name and the flow that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name: `Development`.
    pub name: String,
    /// The id of its flow, given with the stage and kept.
    pub flow: FlowId,
}

/// See [`Event::PipelineDeleted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineDeleted {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its id in documents.
    pub slug: String,
    /// The flows that went with it.
    pub flows: Vec<FlowId>,
}

/// See [`Event::MemberAdded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberAdded {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The stage's name.
    pub stage: String,
    /// The resource.
    pub resource: ResourceId,
}

/// See [`Event::MemberRemoved`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRemoved {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The stage's name.
    pub stage: String,
    /// The resource.
    pub resource: ResourceId,
}

/// See [`Event::FlowPublished`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowPublished {
    /// The flow.
    pub flow: FlowId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The stage's name.
    pub stage: String,
    /// 1 for the first version.
    pub version: u32,
    /// The release flow's document: `{apiVersion, arguments, options, triggers, spec}`.
    pub document: Value,
    /// Why there is a new version, in words; for one made by removing a member, what was taken out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// See [`Event::OverrideSet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideSet {
    /// The flow.
    pub flow: FlowId,
    /// The argument.
    pub argument: String,
    /// Where the value is, if it is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// The value, if it was marked plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Value>,
}

/// See [`Event::FlowPaused`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowPaused {
    /// The flow.
    pub flow: FlowId,
    /// Why, in a person's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// See [`Event::FlowResumed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowResumed {
    /// The flow.
    pub flow: FlowId,
}

/// See [`Event::HookCreated`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookCreated {
    /// The hook: 128 random bits, the last part of its address.
    pub hook: HookId,
    /// What comes to it.
    pub source: HookSource,
    /// The secret that deliveries are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// More settings of the source.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

/// See [`Event::HookRotated`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRotated {
    /// The hook.
    pub hook: HookId,
    /// The new secret; those before it count until they are retired.
    pub secret: SecretRef,
}

/// See [`Event::HookRetired`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRetired {
    /// The hook.
    pub hook: HookId,
    /// The secrets that no delivery may be signed with any more.
    pub secrets: Vec<SecretRef>,
}

/// What comes to a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum HookSource {
    /// What happens in a repository, signed.
    #[serde(rename_all = "camelCase")]
    Git {
        /// The repository, as the triggers name it.
        repo_url: String,
    },
    /// Starts one flow; the address is the credential.
    Flow {
        /// The flow.
        flow: FlowId,
    },
}

/// See [`Event::BuildFollowed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildFollowed {
    /// The service or job.
    pub resource: ResourceId,
    /// Its id in documents.
    pub slug: String,
    /// What it is.
    pub kind: ResourceKind,
    /// The build.
    pub build: String,
    /// The branch that was built.
    pub branch: String,
    /// The commit that was built.
    pub commit: String,
    /// The run that built it.
    pub run: RunId,
}

/// See [`Event::CdSwitchedOff`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdSwitchedOff {
    /// The service or job.
    pub resource: ResourceId,
    /// Its id in documents.
    pub slug: String,
    /// The run that released something there.
    pub run: RunId,
}

/// See [`Event::JobDue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDue {
    /// The job.
    pub resource: ResourceId,
    /// Its id in documents.
    pub slug: String,
    /// The run that gave it another build.
    pub run: RunId,
}
