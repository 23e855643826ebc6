//! What a project is now: the fold of its stream.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use shipway_documents::names::slug;
use shipway_events::{
    FlowId, HookId, PipelineId, ResourceId, SecretRef,
    project::{Event, HookSource, ResourceKind, Stage},
};

use super::delivery::{Delivery, source};

/// A project's resources, pipelines, members, flows, overrides and hooks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ProjectState {
    /// Resources by slug.
    pub(crate) resources: BTreeMap<String, Resource>,
    /// Pipelines by slug.
    pub(crate) pipelines: BTreeMap<String, Pipeline>,
    /// Where resources are members.
    pub(crate) members: BTreeMap<ResourceId, Membership>,
    /// Flows of the pipelines that there are, published or not.
    pub(crate) flows: BTreeMap<FlowId, Flow>,
    /// Overrides by flow and argument.
    pub(crate) overrides: BTreeMap<FlowId, BTreeMap<String, Override>>,
    /// Webhooks.
    pub(crate) hooks: BTreeMap<HookId, Hook>,
    /// Flows that people paused, with why.
    pub(crate) paused: BTreeMap<FlowId, String>,
}

/// A service, job, addon or secret group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    /// Its id.
    pub(crate) id: ResourceId,
    /// Its slug.
    pub(crate) slug: String,
    /// What it is.
    pub(crate) kind: ResourceKind,
    /// The document's `spec`, secrets by name.
    pub(crate) spec: Value,
    /// Public ports by the port's name.
    pub(crate) ports: BTreeMap<String, u16>,
    /// How often it was made or changed.
    pub(crate) revision: u32,
    /// What has become of its continuous delivery.
    pub(crate) delivery: Delivery,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hook {
    /// Its id: the last part of its address.
    pub(crate) id: HookId,
    /// What comes to it.
    pub(crate) source: HookSource,
    /// The secrets that deliveries may be signed with, oldest first.
    pub(crate) secrets: Vec<SecretRef>,
}

impl Resource {
    /// Whether what it runs comes straight from a Git branch.
    pub(crate) fn builds_from_git(&self) -> bool {
        builds_from_git(self.kind, &self.spec)
    }
}

/// Whether a resource of that kind and spec runs what a Git branch holds.
pub(super) fn builds_from_git(kind: ResourceKind, spec: &Value) -> bool {
    match kind {
        ResourceKind::CombinedService => true,
        ResourceKind::ManualJob | ResourceKind::CronJob => {
            let given = |pointer| spec.pointer(pointer).is_some_and(|value| !value.is_null());
            given("/deployment/vcs") || given("/vcsData")
        }
        _ => false,
    }
}

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pipeline {
    /// Its id.
    pub(crate) id: PipelineId,
    /// Its slug.
    pub(crate) slug: String,
    /// Its name.
    pub(crate) name: String,
    /// What people say about it.
    pub(crate) description: String,
    /// Its stages in their order.
    pub(crate) stages: Vec<Stage>,
}

impl Pipeline {
    /// The stage before this one.
    pub(crate) fn before(&self, stage: &str) -> Option<&Stage> {
        let at = self.stages.iter().position(|other| other.name == stage)?;
        self.stages.get(at.checked_sub(1)?)
    }
}

/// The stage that a resource is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The pipeline.
    pub(crate) pipeline: PipelineId,
    /// The stage's name.
    pub(crate) stage: String,
}

/// A stage's flow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flow {
    /// Its id.
    pub(crate) id: FlowId,
    /// Its pipeline's slug.
    pub(crate) pipeline: String,
    /// Its stage's name.
    pub(crate) stage: String,
    /// Its versions, oldest first; none while nothing was published. They never change, so that states share them.
    pub(crate) versions: Vec<Arc<FlowVersion>>,
}

impl Flow {
    /// The newest version.
    pub(crate) fn newest(&self) -> Option<&FlowVersion> {
        self.versions.last().map(AsRef::as_ref)
    }

    /// The name that people use: `shop/production`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.pipeline, slug(&self.stage))
    }
}

/// A version of a flow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlowVersion {
    /// 1 for the first.
    pub(crate) version: u32,
    /// The document.
    pub(crate) document: Value,
    /// Why it was made.
    pub(crate) reason: String,
}

/// The value of an overridden argument.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Override {
    /// In the secrets' home.
    Secret(SecretRef),
    /// Here.
    Plain(Value),
}

impl ProjectState {
    /// The resource of that id.
    pub(crate) fn resource(&self, id: ResourceId) -> Option<&Resource> {
        self.resources.values().find(|resource| resource.id == id)
    }

    /// The pipeline of that id.
    pub(crate) fn pipeline(&self, id: PipelineId) -> Option<&Pipeline> {
        self.pipelines.values().find(|pipeline| pipeline.id == id)
    }

    /// Where a resource is a member, as people say it: `shop/Staging`.
    pub(crate) fn stage_of(&self, resource: ResourceId) -> Option<String> {
        let membership = self.members.get(&resource)?;
        let pipeline = self.pipeline(membership.pipeline)?;
        Some(format!("{}/{}", pipeline.slug, membership.stage))
    }

