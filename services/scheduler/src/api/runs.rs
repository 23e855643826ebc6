//! Runs for people: `shipway.v1.Runs`.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use shipway_contracts::{
    Code, Error, id,
    v1::{
        AbortRunRequest, DescribeRunRequest, GetRunRequest, GetStateReply, GetStateRequest, JudgeNodeRequest,
        ListRunsReply, ListRunsRequest, MoveAddonReply, MoveAddonRequest, NodeApproval, PlanRunReply,
        PlanRunRequest, ResolveNodeRequest, ResumeRunReply, ResumeRunRequest, RetryNodeRequest, Run,
        StartRunReply, StartRunRequest, WatchRunRequest, WhyReply, WhyRequest, runs_client::RunsClient,
        runs_server::Runs,
    },
};
use shipway_engine::{Command, Resolution, RunState, why};
use shipway_events::{RunId, Timestamp, run::NotedWords};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::wanted::{WantedRun, described, json_object, named};
use crate::{
    api::asked_by,
    cluster::passed_on,
    registry::NOBODY,
    run::{
        book::{Change, QUIET},
        present,
    },
    service::Shared,
    start::FlowChoice,
};

/// Serves `Runs`.
#[derive(Clone)]
pub struct RunsApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Runs for RunsApi {
    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<Run, Status>> + Send>>;

    #[tracing::instrument(skip_all)]
    async fn start_run(&self, request: Request<StartRunRequest>) -> Result<Response<StartRunReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let request = request.into_inner();
        // The run of a command is always the same run.
        let run = id("command", &request.command)?;
        let wanted = WantedRun {
            project: request.project,
            flow: request.flow,
            arguments: json_object("arguments_json", &request.arguments_json)?,
            fields: json_object("fields_json", &request.fields_json)?,
            releases: json_object("releases_json", &request.releases_json)?,
            again: request.again,
        };
        let mut asked = self.shared.asked_by_hand(run, wanted, meta).await?;
        if !request.document_json.is_empty() {
            asked.choice = FlowChoice::Document(request.document_json);
        }
        asked.name = named(request.name)?;
        asked.description = described(request.description)?;
        asked.plan = Some(request.plan).filter(|plan| !plan.is_empty());
        asked.despite_hold = despite(request.despite_hold)?;
        Ok(Response::new(self.shared.start(asked).await?))
    }

    async fn plan_run(&self, request: Request<PlanRunRequest>) -> Result<Response<PlanRunReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(self.shared.plan_run(request, &metadata).await?))
    }

    async fn describe_run(&self, request: Request<DescribeRunRequest>) -> Result<Response<Run>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let run = self.shared.find_run(&request.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = DescribeRunRequest { run: run.to_string(), ..request };
            return RunsClient::new(peer.channel).describe_run(passed_on(&metadata, message)).await;
        }
        let name = request.name.map(named).transpose()?;
        let name = name.map(|name| if name.is_empty() { run.to_string() } else { name });
        let words = NotedWords { name, description: request.description.map(described).transpose()? };
        let command = Ok(Command::Describe { words });
        self.shared.ask_once(run, &request.command, &["run.noted_words"], command, meta).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<Run>, Status> {
        let run = self.shared.find_run(&request.into_inner().run).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }

    async fn list_runs(&self, request: Request<ListRunsRequest>) -> Result<Response<ListRunsReply>, Status> {
        Ok(Response::new(self.shared.list_runs(request.into_inner()).await?))
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let (metadata, _, message) = request.into_parts();
        let run = self.shared.find_run(&message.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = WatchRunRequest { run: run.to_string() };
            let there = RunsClient::new(peer.channel).watch_run(passed_on(&metadata, message)).await?;
            return Ok(Response::new(there.into_inner().boxed()));
        }
        let (sender, receiver) = mpsc::channel(4);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = send_changes(&shared, run, &sender) => {}
                () = shared.stopping.cancelled() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }

    async fn abort_run(&self, request: Request<AbortRunRequest>) -> Result<Response<Run>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let run = self.shared.find_run(&request.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = AbortRunRequest { run: run.to_string(), ..request };
            return RunsClient::new(peer.channel).abort_run(passed_on(&metadata, message)).await;
        }
        let reason = if request.reason.is_empty() { "asked to stop".to_owned() } else { request.reason };
        let command = Ok(Command::Abort { reason, by: None });
        self.shared.ask_once(run, &request.command, &["run.aborting"], command, meta).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }

    async fn approve_node(&self, request: Request<JudgeNodeRequest>) -> Result<Response<Run>, Status> {
        self.judge(request, true).await
    }

    async fn reject_node(&self, request: Request<JudgeNodeRequest>) -> Result<Response<Run>, Status> {
        self.judge(request, false).await
    }

    async fn resolve_node(&self, request: Request<ResolveNodeRequest>) -> Result<Response<Run>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let run = self.shared.find_run(&request.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = ResolveNodeRequest { run: run.to_string(), ..request };
            return RunsClient::new(peer.channel).resolve_node(passed_on(&metadata, message)).await;
        }
        let state = self.shared.book.look(run).await.map_err(Error::from)?;
        let resolution = resolution(&request)?;
        let node = the_node(&state, &request.node, state.held().collect(), "is `unknown`");
        let command = node.map(|node| Command::Resolve { node, resolution });
        self.shared.ask_once(run, &request.command, &[], command, meta).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }

    async fn retry_node(&self, request: Request<RetryNodeRequest>) -> Result<Response<Run>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let run = self.shared.find_run(&request.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = RetryNodeRequest { run: run.to_string(), ..request };
            return RunsClient::new(peer.channel).retry_node(passed_on(&metadata, message)).await;
        }
        let state = self.shared.book.look(run).await.map_err(Error::from)?;
        let node = the_node(&state, &request.node, state.due().collect(), "waits to be tried again");
        let command = node.map(|node| Command::TryNow { node });
        self.shared.ask_once(run, &request.command, &["run.retry_scheduled"], command, meta).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }

    async fn resume_run(
        &self,
        request: Request<ResumeRunRequest>,
    ) -> Result<Response<ResumeRunReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(self.shared.resume(request, meta, &metadata).await?))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        Ok(Response::new(self.shared.why(request, &metadata).await?))
    }

    async fn get_state(&self, request: Request<GetStateRequest>) -> Result<Response<GetStateReply>, Status> {
        let request = request.into_inner();
        let at: Option<Timestamp> = match request.at.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|error| Error::bad_request(format!("field `at`: {error}")))?),
        };
        Ok(Response::new(self.shared.state(at, &request.project).await?))
    }

    async fn move_addon(
        &self,
        request: Request<MoveAddonRequest>,
    ) -> Result<Response<MoveAddonReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.move_addon(request.into_inner(), meta).await?))
    }
}

