//! `shipway.v1.ProjectHome`: for Shipway's own services.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};
use shipway_contracts::{
    Code, Error,
    v1::{
        AccountForCommentReply, AccountForCommentRequest, FetchSecretsReply, FetchSecretsRequest,
        FindScopesReply, FindScopesRequest, FlowForRunReply, FlowForRunRequest, HookRecord,
        HooksForTriggersReply, HooksForTriggersRequest, PinnedResource, Scope,
        project_home_server::ProjectHome,
    },
};
use shipway_documents::secret;
use shipway_eventing::failing;
use shipway_events::{Fence, FlowId, Position, ProjectId, RunId, plan, project::HookSource};
use tonic::{Request, Response, Status};

use crate::{
    accounts,
    apply::{HOOK_SECRETS, hook_secret_name},
    builds,
    change::{Shared, away, secret_error},
    compare, delivery,
    domain::{
        Account, Accounts, Flow, FlowVersion, Override, Pipeline, Resource, is_account_secret,
        resolve_account,
    },
    environment::environment,
    fences::{self, FenceError, Open},
    lookup::{self, Found},
    queries::is_last_release,
    secrets::installation,
    senders::Services,
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
            Found::Stage(project, pipeline, flow) => {
                let version = compare::version(flow, request.version)?;
                stage_flow(&projects.accounts, project, pipeline, flow, version)
            }
            Found::Addon(project, addon) => addon_flow(&projects.accounts, project, addon),
            Found::Service(project, service) => service_flow(&projects.accounts, project, service),
            Found::Build(project, service) => builds::flow(&projects.accounts, project, service),
            Found::Follower(project, resource) => {
                delivery::follow_flow(&projects.accounts, project, resource)
                    .ok_or_else(|| Error::not_found(format!("{} follows no build any more", resource.slug)))?
            }
            Found::Job(project, job) => delivery::job_flow(&projects.accounts, project, job),
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

    async fn account_for_comment(
        &self,
        request: Request<AccountForCommentRequest>,
    ) -> Result<Response<AccountForCommentReply>, Status> {
        Ok(Response::new(self.shared.account_for_comment(request.get_ref()).await?))
    }

    async fn hooks_for_triggers(
        &self,
        request: Request<HooksForTriggersRequest>,
    ) -> Result<Response<HooksForTriggersReply>, Status> {
        let projects = self.shared.at_least(request.get_ref().at_least).await?;
        let mut reply = HooksForTriggersReply { position: projects.position, ..Default::default() };
        for project in projects.by_slug.values() {
            let read = self.shared.hooks(&projects.accounts, project);
            let (hooks, tokens) = failing!("pipelines.hooks", Error::unavailable, read.await)?;
            reply.triggers.extend(triggers::records(project, &tokens));
            reply.triggers.extend(builds::records(project));
            reply.hooks.extend(hooks);
        }
        Ok(Response::new(reply))
    }

    async fn find_scopes(
        &self,
        request: Request<FindScopesRequest>,
    ) -> Result<Response<FindScopesReply>, Status> {
        let projects = self.shared.world.now();
        let scope = |of: &Project, pipeline: String, stage: String| Scope {
            project: of.id.to_string(),
            project_slug: of.slug.clone(),
            members: lookup::members(of, &pipeline, &stage),
            pipeline,
            stage,
        };
        let scopes = match request.get_ref().text.as_str() {
            "" => projects.by_slug.values().map(|of| scope(of, String::new(), String::new())).collect(),
            text => {
                let lookup::Part { project, pipeline, stage } = lookup::scope(&projects, text)?;
                vec![scope(project, pipeline, stage)]
            }
        };
        Ok(Response::new(FindScopesReply { scopes }))
    }
}

impl Shared {
    async fn at_least(&self, position: Position) -> Result<Arc<Projects>, Error> {
        self.world.at_least(position).await.ok_or_else(|| {
            Error::unavailable(format!("the projects are not yet known up to position {position}; try again"))
        })
    }