    /// The members of a stage, by slug.
    pub(crate) fn members_of<'a>(
        &'a self,
        pipeline: PipelineId,
        stage: &'a str,
    ) -> impl Iterator<Item = &'a Resource> {
        self.resources.values().filter(move |resource| {
            self.members
                .get(&resource.id)
                .is_some_and(|membership| membership.pipeline == pipeline && membership.stage == stage)
        })
    }

    /// Whether a flow's triggers start nothing: a person or its document says so.
    pub(crate) fn is_paused(&self, flow: &Flow) -> bool {
        let by_document = flow.newest().is_some_and(|newest| super::is_paused(&newest.document));
        by_document || self.paused.contains_key(&flow.id)
    }

    /// The hook that this source comes to.
    pub(crate) fn hook_of(&self, source: &HookSource) -> Option<&Hook> {
        self.hooks.values().find(|hook| hook.source == *source)
    }
}

/// The state after an event.
pub(crate) fn evolve(mut state: ProjectState, event: &Event) -> ProjectState {
    match event {
        Event::ResourceApplied(e) => {
            let known = state.resources.get(&e.slug);
            let revision = known.map_or(0, |known| known.revision) + 1;
            // Another source, or one that was switched on, is followed anew.
            let same = known.filter(|known| source(known.kind, &known.spec) == source(e.kind, &e.spec));
            let delivery = same.map(|known| known.delivery.clone()).unwrap_or_default();
            let resource = Resource {
                id: e.resource,
                slug: e.slug.clone(),
                kind: e.kind,
                spec: e.spec.clone(),
                ports: e.ports.clone(),
                revision,
                delivery,
            };
            state.resources.insert(e.slug.clone(), resource);
        }
        Event::ResourceDeleted(e) => {
            state.resources.remove(&e.slug);
            state.members.remove(&e.resource);
        }
        Event::PipelineApplied(e) => {
            for stage in &e.stages {
                state.flows.entry(stage.flow).or_insert_with(|| Flow {
                    id: stage.flow,
                    pipeline: e.slug.clone(),
                    stage: stage.name.clone(),
                    versions: Vec::new(),
                });
            }
            let pipeline = Pipeline {
                id: e.pipeline,
                slug: e.slug.clone(),
                name: e.name.clone(),
                description: e.description.clone(),
                stages: e.stages.clone(),
            };
            state.pipelines.insert(e.slug.clone(), pipeline);
        }
        Event::PipelineDeleted(e) => {
            state.pipelines.remove(&e.slug);
            state.members.retain(|_, membership| membership.pipeline != e.pipeline);
            for flow in &e.flows {
                state.flows.remove(flow);
                state.overrides.remove(flow);
                state.paused.remove(flow);
            }
            state.hooks.retain(
                |_, hook| !matches!(&hook.source, HookSource::Flow { flow } if e.flows.contains(flow)),
            );
        }
        Event::MemberAdded(e) => {
            let membership = Membership { pipeline: e.pipeline, stage: e.stage.clone() };
            state.members.insert(e.resource, membership);
        }
        Event::MemberRemoved(e) => {
            state.members.remove(&e.resource);
        }
        Event::FlowPublished(e) => {
            if let Some(flow) = state.flows.get_mut(&e.flow) {
                flow.versions.push(Arc::new(FlowVersion {
                    version: e.version,
                    document: e.document.clone(),
                    reason: e.reason.clone(),
                }));
            }
        }
        Event::OverrideSet(e) => {
            let value = match (&e.secret, &e.plain) {
                (Some(secret), _) => Override::Secret(secret.clone()),
                (None, plain) => Override::Plain(plain.clone().unwrap_or_default()),
            };
            state.overrides.entry(e.flow).or_default().insert(e.argument.clone(), value);
        }
        Event::HookCreated(e) => {
            let secrets = e.secret.iter().cloned().collect();
            state.hooks.insert(e.hook, Hook { id: e.hook, source: e.source.clone(), secrets });
        }
        Event::HookRotated(e) => {
            if let Some(hook) = state.hooks.get_mut(&e.hook) {
                hook.secrets.push(e.secret.clone());
            }
        }
        Event::HookRetired(e) => {
            if let Some(hook) = state.hooks.get_mut(&e.hook) {
                hook.secrets.retain(|secret| !e.secrets.contains(secret));
            }
        }
        Event::FlowPaused(e) => {
            state.paused.insert(e.flow, e.reason.clone());
        }
        Event::FlowResumed(e) => {
            state.paused.remove(&e.flow);
        }
        Event::BuildFollowed(e) => {
            if let Some(resource) = state.resources.get_mut(&e.slug) {
                resource.delivery.followed = Some(e.build.clone());
            }
        }
        Event::CdSwitchedOff(e) => {
            if let Some(resource) = state.resources.get_mut(&e.slug) {
                resource.delivery.switched_off = Some(e.run);
            }
        }
        Event::JobDue(_) => {}
    }
    state
}
