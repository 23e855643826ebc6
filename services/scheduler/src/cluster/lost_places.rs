//! Targets whose host is away for too long get another: services from their artifact, by a run of their own. An addon's
//! data are on its host: a person decides whether it is restored elsewhere.

use std::{sync::Arc, time::Duration};

use shipway_contracts::{
    Code, Error,
    v1::{FlowForRunRequest, project_home_client::ProjectHomeClient},
};
use shipway_eventing::log::{AppendError, Expected, Item, Write};
use shipway_events::{
    Cause, CommandId, ExecutorId, FlowId, Meta, NewEvent, ResourceId, RunId, StreamEvent, StreamName, place,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{EXECUTORS, Together, shards::Shard};
use crate::{places::Place, service::Shared, start::from_status};

/// How long after the end of its executor's lease a host is given up.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// How often it is looked for hosts that are away.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until the service stops.
pub(crate) async fn watch(shared: Arc<Shared>, together: Together, stopping: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stopping.cancelled() => return,
        }
        let members = match together.leases.members(EXECUTORS).await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, "the executors could not be looked up; trying again");
                continue;
            }
        };
        for member in members.into_iter().filter(|member| member.gone_for >= GIVEN_UP) {
            let Ok(executor) = member.id.parse() else { continue };
            if let Err(error) = shared.give_places(executor, member.gone_for).await {
                tracing::warn!(%executor, %error, "targets of a host that is away could not be moved; trying again");
            }
        }
    }
}

impl Shared {
    /// Gives the targets of a host that is away to others, as far as their lanes are here.
    async fn give_places(&self, from: ExecutorId, away: Duration) -> Result<(), Error> {
        for (target, row) in self.all_places().await? {
            let lane = Shard::of(FlowId::new(target.uuid()), RunId::new(Uuid::nil()));
            if row.executor != from || !self.cluster.is_here(lane) {
                continue;
            }
            // The table may be a moment old.
            let Some(place) = crate::places::read(&*self.log, target).await? else { continue };
            if place.executor == from {
                self.give_place(target, &place, away).await?;
            }
        }
        Ok(())
    }

    async fn give_place(&self, target: ResourceId, place: &Place, away: Duration) -> Result<(), Error> {
        let mut events: Vec<NewEvent> = Vec::new();
        if place.lost.is_none() {
            let lost = place::Lost { executor: place.executor, away_seconds: away.as_secs() };
            events.push(place::Event::from(lost).encode());
        }
        let to = match self.is_service(target).await? {
            true => self.registry.roomiest(&place.labels).filter(|to| *to != place.executor),
            false => None,
        };
        if let Some(to) = to {
            let moved = place::Moved { from: place.executor, to, run: RunId::new(Uuid::now_v7()) };
            events.push(place::Event::from(moved).encode());
        }
        if events.is_empty() {
            return Ok(());
        }
        let item = Item {
            command: CommandId::new(Uuid::now_v7()),
            meta: Meta { actor: crate::run::book::system(), cause: Cause::Clock, trace: None },
            writes: vec![Write {
                stream: StreamName::place(target),
                expected: Expected::Version(place.version),
                events,
            }],
        };
        match self.log.append(item).await {
            Ok(_) => {
                tracing::warn!(%target, from = %place.executor, to = ?to, "the host of a target is away; given up");
                if let Some(to) = to {
                    self.registry.set_place(target, to);
                }
                Ok(())
            }
            // Another scheduler was first, or it was released meanwhile.
            Err(AppendError::Conflict { .. }) => Ok(()),
            Err(error) => Err(Error::unavailable(error.to_string())),
        }
    }

    /// Whether a target can be made anew from its artifact. One that is no part of its project any more goes nowhere.
    async fn is_service(&self, target: ResourceId) -> Result<bool, Error> {
        let mut home = ProjectHomeClient::new(self.projects.clone()).max_decoding_message_size(64 << 20);
        let request = FlowForRunRequest { flow: target.to_string(), at_least: 0 };
        match home.flow_for_run(request).await.map_err(from_status) {
            Ok(reply) => Ok(reply.into_inner().path.starts_with("service/")),
            Err(error) if error.code == Code::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
