//! A flow that was due starts one run.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, json};
use shipway_eventing::feed::{HandleError, Reaction};
use shipway_events::{
    Actor, Cause, Meta, RawEvent, StreamEvent as _, Timestamp,
    plan::Given,
    run::Origin,
    schedule::{Event, Ticked},
};
use tracing::Instrument as _;

use crate::{
    reactions::outcome,
    refused::Wanted,
    service::Shared,
    start::{Asked, FlowChoice},
};

/// From a tick to its run. The run's id follows from the tick, so that it is one run however often this is handled.
pub(crate) struct Schedules {
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl Reaction for Schedules {
    fn name(&self) -> &'static str {
        "scheduler-schedules"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["schedule"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        let Some(Event::Ticked(ticked)) = Event::read(event)?.map(|recorded| recorded.event) else {
            return Ok(());
        };
        let run = ticked.run();
        let span = tracing::info_span!(parent: None, "start", %run, scheduled_at = %ticked.scheduled_at);
        let mut asked = asked(event, &ticked);
        asked.meta.trace = shipway_contracts::trace::of(&span);
        match outcome(self.shared.start(asked.clone()).instrument(span).await)? {
            None => Ok(()),
            Some(refusal) => self.refused(asked, &ticked, refusal).await,
        }
    }
}

impl Schedules {
    /// A flow that is gone has no runs any more; any other shows that this one failed.
    async fn refused(&self, asked: Asked, ticked: &Ticked, refusal: String) -> Result<(), HandleError> {
        let flow = self.shared.flow_for_run("", &ticked.flow.to_string(), asked.at_least).await;
        let Some(project) = flow.ok().and_then(|flow| flow.project.parse().ok()) else {
            tracing::warn!(path = ticked.path, refusal, "a run was not started");
            return Ok(());
        };
        let wanted = Wanted { project, flow: ticked.flow, path: &ticked.path };
        self.shared.failed_to_start(asked, wanted, refusal).await
    }
}

fn asked(event: &RawEvent, ticked: &Ticked) -> Asked {
    let values = json!({ "scheduledAt": shown(ticked.scheduled_at) });
    Asked {
        run: ticked.run(),
        choice: FlowChoice::Published { project: String::new(), flow: ticked.flow.to_string() },
        name: ticked.run_name(),
        description: ticked.summary.clone(),
        origin: Origin::Schedule,
        arguments: Map::new(),
        triggers: Map::from_iter([(ticked.trigger.clone(), values)]),
        meta: Meta {
            actor: Actor::System("schedule".to_owned()),
            cause: Cause::Event(event.position),
            trace: None,
        },
        author: None,
        at_least: event.position,
        parent: None,
        without_secrets: None,
        fork: None,
        plan: None,
        given: Given::default(),
        despite_hold: None,
    }
}

/// A time as flows see it: RFC 3339 in UTC, to the second, because a tick has no more.
pub(crate) fn shown(at: Timestamp) -> String {
    let seconds = Timestamp::from_micros(at.micros().div_euclid(1_000_000) * 1_000_000).to_string();
    seconds.replace(".000000Z", "Z")
}