impl RunsApi {
    /// Approves or rejects a node.
    async fn judge(
        &self,
        request: Request<JudgeNodeRequest>,
        approves: bool,
    ) -> Result<Response<Run>, Status> {
        let by = self.shared.asker(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let run = self.shared.find_run(&request.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = JudgeNodeRequest { run: run.to_string(), ..request };
            let (mut there, message) = (RunsClient::new(peer.channel), passed_on(&metadata, message));
            return match approves {
                true => there.approve_node(message).await,
                false => there.reject_node(message).await,
            };
        }
        let state = self.shared.book.look(run).await.map_err(Error::from)?;
        let waiting = state.awaiting_approval().collect();
        let node = the_node(&state, &request.node, waiting, "waits for an approval");
        let meta = asked_by(by.actor.clone());
        let plan = Some(request.plan).filter(|plan| !plan.is_empty());
        let command = node.map(|node| match approves {
            true => Command::Approve { node, by, reason: request.reason, plan },
            false => Command::Reject { node, by, reason: request.reason, plan },
        });
        let kinds = if approves { &["run.approval_given"] } else { &["run.approval_rejected"] };
        self.shared.ask_once(run, &request.command, kinds, command, meta).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }
}

/// The node of that name, or the only one of those that are meant.
fn the_node(state: &RunState, name: &str, meant: Vec<u32>, which: &str) -> Result<u32, Error> {
    if !name.is_empty() {
        let found = state.node_by_name(name);
        return found.ok_or_else(|| Error::not_found(format!("the run has no node `{name}`")));
    }
    match meant.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::new(Code::FailedPrecondition, format!("no node of the run {which}"))),
        several => {
            let names: Vec<String> = several.iter().map(|node| state.name_of(*node)).collect();
            let names = names.join(", ");
            Err(Error::bad_request(format!("more than one node {which}, name one of them: {names}")))
        }
    }
}

