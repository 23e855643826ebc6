//! A rollback holds what it leaves: nothing but a person releases it there again. The hold follows from the run's start.
//! The version of the flow that it goes back to follows from its good end: one that somebody rejects changes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use shipway_contracts::{Code, Error};
use shipway_eventing::feed::{HandleError, Reaction};
use shipway_events::{
    Cause, CommandId, Meta, RawEvent, RunStatus, StreamEvent,
    plan::{Artifact, PlanNode},
    policy::Subject,
    run::{self, Started},
};
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::{api::NewHold, holds::subject, service::Shared};

/// Places the hold of each rollback that wants one, and puts the flow back of each that does.
pub(crate) struct RollbacksHold {
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl Reaction for RollbacksHold {
    fn name(&self) -> &'static str {
        "scheduler-rollbacks"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        match event.kind.as_str() {
            // Few runs are rollbacks: the words are looked for first.
            "run.started" if event.data.contains("\"rollback\"") => self.hold(event).await,
            "run.ended" if event.data.contains("success") => self.put_flow_back(event).await,
            _ => Ok(()),
        }
    }
}

impl RollbacksHold {
    async fn hold(&self, event: &RawEvent) -> Result<(), HandleError> {
        let Some(recorded) = run::Event::read(event)? else { return Ok(()) };
        let run::Event::Started(started) = recorded.event else { return Ok(()) };
        let (left, since) = subjects(&started);
        if left.is_empty() {
            return Ok(());
        }
        let why = match started.description.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        };
        let new = NewHold {
            // The run's own id is the command that has started it: this one is another, and always the same.
            command: CommandId::new(Uuid::from_u128(started.run.uuid().as_u128() ^ 2)),
            scope: format!("{}/{}", started.project, started.path),
            name: String::new(),
            until: None,
            reason: format!("rolled back by run {}{why}", started.run),
        };
        let meta = Meta {
            actor: recorded.meta.actor,
            cause: Cause::Event(event.position),
            trace: event.meta.trace.clone(),
        };
        self.shared.hold_lineage(new, left, &since, meta).await.map_err(handled).map(drop)
    }

    async fn put_flow_back(&self, event: &RawEvent) -> Result<(), HandleError> {
        let Some(recorded) = run::Event::read(event)? else { return Ok(()) };
        if !matches!(&recorded.event, run::Event::Ended(ended) if ended.status == RunStatus::Success) {
            return Ok(());
        }
        let first = self.shared.log.read_stream(&event.stream, 0, 1).await.map_err(HandleError::retry)?;
        let Some(begun) = first.first().map(run::Event::read).transpose()?.flatten() else { return Ok(()) };
        let run::Event::Started(started) = begun.event else { return Ok(()) };
        let Some(version) = started.rollback.and_then(|rollback| rollback.flow_version) else {
            return Ok(());
        };
        let words = format!("rolled back by run {}, asked for by {}", started.run, begun.meta.actor.name());
        let nobody = MetadataMap::new();
        self.shared
            .put_flow_back(Some(started.run), &nobody, started.flow, version, &words)
            .await
            .map_err(handled)
    }
}

fn handled(error: Error) -> HandleError {
    match error.code {
        Code::Unavailable | Code::Conflict | Code::ResourceExhausted => HandleError::retry(error),
        _ => HandleError::poison(error),
    }
}

/// What a rollback leaves, and what it goes back to; nothing if it holds nothing.
fn subjects(started: &Started) -> (Vec<Subject>, Vec<Subject>) {
    let Some(rollback) = started.rollback.as_ref().filter(|rollback| rollback.holds) else {
        return (Vec::new(), Vec::new());
    };
    let left = rollback.left.keys().filter_map(|slug| started.plan.deployed.get(slug));
    (left.map(subject).collect(), gone_back_to(started).map(subject).collect())
}

/// What a rollback releases in the place of what it leaves; nothing of any other run.
pub(crate) fn gone_back_to(started: &Started) -> impl Iterator<Item = &Artifact> {
    let plan = &started.plan;
    let is_left = |node: &&PlanNode| {
        started.rollback.as_ref().is_some_and(|rollback| rollback.left.contains_key(&node.reference))
    };
    let back = plan.nodes.iter().filter(is_left);
    let builds = back.filter_map(|node| node.spec.pointer("/origin/build").and_then(Value::as_str));
    builds.filter_map(|build| plan.builds.get(build))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_events::{
        ConcurrencyPolicy, FlowId, ProjectId, RunId,
        plan::Plan,
        run::{Origin, Rollback},
    };

    use super::*;

    fn artifact(version: u32) -> Artifact {
        Artifact {
            digest: format!("sha256:{version}"),
            build: format!("b-{version}"),
            service: "build".to_owned(),
            commit: format!("c{version}"),
            branch: "main".to_owned(),
        }
    }

    fn started(holds: bool) -> Started {
        let release = |target: &str, version: u32| PlanNode {
            reference: target.to_owned(),
            kind: "Release".to_owned(),
            spec: json!({"origin": {"id": "build", "build": format!("b-{version}")}}),
            ..PlanNode::default()
        };
        let builds = [1, 2, 3].map(|version| (format!("b-{version}"), artifact(version)));
        Started {
            run: RunId::new(Uuid::from_u128(1)),
            project: ProjectId::new(Uuid::nil()),
            pipeline: None,
            flow: FlowId::new(Uuid::nil()),
            path: "shop/production".to_owned(),
            flow_version: 1,
            name: String::new(),
            description: String::new(),
            origin: Origin::Manual,
            author: None,
            parent: None,
            policy: ConcurrencyPolicy::Allow,
            rollback: Some(Rollback {
                left: [("web".to_owned(), "sha256:2".to_owned())].into(),
                holds,
                ..Rollback::default()
            }),
            plan: Plan {
                // Another service is only stopped and started as it was.
                nodes: vec![release("web", 1), release("public", 3)],
                deployed: [("web".to_owned(), artifact(2)), ("public".to_owned(), artifact(3))].into(),
                builds: builds.into(),
                ..Plan::default()
            },
        }
    }

    #[test]
    fn what_is_left_is_held_and_what_is_gone_back_to_is_not() {
        let (left, since) = subjects(&started(true));
        assert_eq!((left, since), (vec![subject(&artifact(2))], vec![subject(&artifact(1))]));
        assert_eq!(subjects(&started(false)), (Vec::new(), Vec::new()));
    }
}
