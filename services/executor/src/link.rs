//! The way to the scheduler and to the secrets' home: reports, beats and fetches, by gRPC.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use shipway_contracts::{
    Channel, Targets, is_away,
    v1::{
        self, AccountForCommentReply, AccountForCommentRequest, BeatRequest, CompleteRequest,
        FetchSecretsRequest, Held, Kept, RegisterRequest, project_home_client::ProjectHomeClient,
        work_client::WorkClient,
    },
};
use shipway_eventing::failing;
use shipway_events::{
    EffectClass, ExecutorId, Fence, ProjectId, RegistrationId, ResourceId, RunId, SecretRef, Timestamp,
    run::Effect,
};
use shipway_forge::{Account, HostKind};
use shipway_nodes::{Outcome, Workload};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::{Assignment, ReportError, Reports, Secrets, SecretsError};

/// A started executor's way to the other services.
#[derive(Clone, Debug)]
pub struct Link {
    executor: ExecutorId,
    registration: RegistrationId,
    work: WorkClient<Channel>,
    home: ProjectHomeClient<Channel>,
    /// Where each attempt came from that is held, or was only just given.
    origins: Arc<Mutex<HashMap<Fence, Origin>>>,
    /// Something has changed on this host that others should know soon.
    hurry: Arc<Notify>,
    /// The ways to the schedulers that gave work here.
    schedulers: Arc<Mutex<HashMap<String, WorkClient<Channel>>>>,
}

/// Where an attempt came from.
#[derive(Clone, Debug)]
struct Origin {
    scheduler: String,
    run: RunId,
    shard: u32,
    heavy: bool,
    /// A beat has found that it is not held.
    idle: bool,
}

/// What a beat was answered.
#[derive(Debug)]
pub(crate) struct Beat {
    /// The scheduler knows this start.
    pub(crate) known: bool,
    /// Work that is this executor's and that it does not hold.
    pub(crate) hold: Vec<Assignment>,
    /// Attempts that are to be stopped.
    pub(crate) stop: Vec<Fence>,
    /// Attempts that are to be stopped and that it does not hold.
    pub(crate) end: Vec<Assignment>,
    /// Effect keys of nodes that have not ended; none unless every scheduler has said its own.
    pub(crate) keep: Option<BTreeSet<String>>,
    /// Targets on this host that another has by now.
    pub(crate) evict: Vec<ResourceId>,
    /// Public ports of targets on other hosts.
    pub(crate) ways: Vec<(u16, String)>,
}

/// What an executor says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// Slots for work without a process.
    pub(crate) light: u32,
    /// Slots for work with a process.
    pub(crate) heavy: u32,
    /// What it can run.
    pub(crate) labels: Vec<String>,
    /// Where it serves `Executors`; empty in the same process.
    pub(crate) address: String,
    /// Where other hosts reach what it deploys.
    pub(crate) host: String,
}

/// A work message may carry many assignments.
const LARGE: usize = 64 << 20;

impl Link {
    /// The way of one start of an executor.
    #[must_use]
    pub fn new(executor: ExecutorId, registration: RegistrationId, work: Channel, home: Channel) -> Self {
        Self {
            executor,
            registration,
            work: WorkClient::new(work).max_decoding_message_size(LARGE),
            home: ProjectHomeClient::new(home),
            origins: Arc::default(),
            hurry: Arc::default(),
            schedulers: Arc::default(),
        }
    }

    /// Says that this start is there. What an earlier one was given is asked for again. Gives back the log's id.
    pub(crate) async fn register(&self, intro: &Introduction) -> Result<String, tonic::Status> {
        let request = RegisterRequest {
            executor: self.executor.to_string(),
            registration: self.registration.to_string(),
            light_slots: intro.light,
            heavy_slots: intro.heavy,
            labels: intro.labels.clone(),
            address: intro.address.clone(),
            host: intro.host.clone(),
            ..RegisterRequest::default()
        };
        let mut work = self.work.clone();
        let register = work.register(request);
        Ok(failing!("executor.register", tonic::Status::unavailable, register.await)?.into_inner().log)
    }

