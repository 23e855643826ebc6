//! `shipway.v1.ProjectHome`: for Shipway's own services.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};
use shipway_contracts::{
    Code, Error,
    v1::{
        FetchSecretsReply, FetchSecretsRequest, FlowForRunReply, FlowForRunRequest, HookRecord,
        HooksForTriggersReply, HooksForTriggersRequest, PinnedResource, project_home_server::ProjectHome,
    },
};
use shipway_documents::secret;
use shipway_eventing::failing;
use shipway_events::{Fence, Position, ProjectId, RunId, plan, project::HookSource};
use tonic::{Request, Response, Status};

use crate::{
    apply::hook_secret_name,
    builds,
    change::{Shared, away, secret_error},
    delivery,
    domain::{Flow, Override, Pipeline, Resource},
    environment::environment,
    fences::{self, FenceError, Open},
    lookup::{self, Found},
    queries::is_last_release,
    triggers,
    usable::usable,
    world::{Project, Projects},
};

/// `shipway.v1.ProjectHome`.
#[derive(Clone)]
pub struct HomeApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl ProjectHome for HomeApi {
    async fn flow_for_run(
        &self,
        request: Request<FlowForRunRequest>,
    ) -> Result<Response<FlowForRunReply>, Status> {
        let request = request.get_ref();
        let known = self.shared.at_least(request.at_least);
        let projects = failing!("pipelines.flow_for_run", Error::unavailable, known.await)?;
        let mut reply = match lookup::flow(&projects, "", &request.flow)? {
            Found::Stage(project, pipeline, flow) => stage_flow(project, pipeline, flow)?,
            Found::Addon(project, addon) => addon_flow(project, addon),
            Found::Service(project, service) => service_flow(project, service),
            Found::Build(project, service) => builds::flow(project, service),
            Found::Follower(project, resource) => delivery::follow_flow(project, resource)
                .ok_or_else(|| Error::not_found(format!("{} follows no build any more", resource.slug)))?,
            Found::Job(project, job) => delivery::job_flow(project, job),
        };
        reply.position = projects.position;
        Ok(Response::new(reply))
    }

    async fn fetch_secrets(
        &self,
        request: Request<FetchSecretsRequest>,
    ) -> Result<Response<FetchSecretsReply>, Status> {
        let values = self.shared.fetch(request.get_ref()).await?;
        Ok(Response::new(FetchSecretsReply { values }))
    }

    async fn hooks_for_triggers(
        &self,
        request: Request<HooksForTriggersRequest>,
    ) -> Result<Response<HooksForTriggersReply>, Status> {
        let projects = self.shared.at_least(request.get_ref().at_least).await?;
        let mut reply = HooksForTriggersReply { position: projects.position, ..Default::default() };
        for project in projects.by_slug.values() {
            let read = self.shared.hooks(project);
            let hooks = failing!("pipelines.hooks", Error::unavailable, read.await)?;
            reply.triggers.extend(triggers::records(project, &hooks));
            reply.triggers.extend(builds::records(project));
            reply.hooks.extend(hooks);
        }
        Ok(Response::new(reply))
    }
}

impl Shared {
    async fn at_least(&self, position: Position) -> Result<Arc<Projects>, Error> {
        self.world.at_least(position).await.ok_or_else(|| {
            Error::unavailable(format!("the projects are not yet known up to position {position}; try again"))
        })
    }

    /// The run whose attempt was requested at the fence's position.
    async fn run_of(&self, fence: Fence) -> Result<RunId, Error> {
        let before = fence.position().saturating_sub(1);
        let events = self.log.read(before, 1).await.map_err(|error| away(&error))?;
        let run =
            events.first().filter(|event| event.stream.kind() == "run").and_then(|event| event.stream.id());
        run.and_then(|run| run.parse().ok())
            .ok_or_else(|| Error::new(Code::PermissionDenied, format!("fence {fence} is no attempt's")))
    }

    async fn fetch(&self, request: &FetchSecretsRequest) -> Result<HashMap<String, String>, Error> {
        let project: ProjectId = shipway_contracts::id("project", &request.project)?;
        let fence = Fence::from_raw(request.fence);
        let run = match request.run.as_str() {
            "" => self.run_of(fence).await?,
            run => shipway_contracts::id("run", run)?,
        };
        let names = fences::parse_names(&request.names)
            .map_err(|name| Error::bad_request(format!("field `names`: `{name}` is not `name@version`")))?;
        let allowed = fences::check(&*self.log, project, run, fence, &names).await.map_err(fence_error)?;
        if let Open::Released(targets) = allowed.open {
            let head = self.log.head().await.map_err(|error| away(&error))?.position;
            let last =
                is_last_release(&self.views, &targets, fence, head).await.map_err(|error| away(&error))?;
            if !last {
                return Err(fence_error(fences::Refused::Over { fence, run }.into()));
            }
        }
        let mut values = HashMap::with_capacity(names.len());
        for name in &names {
            let value = match allowed.randoms.get(name) {
                Some(shape) => self.secrets.get_or_make(project, name, *shape).await,
                None => self.secrets.get(project, name).await,
            };
            let value = value.map_err(secret_error)?;
            values.insert(name.to_string(), value.to_string());
        }
        Ok(values)
    }

