//! Between scheduler and executors: `shipway.v1.Work`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shipway_contracts::{
    Code, Error, id,
    v1::{
        Assignment, BeatReply, BeatRequest, CompleteReply, CompleteRequest, Held, RegisterReply,
        RegisterRequest, Way, work_client::WorkClient, work_server::Work,
    },
};
use shipway_engine::{Command, OpenAttempt, RunState};
use shipway_eventing::{failing, failpoint};
use shipway_events::{Actor, Cause, EffectClass, ExecutorId, Fence, Meta, RegistrationId, ResourceId, RunId};
use shipway_nodes::Outcome;
use tonic::{Request, Response, Status};

use crate::{
    cluster::{AT_ONCE, COMPARE, EXECUTORS, Together, passed_on, shards::Shard},
    registry::{Bell, Hold, Introduction},
    run::{
        book::LoadError,
        told::{effect_key, traced},
    },
    service::Shared,
};

/// How long an executor counts after a beat.
const LEASE: Duration = Duration::from_secs(30);

/// Serves `Work`.
#[derive(Clone)]
pub struct WorkApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Work for WorkApi {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        failpoint!("scheduler.register", return Err(Status::unavailable("a failpoint")));
        let request = request.into_inner();
        let executor: ExecutorId = id("executor", &request.executor)?;
        let registration: RegistrationId = id("registration", &request.registration)?;
        let intro = Introduction {
            registration,
            light: request.light_slots,
            heavy: request.heavy_slots,
            labels: request.labels.into_iter().collect(),
            address: request.address,
            host: request.host,
            draining: false,
            kept: BTreeMap::new(),
        };
        let shared = &self.shared;
        if let Some(together) = shared.cluster.together() {
            keep_lease(together, executor, &intro).await?;
        }
        if shared.registry.register(executor, intro) {
            tracing::info!(%executor, %registration, "an executor has started");
            let (taking, alone) = (shared.clone(), shared.cluster.together().is_none());
            // A start is news once: it is seen to its end, whether or not who told of it still waits for the answer.
            let seen = tokio::spawn(async move {
                match alone {
                    true => taking.take_over_surely(executor, registration).await,
                    false => taking.settle_all().await,
                }
            });
            seen.await.map_err(|error| Error::internal(&error))?;
        }
        let log = shared.log.id().to_owned();
        Ok(Response::new(RegisterReply { generation: shared.log.generation(), log }))
    }

    async fn complete(&self, request: Request<CompleteRequest>) -> Result<Response<CompleteReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        let run: RunId = id("run", &request.run)?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let mut peer = WorkClient::new(peer.channel).max_decoding_message_size(64 << 20);
            let passed_on = peer.complete(passed_on(&metadata, request));
            return failing!("scheduler.complete_there", Status::unavailable, passed_on.await);
        }
        let fence = Fence::from_raw(request.fence);
        let outcome: Outcome = serde_json::from_str(&request.outcome_json)
            .map_err(|error| Error::bad_request(format!("field `outcome_json`: {error}")))?;
        let meta = Meta {
            actor: Actor::System(format!("executor {}", request.executor)),
            cause: Cause::Event(fence.position()),
            trace: shipway_service_kit::current_trace(),
        };
        let command = Command::Complete { node: request.node, fence, outcome };
        let completed = self.shared.book.command(run, command, meta);
        let reply = failing!("scheduler.complete", Error::unavailable, completed.await)?;
        Ok(Response::new(CompleteReply { accepted: true, next: reply.next }))
    }

    async fn beat(&self, request: Request<BeatRequest>) -> Result<Response<BeatReply>, Status> {
        let request = request.into_inner();
        let shared = &self.shared;
        let (executor, registration) = named(&request)?;
        let known = shared.registry.introduction(executor);
        let Some(mut intro) = known.filter(|intro| intro.registration == registration) else {
            return Ok(Response::new(BeatReply { known: false, ..BeatReply::default() }));
        };
        shared.registry.note_processes(executor, processes(&request.held));
        let Some(together) = shared.cluster.together() else {
            failpoint!("scheduler.beat_alone", return Err(Status::unavailable("a failpoint")));
            let reply = shared.compare(executor, registration, &request.held).await;
            shared.room_came_free();
            return Ok(Response::new(reply));
        };
        intro.draining = request.draining;
        let kept = request.kept.iter();
        intro.kept =
            kept.filter_map(|kept| Some((kept.resource.parse().ok()?, ports(&kept.ports)))).collect();
        failing!("scheduler.beat", Error::unavailable, keep_lease(together, executor, &intro).await)?;
        let moved = shared.registry.introduction(executor).is_none_or(|known| known.kept != intro.kept);
        shared.registry.register(executor, intro);
        if moved {
            // The other hosts find the way to what is new here.
            let others = shared.registry.present().into_iter().filter(|(other, _)| *other != executor);
            others.for_each(|(other, _)| shared.registry.ring(other, Bell::Ask));
        }
        let own = tokio::time::timeout(COMPARE, shared.compare_own(&request));
        let (own, others) = tokio::join!(own, shared.compare_elsewhere(&request));
        let own = own.unwrap_or_else(|_| Err(Error::unavailable("its runs took too long")));
        let own = own.inspect_err(
            |error| tracing::warn!(%executor, %error, "a beat is answered without this scheduler's own runs"),
        );
        let mut reply = said(others.into_iter().chain([own.ok()]));
        reply.ways = shared.ways(executor);
        reply.evict = shared.misplaced(executor, &request).await;
        Ok(Response::new(reply))
    }
}