    /// Says what is held (rising), and which processes of it do not end; hears what should be.
    pub(crate) async fn beat(
        &self,
        held: &[Fence],
        stubborn: &BTreeMap<Fence, u32>,
        kept: &[Kept],
        draining: bool,
    ) -> Result<Beat, tonic::Status> {
        let held = {
            let mut origins = self.origins();
            // Work may be given once more when it is done with. What is being taken while a beat begins is held at the next.
            origins.retain(|fence, origin| {
                let is_held = held.binary_search(fence).is_ok();
                is_held || !std::mem::replace(&mut origin.idle, true)
            });
            let held = held.iter().filter_map(|fence| {
                let origin = origins.get(fence)?;
                let (run, shard, heavy) = (origin.run.to_string(), origin.shard, origin.heavy);
                let process = stubborn.get(fence).copied().unwrap_or_default();
                Some(Held { fence: fence.raw(), run, shard, heavy, process })
            });
            held.collect()
        };
        let request = BeatRequest {
            executor: self.executor.to_string(),
            registration: self.registration.to_string(),
            held,
            draining,
            kept: kept.to_vec(),
        };
        let mut work = self.work.clone();
        let beat = work.beat(request);
        let reply = failing!("executor.beat", tonic::Status::unavailable, beat.await)?.into_inner();
        Ok(Beat {
            known: reply.known,
            hold: reply.hold.into_iter().filter_map(|work| self.read(work)).collect(),
            stop: reply.stop.into_iter().map(Fence::from_raw).collect(),
            end: reply.end.into_iter().filter_map(|work| self.read(work)).collect(),
            keep: reply.complete.then(|| reply.keep.into_iter().collect()),
            evict: reply.evict.iter().filter_map(|target| target.parse().ok()).collect(),
            ways: reply
                .ways
                .into_iter()
                .filter_map(|way| Some((u16::try_from(way.port).ok()?, way.host)))
                .collect(),
        })
    }

    /// An assignment as it came. One that cannot be read is left to the beat, which says so again.
    pub(crate) fn read(&self, assignment: v1::Assignment) -> Option<Assignment> {
        let (scheduler, shard) = (assignment.scheduler.clone(), assignment.shard);
        let read = read(assignment)?;
        let origin = Origin { scheduler, run: read.run, shard, heavy: read.work.is_heavy(), idle: false };
        self.origins().insert(read.fence, origin);
        Some(read)
    }

    /// Told when a beat should not wait for its time.
    pub(crate) fn hurry(&self) -> Arc<Notify> {
        self.hurry.clone()
    }

    /// The scheduler that gave an attempt, or any: each finds the one that has the run.
    fn work_of(&self, fence: Fence) -> (WorkClient<Channel>, Option<String>) {
        let address = self.origins().get(&fence).map(|origin| origin.scheduler.clone());
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return (self.work.clone(), None);
        };
        let mut schedulers = self.schedulers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = schedulers.get(&address) {
            return (known.clone(), Some(address));
        }
        match Targets::new(std::slice::from_ref(&address)) {
            Ok((_, channel)) => {
                let client = WorkClient::new(channel).max_decoding_message_size(LARGE);
                schedulers.insert(address.clone(), client.clone());
                (client, Some(address))
            }
            Err(error) => {
                tracing::warn!(%error, "a scheduler's address cannot be used; any other is asked");
                (self.work.clone(), None)
            }
        }
    }

    /// The scheduler that gave an attempt is away: its outcome goes to any other.
    fn is_gone(&self, fence: Fence, address: &str) {
        self.schedulers.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
        if let Some(origin) = self.origins().get_mut(&fence) {
            origin.scheduler.clear();
        }
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<Fence, Origin>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Reports for Link {
    async fn complete(
        &self,
        fence: Fence,
        run: RunId,
        node: u32,
        outcome: Outcome,
    ) -> Result<Option<Vec<Assignment>>, ReportError> {
        let request = CompleteRequest {
            run: run.to_string(),
            node,
            fence: fence.raw(),
            outcome_json: serde_json::to_string(&outcome)
                .map_err(|error| ReportError::Refused(error.to_string()))?,
            executor: self.executor.to_string(),
            registration: self.registration.to_string(),
        };
        let goes_on = matches!(outcome, Outcome::Started { .. });
        let moves = |effect: &Effect| matches!(effect, Effect::Released { .. } | Effect::AddonStarted { .. });
        if matches!(&outcome, Outcome::Succeeded { effects, .. } if effects.iter().any(moves)) {
            self.hurry.notify_one();
        }
        let (mut work, address) = self.work_of(fence);
        match failing!("executor.complete", tonic::Status::unavailable, work.complete(request).await) {
            Ok(reply) => {
                if !goes_on {
                    self.origins().remove(&fence);
                }
                let next = reply.into_inner().next.into_iter();
                Ok(Some(next.filter_map(|work| self.read(work)).collect()))
            }
            Err(status) if is_away(&status) => {
                if let Some(address) = address {
                    self.is_gone(fence, &address);
                }
                Err(ReportError::Unavailable(status.message().to_owned()))
            }
            Err(status) => {
                self.origins().remove(&fence);
                Err(ReportError::Refused(status.message().to_owned()))
            }
        }
    }
}

#[async_trait]
impl Secrets for Link {
    async fn fetch(
        &self,
        project: ProjectId,
        fence: Fence,
        names: &BTreeSet<SecretRef>,
    ) -> Result<BTreeMap<SecretRef, Zeroizing<String>>, SecretsError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let request = FetchSecretsRequest {
            project: project.to_string(),
            fence: fence.raw(),
            names: names.iter().map(ToString::to_string).collect(),
            ..FetchSecretsRequest::default()
        };
        let reply =
            self.home.clone().fetch_secrets(request).await.map_err(|status| secrets_error(&status))?;
        let values = reply.into_inner().values.into_iter();
        values
            .map(|(name, value)| {
                let secret = name
                    .parse()
                    .map_err(|_| SecretsError::Refused(format!("`{name}` is no secret's name")))?;
                Ok((secret, Zeroizing::new(value)))
            })
            .collect()
    }

    async fn account(&self, project: ProjectId, fence: Fence) -> Result<Account, SecretsError> {
        let request = AccountForCommentRequest { project: project.to_string(), fence: fence.raw() };
        let asked = self.home.clone().account_for_comment(request).await;
        let reply = asked.map_err(|status| secrets_error(&status))?.into_inner();
        let AccountForCommentReply { kind, host, api, login, token } = reply;
        let unknown = || SecretsError::Refused(format!("`{kind}` is no kind of host known here"));
        let kind = HostKind::of(&kind).ok_or_else(unknown)?;
        let api = Some(api).filter(|api| !api.is_empty());
        let account = Account::new(kind, &host, api.as_deref(), &login, Zeroizing::new(token));
        account.map_err(|problem| SecretsError::Refused(problem.message))
    }
}

