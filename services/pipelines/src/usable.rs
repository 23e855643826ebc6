//! Which resources a stage's flow may name, and why it may not name the others. Pure.

use std::collections::BTreeMap;

use shipway_events::{FlowId, project::ResourceKind};
use shipway_nodes::{PreviousStage, StageContext};

use crate::{
    domain::{Override, Pipeline, ProjectState, Resource},
    world::Project,
};

/// A resource as a stage's flow sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Usable<'a> {
    /// The resource.
    pub(crate) resource: &'a Resource,
    /// The stage of this pipeline that it is a member of.
    pub(crate) stage: Option<&'a str>,
    /// Why the flow may not use it.
    pub(crate) unusable: Option<String>,
}

/// Every resource of the project, by slug, as the flow of this stage sees it.
pub(crate) fn usable<'a>(state: &'a ProjectState, pipeline: &'a Pipeline, stage: &str) -> Vec<Usable<'a>> {
    let previous = pipeline.before(stage).map(|before| before.name.as_str());
    state.resources.values().map(|resource| look(state, pipeline, stage, previous, resource)).collect()
}

fn look<'a>(
    state: &'a ProjectState,
    pipeline: &'a Pipeline,
    stage: &str,
    previous: Option<&str>,
    resource: &'a Resource,
) -> Usable<'a> {
    let (slug, kind) = (&resource.slug, resource.kind);
    let membership = state.members.get(&resource.id);
    let here = membership.filter(|membership| membership.pipeline == pipeline.id);
    let name = &pipeline.name;
    let unusable = match (kind, here, membership) {
        (ResourceKind::BuildService | ResourceKind::CombinedService, ..) => None,
        (ResourceKind::SecretGroup, ..) => {
            Some("it is a secret group: services and jobs get it by its restrictions, flows do not name it".to_owned())
        }
        (_, Some(member), _) if member.stage == stage || Some(member.stage.as_str()) == previous => None,
        (_, Some(member), _) => Some(match previous {
            Some(previous) => format!(
                "it is a member of {name}/{}; a flow of {stage} manages members of {stage} and promotes from {previous}",
                member.stage
            ),
            None => format!(
                "it is a member of {name}/{}; a flow of {stage} manages members of {stage}, and as the first stage it \
                 promotes from none",
                member.stage
            ),
        }),
        (_, None, Some(_)) => {
            let place = state.stage_of(resource.id).unwrap_or_default();
            Some(format!("it is a member of {place}, which is another pipeline"))
        }
        (_, None, None) => Some(format!(
            "it is in no stage; put `{{id: {slug}, type: {}}}` into the `nfObjects` of {name}/{stage}",
            kind.member_type()
        )),
    };
    Usable { resource, stage: here.map(|member| member.stage.as_str()), unusable }
}

/// What the rules of nodes need to know of the flow's stage.
pub(crate) fn context(project: &Project, pipeline: &Pipeline, stage: &str, flow: FlowId) -> StageContext {
    let previous = pipeline.before(stage).map(|before| before.name.clone());
    let mut context = StageContext {
        stage: stage.to_owned(),
        project: Some(project.slug.clone()),
        previous: previous
            .clone()
            .map(|stage| PreviousStage { stage, members: BTreeMap::new() }),
        ..StageContext::default()
    };
    for usable in usable(&project.state, pipeline, stage) {
        let (slug, kind) = (usable.resource.slug.clone(), usable.resource.kind);
        match (usable.unusable, usable.stage, &mut context.previous) {
            (Some(why), ..) => drop(context.others.insert(slug, why)),
            (None, Some(member), _) if member == stage => drop(context.members.insert(slug, kind)),
            (None, Some(_), Some(previous)) => drop(previous.members.insert(slug, kind)),
            (None, ..) => drop(context.build_services.insert(slug)),
        }
    }
    for (argument, value) in project.state.overrides.get(&flow).into_iter().flatten() {
        context.arguments.insert(argument.clone());
        if matches!(value, Override::Secret(_)) {
            context.secret_arguments.insert(argument.clone());
        }
    }
    context
}
