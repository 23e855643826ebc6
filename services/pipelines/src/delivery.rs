//! What follows from builds and releases for resources that take builds by themselves, and the one-node flows of that.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use shipway_contracts::{Code, Error, v1::FlowForRunReply};
use shipway_eventing::feed::{HandleError, Reaction};
use shipway_events::{
    CommandId, FlowId, Meta, ProjectId, RawEvent, RunId, StreamEvent as _, StreamName,
    run::{self, Effect},
};
use uuid::Uuid;

use crate::{
    api::{one_node, pinned},
    change::Shared,
    domain::{Accounts, Command, Resource},
    world::Project,
};

/// From what runs have built and released to what follows from it in the project.
pub(crate) struct Deliveries {
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl Reaction for Deliveries {
    fn name(&self) -> &'static str {
        "pipelines-delivery"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        // Most nodes have no effects, and then no such word in their event.
        if !event.data.contains("\"effects\"") {
            return Ok(());
        }
        let effects = match run::Event::read(event)?.map(|recorded| recorded.event) {
            Some(run::Event::NodeSucceeded(succeeded)) => succeeded.effects,
            Some(run::Event::NodeEndedLater(ended)) => ended.effects,
            _ => return Ok(()),
        };
        for (n, effect) in effects.into_iter().enumerate() {
            if !matches!(effect, Effect::Built { .. } | Effect::Released { .. }) {
                continue;
            }
            let Some((run, project, flow)) = self.run_of(&event.stream).await? else { return Ok(()) };
            let wish = match effect {
                Effect::Built { artifact, .. } => Command::Built { artifact, run },
                Effect::Released { target, .. } => Command::Released { target, flow, run },
                _ => continue,
            };
            let meta = Meta::reaction("pipelines", event.position);
            settle(self.shared.change(command(event, n), meta, project, &wish, &[]).await.map(drop))?;
        }
        Ok(())
    }
}

impl Deliveries {
    /// The run of a stream, its project and its flow.
    async fn run_of(&self, stream: &StreamName) -> Result<Option<(RunId, ProjectId, FlowId)>, HandleError> {
        let first = self.shared.log.read_stream(stream, 0, 1).await.map_err(HandleError::retry)?;
        let Some(raw) = first.first() else { return Ok(None) };
        match run::Event::read(raw)?.map(|recorded| recorded.event) {
            Some(run::Event::Started(started)) => Ok(Some((started.run, started.project, started.flow))),
            _ => Ok(None),
        }
    }
}

/// The command that follows from an effect: always the same, so that it is applied once.
fn command(event: &RawEvent, effect: usize) -> CommandId {
    let mut bytes = *Uuid::nil().as_bytes();
    bytes[..6].copy_from_slice(b"follow");
    bytes[7] = u8::try_from(effect).unwrap_or(u8::MAX);
    bytes[8..].copy_from_slice(&event.position.to_be_bytes());
    CommandId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// What can be mended by waiting is tried again. A project that is gone has nothing that follows anything.
fn settle(changed: Result<(), Error>) -> Result<(), HandleError> {
    match changed {
        Err(error) if error.code == Code::NotFound => Ok(()),
        other => other.map_err(HandleError::retry),
    }
}

/// What a run pins that gives a service or job the build that it follows.
pub(crate) fn follow_flow(
    accounts: &Accounts,
    project: &Project,
    resource: &Resource,
) -> Option<FlowForRunReply> {
    let (service, _) = crate::domain::source(resource.kind, &resource.spec)?;
    let node = json!({
        "kind": "Release", "ref": "release", "condition": "running",
        "spec": {
            "type": "build",
            "origin": {"id": service, "branch": "${triggers.cd.branch}", "build": "${triggers.cd.build}"},
            "target": {"id": resource.slug, "type": resource.kind.member_type()},
        },
    });
    let path = format!("cd/{}/{}", project.slug, resource.slug);
    let mut reply = one_node(accounts, project, resource, &path, &node);
    reply
        .resources
        .extend(project.state.resources.get(service).map(|service| pinned(accounts, project, service)));
    Some(reply)
}

/// What a run pins that runs a job.
pub(crate) fn job_flow(accounts: &Accounts, project: &Project, job: &Resource) -> FlowForRunReply {
    let node = json!({
        "kind": "JobRun", "ref": "job", "condition": "success", "spec": {"jobId": job.slug},
    });
    one_node(accounts, project, job, &format!("job/{}/{}", project.slug, job.slug), &node)
}
