//! What events changed, in words. Made from the events and the project before them alone, so that a command that
//! comes again is answered the same.

use shipway_contracts::v1::{Change, change::Verb};
use shipway_events::project::{Event, HookSource};

use crate::{
    domain::{ProjectState, evolve, member_removal},
    world::Project,
};

/// A line of a reply.
pub(crate) fn change(
    verb: Verb,
    kind: impl Into<String>,
    id: impl Into<String>,
    note: impl Into<String>,
) -> Change {
    Change { verb: verb.into(), kind: kind.into(), id: id.into(), note: note.into() }
}

/// What each event changed.
pub(crate) fn changes(before: &Project, events: &[Event]) -> Vec<Change> {
    let mut state = before.state.clone();
    let mut changes = Vec::new();
    for event in events {
        let created = |new: bool| if new { Verb::Create } else { Verb::Update };
        match event {
            Event::ResourceApplied(e) => {
                let known = state.resources.get(&e.slug);
                let ports: Vec<String> = e
                    .ports
                    .iter()
                    .filter(|(name, _)| !known.is_some_and(|known| known.ports.contains_key(*name)))
                    .map(|(name, port)| format!("port {port} ({name})"))
                    .collect();
                changes.push(change(created(known.is_none()), e.kind.to_string(), &e.slug, ports.join(", ")));
            }
            Event::ResourceDeleted(e) => {
                changes.push(change(Verb::Remove, "Resource", &e.slug, ""));
            }
            Event::PipelineApplied(e) => {
                let stages: Vec<&str> = e.stages.iter().map(|stage| stage.name.as_str()).collect();
                let verb = created(!state.pipelines.contains_key(&e.slug));
                changes.push(change(verb, "Pipeline", &e.slug, format!("stages {}", stages.join(", "))));
            }
            Event::PipelineDeleted(e) => {
                let pipeline = state.pipelines.get(&e.slug);
                changes.push(change(Verb::Remove, "Pipeline", &e.slug, ""));
                for stage in pipeline.iter().flat_map(|pipeline| &pipeline.stages) {
                    let place = format!("{}/{}", e.slug, stage.name);
                    if let Some(flow) = state.flows.get(&stage.flow).filter(|flow| flow.newest().is_some()) {
                        changes.push(change(
                            Verb::Remove,
                            "Flow",
                            flow.path(),
                            "queued runs end with this reason",
                        ));
                    }
                    for member in state.members_of(e.pipeline, &stage.name) {
                        let id = format!("{place} {}", member.slug);
                        changes.push(change(Verb::Remove, "Member", id, "the resource goes on running"));
                    }
                }
            }
            Event::MemberAdded(e) => {
                let slug = state.resource(e.resource).map_or_else(String::new, |found| found.slug.clone());
                let pipeline = state.pipeline(e.pipeline).map_or("", |pipeline| &pipeline.slug);
                changes.push(change(Verb::Create, "Member", format!("{pipeline}/{} {slug}", e.stage), ""));
            }
            Event::MemberRemoved(e) => {
                let Some(resource) = state.resource(e.resource) else { continue };
                let place = state.stage_of(e.resource).unwrap_or_default();
                let id = format!("{place} {}", resource.slug);
                changes.push(change(Verb::Remove, "Member", id, "the resource goes on running"));
                let removal = member_removal(&state, &resource.slug);
                for flow in removal.into_iter().flat_map(|removal| removal.flows) {
                    for node in &flow.nodes {
                        let id = format!("{} {} (ref {})", flow.path, node.pointer, node.reference);
                        let note = format!("{}: {}", node.kind, node.reason);
                        changes.push(change(Verb::Remove, "FlowNode", id, note));
                    }
                }
            }
            Event::FlowPublished(e) => {
                let path = state.flows.get(&e.flow).map_or_else(String::new, crate::domain::Flow::path);
                let note = format!("version {}", e.version);
                changes.push(change(created(e.version == 1), "Flow", path, note));
            }
            Event::OverrideSet(e) => {
                let path = state.flows.get(&e.flow).map_or_else(String::new, crate::domain::Flow::path);
                let known = state.overrides.get(&e.flow).is_some_and(|all| all.contains_key(&e.argument));
                let id = format!("{path} {}", e.argument);
                changes.push(change(created(!known), "Override", id, ""));
            }
            Event::HookCreated(e) => {
                changes.push(change(Verb::Create, "Hook", hook_of(&state, &e.source), ""));
            }
            Event::HookRotated(e) => {
                if let Some(hook) = state.hooks.get(&e.hook) {
                    let of = hook_of(&state, &hook.source);
                    changes.push(change(Verb::Update, "Hook", of, "one more secret"));
                }
            }
            Event::HookRetired(e) => {
                if let Some(hook) = state.hooks.get(&e.hook) {
                    let note = format!("{} secrets less", e.secrets.len());
                    changes.push(change(Verb::Update, "Hook", hook_of(&state, &hook.source), note));
                }
            }
            Event::FlowPaused(e) => {
                let path = state.flows.get(&e.flow).map_or_else(String::new, crate::domain::Flow::path);
                changes.push(change(Verb::Update, "Flow", path, "its triggers start nothing"));
            }
            Event::FlowResumed(e) => {
                let path = state.flows.get(&e.flow).map_or_else(String::new, crate::domain::Flow::path);
                changes.push(change(Verb::Update, "Flow", path, "its triggers start runs"));
            }
            // Nobody asked for these: they follow from runs.
            Event::BuildFollowed(_) | Event::CdSwitchedOff(_) | Event::JobDue(_) => {}
        }
        state = evolve(state, event);
    }
    changes
}

/// The repository or the flow of a hook.
fn hook_of(state: &ProjectState, source: &HookSource) -> String {
    match source {
        HookSource::Git { repo_url } => repo_url.clone(),
        HookSource::Flow { flow } => {
            state.flows.get(flow).map_or_else(|| flow.to_string(), crate::domain::Flow::path)
        }
    }
}
