//! What only a host knows: `shipway.v1.Executors`.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use shipway_contracts::{
    Error, id,
    v1::{
        LogChunk, NodeLogRequest, StopAllReply, StopAllRequest, TargetStatus, TargetStatusesReply,
        TargetStatusesRequest, executors_server::Executors,
    },
};
use shipway_events::RunId;
use tonic::{Request, Response, Status};

use crate::{Executor, keeper::Phase, runtime, service::stop_keepers};

/// Bytes of a log in one message.
const CHUNK: usize = 64 << 10;
/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Serves `Executors`.
#[derive(Clone)]
pub struct ExecutorsApi {
    pub(crate) executor: Arc<Executor>,
}

#[tonic::async_trait]
impl Executors for ExecutorsApi {
    type NodeLogStream = Pin<Box<dyn Stream<Item = Result<LogChunk, Status>> + Send>>;

    async fn node_log(
        &self,
        request: Request<NodeLogRequest>,
    ) -> Result<Response<Self::NodeLogStream>, Status> {
        let request = request.into_inner();
        let run: RunId = id("run", &request.run)?;
        let (executor, follow) = (self.executor.clone(), request.follow);
        let chunks = futures::stream::try_unfold(request.offset, move |offset| {
            let executor = executor.clone();
            async move { next_chunk(&executor, run, request.node, offset, follow).await }
        });
        Ok(Response::new(chunks.boxed()))
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
}

/// The next part of a node's log; none at its end, which for who follows is when nobody works on the node any more.
async fn next_chunk(
    executor: &Executor,
    run: RunId,
    node: u32,
    offset: u64,
    follow: bool,
) -> Result<Option<(LogChunk, u64)>, Status> {
    loop {
        // Asked before the log is read: what is written until the work ends is not missed.
        let goes_on = follow && executor.works_on(run, node);
        let chunk =
            executor.logs().read(run, node, offset, CHUNK).map_err(|error| Error::internal(&error))?;
        if !chunk.bytes.is_empty() {
            return Ok(Some((LogChunk { offset, data: chunk.bytes.to_vec() }, chunk.next)));
        }
        if !goes_on {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
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
