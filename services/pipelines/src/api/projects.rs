//! `shipway.v1.Projects`.

use std::sync::Arc;

use serde_json::Value;
use shipway_contracts::{
    Error,
    v1::{
        ApplyReply, ApplyRequest, ListHooksReply, ListHooksRequest, ListProjectsReply, ListProjectsRequest,
        ListResourcesReply, ListResourcesRequest, Project, Resource, RetireHookReply, RetireHookRequest,
        RotateHookReply, RotateHookRequest, SetOverrideReply, SetOverrideRequest, projects_server::Projects,
    },
};
use shipway_documents::flow::Flow as Document;
use shipway_events::Meta;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{made::made, page};
use crate::{
    apply::hook_shown,
    change::{Shared, refused, secret_error},
    domain::{Command, Flow, Override, Pipeline, Rejection, SetOverride, Why},
    lookup::{self, Found},
    senders::Services,
    usable::{self, overridden},
    world,
};

/// `shipway.v1.Projects`.
#[derive(Clone)]
pub struct ProjectsApi {
    pub(crate) shared: Arc<Shared>,
}

/// The shortest value that can be kept out of logs.
const SHORTEST_SECRET: usize = 6;

#[tonic::async_trait]
impl Projects for ProjectsApi {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.apply(request.get_ref(), meta).await?))
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsReply>, Status> {
        let projects = self.shared.world.now();
        let all = projects.by_slug.values().map(|project| {
            let shown = Project {
                id: project.id.to_string(),
                slug: project.slug.clone(),
                name: project.name.clone(),
                description: project.description.clone(),
            };
            (project.slug.clone(), shown)
        });
        let (projects, next) = page(all, request.get_ref().page.as_ref());
        Ok(Response::new(ListProjectsReply { projects, next }))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesReply>, Status> {
        let projects = self.shared.world.now();
        let project = lookup::project(&projects, &request.get_ref().project)?;
        let all = project.state.resources.values().map(|resource| {
            let shown = Resource {
                id: resource.id.to_string(),
                slug: resource.slug.clone(),
                kind: resource.kind.to_string(),
                spec_json: resource.spec.to_string(),
                ports: resource.ports.iter().map(|(name, port)| (name.clone(), u32::from(*port))).collect(),
                stage: project.state.stage_of(resource.id).unwrap_or_default(),
            };
            (resource.slug.clone(), shown)
        });
        let (resources, next) = page(all, request.get_ref().page.as_ref());
        Ok(Response::new(ListResourcesReply { resources, next }))
    }

    async fn set_override(
        &self,
        request: Request<SetOverrideRequest>,
    ) -> Result<Response<SetOverrideReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let request = request.into_inner();
        let value = Zeroizing::new(request.value.clone());
        let position = self.shared.set_override(&request, value, meta).await?;
        Ok(Response::new(SetOverrideReply { position }))
    }

    async fn list_hooks(
        &self,
        request: Request<ListHooksRequest>,
    ) -> Result<Response<ListHooksReply>, Status> {
        let projects = self.shared.world.now();
        let project = lookup::project(&projects, &request.get_ref().project)?;
        let services = Services::of(&project.state);
        let hooks = project.state.hooks.values().map(|hook| hook_shown(project, &services, hook)).collect();
        Ok(Response::new(ListHooksReply { hooks }))
    }

    async fn rotate_hook(
        &self,
        request: Request<RotateHookRequest>,
    ) -> Result<Response<RotateHookReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.rotate_hook(request.into_inner(), meta).await?))
    }

    async fn retire_hook(
        &self,
        request: Request<RetireHookRequest>,
    ) -> Result<Response<RetireHookReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.retire_hook(request.get_ref(), meta).await?))
    }
}

impl Shared {
    async fn set_override(
        &self,
        request: &SetOverrideRequest,
        value: Zeroizing<String>,
        meta: Meta,
    ) -> Result<u64, Error> {
        let command = shipway_contracts::id("command", &request.command)?;
        let projects = self.world.now();
        let Found::Stage(project, pipeline, flow) = lookup::flow(&projects, &request.project, &request.flow)?
        else {
            return Err(Error::bad_request(
                "field `flow`: an addon's flow has no arguments; name `<pipeline>/<stage>`",
            ));
        };
        let argument = request.argument.clone();
        let made = made(&value)?;
        let (wish, pending) = if request.plain {
            if made.is_some() {
                return Err(Error::bad_request(
                    "field `plain`: what fn.randomSecret makes is a secret; leave `plain` out",
                ));
            }
            let plain = Value::String(request.value.clone());
            check_plain(flow, &argument, &plain)?;
            (Override::Plain(plain), Vec::new())
        } else {
            if value.chars().count() < SHORTEST_SECRET {
                return Err(Error::bad_request(format!(
                    "field `value`: a secret has {SHORTEST_SECRET} characters or more, else logs cannot be kept free of \
                     it; mark the value plain if it is none"
                )));
            }
            check_secret(project, pipeline, flow, &argument)?;
            let value = made.unwrap_or(value);
            let name = format!("override/{}/{argument}", flow.id);
            let planned = self.secrets.plan(project.id, &name, value).await.map_err(secret_error)?;
            (Override::Secret(planned.secret.clone()), vec![planned])
        };
        let wish = Command::SetOverride(SetOverride { flow: flow.id, argument, value: wish });
        Ok(self.change(command, meta, project.id, &wish, &pending).await?.position)
    }
}

/// A plain value must be what the document says of the argument.
fn check_plain(flow: &Flow, argument: &str, value: &Value) -> Result<(), Error> {
    let parsed = flow.newest().and_then(|newest| Document::parse(&newest.document).ok());
    let declared = parsed.iter().flat_map(|parsed| &parsed.arguments).find(|known| known.name == argument);
    let Some(declared) = declared else { return Ok(()) };
    if declared.secret {
        return Err(Error::bad_request(format!(
            "field `plain`: {} declares the argument `{argument}` secret; leave `plain` out",
            flow.path()
        )));
    }
    declared.accept(value).map(drop).map_err(|problem| {
        let help = problem.help.map_or_else(String::new, |help| format!("; {help}"));
        Error::bad_request(format!("field `value`: {}{help}", problem.message))
    })
}

/// What steers may not depend on a secret: not on this one either.
fn check_secret(
    project: &world::Project,
    pipeline: &Pipeline,
    flow: &Flow,
    argument: &str,
) -> Result<(), Error> {
    let Some(parsed) = flow.newest().and_then(|newest| Document::parse(&newest.document).ok()) else {
        return Ok(());
    };
    let problems = |secret: bool| {
        let mut arguments = overridden(project, flow.id);
        arguments.insert(argument.to_owned(), secret);
        usable::validate(project, pipeline, &flow.stage, &parsed, arguments)
    };
    let (before, after) = (problems(false), problems(true));
    let new = after.iter().find(|problem| !before.iter().any(|known| known == *problem));
    match new {
        None => Ok(()),
        Some(problem) => {
            let (argument, path) = (argument.to_owned(), flow.path());
            let problem = format!("{} {}", problem.pointer, problem.message);
            Err(refused(&Rejection::one("", Why::SecretSteers { argument, path, problem })))
        }
    }
}
