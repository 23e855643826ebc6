//! Continuous delivery: services and jobs that take the newest build of a branch by themselves, until somebody releases
//! something else there.

use serde_json::Value;
use shipway_events::{
    FlowId, ResourceId, RunId,
    plan::Artifact,
    project::{BuildFollowed, CdSwitchedOff, Event, JobDue, ResourceKind},
};

use super::{ProjectState, Resource};

/// What has become of a resource's continuous delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The run that switched it off.
    pub(crate) switched_off: Option<RunId>,
    /// The build that it took last.
    pub(crate) followed: Option<String>,
}

/// The build service and the branch whose newest build a resource of that spec takes by itself; none if it waits for
/// somebody to release one.
pub(crate) fn source(kind: ResourceKind, spec: &Value) -> Option<(&str, &str)> {
    let takes_builds =
        matches!(kind, ResourceKind::DeploymentService | ResourceKind::ManualJob | ResourceKind::CronJob);
    let is = |at: &str| spec.pointer(at).is_some_and(|value| *value == true || *value == "true");
    let off = is("/disabledCD") || is("/settings/disabledCD") || is("/deployment/releaseFlowControlled");
    if !takes_builds || off {
        return None;
    }
    let text = |at: &str| spec.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty());
    let pinned = |at: &str| text(at).is_some_and(|text| text != "latest");
    if pinned("/deployment/internal/buildId") || pinned("/deployment/internal/buildSHA") {
        return None;
    }
    Some((text("/deployment/internal/id")?, text("/deployment/internal/branch")?))
}

/// Whether a job runs when what it runs was changed: `runOnSourceChange`.
fn runs_on_change(resource: &Resource) -> bool {
    let job = matches!(resource.kind, ResourceKind::ManualJob | ResourceKind::CronJob);
    let policy = ["/runOnSourceChange", "/settings/runOnSourceChange"];
    let policy = policy.iter().find_map(|at| resource.spec.pointer(at).and_then(Value::as_str));
    job && matches!(policy, Some("cd-promote" | "always"))
}

impl Resource {
    /// The build service and the branch whose newest build it takes by itself now.
    pub(crate) fn follows(&self) -> Option<(&str, &str)> {
        source(self.kind, &self.spec).filter(|_| self.delivery.switched_off.is_none())
    }
}

/// What follows from a build: each that follows its branch takes it, once.
pub(super) fn built(state: &ProjectState, artifact: &Artifact, run: RunId) -> Vec<Event> {
    let newest = |resource: &&Resource| {
        resource.follows() == Some((artifact.service.as_str(), artifact.branch.as_str()))
            && resource.delivery.followed.as_ref() != Some(&artifact.build)
    };
    let followed = |resource: &Resource| {
        Event::from(BuildFollowed {
            resource: resource.id,
            slug: resource.slug.clone(),
            kind: resource.kind,
            build: artifact.build.clone(),
            branch: artifact.branch.clone(),
            commit: artifact.commit.clone(),
            run,
        })
    };
    state.resources.values().filter(newest).map(followed).collect()
}

/// What follows from a release: one that is not the resource's own switches its continuous delivery off, and a job that is
/// to run on each change is due.
pub(super) fn released(state: &ProjectState, target: ResourceId, flow: FlowId, run: RunId) -> Vec<Event> {
    let Some(resource) = state.resource(target) else { return Vec::new() };
    let (slug, own) = (resource.slug.clone(), flow.uuid() == target.uuid());
    let mut events = Vec::new();
    if !own && resource.follows().is_some() {
        events.push(CdSwitchedOff { resource: target, slug: slug.clone(), run }.into());
    }
    if runs_on_change(resource) {
        events.push(JobDue { resource: target, slug, run }.into());
    }
    events
}
