//! What only a host knows: `shipway.v1.Executors`.

use std::{pin::Pin, sync::Arc};

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

use crate::attempts::Executor;

/// Serves `Executors`.
#[derive(Clone)]
pub struct ExecutorsApi {
    pub(crate) executor: Arc<Executor>,
}

#[tonic::async_trait]
impl Executors for ExecutorsApi {
    type NodeLogStream = Pin<Box<dyn Stream<Item = Result<LogChunk, Status>> + Send>>;

    async fn node_log(&self, request: Request<NodeLogRequest>) -> Result<Response<Self::NodeLogStream>, Status> {
        let request = request.into_inner();
        let run: RunId = id("run", &request.run)?;
        let chunks = self.executor.node_log(run, request.node, request.offset, request.follow);
        let chunks = chunks.map(|chunk| match chunk {
            Ok(chunk) => Ok(LogChunk { offset: chunk.offset, data: chunk.data.to_vec() }),
            Err(error) => Err(Error::internal(&error).into()),
        });
        Ok(Response::new(chunks.boxed()))
    }

    async fn target_statuses(
        &self,
        _: Request<TargetStatusesRequest>,
    ) -> Result<Response<TargetStatusesReply>, Status> {
        let targets = self
            .executor
            .statuses()
            .await
            .into_iter()
            .map(|status| TargetStatus {
                resource: status.resource.to_string(),
                project: status.project.to_string(),
                slug: status.slug,
                kind: status.kind,
                status: status.status,
                healthy: status.healthy,
                wanted: status.wanted,
                digest: status.digest,
                fence: status.fence.raw(),
                addresses: status.addresses,
                pids: status.pids,
            })
            .collect();
        Ok(Response::new(TargetStatusesReply { targets }))
    }

    async fn stop_all(&self, _: Request<StopAllRequest>) -> Result<Response<StopAllReply>, Status> {
        Ok(Response::new(StopAllReply { stopped: self.executor.down().await }))
    }
}