fn ports(ports: &[u32]) -> Vec<u16> {
    ports.iter().filter_map(|port| u16::try_from(*port).ok()).collect()
}

/// The processes that do not end although they were told to, by their attempts.
fn processes(held: &[Held]) -> BTreeMap<Fence, u32> {
    held.iter()
        .filter(|held| held.process != 0)
        .map(|held| (Fence::from_raw(held.fence), held.process))
        .collect()
}

/// What the schedulers say together; nothing of one that did not answer, or could not in time. The executor has its lease
/// all the same: one who is slow must not cost it that.
fn said(replies: impl IntoIterator<Item = Option<BeatReply>>) -> BeatReply {
    let mut all = BeatReply { known: true, complete: true, ..BeatReply::default() };
    for reply in replies {
        let Some(reply) = reply else {
            all.complete = false;
            continue;
        };
        all.hold.extend(reply.hold);
        all.stop.extend(reply.stop);
        all.keep.extend(reply.keep);
        all.end.extend(reply.end);
        all.complete &= reply.complete;
    }
    all
}

fn named(request: &BeatRequest) -> Result<(ExecutorId, RegistrationId), Error> {
    Ok((id("executor", &request.executor)?, id("registration", &request.registration)?))
}

/// The executor counts for another while, unless a newer start of it has said so.
async fn keep_lease(together: &Together, executor: ExecutorId, intro: &Introduction) -> Result<(), Error> {
    let detail = serde_json::to_string(intro).map_err(|error| Error::internal(&error))?;
    let kept = together.leases.beat(EXECUTORS, &executor.to_string(), &intro.address, &detail, LEASE).await;
    kept.map_err(|error| Error::unavailable(format!("{error}; ask again")))
}

/// Between two tries to ask for work again.
const PAUSE: Duration = Duration::from_millis(200);