/// What became of a node, as a person found out.
fn resolution(request: &ResolveNodeRequest) -> Result<Resolution, Error> {
    match request.outcome.as_str() {
        "happened" => Ok(Resolution::Happened),
        "again" => Ok(Resolution::Again),
        "failed" if request.reason.is_empty() => {
            Ok(Resolution::Failed("a person found that it had not happened".to_owned()))
        }
        "failed" => Ok(Resolution::Failed(request.reason.clone())),
        other => Err(Error::bad_request(format!(
            "field `outcome`: `{other}` is none of happened, failed and again"
        ))),
    }
}

/// Sends the run, then again after each change, until it has ended. Changes that come close together are one.
async fn send_changes(shared: &Shared, run: RunId, sender: &mpsc::Sender<Result<Run, Status>>) {
    let mut changes = shared.book.changes(run);
    loop {
        if let Some(changes) = &mut changes {
            changes.borrow_and_update();
        }
        let shown = shared.show(run).await;
        let ended = shown.as_ref().map_or(true, |shown| shown.concluded);
        if sender.send(shown.map_err(Status::from)).await.is_err() || ended {
            return;
        }
        let Some(open) = &mut changes else {
            changes = shared.book.changes(run);
            if changes.is_none()
                && let Err(error) = shared.book.open_run(run).await
            {
                // It moved to another scheduler, or cannot be read: who watches asks again.
                let _ = sender.send(Err(Error::from(error).into())).await;
                return;
            }
            continue;
        };
        let changed = tokio::select! {
            changed = open.changed() => changed,
            () = sender.closed() => return,
        };
        if changed.is_err() {
            // The run was closed: it is over, or its task was replaced.
            changes = None;
            continue;
        }
        quiet(shared, run, open).await;
    }
}

/// Waits until nothing has changed for a moment, or the run has ended.
async fn quiet(shared: &Shared, run: RunId, changes: &mut watch::Receiver<Change>) {
    let settle = async {
        loop {
            if shared.book.has_ended(run) {
                return;
            }
            changes.borrow_and_update();
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    // Time is up or the run has ended: either way there is something to show.
    let _ = timeout(QUIET, settle).await;
}

/// Why a run may release what is held, if whoever starts it says so.
pub(super) fn despite(reason: String) -> Result<Option<String>, Error> {
    let reason = super::freezes::reason(reason)?;
    Ok(Some(reason).filter(|reason| !reason.trim().is_empty()))
}

impl Shared {
    /// The run as the API shows it.
    pub(crate) async fn show(&self, run: RunId) -> Result<Run, Error> {
        let state = self.book.look_now(run).await?;
        let mut shown = present::run(&state, *self.log.tail().borrow(), self.log.now());
        // What it waits for in its lane is as of now; since when, its age says.
        if let Some(words) = self.book.turn_in_words(&state).await {
            shown.reason = words;
        }
        for node in (0..).zip(state.nodes()).filter(|(_, node)| node.rule.is_some()).map(|(n, _)| n) {
            let Some(shown) = shown.nodes.get_mut(node as usize) else { continue };
            shown.approval = self.approval(&state, node).await?;
            if let Some(NodeApproval { may, .. }) = shown.approval.as_ref().filter(|it| !it.may.is_empty()) {
                shown.waiting_for = format!("{}; with a token: {}", shown.waiting_for, may.join(", "));
            }
        }
        // Where a host is away, that is what it waits for.
        for blocker in why(&state, self.log.now()) {
            let Some(executor) = present::waits_for(&blocker) else { continue };
            let Some(node) = shown.nodes.get_mut(blocker.node as usize) else { continue };
            if executor == NOBODY {
                node.waiting_for = crate::why::waits_for_move(&blocker.reference);
            } else if let Some(words) = self.away_in_words(executor).await? {
                node.waiting_for = format!("{}: {words}", blocker.words);
            }
        }
        Ok(shown)
    }
}