    /// The run whose attempt was requested at the fence's position.
    pub(crate) async fn run_of(&self, fence: Fence) -> Result<RunId, Error> {
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
            let last = is_last_release(&self.views, &targets, fence, head).await;
            if !last.map_err(|error| away(&error).retry_after(error.retry_after()))? {
                return Err(fence_error(fences::Refused::Over { fence, run }.into()));
            }
        }
        let mut values = HashMap::with_capacity(names.len());
        for name in &names {
            let value = match allowed.randoms.get(name) {
                _ if is_account_secret(name) => {
                    self.secrets.get(installation(), &self.credential_now(name).await?).await
                }
                Some(shape) => self.secrets.get_or_make(project, name, *shape).await,
                None => self.secrets.get(project, name).await,
            };
            let value = value.map_err(secret_error)?;
            values.insert(name.to_string(), value.to_string());
        }
        Ok(values)
    }

    /// The hooks of a project, with what verifies their deliveries, and the tokens that documents chose for their
    /// flows.
    async fn hooks(
        &self,
        accounts: &Accounts,
        project: &Project,
    ) -> Result<(Vec<HookRecord>, HashMap<FlowId, String>), Error> {
        let (mut records, mut tokens) = (Vec::new(), HashMap::new());
        if project.state.hooks.is_empty() {
            return Ok((records, tokens));
        }
        let services = Services::of(&project.state);
        let named = if accounts.is_empty() { HashMap::new() } else { accounts::named(project) };
        let kept = self.secrets.all_of(project.id, HOOK_SECRETS).await.map_err(secret_error)?;
        for hook in project.state.hooks.values() {
            let mut secrets = Vec::with_capacity(hook.secrets.len());
            for secret in hook.secrets.iter().rev() {
                secrets.push(kept.get(secret).map_err(secret_error)?.to_string());
            }
            let record = HookRecord {
                id: hook.id.to_string(),
                project: project.id.to_string(),
                project_slug: project.slug.clone(),
                ..HookRecord::default()
            };
            records.push(match &hook.source {
                HookSource::Git { repo_url } => HookRecord {
                    kind: "git".to_owned(),
                    sources: services.senders(repo_url).into_iter().map(str::to_owned).collect(),
                    repo_url: repo_url.clone(),
                    login: self.hook_login(accounts, &named, repo_url).await?,
                    secrets,
                    ..record
                },
                HookSource::Flow { flow } => {
                    let signed = !secrets.is_empty();
                    let token = kept.newest(&hook_secret_name(hook.id)).map_err(secret_error)?;
                    if let Some(token) = token {
                        tokens.insert(*flow, token.to_string());
                        if !signed {
                            // Without a signing secret, who signs all the same signs with the token of the address.
                            secrets.push(token.to_string());
                        }
                    }
                    HookRecord { kind: "flow".to_owned(), flow: flow.to_string(), secrets, signed, ..record }
                }
            });
        }
        Ok((records, tokens))
    }
}

pub(crate) fn fence_error(error: FenceError) -> Error {
    match error {
        FenceError::Refused(refused) => Error::new(Code::PermissionDenied, refused.to_string()),
        FenceError::Read(error) => away(&error),
        FenceError::Decode(error) => Error::internal(&error),
    }
}

/// What a run of a stage's flow pins.
fn stage_flow(
    accounts: &Accounts,
    project: &Project,
    pipeline: &Pipeline,
    flow: &Flow,
    version: &FlowVersion,
) -> FlowForRunReply {
    let resources = usable(&project.state, pipeline, &flow.stage)
        .into_iter()
        .map(|usable| {
            let resource = usable.resource;
            let pinned = pinned(accounts, project, resource);
            PinnedResource {
                stage: usable.stage.unwrap_or_default().to_owned(),
                unusable: usable.unusable.unwrap_or(pinned.unusable),
                ..pinned
            }
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
    FlowForRunReply {
        project: project.id.to_string(),
        pipeline: pipeline.id.to_string(),
        flow: flow.id.to_string(),
        path: flow.path(),
        version: version.version,
        document_json: version.document.to_string(),
        stage: flow.stage.clone(),
        previous_stage: pipeline.before(&flow.stage).map(|before| before.name.clone()).unwrap_or_default(),
        resources,
        overrides_json: Value::Object(overrides).to_string(),
        paused: project.state.is_paused(flow),
        position: 0,
    }
}

fn override_value(value: &Override) -> Value {
    match value {
        Override::Secret(name) => secret::mark(name),
        Override::Plain(value) => value.clone(),
    }
}

/// What a run that starts an addon, or brings it to its declared state, pins.
fn addon_flow(accounts: &Accounts, project: &Project, addon: &Resource) -> FlowForRunReply {
    let node = json!({
        "kind": "Addon", "ref": "addon", "spec": {"addonId": addon.slug}, "condition": "running",
    });
    one_node(accounts, project, addon, &format!("addon/{}/{}", project.slug, addon.slug), &node)
}

/// What a run pins that gives a service again what it has: on another host, or because somebody asks.
fn service_flow(accounts: &Accounts, project: &Project, service: &Resource) -> FlowForRunReply {
    let itself = json!({"id": service.slug, "type": "service"});
    let node = json!({
        "kind": "Release", "ref": "release", "condition": "running",
        "spec": {"type": "deployment", "origin": itself, "target": itself},
    });
    one_node(accounts, project, service, &format!("service/{}/{}", project.slug, service.slug), &node)
}

/// The flow of a resource that has one node.
pub(crate) fn one_node(
    accounts: &Accounts,
    project: &Project,
    resource: &Resource,
    path: &str,
    node: &Value,
) -> FlowForRunReply {
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
        resources: vec![pinned(accounts, project, resource)],
        overrides_json: "{}".to_owned(),
        ..FlowForRunReply::default()
    }
}

/// A resource as it is pinned, with the account that its repository is fetched with; why it cannot be used, if that
/// account is not linked.
pub(crate) fn pinned(accounts: &Accounts, project: &Project, resource: &Resource) -> PinnedResource {
    let mention = accounts::mentioned(resource.kind, &resource.spec);
    let found = mention.map_or(Ok(None), |mention| resolve_account(accounts, &mention));
    let unusable = found.as_ref().err().map(|unresolved| unresolved.message.clone()).unwrap_or_default();
    let pinned = plan::PinnedResource {
        project: project.id,
        id: resource.id,
        kind: resource.kind,
        spec: resource.spec.clone(),
        ports: resource.ports.clone(),
        environment: environment(&project.state, resource),
        login: found.ok().flatten().map(Account::pinned),
    };
    let json = serde_json::to_string(&pinned).expect("it has only string keys");
    PinnedResource { slug: resource.slug.clone(), json, stage: String::new(), unusable }
}
