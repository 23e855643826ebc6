//! The way to the scheduler and to the secrets' home: reports, beats and fetches, by gRPC.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use shipway_contracts::{
    Channel,
    v1::{
        self, BeatRequest, CompleteRequest, FetchSecretsRequest, RegisterRequest,
        project_home_client::ProjectHomeClient, work_client::WorkClient,
    },
};
use shipway_events::{
    EffectClass, ExecutorId, Fence, ProjectId, RegistrationId, RunId, SecretRef, Timestamp,
};
use shipway_nodes::{Outcome, Workload};
use zeroize::Zeroizing;

use crate::{Assignment, ReportError, Reports, Secrets, SecretsError};

/// A started executor's way to the other services.
#[derive(Clone, Debug)]
pub struct Link {
    executor: ExecutorId,
    registration: RegistrationId,
    work: WorkClient<Channel>,
    home: ProjectHomeClient<Channel>,
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
    /// Effect keys of nodes that have not ended.
    pub(crate) keep: BTreeSet<String>,
}

/// Room of an executor: light and heavy slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) light: u32,
    pub(crate) heavy: u32,
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
        }
    }

    /// Says that this start is there. What an earlier one was given is asked for again.
    pub(crate) async fn register(&self, room: Room) -> Result<(), tonic::Status> {
        let request = RegisterRequest {
            executor: self.executor.to_string(),
            registration: self.registration.to_string(),
            light_slots: room.light,
            heavy_slots: room.heavy,
            ..RegisterRequest::default()
        };
        self.work.clone().register(request).await.map(|_| ())
    }

    /// Says what is held; hears what should be.
    pub(crate) async fn beat(&self, held: &[Fence]) -> Result<Beat, tonic::Status> {
        let request = BeatRequest {
            executor: self.executor.to_string(),
            registration: self.registration.to_string(),
            fences: held.iter().map(|fence| fence.raw()).collect(),
        };
        let reply = self.work.clone().beat(request).await?.into_inner();
        Ok(Beat {
            known: reply.known,
            hold: reply.hold.into_iter().filter_map(read).collect(),
            stop: reply.stop.into_iter().map(Fence::from_raw).collect(),
            keep: reply.keep.into_iter().collect(),
        })
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
        match self.work.clone().complete(request).await {
            Ok(reply) => Ok(Some(reply.into_inner().next.into_iter().filter_map(read).collect())),
            Err(status) => Err(match status.code() {
                tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::DeadlineExceeded => {
                    ReportError::Unavailable(status.message().to_owned())
                }
                _ => ReportError::Refused(status.message().to_owned()),
            }),
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
        let reply = self.home.clone().fetch_secrets(request).await.map_err(|status| match status.code() {
            tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::DeadlineExceeded => {
                SecretsError::Unavailable(status.message().to_owned())
            }
            _ => SecretsError::Refused(status.message().to_owned()),
        })?;
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
}

/// An assignment as it came. One that cannot be read is left to the beat, which says so again.
pub(crate) fn read(assignment: v1::Assignment) -> Option<Assignment> {
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
        detached: assignment.detached,
        trace: Some(assignment.trace).filter(|trace| !trace.is_empty()),
    })
}
