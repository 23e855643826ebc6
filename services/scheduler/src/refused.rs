//! A run that something asked for by itself, and that could not be started, is a run all the same: it failed before it
//! began. Whoever was told its id finds it, with the reason, where all runs are.

use shipway_eventing::{
    feed::HandleError,
    log::{AppendError, Expected, Item, Write},
};
use shipway_events::{
    CommandId, ConcurrencyPolicy, FlowId, ProjectId, RunStatus, StreamEvent, StreamName,
    lane::{self, Rejected},
    plan::{Plan, PlanNode},
    run::{Ended, Event, Started},
};

use crate::{service::Shared, start::Asked};

/// The flow that was to run, as whoever asked knows it: it may be what is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) project: ProjectId,
    pub(crate) flow: FlowId,
    pub(crate) path: &'a str,
}

impl Shared {
    /// Records that a run failed before it began. Its lane never lets it in: nothing of it goes on.
    pub(crate) async fn failed_to_start(
        &self,
        asked: Asked,
        wanted: Wanted<'_>,
        reason: String,
    ) -> Result<(), HandleError> {
        let (run, meta) = (asked.run, asked.meta.clone());
        tracing::warn!(%run, path = wanted.path, reason, "a run was not started");
        let reason = format!("it could not be started: {reason}");
        let lane = lane::Event::from(Rejected { run, reason: reason.clone(), by: None });
        let events = failed(asked, wanted, reason);
        let write = |stream, expected, events| Write { stream, expected, events };
        let writes = vec![
            write(StreamName::run(run), Expected::New, events.iter().map(StreamEvent::encode).collect()),
            write(StreamName::lane(wanted.flow), Expected::Any, vec![lane.encode()]),
        ];
        match self.log.append(Item { command: CommandId::new(run.uuid()), meta, writes }).await {
            // It is there already.
            Ok(_) | Err(AppendError::Conflict { .. }) => Ok(()),
            Err(error) => Err(HandleError::retry(error)),
        }
    }
}

fn failed(asked: Asked, wanted: Wanted<'_>, reason: String) -> [Event; 2] {
    let root = PlanNode {
        reference: "workflow".to_owned(),
        kind: "Workflow".to_owned(),
        pointer: "/spec".to_owned(),
        ..PlanNode::default()
    };
    let started = Started {
        run: asked.run,
        project: wanted.project,
        pipeline: None,
        flow: wanted.flow,
        path: wanted.path.to_owned(),
        flow_version: 0,
        name: asked.name,
        description: asked.description,
        origin: asked.origin,
        author: Some(asked.meta.actor),
        parent: None,
        policy: ConcurrencyPolicy::Allow,
        rollback: None,
        plan: Plan {
            nodes: vec![root],
            triggers: asked.triggers,
            without_secrets: asked.without_secrets,
            fork: asked.fork,
            ..Plan::default()
        },
    };
    [started.into(), Ended { status: RunStatus::Failure, reason: Some(reason), by: None }.into()]
}
