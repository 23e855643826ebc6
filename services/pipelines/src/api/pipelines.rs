//! `shipway.v1.Pipelines`.

use std::sync::Arc;

use shipway_contracts::{
    Error,
    v1::{
        CheckDocumentReply, CheckDocumentRequest, DeletePipelineReply, DeletePipelineRequest, DiffFlowReply,
        DiffFlowRequest, GetFlowReply, GetFlowRequest, GetFormReply, GetFormRequest, GetSchemaReply,
        GetSchemaRequest, ListPipelinesReply, ListPipelinesRequest, Member, PauseFlowReply, PauseFlowRequest,
        Pipeline, RemoveMemberReply, RemoveMemberRequest, RestoreFlowReply, RestoreFlowRequest, Stage,
        pipelines_server::Pipelines,
    },
};
use shipway_documents::{DocumentType, flow::Flow, list};
use shipway_events::Meta;
use tonic::{Request, Response, Status};

use super::page;
use crate::{
    change::{Done, Shared, decide_one},
    check, compare,
    describe::changes,
    domain::{self, Command},
    lookup::{self, Found},
    world::Project,
};

/// The longest reason for a pause, in characters.
const LONGEST_REASON: usize = 1_000;

/// `shipway.v1.Pipelines`.
#[derive(Clone)]
pub struct PipelinesApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Pipelines for PipelinesApi {
    async fn list_pipelines(
        &self,
        request: Request<ListPipelinesRequest>,
    ) -> Result<Response<ListPipelinesReply>, Status> {
        let projects = self.shared.world.now();
        let named = &request.get_ref().project;
        let wanted = if named.is_empty() { None } else { Some(lookup::project(&projects, named)?.id) };
        let all = projects
            .by_slug
            .values()
            .filter(|project| wanted.is_none_or(|id| id == project.id))
            .flat_map(|project| project.state.pipelines.values().map(move |pipeline| (project, pipeline)))
            .map(|(project, pipeline)| {
                (format!("{}/{}", project.slug, pipeline.slug), shown(project, pipeline))
            });
        let (pipelines, next) = page(all, request.get_ref().page.as_ref());
        Ok(Response::new(ListPipelinesReply { pipelines, next }))
    }

    async fn get_flow(&self, request: Request<GetFlowRequest>) -> Result<Response<GetFlowReply>, Status> {
        let request = request.get_ref();
        let projects = self.shared.world.now();
        let flow = compare::stage_flow(&projects, &request.project, &request.flow)?;
        let version = compare::version(flow, request.version)?;
        Ok(Response::new(GetFlowReply {
            flow: flow.id.to_string(),
            path: flow.path(),
            version: version.version,
            document_json: version.document.to_string(),
            reason: version.reason.clone(),
        }))
    }

    async fn get_form(&self, request: Request<GetFormRequest>) -> Result<Response<GetFormReply>, Status> {
        let request = request.get_ref();
        let projects = self.shared.world.now();
        let Found::Stage(project, _, flow) = lookup::flow(&projects, &request.project, &request.flow)? else {
            return Err(Error::bad_request("field `flow`: an addon's flow asks for nothing").into());
        };
        let version = flow.newest().ok_or_else(|| lookup::unpublished(flow))?;
        let document = Flow::parse(&version.document).map_err(|problems| Error::internal(&problems))?;
        let overrides = project.state.overrides.get(&flow.id).into_iter().flatten();
        let overridden: Vec<&str> = overrides.map(|(name, _)| name.as_str()).collect();
        let form =
            serde_json::to_string(&document.form(&overridden)).map_err(|error| Error::internal(&error))?;
        Ok(Response::new(GetFormReply { path: flow.path(), version: version.version, form_json: form }))
    }

    async fn get_schema(
        &self,
        request: Request<GetSchemaRequest>,
    ) -> Result<Response<GetSchemaReply>, Status> {
        let word = &request.get_ref().document_type;
        let document = DocumentType::parse(word).ok_or_else(|| {
            let known = list(DocumentType::ALL.iter().map(|document| document.as_str()));
            Error::bad_request(format!("field `document_type`: `{word}` is none of {known}"))
        })?;
        let schema = shipway_nodes::schema(document).to_string();
        Ok(Response::new(GetSchemaReply { document_type: document.to_string(), schema_json: schema }))
    }