    /// The hooks of a project, with what verifies their deliveries.
    async fn hooks(&self, project: &Project) -> Result<Vec<HookRecord>, Error> {
        let mut records = Vec::new();
        for hook in project.state.hooks.values() {
            let (kind, repo_url, flow) = match &hook.source {
                HookSource::Git { repo_url } => ("git", repo_url.clone(), String::new()),
                HookSource::Flow { flow } => ("flow", String::new(), flow.to_string()),
            };
            let newest =
                self.secrets.newest(project.id, &hook_secret_name(hook.hook)).await.map_err(secret_error)?;
            records.push(HookRecord {
                id: hook.hook.to_string(),
                project: project.id.to_string(),
                project_slug: project.slug.clone(),
                kind: kind.to_owned(),
                repo_url,
                flow,
                secrets: newest.into_iter().map(|(_, value)| value.to_string()).collect(),
            });
        }
        Ok(records)
    }
}

fn fence_error(error: FenceError) -> Error {
    match error {
        FenceError::Refused(refused) => Error::new(Code::PermissionDenied, refused.to_string()),
        FenceError::Read(error) => away(&error),
        FenceError::Decode(error) => Error::internal(&error),
    }
}

/// What a run of a stage's flow pins.
fn stage_flow(project: &Project, pipeline: &Pipeline, flow: &Flow) -> Result<FlowForRunReply, Error> {
    let newest = flow.newest().ok_or_else(|| lookup::unpublished(flow))?;
    let resources = usable(&project.state, pipeline, &flow.stage)
        .into_iter()
        .map(|usable| PinnedResource {
            stage: usable.stage.unwrap_or_default().to_owned(),
            unusable: usable.unusable.unwrap_or_default(),
            ..pinned(project, usable.resource)
        })
        .collect();
    let overrides: Map<String, Value> = project
        .state
        .overrides
        .get(&flow.id)
        .into_iter()
        .flatten()
        .map(|(argument, value)| (argument.clone(), override_value(value)))
        .collect();
    Ok(FlowForRunReply {
        project: project.id.to_string(),
        pipeline: pipeline.id.to_string(),
        flow: flow.id.to_string(),
        path: flow.path(),
        version: newest.version,
        document_json: newest.document.to_string(),
        stage: flow.stage.clone(),
        previous_stage: pipeline.before(&flow.stage).map(|before| before.name.clone()).unwrap_or_default(),
        resources,
        overrides_json: Value::Object(overrides).to_string(),
        paused: triggers::is_paused(&newest.document),
        position: 0,
    })
}

fn override_value(value: &Override) -> Value {
    match value {
        Override::Secret(name) => secret::mark(name),
        Override::Plain(value) => value.clone(),
    }
}

/// What a run that starts an addon, or brings it to its declared state, pins.
fn addon_flow(project: &Project, addon: &Resource) -> FlowForRunReply {
    let node = json!({
        "kind": "Addon", "ref": "addon", "spec": {"addonId": addon.slug}, "condition": "running",
    });
    one_node(project, addon, &format!("addon/{}/{}", project.slug, addon.slug), &node)
}

/// What a run pins that gives a service again what it has: on another host, or because somebody asks.
fn service_flow(project: &Project, service: &Resource) -> FlowForRunReply {
    let itself = json!({"id": service.slug, "type": "service"});
    let node = json!({
        "kind": "Release", "ref": "release", "condition": "running",
        "spec": {"type": "deployment", "origin": itself, "target": itself},
    });
    one_node(project, service, &format!("service/{}/{}", project.slug, service.slug), &node)
}

/// The flow of a resource that has one node.
pub(crate) fn one_node(project: &Project, resource: &Resource, path: &str, node: &Value) -> FlowForRunReply {
    let document = json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [node]}},
    });
    FlowForRunReply {
        project: project.id.to_string(),
        flow: resource.id.to_string(),
        path: path.to_owned(),
        version: resource.revision,
        document_json: document.to_string(),
        resources: vec![pinned(project, resource)],
        overrides_json: "{}".to_owned(),
        ..FlowForRunReply::default()
    }
}

/// A resource as it is pinned.
pub(crate) fn pinned(project: &Project, resource: &Resource) -> PinnedResource {
    let pinned = plan::PinnedResource {
        project: project.id,
        id: resource.id,
        kind: resource.kind,
        spec: resource.spec.clone(),
        ports: resource.ports.clone(),
        environment: environment(&project.state, resource),
    };
    let json = serde_json::to_string(&pinned).expect("it has only string keys");
    PinnedResource { slug: resource.slug.clone(), json, stage: String::new(), unusable: String::new() }
}
