//! Back to what ran before: `shipway.v1.Rollbacks`.

use std::sync::Arc;

use shipway_contracts::{
    Error, id,
    v1::{
        DecideKeptRequest, PlanRollbackReply, PlanRunReply, RestoreFlowRequest, RollbackRequest,
        StartRollbackReply, StartRollbackRequest, StartRunReply, pipelines_client::PipelinesClient,
        rollbacks_client::RollbacksClient, rollbacks_server::Rollbacks,
    },
};
use shipway_events::{Actor, Cause, FlowId, Meta, RunId, run::Started};
use tonic::{Request, Response, Status, metadata::MetadataMap};
use uuid::Uuid;

use super::runs::despite;
use crate::{
    cluster::{is_passed_on, passed_on, shards::Shard},
    foresee::Would,
    planning,
    rollback::{To, Wanted, mark},
    service::Shared,
    start::{Asked, FlowChoice, from_status},
};

/// A whole plan may be in the answer.
const LARGE: usize = 64 << 20;

/// Serves `Rollbacks`.
#[derive(Clone)]
pub struct RollbacksApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Rollbacks for RollbacksApi {
    #[tracing::instrument(skip_all)]
    async fn plan_rollback(
        &self,
        request: Request<RollbackRequest>,
    ) -> Result<Response<PlanRollbackReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(self.shared.plan_rollback(request, &metadata).await?))
    }

    #[tracing::instrument(skip_all)]
    async fn start_rollback(
        &self,
        request: Request<StartRollbackRequest>,
    ) -> Result<Response<StartRollbackReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(self.shared.start_rollback(request, &metadata).await?))
    }

    #[tracing::instrument(skip_all)]
    async fn decide_kept(
        &self,
        request: Request<DecideKeptRequest>,
    ) -> Result<Response<StartRunReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let DecideKeptRequest { command, project, addon, put_back } = request.into_inner();
        let choice = FlowChoice::Kept { addon: format!("addon/{project}/{addon}"), put_back };
        let asked = Asked { run: id("command", &command)?, choice, ..nothing(meta) };
        Ok(Response::new(self.shared.start(asked).await?))
    }
}

impl Shared {
    async fn plan_rollback(
        &self,
        request: RollbackRequest,
        metadata: &MetadataMap,
    ) -> Result<PlanRollbackReply, Error> {
        let wanted = wanted(&request, false)?;
        let flow = self.flow_for_run(&wanted.project, &wanted.flow, 0).await?;
        let shard = Shard::of(id("flow", &flow.flow)?, RunId::new(Uuid::nil()));
        if let Some(peer) = self.cluster.route(shard, is_passed_on(metadata)).await? {
            let mut there = RollbacksClient::new(peer.channel).max_decoding_message_size(LARGE);
            let reply = there.plan_rollback(passed_on(metadata, request)).await;
            return Ok(reply.map_err(from_status)?.into_inner());
        }
        let world = self.world(&flow).await?;
        let back = self.way_back(&wanted, flow, world).await?;
        if let Some(version) = back.rollback.flow_version {
            self.put_flow_back(None, metadata, id("flow", &back.flow.flow)?, version, "").await?;
        }
        let open = !back.open().is_empty();
        let asked = Asked {
            choice: FlowChoice::Rollback(Box::new(wanted)),
            ..nothing(Meta { actor: Actor::nobody(), cause: Cause::Request, trace: None })
        };
        let (rollback, data) = (Some(mark(&back.rollback)), back.data);
        let plan = match planning::plan(&asked, &back.flow, back.world, self.log.now()) {
            Err(problems) => PlanRunReply { path: back.flow.path, problems, ..PlanRunReply::default() },
            Ok(started) => {
                let started = Started { rollback: Some(back.rollback), ..started };
                let foreseen = self.foreseen(&started).await?;
                let fails = foreseen.0.iter().filter(|node| node.would == Would::Fail);
                let fails = fails.map(|node| format!("`{}`: {}", node.reference, node.words));
                let warnings = fails.chain(back.warnings).collect();
                let plan = self.show_plan(started, foreseen, warnings)?;
                // What is not decided has no hash that could be asked for.
                if open { PlanRunReply { plan: String::new(), ..plan } } else { plan }
            }
        };
        Ok(PlanRollbackReply { plan: Some(plan), rollback, data })
    }

