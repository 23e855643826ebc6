//! What people's names for projects, pipelines and flows stand for, and what was probably meant.

use std::sync::Arc;

use shipway_contracts::{Code, Error};
use shipway_documents::names::slug;
use shipway_events::{FlowId, ResourceId, project::ResourceKind};

use crate::{
    domain::{Flow, Pipeline, Resource, did_you_mean},
    world::{Project, Projects},
};

/// What a flow's name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Found<'a> {
    /// The flow of a stage.
    Stage(&'a Arc<Project>, &'a Pipeline, &'a Flow),
    /// The one-node flow of an addon.
    Addon(&'a Arc<Project>, &'a Resource),
    /// The one-node flow of a deployment service: it gets again what it has.
    Service(&'a Arc<Project>, &'a Resource),
    /// The one-node flow of a build service.
    Build(&'a Arc<Project>, &'a Resource),
    /// The one-node flow that gives a service or job the build that it follows.
    Follower(&'a Arc<Project>, &'a Resource),
    /// The one-node flow of a job.
    Job(&'a Arc<Project>, &'a Resource),
}

/// A project, a pipeline of it, or a stage of that: by their slugs, which are empty where all are meant.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) project: &'a Arc<Project>,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
}

/// The project of that slug or id. With an empty name the only project there is.
pub(crate) fn project<'a>(projects: &'a Projects, name: &str) -> Result<&'a Arc<Project>, Error> {
    let slugs = || projects.by_slug.keys().map(String::as_str);
    if name.is_empty() {
        let mut all = projects.by_slug.values();
        return match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Error::not_found("there is no project yet; declare one: `kind: Project`")),
            (Some(_), Some(_)) => {
                let known = shipway_documents::list(slugs());
                Err(Error::bad_request(format!("field `project` is empty; say which: there is {known}")))
            }
        };
    }
    projects.named(name).ok_or_else(|| {
        Error::not_found(format!("there is no project `{name}`.{}", did_you_mean(name, slugs())))
    })
}

/// The flow that a text names: an id, `pipeline/stage`, `project/pipeline/stage` or `addon/<project>/<slug>`. A
/// project that is given narrows `pipeline/stage` to it.
pub(crate) fn flow<'a>(projects: &'a Projects, within: &str, text: &str) -> Result<Found<'a>, Error> {
    if let Ok(id) = text.parse::<FlowId>() {
        return by_id(projects, id);
    }
    let parts: Vec<&str> = text.split('/').collect();
    match *parts.as_slice() {
        ["addon", of, addon] if projects.named(of).is_some() => {
            let of = project(projects, of)?;
            match of.state.resources.get(addon) {
                Some(found) if found.kind == ResourceKind::Addon => Ok(Found::Addon(of, found)),
                Some(found) => {
                    Err(Error::bad_request(format!("`{addon}` is a {}, not an addon", found.kind)))
                }
                None => {
                    let addons =
                        of.state.resources.values().filter(|known| known.kind == ResourceKind::Addon);
                    let meant = did_you_mean(addon, addons.map(|known| known.slug.as_str()));
                    Err(Error::not_found(format!("project {} has no addon `{addon}`.{meant}", of.slug)))
                }
            }
        }
        [kind @ ("cd" | "job"), of, resource] if projects.named(of).is_some() => {
            let of = project(projects, of)?;
            let found = of.state.resources.get(resource);
            let found =
                found.ok_or_else(|| Error::not_found(format!("project {} has no `{resource}`", of.slug)))?;
            match (kind, found.kind) {
                ("cd", _) => Ok(Found::Follower(of, found)),
                (_, ResourceKind::ManualJob | ResourceKind::CronJob) => Ok(Found::Job(of, found)),
                (_, other) => Err(Error::bad_request(format!("`{resource}` is a {other}, not a job"))),
            }
        }
        [of, pipeline, stage] => {
            let of = project(projects, of)?;
            in_project(of, pipeline, stage).ok_or_else(|| unknown(projects, of.slug.as_str(), text))
        }
        [pipeline, stage] => {
            let all = projects.by_slug.values();
            let narrowed = if within.is_empty() { None } else { Some(project(projects, within)?.id) };
            let mut found = all
                .filter(|of| narrowed.is_none_or(|id| id == of.id))
                .filter_map(|of| in_project(of, pipeline, stage));
            match (found.next(), found.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err(unknown(projects, within, text)),
                (Some(first), Some(second)) => {
                    let names: Vec<String> = [first, second].iter().map(Found::long_name).collect();
                    Err(Error::bad_request(format!(
                        "`{text}` is in several projects; say `{}`",
                        names.join("` or `")
                    )))
                }
            }
        }
        _ => Err(unknown(projects, within, text)),
    }
}

impl Found<'_> {
    fn long_name(&self) -> String {
        match self {
            Self::Stage(project, _, flow) => format!("{}/{}", project.slug, flow.path()),
            Self::Addon(project, addon) => format!("addon/{}/{}", project.slug, addon.slug),
            Self::Service(project, service) => format!("service/{}/{}", project.slug, service.slug),
            Self::Build(project, service) => format!("build/{}/{}", project.slug, service.slug),
            Self::Follower(project, resource) => format!("cd/{}/{}", project.slug, resource.slug),
            Self::Job(project, job) => format!("job/{}/{}", project.slug, job.slug),
        }
    }
}

