//! What only a host knows: `shipway.v1.Executors`.

use std::{sync::Arc, time::Duration};

use shipway_contracts::{
    Error, id,
    v1::{
        MissingBlobsReply, MissingBlobsRequest, NodeLogReply, NodeLogRequest, StopAllReply, StopAllRequest,
        TargetStatus, TargetStatusesReply, TargetStatusesRequest, executors_server::Executors,
    },
};
use shipway_eventing::node_logs::LiveTail;
use shipway_events::RunId;
use tonic::{Request, Response, Status};

use crate::{Executor, keeper::Phase, logs_api::shown as shown_line, runtime, service::stop_keepers};

/// Nobody is kept waiting for a log's next line longer than this in one go.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Serves `Executors`.
#[derive(Clone)]
pub struct ExecutorsApi {
    pub(crate) executor: Arc<Executor>,
}

impl ExecutorsApi {
    /// Answers for this executor.
    #[must_use]
    pub fn new(executor: Executor) -> Self {
        Self { executor: Arc::new(executor) }
    }
}

#[tonic::async_trait]
impl Executors for ExecutorsApi {
    async fn node_log(&self, request: Request<NodeLogRequest>) -> Result<Response<NodeLogReply>, Status> {
        let request = request.into_inner();
        let run: RunId = id("run", &request.run)?;
        let wait = Duration::from_millis(request.wait_ms.into()).min(LONGEST_WAIT);
        let tail = self.executor.logs().tail(run, request.node, request.from, wait).await;
        let tail = tail.map_err(|error| Error::internal(&error))?;
        Ok(Response::new(tail.map_or_else(NodeLogReply::default, |tail| NodeLogReply {
            open: true,
            stored: tail.stored,
            lines: tail.lines.into_iter().map(shown_line).collect(),
        })))
    }

    async fn target_statuses(
        &self,
        _: Request<TargetStatusesRequest>,
    ) -> Result<Response<TargetStatusesReply>, Status> {
        let statuses = self.executor.statuses().await.map_err(|error| Error::internal(&error))?;
        let targets = statuses.into_iter().map(shown).collect();
        Ok(Response::new(TargetStatusesReply { targets }))
    }

    async fn stop_all(&self, _: Request<StopAllRequest>) -> Result<Response<StopAllReply>, Status> {
        Ok(Response::new(StopAllReply { stopped: stop_keepers(&self.executor).await }))
    }

    async fn missing_blobs(
        &self,
        request: Request<MissingBlobsRequest>,
    ) -> Result<Response<MissingBlobsReply>, Status> {
        let mut digests = Vec::new();
        for digest in request.into_inner().digests {
            let id =
                digest.parse().map_err(|error| Error::bad_request(format!("field `digests`: {error}")))?;
            let exists = self.executor.blobs().exists(&id).await;
            if !exists.map_err(|error| Error::unavailable(error.to_string()))? {
                digests.push(digest);
            }
        }
        Ok(Response::new(MissingBlobsReply { digests }))
    }
}

fn shown(status: runtime::TargetStatus) -> TargetStatus {
    let healthy = status.instances.iter().filter(|instance| instance.phase == Phase::Healthy).count();
    let word = if !status.kept {
        "stopped"
    } else if !status.needs_secrets.is_empty() {
        "waiting_for_secrets"
    } else if status.rolling {
        "starting"
    } else if status.healthy {
        "running"
    } else {
        "unhealthy"
    };
    let address = |port: &shipway_nodes::workload::Port| {
        if port.http {
            format!("http://127.0.0.1:{}", port.public)
        } else {
            format!("127.0.0.1:{}", port.public)
        }
    };
    TargetStatus {
        resource: status.target.id.to_string(),
        project: status.target.project.to_string(),
        slug: status.target.slug,
        kind: if status.addon { "Addon" } else { "DeploymentService" }.to_owned(),
        status: word.to_owned(),
        healthy: u32::try_from(healthy).unwrap_or(u32::MAX),
        wanted: status.wanted,
        digest: status.artifact.map(|artifact| artifact.digest).unwrap_or_default(),
        fence: status.fence.raw(),
        addresses: status.ports.iter().map(address).collect(),
        pids: Vec::new(),
    }
}
