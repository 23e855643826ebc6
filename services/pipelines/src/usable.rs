//! Which resources a stage's flow may name, and why it may not name the others. Pure.

use std::{borrow::Cow, collections::BTreeMap};

use shipway_documents::{Problems, flow::Flow as Document};
use shipway_events::{FlowId, project::ResourceKind};
use shipway_nodes::{
    StageContext,
    validate::{self, Resource as Known, validate_flow_with},
};

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
        (ResourceKind::SecretGroup, ..) => Some(
            "it is a secret group: services and jobs get it by its restrictions, flows do not name it"
                .to_owned(),
        ),
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

/// What a flow of this stage may name.
pub(crate) fn stage_context<'a>(
    project: &'a Project,
    pipeline: &'a Pipeline,
    stage: &'a str,
) -> StageContext<'a> {
    let resources = usable(&project.state, pipeline, stage)
        .into_iter()
        .map(|usable| {
            let known = Known {
                kind: usable.resource.kind,
                stage: usable.stage.map(Cow::Borrowed),
                unusable: usable.unusable.map(Cow::Owned),
            };
            (Cow::Borrowed(usable.resource.slug.as_str()), known)
        })
        .collect();
    StageContext {
        stage: Cow::Borrowed(stage),
        previous: pipeline.before(stage).map(|before| Cow::Borrowed(before.name.as_str())),
        resources,
    }
}

/// What is wrong with a flow in its stage; `arguments` are those that overrides give, and whether each is secret.
pub(crate) fn validate(
    project: &Project,
    pipeline: &Pipeline,
    stage: &str,
    flow: &Document,
    arguments: BTreeMap<String, bool>,
) -> Problems {
    let context = stage_context(project, pipeline, stage);
    validate_flow_with(flow, &context, &validate::Known { project: Some(project.slug.clone()), arguments })
}

/// The arguments that a flow's overrides give, and whether each is secret.
pub(crate) fn overridden(project: &Project, flow: FlowId) -> BTreeMap<String, bool> {
    let overrides = project.state.overrides.get(&flow).into_iter().flatten();
    overrides.map(|(name, value)| (name.clone(), matches!(value, Override::Secret(_)))).collect()
}