/// The part of a project that a text stands for: `project`, `pipeline/*`, `pipeline/stage`, or the latter two after
/// `project/`.
pub(crate) fn scope<'a>(projects: &'a Projects, text: &str) -> Result<Part<'a>, Error> {
    let part = |project, pipeline: &str, stage| Part { project, pipeline: pipeline.to_owned(), stage };
    let parts: Vec<&str> = text.split('/').collect();
    let (within, pipeline) = match *parts.as_slice() {
        [name] => return Ok(part(project(projects, name)?, "", String::new())),
        [pipeline, "*"] => ("", pipeline),
        [of, pipeline, "*"] => (of, pipeline),
        _ => {
            return match flow(projects, "", text)? {
                Found::Stage(of, pipeline, flow) => Ok(part(of, &pipeline.slug, slug(&flow.stage))),
                other => Err(Error::bad_request(format!(
                    "`{}` is no stage: name `<project>`, `<pipeline>/*` or `<pipeline>/<stage>`",
                    other.long_name()
                ))),
            };
        }
    };
    let narrowed = if within.is_empty() { None } else { Some(project(projects, within)?.id) };
    let all = || projects.by_slug.values().filter(|of| narrowed.is_none_or(|id| id == of.id));
    let mut found = all().filter(|of| of.state.pipelines.contains_key(pipeline));
    match (found.next(), found.next()) {
        (Some(of), None) => Ok(part(of, pipeline, String::new())),
        (None, _) => {
            let known = all().flat_map(|of| of.state.pipelines.keys());
            let meant = did_you_mean(pipeline, known.map(String::as_str));
            Err(Error::not_found(format!("there is no pipeline `{pipeline}`.{meant}")))
        }
        (Some(first), Some(second)) => Err(Error::bad_request(format!(
            "`{text}` is in several projects; say `{}/{text}` or `{}/{text}`",
            first.slug, second.slug
        ))),
    }
}

/// The services and jobs of a stage, or of all stages of a pipeline, by their slugs.
pub(crate) fn members(project: &Project, pipeline: &str, stage: &str) -> Vec<String> {
    let Some(pipeline) = project.state.pipelines.get(pipeline) else { return Vec::new() };
    let stages = pipeline.stages.iter().filter(|known| stage.is_empty() || slug(&known.name) == stage);
    let members = stages.flat_map(|stage| project.state.members_of(pipeline.id, &stage.name));
    members.map(|member| member.slug.clone()).collect()
}

fn by_id(projects: &Projects, id: FlowId) -> Result<Found<'_>, Error> {
    if let Some((project, flow)) = projects.flow(id)
        && let Some(pipeline) = project.state.pipelines.get(&flow.pipeline)
    {
        return Ok(Found::Stage(project, pipeline, flow));
    }
    let resource = ResourceId::new(id.uuid());
    projects
        .by_slug
        .values()
        .find_map(|project| {
            let found = project.state.resource(resource)?;
            match found.kind {
                ResourceKind::Addon => Some(Found::Addon(project, found)),
                ResourceKind::DeploymentService => Some(Found::Service(project, found)),
                ResourceKind::BuildService => Some(Found::Build(project, found)),
                ResourceKind::ManualJob | ResourceKind::CronJob => Some(Found::Job(project, found)),
                _ => None,
            }
        })
        .ok_or_else(|| Error::not_found(format!("there is no flow {id}; its pipeline may have been deleted")))
}

fn in_project<'a>(project: &'a Arc<Project>, pipeline: &str, stage: &str) -> Option<Found<'a>> {
    let pipeline = project.state.pipelines.get(pipeline)?;
    let wanted = slug(stage);
    let stage = pipeline.stages.iter().find(|known| slug(&known.name) == wanted)?;
    Some(Found::Stage(project, pipeline, project.state.flows.get(&stage.flow)?))
}

fn unknown(projects: &Projects, within: &str, text: &str) -> Error {
    let known: Vec<(String, String)> = projects
        .by_slug
        .values()
        .filter(|project| within.is_empty() || project.slug == within || project.id.to_string() == within)
        .flat_map(|project| project.state.flows.values().map(|flow| (project.slug.clone(), flow.path())))
        .collect();
    let long = text.matches('/').count() > 1;
    let names: Vec<String> = known
        .into_iter()
        .map(|(project, path)| if long { format!("{project}/{path}") } else { path })
        .collect();
    let meant = did_you_mean(text, names.iter().map(String::as_str));
    let help = if names.is_empty() {
        " No pipeline has been applied yet.".to_owned()
    } else if meant.is_empty() {
        format!(" There is {}.", shipway_documents::list(names.iter().map(String::as_str)))
    } else {
        meant
    };
    Error::new(Code::NotFound, format!("there is no flow `{text}`.{help}"))
}

/// A stage's flow that nobody has published.
pub(crate) fn unpublished(flow: &Flow) -> Error {
    Error::new(
        Code::FailedPrecondition,
        format!(
            "{} has no release flow yet; declare one: `releaseFlow` of the stage {} in the pipeline's document",
            flow.path(),
            flow.stage
        ),
    )
}
