//! Runs that nodes of other runs want. A reaction starts them, tells the node when they have ended, and passes on that
//! they are not wanted any more. Every step may come twice: ids follow from the node, and runs know what they were told.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use shipway_contracts::{
    Code, Error,
    v1::{AbortRunRequest, ChildEndedRequest, peers_client::PeersClient, runs_client::RunsClient},
};
use shipway_engine::{ChildEnd, Command, RunState, lock_names};
use shipway_eventing::feed::{HandleError, Reaction};
use shipway_events::{
    Cause, FlowId, Meta, RawEvent, RunId, RunStatus, StreamEvent,
    plan::Given,
    run::{self, ChildRequested, HeldLock, Origin, Parent, Started},
};
use tonic::metadata::MetadataMap;

use crate::{
    run::book::{LoadError, flow_of, load},
    service::Shared,
    start::{Asked, FlowChoice, from_status},
};

/// Flows may be nested so deep.
const DEPTH: usize = 8;
/// What a run's nodes have put out is handed on up to this size, in bytes.
const REFS: usize = 256 << 10;

/// See the module.
pub(crate) struct Children {
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl Reaction for Children {
    fn name(&self) -> &'static str {
        "scheduler-children"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        // Most events of runs say nothing here, and are not worth reading.
        if !matches!(event.kind.as_str(), "run.child_requested" | "run.child_cancelled" | "run.ended") {
            return Ok(());
        }
        let Some(of) = event.stream.id().and_then(|id| id.parse::<RunId>().ok()) else { return Ok(()) };
        let done = match run::Event::from_raw(event)?.event {
            run::Event::ChildRequested(wanted) => self.start(of, wanted, event).await,
            run::Event::ChildCancelled(cancelled) => self.shared.abort_child(cancelled.child).await,
            run::Event::Ended(_) if of.may_be_child() => self.shared.tell_parent(of).await,
            _ => Ok(()),
        };
        match done {
            Err(error) if is_passing(error.code) => Err(HandleError::retry(error)),
            Err(error) => {
                tracing::error!(run = %of, %error, "a run of another flow is left as it is");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Whether asking again may help.
const fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Conflict | Code::ResourceExhausted | Code::Internal)
}

impl Children {
    async fn start(&self, of: RunId, wanted: ChildRequested, event: &RawEvent) -> Result<(), Error> {
        let shared = &self.shared;
        let above = shared.started_as(of).await?;
        let (child, node, wait) = (wanted.child, wanted.node, wanted.wait);
        let held = if wait { shared.held_around(&above, node).await? } else { Vec::new() };
        let mut flows = above.parent.map(|parent| parent.flows).unwrap_or_default();
        flows.push(above.flow);
        let asked = Asked {
            run: child,
            choice: FlowChoice::Published { project: above.project.to_string(), flow: wanted.flow.clone() },
            name: String::new(),
            description: format!("for {} of {}", above.path, above.name),
            origin: Origin::Run,
            arguments: wanted.arguments,
            triggers: Map::new(),
            meta: Meta {
                actor: above.author.unwrap_or_else(crate::run::book::system),
                cause: Cause::Run(of),
                trace: event.meta.trace.clone(),
            },
            author: None,
            at_least: 0,
            parent: Some(Parent { run: of, node, flows, held }),
            // What may not see secrets may not have them seen by a run of its own either.
            without_secrets: above.plan.without_secrets,
            fork: above.plan.fork,
            plan: None,
            given: Given::default(),
            despite_hold: None,
        };
        let why = match shared.start(asked).await {
            Ok(reply) if reply.problems.is_empty() => return Ok(()),
            Ok(reply) => {
                let first = reply.problems.first().map(|problem| {
                    let help = if problem.help.is_empty() { "" } else { "; " };
                    format!("{}: {}{help}{}", problem.pointer, problem.message, problem.help)
                });
                format!("`{}` was not started: {}", wanted.flow, first.unwrap_or_default())
            }
            Err(error) if is_passing(error.code) => return Err(error),
            Err(error) => format!("`{}` was not started: {}", wanted.flow, error.message),
        };
        if !wait {
            tracing::warn!(run = %of, node, why, "a run of another flow was not started, and nothing waits for it");
            return Ok(());
        }
        let end = ChildEnd { status: RunStatus::Failure, reason: why, refs: Map::new() };
        shared.child_ended(of, node, child, end, &MetadataMap::new()).await
    }
}

impl Shared {
    /// Whether a flow may run below these.
    pub(crate) fn check_nesting(parent: Option<&Parent>, flow: FlowId, path: &str) -> Result<(), Error> {
        let flows = parent.map_or(&[][..], |parent| &parent.flows);
        if flows.contains(&flow) {
            return Err(Error::new(
                Code::FailedPrecondition,
                format!("{path} would run itself: it is already above in this chain of runs"),
            ));
        }
        if flows.len() >= DEPTH {
            let message = format!("runs are nested more than {DEPTH} deep; {path} is not started below them");
            return Err(Error::new(Code::FailedPrecondition, message));
        }
        Ok(())
    }

    /// The locks that nobody gives back before the run that a node waits for has ended.
    async fn held_around(&self, above: &Started, node: u32) -> Result<Vec<HeldLock>, Error> {
        let mut held = above.parent.as_ref().map(|parent| parent.held.clone()).unwrap_or_default();
        if lock_names(&above.plan).is_empty() {
            return Ok(held);
        }
        let (state, _) = load(&*self.log, above.run).await?;
        held.extend(state.locks_around(node).into_iter().map(|(name, holder)| HeldLock {
            name: name.to_owned(),
            project: above.project,
            run: above.run,
            flow: above.path.clone(),
            node: state.name_of(holder),
        }));
        Ok(held)
    }

    async fn started_as(&self, run: RunId) -> Result<Started, Error> {
        let first = self.log.read_stream(&shipway_events::StreamName::run(run), 0, 1).await;
        let first = first.map_err(|source| LoadError::Read { run, source })?;
        let raw = first.first().ok_or(LoadError::Unknown(run))?;
        match run::Event::from_raw(raw).map_err(|source| LoadError::Decode { run, source })?.event {
            run::Event::Started(started) => Ok(started),
            _ => Err(LoadError::Unknown(run).into()),
        }
    }

    /// A run that may be some node's has ended.
    async fn tell_parent(&self, child: RunId) -> Result<(), Error> {
        let (state, _) = load(&*self.log, child).await?;
        let Some(parent) = state.started().and_then(|started| started.parent.clone()) else { return Ok(()) };
        let end = end_of(&state);
        self.child_ended(parent.run, parent.node, child, end, &MetadataMap::new()).await
    }

    /// Tells a node's run that the run which it wanted has ended, wherever the node's run is.
    pub(crate) async fn child_ended(
        &self,
        parent: RunId,
        node: u32,
        child: RunId,
        end: ChildEnd,
        metadata: &MetadataMap,
    ) -> Result<(), Error> {
        if let Some(peer) = self.elsewhere(parent, metadata).await? {
            let request = ChildEndedRequest {
                parent: parent.to_string(),
                node,
                child: child.to_string(),
                status: end.status.to_string(),
                reason: end.reason,
                refs_json: Value::Object(end.refs).to_string(),
            };
            let mut there = PeersClient::new(peer.channel);
            return there.child_ended(request).await.map(|_| ()).map_err(from_status);
        }
        let meta = Meta { actor: crate::run::book::system(), cause: Cause::Run(child), trace: None };
        let command = Command::ChildEnded { node, child, end: Box::new(end) };
        self.book.command(parent, command, meta).await.map(|_| ())
    }

    /// A run of another flow is not wanted any more.
    async fn abort_child(&self, child: RunId) -> Result<(), Error> {
        match flow_of(&*self.log, child).await {
            // It was never started, and whoever wanted it was told so.
            Err(LoadError::Unknown(_)) => return Ok(()),
            other => other?,
        };
        let reason = "the run that wanted it does not want it any more".to_owned();
        let aborted = match self.elsewhere(child, &MetadataMap::new()).await? {
            Some(peer) => {
                let request =
                    AbortRunRequest { run: child.to_string(), reason, ..AbortRunRequest::default() };
                let mut there = RunsClient::new(peer.channel);
                there.abort_run(request).await.map(|_| ()).map_err(from_status)
            }
            None => {
                let meta = Meta { actor: crate::run::book::system(), cause: Cause::Run(child), trace: None };
                self.book.command(child, Command::Abort { reason, by: None }, meta).await.map(|_| ())
            }
        };
        match aborted {
            // It has ended, and its end is told.
            Err(error) if error.code == Code::FailedPrecondition => Ok(()),
            other => other,
        }
    }
}

/// How a run ended, with what its nodes have put out.
fn end_of(state: &RunState) -> ChildEnd {
    let (status, reason) =
        state.ended().map_or((RunStatus::Unknown, None), |end| (end.status, end.reason.clone()));
    let mut refs = Map::new();
    let mut size = 0;
    for node in (0..).take(state.nodes().len()) {
        let outputs = state.loop_outputs(node).or_else(|| state.node(node)?.outputs.as_deref().cloned());
        let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else { continue };
        let outputs = Value::Object(outputs);
        size += outputs.to_string().len();
        // What is in a loop is in its loop's outputs.
        let name = state.name_of(node);
        if size <= REFS && !name.contains('.') {
            refs.insert(name, outputs);
        }
    }
    ChildEnd { status, reason: reason.unwrap_or_default(), refs }
}
