//! Between scheduler and executors: `shipway.v1.Work`.

use std::sync::Arc;

use shipway_contracts::{
    Error, id,
    v1::{
        BeatReply, BeatRequest, CompleteReply, CompleteRequest, RegisterReply, RegisterRequest,
        work_server::Work,
    },
};
use shipway_engine::{Command, OpenAttempt, RunState};
use shipway_events::{Actor, Cause, EffectClass, ExecutorId, Fence, Meta, RegistrationId, RunId};
use shipway_nodes::Outcome;
use tonic::{Request, Response, Status};

use crate::service::Shared;

/// Serves `Work`.
#[derive(Clone)]
pub struct WorkApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Work for WorkApi {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        let request = request.into_inner();
        let executor: ExecutorId = id("executor", &request.executor)?;
        let registration: RegistrationId = id("registration", &request.registration)?;
        let registry = &self.shared.registry;
        if registry.register(executor, registration, request.light_slots, request.heavy_slots) {
            tracing::info!(%executor, %registration, "an executor has started");
            self.shared.take_over(executor, registration).await?;
        }
        Ok(Response::new(RegisterReply { generation: self.shared.log.generation() }))
    }

    async fn complete(&self, request: Request<CompleteRequest>) -> Result<Response<CompleteReply>, Status> {
        let request = request.into_inner();
        let run: RunId = id("run", &request.run)?;
        let fence = Fence::from_raw(request.fence);
        let outcome: Outcome = serde_json::from_str(&request.outcome_json)
            .map_err(|error| Error::bad_request(format!("field `outcome_json`: {error}")))?;
        let meta = Meta {
            actor: Actor::System(format!("executor {}", request.executor)),
            cause: Cause::Event(fence.position()),
            trace: shipway_service_kit::current_trace(),
        };
        let command = Command::Complete { node: request.node, fence, outcome };
        let reply = self.shared.book.command(run, command, meta).await?;
        Ok(Response::new(CompleteReply { accepted: true, next: reply.next }))
    }

    async fn beat(&self, request: Request<BeatRequest>) -> Result<Response<BeatReply>, Status> {
        let request = request.into_inner();
        let executor: ExecutorId = id("executor", &request.executor)?;
        let registration: RegistrationId = id("registration", &request.registration)?;
        if !self.shared.registry.knows(executor, registration) {
            return Ok(Response::new(BeatReply { known: false, ..BeatReply::default() }));
        }
        let (hold, stop, keep) = self.shared.compare(executor, registration, &request.fences).await;
        for run in self.shared.registry.take_waiting() {
            self.shared.book.nudge(run, Command::Due).await;
        }
        Ok(Response::new(BeatReply { known: true, hold, stop, keep }))
    }
}

impl Shared {
    /// A host has started again: what its earlier start was given is asked for again, with a higher fence and
    /// the same effect keys. Its shims and keepers know what was done.
    async fn take_over(&self, executor: ExecutorId, registration: RegistrationId) -> Result<(), Error> {
        // A run that is open here may not be in the read tables yet, one of the tables not open here yet.
        self.caught_up().await?;
        let mut open: std::collections::BTreeSet<RunId> = self.open_runs().await?.into_iter().collect();
        open.extend(self.book.open_runs());
        for run in open {
            let state = match self.book.look(run).await {
                Ok(state) => state,
                Err(error) => {
                    tracing::error!(%run, %error, "an open run could not be read");
                    continue;
                }
            };
            self.give_up_strangers(run, &state, executor).await;
            let of_earlier = |open: &OpenAttempt<'_>| {
                open.attempt.registration != registration && (self.alone || open.attempt.executor == executor)
            };
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
            if let Err(error) = self.book.command(run, command, meta).await {
                tracing::error!(%run, %error, "the work of an earlier start could not be asked for again");
            }
        }
        Ok(())
    }

    /// After a restore on another machine the host that was given some work is gone for good. Of an effect that only
    /// that host could tell about nobody can know any more whether it happened.
    async fn give_up_strangers(&self, run: RunId, state: &RunState, executor: ExecutorId) {
        let asked_there = |effect| matches!(effect, EffectClass::Checked | EffectClass::Once);
        let strangers = state.open_attempts().filter(|open| {
            self.alone && open.attempt.executor != executor && asked_there(open.attempt.effect)
        });
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

    /// What an executor should hold and does not, and what it holds and should not.
    async fn compare(
        &self,
        executor: ExecutorId,
        registration: RegistrationId,
        held: &[u64],
    ) -> (Vec<shipway_contracts::v1::Assignment>, Vec<u64>, Vec<String>) {
        let (mut hold, mut keep) = (Vec::new(), Vec::new());
        let mut known = std::collections::BTreeSet::new();
        for run in self.book.open_runs() {
            let Ok(state) = self.book.look(run).await else { continue };
            // A node whose attempt was lost may wait a moment before it is asked for again.
            let given = (0..).zip(state.nodes()).filter(|(_, node)| {
                node.attempt.is_some() || (node.attempts > 0 && !node.status.is_terminal())
            });
            keep.extend(given.map(|(index, _)| crate::run::actor::effect_key(run, index)));
            for open in state.open_attempts() {
                if open.attempt.executor != executor || open.attempt.registration != registration {
                    continue;
                }
                if !open.attempt.stopping {
                    known.insert(open.fence.raw());
                    if !held.contains(&open.fence.raw()) {
                        hold.push(crate::run::actor::offer(&state, run, &open));
                    }
                }
            }
        }
        let stop = held.iter().copied().filter(|fence| !known.contains(fence)).collect();
        (hold, stop, keep)
    }
}