impl Shared {
    /// As [`Self::take_over`], until it goes well: the read tables may be far behind.
    async fn take_over_surely(&self, executor: ExecutorId, registration: RegistrationId) {
        while let Err(error) = self.take_over(executor, registration).await {
            tracing::warn!(%executor, %error, "the work of its earlier start is not asked for again yet; trying again");
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// A host has started again: what its earlier start was given is asked for again, with a higher fence and
    /// the same effect keys. Its shims and keepers know what was done. Where this process is all of Shipway.
    async fn take_over(&self, executor: ExecutorId, registration: RegistrationId) -> Result<(), Error> {
        // A run that is open here may not be in the read tables yet, one of the tables not open here yet.
        self.caught_up_in_the_end().await?;
        let mut open: BTreeSet<RunId> = self.open_runs().await?.into_iter().map(|(run, _)| run).collect();
        open.extend(self.book.open_runs());
        let mut untaken = None;
        for run in open {
            let state = match self.book.look(run).await {
                Ok(state) => state,
                Err(error @ LoadError::Read { .. }) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(%run, %error, "an open run could not be read");
                    continue;
                }
            };
            self.give_up_strangers(run, &state, executor).await;
            let of_earlier = |open: &OpenAttempt<'_>| open.attempt.registration != registration;
            let fences: Vec<Fence> =
                state.open_attempts().filter(of_earlier).map(|open| open.fence).collect();
            if fences.is_empty() {
                self.book.nudge(run, Command::Due).await;
                continue;
            }
            let meta = Meta { actor: crate::run::book::system(), cause: Cause::Run(run), trace: None };
            let command = Command::AttemptsLost {
                fences,
                reason: "its executor started again".to_owned(),
                never_started: false,
            };
            match self.book.command(run, command, meta).await {
                Ok(_) => {}
                // A start is news once: whatever the log does not take now must be asked again.
                Err(error) if error.code == Code::Unavailable => untaken = Some(error),
                Err(error) => {
                    tracing::error!(%run, %error, "the work of an earlier start could not be asked for again");
                }
            }
        }
        untaken.map_or(Ok(()), Err)
    }

    /// After a restore on another machine the host that was given some work is gone for good. Of an effect that only
    /// that host could tell about nobody can know any more whether it happened.
    async fn give_up_strangers(&self, run: RunId, state: &RunState, executor: ExecutorId) {
        let asked_there = |effect| matches!(effect, EffectClass::Checked | EffectClass::Once);
        let strangers = state
            .open_attempts()
            .filter(|open| open.attempt.executor != executor && asked_there(open.attempt.effect));
        for open in strangers {
            let reason = "the machine that did it is not part of this Shipway any more".to_owned();
            let outcome = Outcome::Unknown { reason };
            let command = Command::Complete { node: open.node, fence: open.fence, outcome };
            let meta = Meta { actor: crate::run::book::system(), cause: Cause::Run(run), trace: None };
            if let Err(error) = self.book.command(run, command, meta).await {
                tracing::error!(%run, %error, "an attempt of a machine that is gone could not be given up");
            }
        }
    }

    /// What this scheduler, one of several, says to an executor's beat: about its own lanes.
    pub(crate) async fn compare_own(&self, request: &BeatRequest) -> Result<BeatReply, Error> {
        let (executor, registration) = named(request)?;
        self.registry.note_processes(executor, processes(&request.held));
        let (mut own, mut elsewhere) = (Vec::new(), Vec::new());
        for held in &request.held {
            let shard = Shard::from_number(held.shard);
            if shard.is_some_and(|shard| self.cluster.is_here(shard)) {
                own.push(held.clone());
            } else {
                let hold = Hold { executor, registration, heavy: held.heavy };
                elsewhere.push((Fence::from_raw(held.fence), hold));
            }
        }
        failing!("scheduler.open_held", Error::unavailable, self.open_held(&own).await)?;
        let reply = self.compare(executor, registration, &own).await;
        self.registry.holds_elsewhere(executor, elsewhere);
        self.room_came_free();
        Ok(reply)
    }

    /// Where this executor's host reaches what is on others. What another executor of the same host has is there already, and
    /// a way to it would only take its port.
    fn ways(&self, executor: ExecutorId) -> Vec<Way> {
        let own = self.registry.introduction(executor).map(|intro| intro.host).unwrap_or_default();
        let is_other = |intro: &Introduction| own.is_empty() || intro.host != own;
        let present = self.registry.present().into_iter();
        let others = present.filter(|(other, intro)| *other != executor && is_other(intro));
        let ways = others.flat_map(|(other, intro)| {
            let here = intro
                .kept
                .into_iter()
                .filter(move |(target, _)| self.registry.place(*target).is_none_or(|place| place == other));
            let host = intro.host;
            here.flat_map(|(_, ports)| ports)
                .map(move |port| Way { port: port.into(), host: host.clone() })
                .collect::<Vec<_>>()
        });
        ways.collect()
    }

    /// What is on this executor's host although it was given to another. The log is asked: what is known here may be a
    /// moment old.
    async fn misplaced(&self, executor: ExecutorId, request: &BeatRequest) -> Vec<String> {
        let mut misplaced = Vec::new();
        for kept in &request.kept {
            let Ok(target) = kept.resource.parse() else { continue };
            if self.registry.place(target).is_none_or(|place| place == executor) {
                continue;
            }
            match crate::places::read(&*self.log, target).await {
                // Only what runs there by now may end here.
                Ok(Some(place)) if place.executor != executor && self.keeps(place.executor, target) => {
                    misplaced.push(kept.resource.clone());
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a target's place could not be read; it stays where it is")
                }
            }
        }
        misplaced
    }

    /// Whether an executor that is there says that it has a target on its host.
    fn keeps(&self, executor: ExecutorId, target: ResourceId) -> bool {
        let intro = self.registry.introduction(executor);
        intro.is_some_and(|intro| intro.kept.contains_key(&target))
    }

    /// An executor holds work of runs that are to be here: those that are not open yet are opened, so that it is not
    /// told to stop what is its to do.
    async fn open_held(&self, held: &[Held]) -> Result<(), Error> {
        let runs: BTreeSet<RunId> = held.iter().filter_map(|held| held.run.parse().ok()).collect();
        let runs = runs.into_iter().filter(|run| self.book.version(*run).is_none());
        let open = |run| async move {
            match self.book.open_run(run).await {
                // Its lane has just moved on: the scheduler that has it says what is to be done.
                Ok(()) | Err(LoadError::Unknown(_) | LoadError::Elsewhere(_)) => Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        stream::iter(runs).map(open).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// What the executor should hold and does not, and what it holds and should not.
    async fn compare(&self, executor: ExecutorId, registration: RegistrationId, held: &[Held]) -> BeatReply {
        let (mut hold, mut end): (Vec<Assignment>, Vec<Assignment>) = (Vec::new(), Vec::new());
        let mut keep: Vec<String> = Vec::new();
        let held: BTreeMap<u64, &Held> = held.iter().map(|held| (held.fence, held)).collect();
        let mut known = BTreeSet::new();
        let look = |run| async move { (run, self.book.look(run).await) };
        let mut looks = stream::iter(self.book.open_runs()).map(look).buffer_unordered(AT_ONCE);
        while let Some((run, state)) = looks.next().await {
            let Ok(state) = state else { continue };
            // A node whose attempt was lost may wait a moment before it is asked for again.
            let given = (0..).zip(state.nodes()).filter(|(_, node)| {
                node.attempt.is_some() || (node.attempts > 0 && !node.status.is_terminal())
            });
            keep.extend(given.map(|(index, _)| effect_key(run, index)));
            for open in state.open_attempts() {
                if open.attempt.executor != executor || open.attempt.registration != registration {
                    continue;
                }
                let is_held = held.contains_key(&open.fence.raw());
                if !open.attempt.stopping {
                    known.insert(open.fence.raw());
                }
                // Whoever gave it the work, or told it to stop, may have died before it heard of that.
                if !is_held {
                    let told = self.book.told(&state, run, &open);
                    match open.attempt.stopping {
                        true => end.push(told),
                        false => hold.push(traced(&*self.log, told).await),
                    }
                }
            }
        }
        let mut stop = Vec::new();
        for (fence, held) in held {
            if !known.contains(&fence) && !self.is_current(held, executor, registration).await {
                stop.push(fence);
            }
        }
        BeatReply { known: true, hold, stop, keep, end, complete: true, ..BeatReply::default() }
    }

    /// Whether the log says that an attempt is the executor's to do. What is open here may be a moment old.
    async fn is_current(&self, held: &Held, executor: ExecutorId, registration: RegistrationId) -> bool {
        if self.cluster.together().is_none() {
            return false;
        }
        let Ok(run) = held.run.parse::<RunId>() else { return false };
        match crate::run::book::load(&*self.log, run).await {
            Ok((state, _)) => state.open_attempts().any(|open| {
                let attempt = open.attempt;
                let same = attempt.executor == executor && attempt.registration == registration;
                open.fence.raw() == held.fence && same && !attempt.stopping
            }),
            Err(LoadError::Unknown(_)) => false,
            // Nobody can say: it goes on until somebody can.
            Err(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_that_is_too_slow_to_say_its_own_costs_no_lease() {
        let other = BeatReply { stop: vec![7], complete: true, ..BeatReply::default() };
        let all = said([Some(other.clone()), None]);
        assert!(all.known && !all.complete, "{all:?}");
        assert_eq!(all.stop, [7]);
        assert!(said([Some(other)]).complete);
    }
}
