//! Making and changing a pipeline: its stages, who may be a member, and new flow versions.

use std::collections::{BTreeMap, BTreeSet};

use shipway_documents::names;
use shipway_events::{
    FlowId, PipelineId, ResourceId,
    project::{Event, FlowPublished, MemberAdded, PipelineApplied, ResourceKind, Stage},
};

use super::{
    ApplyPipeline, MemberWish, ProjectState, Refusal, Rejection, StageWish, Why, names as own_names,
    state::{Pipeline, Resource},
};

/// The stages of a pipeline that names none of its own.
const DEFAULT_STAGES: [&str; 3] = ["Development", "Staging", "Production"];

/// Upsert by slug. Members and stages are only added, flows only published where their document changed.
pub(super) fn apply(state: &ProjectState, wish: &ApplyPipeline) -> Result<Vec<Event>, Rejection> {
    let known = state.pipelines.get(&wish.slug);
    let id = known.map_or(wish.id, |pipeline| pipeline.id);
    let mut refusals = Vec::new();
    if known.is_none()
        && let Err(why) = own_names::check_pipeline(&wish.slug)
    {
        refusals.push(Refusal { pointer: "/spec/name".to_owned(), why });
    }
    let stages = stages(known, wish, &mut refusals);
    let added = members(state, id, wish, &mut refusals);
    Rejection::unless_none(refusals)?;

    let mut events = Vec::new();
    let applied = PipelineApplied {
        pipeline: id,
        slug: wish.slug.clone(),
        name: wish.name.clone(),
        description: wish.description.clone(),
        stages,
    };
    if !known.is_some_and(|known| is_as(known, &applied)) {
        events.push(applied.clone().into());
    }
    events.extend(added.into_iter().map(Event::from));
    events.extend(flows(state, &applied, &wish.stages));
    Ok(events)
}

fn is_as(known: &Pipeline, applied: &PipelineApplied) -> bool {
    known.name == applied.name && known.description == applied.description && known.stages == applied.stages
}