    async fn start_rollback(
        &self,
        request: StartRollbackRequest,
        metadata: &MetadataMap,
    ) -> Result<StartRollbackReply, Error> {
        let meta = self.meta(metadata).await?;
        let StartRollbackRequest { command, what, plan, reason, no_hold, despite_hold } = request;
        let wanted = wanted(&what.unwrap_or_default(), !no_hold)?;
        let asked = Asked {
            run: id("command", &command)?,
            choice: FlowChoice::Rollback(Box::new(wanted)),
            description: reason.clone(),
            plan: Some(plan).filter(|plan| !plan.is_empty()),
            despite_hold: despite(despite_hold)?,
            ..nothing(meta)
        };
        let run = asked.run;
        let reply = self.start(asked).await?;
        let mut answer = StartRollbackReply::default();
        if !reply.run.is_empty() {
            let state = self.book.look(run).await?;
            let started = state.started().filter(|started| started.rollback.is_some());
            let rollback = started.and_then(|started| started.rollback.as_ref());
            let version = rollback.and_then(|rollback| rollback.flow_version);
            if let (Some(started), Some(version)) = (started, version)
                // When the run has ended well: one that somebody rejects changes nothing.
                && let Err(error) = self.put_flow_back(None, metadata, started.flow, version, "").await
            {
                answer
                    .warnings
                    .push(format!("as it is now, the flow keeps its newest version: {}", error.message));
            }
            answer.rollback = rollback.map(mark);
        }
        answer.run = Some(reply);
        Ok(answer)
    }
}

impl Shared {
    /// Makes an earlier version of the flow its newest one, for a run; without one it says whether it could. Whoever asked
    /// for the rollback has asked for this too.
    pub(crate) async fn put_flow_back(
        &self,
        run: Option<RunId>,
        metadata: &MetadataMap,
        flow: FlowId,
        version: u32,
        reason: &str,
    ) -> Result<(), Error> {
        // The run's own id is the command that has started it: this one is another, and always the same.
        let command = run.map(|run| Uuid::from_u128(run.uuid().as_u128() ^ 1).to_string());
        let mut request = Request::new(RestoreFlowRequest {
            dry_run: command.is_none(),
            command: command.unwrap_or_default(),
            project: String::new(),
            flow: flow.to_string(),
            version,
            reason: reason.to_owned(),
        });
        *request.metadata_mut() = metadata.clone();
        let mut pipelines = PipelinesClient::new(self.projects.clone());
        pipelines.restore_flow(request).await.map_err(from_status)?;
        Ok(())
    }
}

/// A run that somebody asks for without more.
fn nothing(meta: Meta) -> Asked {
    Asked::by_hand(RunId::new(Uuid::nil()), FlowChoice::Document(String::new()), meta)
}

fn wanted(request: &RollbackRequest, hold: bool) -> Result<Wanted, Error> {
    let RollbackRequest { flow, project, run, digest, at, with_flow, exact, data } = request;
    let to = match (run.as_str(), digest.as_str(), at.as_str()) {
        ("", "", "") => To::Before,
        (run, "", "") => To::Run(run.to_owned()),
        ("", digest, "") => To::Digest(digest.to_owned()),
        ("", "", at) => {
            To::At(at.parse().map_err(|error| Error::bad_request(format!("field `at`: {error}")))?)
        }
        _ => {
            let message = "fields `run`, `digest` and `at`: only one of them can be gone back to";
            return Err(Error::bad_request(message));
        }
    };
    Ok(Wanted {
        project: project.clone(),
        flow: flow.clone(),
        to,
        with_flow: *with_flow,
        exact: *exact,
        hold,
        data: data.iter().map(|(addon, said)| (addon.clone(), said.clone())).collect(),
    })
}
