//! The gRPC contract `Triggers`.

use shipway_contracts::{
    Code, Error,
    v1::{self, triggers_server::Triggers},
};
use tonic::{Request, Response, Status};

use crate::inbox::{Approving, Inbox, InboxError, NotApproved};

/// How many deliveries a page has if nobody says, and at most.
const PAGE: (u32, u32) = (50, 500);

/// Answers from the inbox.
#[derive(Clone)]
pub struct Api {
    pub(crate) inbox: Inbox,
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

    async fn approve_delivery(
        &self,
        request: Request<v1::ApproveDeliveryRequest>,
    ) -> Result<Response<v1::Delivery>, Status> {
        let by = shipway_service_kit::actor(request.metadata());
        let v1::ApproveDeliveryRequest { delivery, with_secrets, head } = request.into_inner();
        let delivery = self.inbox.named(&delivery).await.map_err(away)?.map_err(refused)?;
        let head = Some(head).filter(|head| !head.is_empty());
        let approving = Approving { delivery, by, secrets: with_secrets, head };
        self.inbox.approve(approving).await.map_err(away)?.map_err(refused)?;
        let one = self.inbox.one(delivery).await.map_err(away)?;
        one.map(Response::new).ok_or_else(|| Error::not_found("the delivery was forgotten").into())
    }
}

fn away(error: InboxError) -> Status {
    tracing::error!(error = &error as &dyn std::error::Error, "the inbox could not be used");
    Error::unavailable("the inbox could not be used; try again").into()
}

fn refused(why: NotApproved) -> Status {
    let code = match &why {
        NotApproved::Unknown(_) => Code::NotFound,
        NotApproved::Ambiguous(_) => Code::BadRequest,
        NotApproved::NotHeld { .. } | NotApproved::OtherCommit { .. } | NotApproved::Superseded { .. } => {
            Code::FailedPrecondition
        }
    };
    Error::new(code, why.to_string()).into()
}