fn secrets_error(status: &tonic::Status) -> SecretsError {
    let message = status.message().to_owned();
    if is_away(status) { SecretsError::Unavailable(message) } else { SecretsError::Refused(message) }
}

fn read(assignment: v1::Assignment) -> Option<Assignment> {
    let work: Workload = match serde_json::from_str(&assignment.work_json) {
        Ok(work) => work,
        Err(error) => {
            tracing::error!(%error, run = assignment.run, "an assignment could not be read");
            return None;
        }
    };
    Some(Assignment {
        project: assignment.project.parse().ok()?,
        run: assignment.run.parse().ok()?,
        node: assignment.node,
        attempt: assignment.attempt,
        fence: Fence::from_raw(assignment.fence),
        effect: EffectClass::parse(&assignment.effect)?,
        effect_key: assignment.effect_key,
        work,
        deadline: (assignment.deadline != 0).then(|| Timestamp::from_micros(assignment.deadline)),
        registration: assignment.registration.parse().ok(),
        detached: assignment.detached,
        labels: assignment.labels.into_iter().collect(),
        trace: Some(assignment.trace).filter(|trace| !trace.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::{
        BeatReply, CompleteReply, RegisterReply,
        work_server::{Work, WorkServer},
    };
    use tonic::{Request, Response, Status};
    use uuid::Uuid;

    use super::*;

    /// A scheduler that takes what it is told.
    struct Taking;

    #[tonic::async_trait]
    impl Work for Taking {
        async fn register(&self, _: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
            Ok(Response::new(RegisterReply::default()))
        }

        async fn complete(&self, _: Request<CompleteRequest>) -> Result<Response<CompleteReply>, Status> {
            Ok(Response::new(CompleteReply::default()))
        }

        async fn beat(&self, _: Request<BeatRequest>) -> Result<Response<BeatReply>, Status> {
            Ok(Response::new(BeatReply { known: true, ..BeatReply::default() }))
        }
    }

    fn given(fence: u64) -> v1::Assignment {
        v1::Assignment {
            project: Uuid::nil().to_string(),
            run: Uuid::nil().to_string(),
            fence,
            effect: EffectClass::Keyed.as_str().to_owned(),
            work_json: serde_json::to_string(&Workload::Noop(shipway_nodes::workload::Noop::default()))
                .unwrap(),
            ..v1::Assignment::default()
        }
    }

    #[tokio::test]
    async fn where_work_came_from_is_forgotten_with_it_however_often_it_is_given() {
        let work = Channel::local(WorkServer::new(Taking));
        let link = Link::new(
            ExecutorId::new(Uuid::nil()),
            RegistrationId::new(Uuid::nil()),
            work,
            Channel::later().0,
        );
        let (done, held) = (Fence::from_raw(1), Fence::from_raw(2));
        for fence in [done, held] {
            assert!(link.read(given(fence.raw())).is_some());
        }
        assert!(link.complete(done, RunId::new(Uuid::nil()), 1, Outcome::Stopped).await.is_ok());
        // The answer to a beat that crossed the completion.
        assert!(link.read(given(done.raw())).is_some());
        let beat = async |held: &[Fence]| link.beat(held, &BTreeMap::new(), &[], false).await.unwrap();
        beat(&[held]).await;
        beat(&[held]).await;
        let known = || link.origins().keys().copied().collect::<Vec<_>>();
        assert_eq!(known(), [held]);
        // What is held only after a beat that did not know of it yet stays.
        let young = Fence::from_raw(3);
        link.read(given(young.raw())).unwrap();
        beat(&[held]).await;
        beat(&[held, young]).await;
        assert_eq!(link.origins().len(), 2);
    }
}