    async fn check_document(
        &self,
        request: Request<CheckDocumentRequest>,
    ) -> Result<Response<CheckDocumentReply>, Status> {
        let projects = self.shared.world.now();
        let problems = check::check(&projects, request.get_ref())?;
        Ok(Response::new(CheckDocumentReply { problems }))
    }

    async fn diff_flow(&self, request: Request<DiffFlowRequest>) -> Result<Response<DiffFlowReply>, Status> {
        Ok(Response::new(compare::compare(&self.shared.world.now(), request.get_ref())?))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let RemoveMemberRequest { command, project, resource, dry_run } = request.into_inner();
        let done = self
            .shared
            .carry_out(&command, &project, &Command::RemoveMember { resource }, dry_run, meta)
            .await?;
        Ok(Response::new(RemoveMemberReply { changes: all_changes(&done), position: done.position }))
    }

    async fn delete_pipeline(
        &self,
        request: Request<DeletePipelineRequest>,
    ) -> Result<Response<DeletePipelineReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let DeletePipelineRequest { command, project, pipeline, dry_run } = request.into_inner();
        let wish = Command::DeletePipeline { pipeline };
        let done = self.shared.carry_out(&command, &project, &wish, dry_run, meta).await?;
        Ok(Response::new(DeletePipelineReply { changes: all_changes(&done), position: done.position }))
    }

    async fn pause_flow(
        &self,
        request: Request<PauseFlowRequest>,
    ) -> Result<Response<PauseFlowReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let PauseFlowRequest { command, project, flow, paused, reason } = request.into_inner();
        let command = shipway_contracts::id("command", &command)?;
        if reason.chars().count() > LONGEST_REASON {
            let message = format!("field `reason`: at most {LONGEST_REASON} characters");
            return Err(Error::bad_request(message).into());
        }
        let projects = self.shared.world.now();
        let Found::Stage(project, _, flow) = lookup::flow(&projects, &project, &flow)? else {
            let message = "field `flow`: only a stage's flow has triggers; name `<pipeline>/<stage>`";
            return Err(Error::bad_request(message).into());
        };
        let wish = match paused {
            true => Command::Pause { flow: flow.id, reason },
            false => Command::Resume { flow: flow.id },
        };
        let done = self.shared.change(command, meta, project.id, &wish, &[]).await?;
        Ok(Response::new(PauseFlowReply { path: flow.path(), position: done.position }))
    }

    async fn restore_flow(
        &self,
        request: Request<RestoreFlowRequest>,
    ) -> Result<Response<RestoreFlowReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.restore_flow(request.into_inner(), meta).await?))
    }
}

fn all_changes(done: &Done) -> Vec<shipway_contracts::v1::Change> {
    done.parts.iter().flat_map(|part| changes(&part.before, &part.events)).collect()
}

impl Shared {
    async fn carry_out(
        &self,
        command: &str,
        project: &str,
        wish: &Command,
        dry_run: bool,
        meta: Meta,
    ) -> Result<Done, Error> {
        let projects = self.world.now();
        let project = lookup::project(&projects, project)?.id;
        if dry_run {
            return decide_one(&projects, project, wish);
        }
        self.change(shipway_contracts::id("command", command)?, meta, project, wish, &[]).await
    }
}

fn shown(project: &Project, pipeline: &domain::Pipeline) -> Pipeline {
    let stages = pipeline
        .stages
        .iter()
        .map(|stage| Stage {
            name: stage.name.clone(),
            flow: stage.flow.to_string(),
            flow_version: project
                .state
                .flows
                .get(&stage.flow)
                .and_then(|flow| flow.newest())
                .map_or(0, |newest| newest.version),
            members: project.state.members_of(pipeline.id, &stage.name).map(shown_member).collect(),
        })
        .collect();
    Pipeline {
        id: pipeline.id.to_string(),
        slug: pipeline.slug.clone(),
        name: pipeline.name.clone(),
        project: project.slug.clone(),
        stages,
    }
}

fn shown_member(member: &domain::Resource) -> Member {
    let follows = member.follows().map(|(service, branch)| format!("{service}/{branch}"));
    let stopped = member.delivery.switched_off.map(|run| run.to_string());
    Member {
        slug: member.slug.clone(),
        kind: member.kind.to_string(),
        follows: follows.unwrap_or_default(),
        stopped_following: stopped.unwrap_or_default(),
    }
}