/// The stages after the change, each with its flow's id: given once and kept.
fn stages(known: Option<&Pipeline>, wish: &ApplyPipeline, refusals: &mut Vec<Refusal>) -> Vec<Stage> {
    let mut names: Vec<&str> = wish.stages.iter().map(|stage| stage.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for stage in &wish.stages {
        let pointer = format!("{}/name", stage.pointer);
        if !fits(&stage.name) {
            refusals
                .push(Refusal { pointer: pointer.clone(), why: Why::StageName { name: stage.name.clone() } });
        }
        if !seen.insert(names::slug(&stage.name)) {
            refusals.push(Refusal { pointer, why: Why::StageTwice { name: stage.name.clone() } });
        }
    }
    let usual = |names: &[&str]| names.iter().all(|name| DEFAULT_STAGES.contains(name));
    let known_names: Vec<&str> =
        known.iter().flat_map(|k| &k.stages).map(|stage| stage.name.as_str()).collect();
    if usual(&names) && usual(&known_names) {
        let mut order = names.clone();
        order.dedup();
        if !in_order(&DEFAULT_STAGES, &order) {
            refusals.push(order_refusal(&names, &DEFAULT_STAGES));
        }
        names = DEFAULT_STAGES.to_vec();
    }
    if !(2..=20).contains(&names.len()) {
        refusals
            .push(Refusal { pointer: "/spec/stages".into(), why: Why::StageCount { count: names.len() } });
    }
    let kept: Vec<&str> = names.iter().copied().filter(|name| known_names.contains(name)).collect();
    for name in known_names.iter().filter(|name| !names.contains(name)) {
        let why = Why::StageLeftOut { name: (*name).to_owned() };
        refusals.push(Refusal { pointer: "/spec/stages".into(), why });
    }
    if !in_order(&known_names, &kept) {
        refusals.push(order_refusal(&kept, &known_names));
    }
    let flows: BTreeMap<&str, FlowId> =
        known.iter().flat_map(|k| &k.stages).map(|stage| (stage.name.as_str(), stage.flow)).collect();
    let mut fresh = wish.new_flows.iter();
    names
        .into_iter()
        .filter_map(|name| {
            let flow = flows.get(name).or_else(|| fresh.next()).copied()?;
            Some(Stage { name: name.to_owned(), flow })
        })
        .collect()
}

fn fits(name: &str) -> bool {
    names::check(name, names::STAGE).is_ok()
}

/// Whether `some` (a part of `all`) stand in the order of `all`.
fn in_order(all: &[&str], some: &[&str]) -> bool {
    let mut rest = all.iter();
    some.iter().all(|name| rest.any(|other| other == name))
}

fn order_refusal(wanted: &[&str], now: &[&str]) -> Refusal {
    let why = Why::StageOrder { wanted: wanted.join(", "), now: now.join(", ") };
    Refusal { pointer: "/spec/stages".to_owned(), why }
}

/// The members that are new, every rule checked.
fn members(
    state: &ProjectState,
    pipeline: PipelineId,
    wish: &ApplyPipeline,
    refusals: &mut Vec<Refusal>,
) -> Vec<MemberAdded> {
    let mut added = Vec::new();
    let mut places: BTreeMap<ResourceId, &str> = BTreeMap::new();
    for stage in &wish.stages {
        for member in &stage.members {
            let resource = match candidate(state, member) {
                Ok(resource) => resource,
                Err(why) => {
                    refusals.push(Refusal { pointer: member.pointer.clone(), why });
                    continue;
                }
            };
            match place(state, pipeline, &wish.slug, stage, resource, &mut places) {
                Ok(true) => {
                    added.push(MemberAdded { pipeline, stage: stage.name.clone(), resource: resource.id });
                }
                Ok(false) => {}
                Err(why) => refusals.push(Refusal { pointer: member.pointer.clone(), why }),
            }
        }
    }
    added
}

/// The resource, if it may be a member of any stage.
fn candidate<'a>(state: &'a ProjectState, member: &MemberWish) -> Result<&'a Resource, Why> {
    if let Some(project) = &member.found_in {
        return Err(Why::OtherProject { id: member.id.clone(), project: project.clone() });
    }
    let resource = state.resources.get(&member.id).ok_or_else(|| Why::NoSuchResource {
        id: member.id.clone(),
        suggestion: own_names::did_you_mean(&member.id, state.resources.keys().map(String::as_str)),
    })?;
    let slug = resource.slug.clone();
    match resource.kind {
        ResourceKind::BuildService => return Err(Why::BuildServiceMember { slug }),
        ResourceKind::CombinedService => return Err(Why::CombinedServiceMember { slug }),
        ResourceKind::SecretGroup => return Err(Why::SecretGroupMember { slug }),
        ResourceKind::ManualJob | ResourceKind::CronJob if resource.builds_from_git() => {
            return Err(Why::GitJobMember { slug });
        }
        ResourceKind::DeploymentService
        | ResourceKind::ManualJob
        | ResourceKind::CronJob
        | ResourceKind::Addon => {}
    }
    let is = resource.kind.member_type();
    if !member.member_type.is_empty() && member.member_type != is {
        let (kind, said) = (resource.kind.to_string(), member.member_type.clone());
        return Err(Why::MemberType { slug, kind, is, said });
    }
    Ok(resource)
}

/// Whether the resource is new in the stage; refused if it is in another.
fn place<'a>(
    state: &ProjectState,
    pipeline: PipelineId,
    pipeline_slug: &str,
    stage: &'a StageWish,
    resource: &Resource,
    places: &mut BTreeMap<ResourceId, &'a str>,
) -> Result<bool, Why> {
    let slug = resource.slug.clone();
    if let Some(now) = state.members.get(&resource.id) {
        let place = state.stage_of(resource.id).unwrap_or_default();
        if now.pipeline != pipeline {
            return Err(Why::InOtherPipeline { slug, stage: place });
        }
        if now.stage != stage.name {
            return Err(Why::InOtherStage { slug, stage: place });
        }
        return Ok(false);
    }
    match places.insert(resource.id, &stage.name) {
        None => Ok(true),
        Some(same) if same == stage.name => Ok(false),
        Some(other) => Err(Why::InOtherStage { slug, stage: format!("{pipeline_slug}/{other}") }),
    }
}

/// New versions of the flows whose document changed.
fn flows<'a>(
    state: &'a ProjectState,
    applied: &'a PipelineApplied,
    wishes: &'a [StageWish],
) -> impl Iterator<Item = Event> + 'a {
    wishes.iter().filter_map(|wish| {
        let document = wish.flow.as_ref()?;
        let stage = applied.stages.iter().find(|stage| stage.name == wish.name)?;
        let newest = state.flows.get(&stage.flow).and_then(|flow| flow.newest());
        if newest.is_some_and(|newest| newest.document == *document) {
            return None;
        }
        let published = FlowPublished {
            flow: stage.flow,
            pipeline: applied.pipeline,
            stage: stage.name.clone(),
            version: newest.map_or(0, |newest| newest.version) + 1,
            document: document.clone(),
            reason: String::new(),
        };
        Some(published.into())
    })
}
