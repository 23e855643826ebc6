//! The gRPC contract `Triggers`.

use std::sync::Arc;

use shipway_contracts::{
    Error,
    v1::{self, triggers_server::Triggers},
};
use shipway_eventing::Log;
use tonic::{Request, Response, Status};

use crate::{hooks::HookCache, inbox::Inbox, schedules};

/// How many deliveries a page has if nobody says, and at most.
const PAGE: (u32, u32) = (50, 500);

/// Answers from the inbox.
#[derive(Clone)]
pub struct Api {
    pub(crate) inbox: Inbox,
    pub(crate) hooks: HookCache,
    pub(crate) log: Arc<dyn Log>,
}

#[tonic::async_trait]
impl Triggers for Api {
    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesReply>, Status> {
        let v1::Page { after, limit } = request.into_inner().page.unwrap_or_default();
        if !after.is_empty() && after.parse::<shipway_events::DeliveryId>().is_err() {
            return Err(Error::bad_request("field `page.after`: give the `next` of the page before").into());
        }
        let limit = if limit == 0 { PAGE.0 } else { limit.min(PAGE.1) };
        // One more tells whether there is a next page.
        let listed = self.inbox.list(&after, i64::from(limit) + 1).await;
        let mut deliveries = listed.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "deliveries could not be listed");
            Error::unavailable("the inbox could not be read; try again")
        })?;
        let more = deliveries.len() > limit as usize;
        deliveries.truncate(limit as usize);
        let next = deliveries.last().filter(|_| more).map(|last| last.id.clone()).unwrap_or_default();
        Ok(Response::new(v1::ListDeliveriesReply { deliveries, next }))
    }

    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesReply>, Status> {
        let away = || Error::unavailable("the flows' schedules are not known yet; try again");
        let head = *self.log.tail().borrow();
        let hooks = self.hooks.at(head).await.ok_or_else(away)?;
        let listed = schedules::list(&*self.log, &hooks, request.into_inner().coming).await;
        let schedules = listed.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "schedules could not be listed");
            Error::unavailable("a schedule could not be read; try again")
        })?;
        Ok(Response::new(v1::ListSchedulesReply { schedules }))
    }
}
