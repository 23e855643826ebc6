//! What is written and kept beside the run itself: the places of its targets, and that it waits in its lane.

use shipway_eventing::log::{Expected, Write};
use shipway_events::{
    ConcurrencyPolicy, ExecutorId, FlowId, ResourceId, StreamEvent, StreamName, place, run,
};

use super::Actor;
use crate::run::told::labels;

impl Actor {
    /// The lane that the run has to ask, or had to.
    pub(super) fn lane(&self) -> Option<FlowId> {
        let started = self.state.started()?;
        (started.policy != ConcurrencyPolicy::Allow).then_some(started.flow)
    }

    /// Whoever leaves the lane has to know whether the run waits in it.
    pub(super) fn note_turn(&self) {
        if let Some(flow) = self.lane() {
            self.book.shared.lanes.note(flow, self.run, self.state.waits_for_lane());
        }
    }

    /// It does not wait any more, or not here.
    pub(super) fn forget_turn(&self) {
        if let Some(flow) = self.lane() {
            self.book.shared.lanes.note(flow, self.run, false);
        }
    }

    /// A target that has no place yet gets one with the attempt that goes there. Another run may choose one for the same
    /// target at the same moment: the first one counts.
    pub(super) fn place_write(
        &self,
        events: &[run::Event],
        (target, executor): (ResourceId, ExecutorId),
    ) -> Write {
        let labels = self.asked_labels(events, target);
        let chosen = place::Event::from(place::Chosen { executor, run: self.run, labels });
        Write { stream: StreamName::place(target), expected: Expected::New, events: vec![chosen.encode()] }
    }

    /// The labels that the node asks for which gives a target its place.
    fn asked_labels(&self, events: &[run::Event], target: ResourceId) -> Vec<String> {
        let of_target = |work: &serde_json::Value| {
            let work: Option<shipway_nodes::Workload> = serde_json::from_value(work.clone()).ok();
            work.is_some_and(|work| work.target_on_host().is_some_and(|on| on.id == target))
        };
        let node = events.iter().find_map(|event| match event {
            run::Event::AttemptRequested(request) if of_target(&request.work) => Some(request.node),
            _ => None,
        });
        node.map(|node| labels(&self.state, node)).unwrap_or_default()
    }

    /// Another run was first to choose a target's place.
    pub(super) async fn learn_place(&self, stream: &StreamName) {
        let Some(target) = (stream.kind() == "place").then(|| stream.id()?.parse().ok()).flatten() else {
            return;
        };
        match crate::places::read(&*self.book.shared.log, target).await {
            Ok(Some(at)) => self.book.shared.registry.set_place(target, at.executor),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a target's place could not be read; it is tried again"),
        }
    }
}
