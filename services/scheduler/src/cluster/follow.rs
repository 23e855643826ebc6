//! Follows what other schedulers append: a run that is open here and that another has written to is read again, and
//! slots that other schedulers' attempts use are counted.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use shipway_eventing::Feed;
use shipway_events::{
    ExecutorId, Fence, FlowId, RawEvent, RegistrationId, RunId, StreamEvent, Version, lane, place,
};
use tokio_util::sync::CancellationToken;

use super::shards::Shard;
use crate::{
    registry::{Coming, Hold},
    service::Shared,
};

/// How many events are read at once.
const READ: usize = 500;
/// How long it rests after events: what was appended here is known here by then.
const REST: Duration = Duration::from_millis(10);
/// How long it waits when the log cannot be read.
const PAUSE: Duration = Duration::from_millis(500);

/// What an event says of an attempt's slot.
#[derive(Deserialize)]
struct Requested {
    executor: ExecutorId,
    registration: RegistrationId,
    #[serde(default)]
    work: Value,
}

#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    fence: Option<Fence>,
}

/// Runs until the service stops.
pub(crate) async fn follow(
    shared: Arc<Shared>,
    feed: Feed,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut tail = feed.tail();
    let mut position = *tail.borrow_and_update();
    let mut behind: BTreeMap<RunId, Version> = BTreeMap::new();
    loop {
        if *tail.borrow_and_update() <= position && behind.is_empty() {
            tokio::select! {
                more = tail.changed() => if more.is_err() { return Ok(()) },
                () = stopping.cancelled() => return Ok(()),
            }
        }
        match feed.read(position, READ).await {
            Ok(events) => {
                for event in events {
                    position = event.position;
                    if event.kind == "lock.released" {
                        shared.book.lock_came_free(event.stream.clone()).await;
                    }
                    shared.heard(&event, &mut behind);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the log could not be read; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
        tokio::time::sleep(REST).await;
        for (run, version) in std::mem::take(&mut behind) {
            if shared.book.version(run).is_some_and(|known| known < version) {
                tracing::debug!(%run, version, "another scheduler wrote to a run that is here");
                shared.book.refresh(run, version).await;
            }
        }
        if stopping.is_cancelled() {
            return Ok(());
        }
    }
}

impl Shared {
    /// Whoever gave a target its place, all schedulers keep to it.
    fn heard_place(&self, event: &RawEvent) {
        let Some(target) = event.stream.id().and_then(|id| id.parse().ok()) else { return };
        match place::Event::read(event).map(|recorded| recorded.map(|recorded| recorded.event)) {
            Ok(Some(place::Event::Chosen(chosen))) => self.registry.set_place(target, chosen.executor),
            Ok(Some(place::Event::Moved(moved))) => {
                let coming = Coming { run: moved.run, restores: moved.backup.is_some() };
                self.registry.comes(target, coming);
                self.registry.set_place(target, moved.to);
                self.room_came_free();
            }
            Ok(Some(place::Event::Settled(_))) => {
                self.registry.came(target);
                self.room_came_free();
            }
            Ok(Some(place::Event::MoveFailed(_))) => {
                self.registry.did_not_come(target);
                self.room_came_free();
            }
            Ok(Some(place::Event::Lost(_) | place::Event::Returned(_)) | None) => {}
            Err(error) => tracing::error!(%error, "a target's place cannot be read"),
        }
    }

    /// What others write to lanes that are here: the scheduler that had them before, a moment ago. Who waits here may have
    /// its turn by it, and whom they have let wait nobody else would let in.
    fn heard_lane(&self, event: &RawEvent) {
        let Some(flow) = event.stream.id().and_then(|id| id.parse::<FlowId>().ok()) else { return };
        match lane::Event::read(event).map(|recorded| recorded.map(|recorded| recorded.event)) {
            Ok(Some(lane::Event::Queued(queued))) if self.book.version(queued.run).is_none() => {
                if self.cluster.is_here(Shard::of(flow, queued.run)) {
                    self.book.open_later(queued.run);
                }
            }
            Ok(_) if self.book.waits_for_lane(flow) => self.book.tell_lane(flow),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "what happened in a lane cannot be read"),
        }
    }

    fn heard(&self, event: &RawEvent, behind: &mut BTreeMap<RunId, Version>) {
        if event.stream.kind() == "place" {
            return self.heard_place(event);
        }
        if event.stream.kind() == "lane" {
            return self.heard_lane(event);
        }
        if event.stream.kind() == "policy" {
            if let Some(project) = event.stream.id().and_then(|id| id.parse().ok()) {
                self.book.policies_changed(project, event.version);
            }
            return;
        }
        if event.stream.kind() != "run" {
            return;
        }
        let Some(run) = event.stream.id().and_then(|id| id.parse::<RunId>().ok()) else { return };
        if let Some(known) = self.book.version(run) {
            if known < event.version {
                behind.insert(run, event.version);
            }
            return;
        }
        let fence = Fence::new(self.log.generation(), event.position);
        match event.kind.as_str() {
            "run.attempt_requested" => {
                if let Ok(Requested { executor, registration, work }) = serde_json::from_str(&event.data) {
                    let heavy = shipway_engine::takes_a_process(&work);
                    self.registry.taken_elsewhere(fence, Hold { executor, registration, heavy });
                }
            }
            "run.node_succeeded"
            | "run.node_failed"
            | "run.attempt_failed"
            | "run.attempt_lost"
            | "run.node_unknown"
            | "run.node_aborted"
            | "run.node_ended_later" => {
                if let Ok(Ended { fence: Some(fence) }) = serde_json::from_str(&event.data)
                    && self.registry.freed_elsewhere(fence)
                {
                    self.room_came_free();
                }
            }
            _ => {}
        }
    }
}
