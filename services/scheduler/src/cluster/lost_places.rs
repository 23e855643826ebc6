//! Looks after what is on hosts that are away, and after moves. What follows from what is seen decides
//! [`places::decide`]; each target is looked after by the scheduler that has its lane.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use shipway_contracts::{
    Code, Error,
    v1::{FlowForRunRequest, project_home_client::ProjectHomeClient},
};
use shipway_eventing::{
    Member,
    log::{AppendError, Expected, Item, Write},
};
use shipway_events::{
    Cause, CommandId, ExecutorId, FlowId, Meta, ResourceId, RunId, RunStatus, StreamEvent, StreamName, place,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{EXECUTORS, Together, shards::Shard};
use crate::{
    places::{self, Around, GIVEN_UP, Host, Place, Progress},
    registry::Coming,
    run::book::LoadError,
    service::Shared,
    start::from_status,
};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until the service stops.
pub(crate) async fn watch(shared: Arc<Shared>, together: Together, stopping: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stopping.cancelled() => return,
        }
        let looked = match together.leases.members(EXECUTORS).await {
            Ok(members) => shared.look_after_places(&Hosts::seen(&members, begun)).await,
            Err(error) => Err(Error::unavailable(error.to_string())),
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "targets of hosts that are away could not be looked after; trying again");
        }
    }
}

/// How each executor stands.
struct Hosts {
    known: BTreeMap<ExecutorId, Host>,
    /// One that never said that it is there, to this cluster, is as one that has been away since this scheduler looks.
    others: Host,
}

impl Hosts {
    fn seen(members: &[Member], begun: Instant) -> Self {
        let host = |member: &Member| match member.left.is_zero() {
            true => Host::Away(member.gone_for),
            false => Host::There,
        };
        let known = members.iter().filter_map(|member| Some((member.id.parse().ok()?, host(member))));
        Self { known: known.collect(), others: Host::Away(begun.elapsed()) }
    }

    fn of(&self, executor: ExecutorId) -> Host {
        self.known.get(&executor).copied().unwrap_or(self.others)
    }
}

impl Shared {
    /// Every target whose lane is here and of which something may become.
    async fn look_after_places(&self, hosts: &Hosts) -> Result<(), Error> {
        for (target, row) in self.all_places().await? {
            let lane = Shard::of(FlowId::new(target.uuid()), RunId::new(Uuid::nil()));
            let rests = match hosts.of(row.executor) {
                Host::There => row.lost.is_none() && row.moving.is_none(),
                Host::Away(away) => away < GIVEN_UP && row.moving.is_none(),
            };
            if rests || !self.cluster.is_here(lane) {
                continue;
            }
            // The table may be a moment old.
            let Some(place) = places::read(&*self.log, target).await? else { continue };
            if let Err(error) = self.look_after(target, &place, hosts.of(place.executor)).await {
                tracing::warn!(%target, %error, "a target could not be looked after; trying again");
            }
        }
        // Nobody waits for ever because an end was heard before its beginning was read.
        for target in self.registry.all_coming() {
            let moving = places::read(&*self.log, target).await?.and_then(|place| place.moving);
            if moving.is_none_or(|moving| moving.backup.is_none() && moving.failed.is_some()) {
                self.registry.came(target);
                self.room_came_free();
            }
        }
        Ok(())
    }

    async fn look_after(&self, target: ResourceId, place: &Place, host: Host) -> Result<(), Error> {
        let (progress, released) = match &place.moving {
            None => (Progress::GoesOn, false),
            Some(moving) if moving.failed.is_none() => (self.progress_of(moving.run).await?, false),
            Some(_) => (Progress::GoesOn, self.released_since(target, place.since).await?),
        };
        let around = Around {
            host,
            progress,
            released,
            is_service: self.is_service(target).await?,
            roomiest: self.registry.roomiest(&place.labels),
            run: RunId::new(Uuid::now_v7()),
            now: self.log.now(),
        };
        let events = places::decide(place, &around);
        let meta = Meta { actor: crate::run::book::system(), cause: Cause::Clock, trace: None };
        match self.record_place(target, place, &events, meta, CommandId::new(Uuid::now_v7())).await {
            // Another scheduler was first, or it was released meanwhile.
            Err(AppendError::Conflict { .. }) => Ok(()),
            recorded => recorded.map_err(|error| Error::unavailable(error.to_string())),
        }
    }

    /// What becomes of a target is recorded, if nothing else has become of it since.
    pub(crate) async fn record_place(
        &self,
        target: ResourceId,
        place: &Place,
        events: &[place::Event],
        meta: Meta,
        command: CommandId,
    ) -> Result<(), AppendError> {
        if events.is_empty() {
            return Ok(());
        }
        let write = Write {
            stream: StreamName::place(target),
            expected: Expected::Version(place.version),
            events: events.iter().map(StreamEvent::encode).collect(),
        };
        self.log.append(Item { command, meta, writes: vec![write] }).await?;
        for event in events {
            match event {
                place::Event::Lost(lost) => {
                    tracing::warn!(%target, executor = %lost.executor, "the host of a target is away; given up");
                }
                place::Event::Moved(moved) => {
                    tracing::warn!(%target, from = %moved.from, to = %moved.to, run = %moved.run, "a target is moved");
                    let coming = Coming { run: moved.run, restores: moved.backup.is_some() };
                    self.registry.comes(target, coming);
                    self.registry.set_place(target, moved.to);
                }
                place::Event::MoveFailed(failed) => {
                    tracing::warn!(%target, run = %failed.run, reason = failed.reason, "a target was not moved");
                }
                place::Event::Chosen(_) | place::Event::Returned(_) | place::Event::Settled(_) => {}
            }
        }
        Ok(())
    }

    /// How a move's run stands.
    pub(crate) async fn progress_of(&self, run: RunId) -> Result<Progress, Error> {
        let state = match self.book.look(run).await {
            Ok(state) => state,
            // It is being started.
            Err(LoadError::Unknown(_)) => return Ok(Progress::GoesOn),
            Err(error) => return Err(error.into()),
        };
        let Some(ended) = state.ended() else { return Ok(Progress::GoesOn) };
        if ended.status == RunStatus::Success {
            return Ok(Progress::Done);
        }
        let error = state.nodes().iter().filter_map(|node| node.error.as_ref()).next_back();
        let words = [ended.reason.as_deref(), error.map(|error| error.message.as_str())];
        let words = words.into_iter().flatten().map(|words| format!(": {words}"));
        let reason = format!("run {run}: {}{}", ended.status, words.collect::<String>());
        Ok(Progress::Failed { reason, by_person: ended.status == RunStatus::Aborted })
    }

    /// Whether a target can be made anew from its artifact. One that is no part of its project any more goes nowhere.
    async fn is_service(&self, target: ResourceId) -> Result<bool, Error> {
        let mut home = ProjectHomeClient::new(self.projects.clone()).max_decoding_message_size(64 << 20);
        let request = FlowForRunRequest { flow: target.to_string(), ..FlowForRunRequest::default() };
        match home.flow_for_run(request).await.map_err(from_status) {
            Ok(reply) => Ok(reply.into_inner().path.starts_with("service/")),
            Err(error) if error.code == Code::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
