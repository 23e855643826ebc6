//! What schedulers ask each other: `shipway.v1.Peers`.

use std::{sync::Arc, time::Duration};

use shipway_contracts::{
    Error, id,
    v1::{
        BeatReply, BeatRequest, ChildEndedReply, ChildEndedRequest, PeerStartRequest, StartRunReply,
        peers_client::PeersClient, peers_server::Peers,
    },
};
use shipway_engine::ChildEnd;
use shipway_eventing::failpoint;
use shipway_events::{RunId, RunStatus};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{Peer, shards::Shard};
use crate::{
    run::book::LoadError,
    service::Shared,
    start::{Asked, from_status},
};

/// The header of a call that another scheduler passed on.
const PASSED_ON: &str = "shipway-passed-on";
/// How long a scheduler may take to say what it knows of an executor's work: less than an executor waits for its beat.
pub(crate) const COMPARE: Duration = Duration::from_secs(2);

/// Serves `Peers`.
#[derive(Clone)]
pub struct PeersApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Peers for PeersApi {
    async fn start(&self, request: Request<PeerStartRequest>) -> Result<Response<StartRunReply>, Status> {
        let asked: Asked = serde_json::from_str(&request.into_inner().asked_json)
            .map_err(|error| Error::bad_request(format!("field `asked_json`: {error}")))?;
        Ok(Response::new(self.shared.start_passed_on(asked).await?))
    }

    async fn child_ended(
        &self,
        request: Request<ChildEndedRequest>,
    ) -> Result<Response<ChildEndedReply>, Status> {
        let request = request.into_inner();
        let status = RunStatus::parse(&request.status)
            .ok_or_else(|| Error::bad_request("field `status`: not the status of a run"))?;
        let refs = serde_json::from_str(&request.refs_json)
            .map_err(|error| Error::bad_request(format!("field `refs_json`: {error}")))?;
        let end = ChildEnd { status, reason: request.reason, refs };
        let (parent, child) = (id("parent", &request.parent)?, id("child", &request.child)?);
        let metadata = passed_on(&MetadataMap::new(), ()).into_parts().0;
        self.shared.child_ended(parent, request.node, child, end, &metadata).await?;
        Ok(Response::new(ChildEndedReply {}))
    }

    async fn compare(&self, request: Request<BeatRequest>) -> Result<Response<BeatReply>, Status> {
        Ok(Response::new(self.shared.compare_own(&request.into_inner()).await?))
    }
}

/// Whether another scheduler has passed a call on.
pub(crate) fn is_passed_on(metadata: &MetadataMap) -> bool {
    metadata.contains_key(PASSED_ON)
}

/// A call as it is passed on: the same, and marked.
pub(crate) fn passed_on<T>(metadata: &MetadataMap, message: T) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata.clone();
    request.metadata_mut().insert(PASSED_ON, tonic::metadata::MetadataValue::from_static("1"));
    request
}

impl Shared {
    /// The scheduler that has a run, if it is another one.
    pub(crate) async fn elsewhere(&self, run: RunId, metadata: &MetadataMap) -> Result<Option<Peer>, Error> {
        if self.cluster.together().is_none() {
            return Ok(None);
        }
        let shard = self.shard_of(run).await?;
        self.cluster.route(shard, is_passed_on(metadata)).await
    }

    /// The shard of a run's lane, read from the run's first event if it is not known.
    pub(crate) async fn shard_of(&self, run: RunId) -> Result<Shard, LoadError> {
        if let Some(shard) = self.cluster.shard_of(run) {
            return Ok(shard);
        }
        let flow = crate::run::book::flow_of(&*self.log, run).await?;
        let shard = Shard::of(flow, run);
        self.cluster.remember(run, shard);
        Ok(shard)
    }

    /// Hands a request for a run to the scheduler that has its lane.
    pub(crate) async fn start_there(&self, peer: &Peer, asked: &Asked) -> Result<StartRunReply, Error> {
        let asked_json = serde_json::to_string(asked).map_err(|error| Error::internal(&error))?;
        let mut client = PeersClient::new(peer.channel.clone()).max_decoding_message_size(64 << 20);
        let request = Request::new(PeerStartRequest { asked_json });
        Ok(client.start(request).await.map_err(from_status)?.into_inner())
    }

    /// What the other schedulers say to an executor's beat; none of one that did not answer.
    pub(crate) async fn compare_elsewhere(&self, beat: &BeatRequest) -> Vec<Option<BeatReply>> {
        let ask = |peer: Peer| async move {
            let mut client = PeersClient::new(peer.channel).max_decoding_message_size(64 << 20);
            failpoint!("scheduler.compare_there", return None);
            match tokio::time::timeout(COMPARE, client.compare(beat.clone())).await {
                Ok(Ok(reply)) => Some(reply.into_inner()),
                Ok(Err(_)) | Err(_) => {
                    tracing::debug!(peer = peer.address, "another scheduler did not answer a beat");
                    None
                }
            }
        };
        futures::future::join_all(self.cluster.peers().into_iter().map(ask)).await
    }
}
