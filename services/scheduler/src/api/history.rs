//! What was: `shipway.v1.History`.

use std::sync::Arc;

use shipway_contracts::v1::{
    CompareRunsReply, CompareRunsRequest, DiffStatesReply, DiffStatesRequest, GetInsightReply,
    GetInsightRequest, OpenRunReply, OpenRunRequest, TraceDigestReply, TraceDigestRequest,
    history_server::History,
};
use tonic::{Request, Response, Status};

use crate::service::Shared;

/// Serves `History`. Any scheduler can: all of it is in the log and the read tables.
#[derive(Clone)]
pub struct HistoryApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl History for HistoryApi {
    #[tracing::instrument(skip_all)]
    async fn open_run(&self, request: Request<OpenRunRequest>) -> Result<Response<OpenRunReply>, Status> {
        Ok(Response::new(self.shared.open_past(request.into_inner()).await?))
    }

    #[tracing::instrument(skip_all)]
    async fn diff_states(
        &self,
        request: Request<DiffStatesRequest>,
    ) -> Result<Response<DiffStatesReply>, Status> {
        Ok(Response::new(self.shared.diff_states(request.into_inner()).await?))
    }

    #[tracing::instrument(skip_all)]
    async fn trace_digest(
        &self,
        request: Request<TraceDigestRequest>,
    ) -> Result<Response<TraceDigestReply>, Status> {
        Ok(Response::new(self.shared.trace(request.into_inner()).await?))
    }

    #[tracing::instrument(skip_all)]
    async fn compare_runs(
        &self,
        request: Request<CompareRunsRequest>,
    ) -> Result<Response<CompareRunsReply>, Status> {
        Ok(Response::new(self.shared.compare_runs(request.into_inner()).await?))
    }

    #[tracing::instrument(skip_all)]
    async fn get_insight(
        &self,
        request: Request<GetInsightRequest>,
    ) -> Result<Response<GetInsightReply>, Status> {
        Ok(Response::new(self.shared.insight(request.into_inner()).await?))
    }
}
