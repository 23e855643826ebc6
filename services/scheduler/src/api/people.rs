//! Who is asking, and what that is to a node that waits for people.

use shipway_contracts::{
    Code, Error,
    v1::{GivenApproval, NodeApproval},
};
use shipway_engine::RunState;
use shipway_eventing::PeopleError;
use shipway_events::{Actor, Asker, Cause, Meta, NodeStatus};
use shipway_service_kit::Credentials;
use tonic::metadata::MetadataMap;

use crate::{run::present, service::Shared};

/// What somebody asked for, as the log keeps it.
pub(crate) fn asked_by(actor: Actor) -> Meta {
    Meta { actor, cause: Cause::Request, trace: shipway_service_kit::current_trace() }
}

impl Shared {
    /// Who is asking, and in which trace.
    pub(crate) async fn meta(&self, metadata: &MetadataMap) -> Result<Meta, Error> {
        let brought = Credentials::of(metadata);
        let actor = self.people.actor(brought.token(), brought.says()).await;
        Ok(asked_by(actor.map_err(unproven)?))
    }

    /// Who is asking, and whether they can be told apart from others.
    pub(crate) async fn asker(&self, metadata: &MetadataMap) -> Result<Asker, Error> {
        let brought = Credentials::of(metadata);
        self.people.asker(brought.token(), brought.says()).await.map_err(unproven)
    }

    /// What a node that was to be approved asks for, who has approved it, and who still may.
    pub(crate) async fn approval(&self, state: &RunState, n: u32) -> Result<Option<NodeApproval>, Error> {
        let Some(node) = state.node(n) else { return Ok(None) };
        let Some(rule) = &node.rule else { return Ok(None) };
        let waits = node.status == NodeStatus::ApprovalWait;
        let may = match waits {
            true => state.may_still_approve(n, &*self.people.roster().await.map_err(unproven)?),
            false => Vec::new(),
        };
        let given = state.approvals(n).map(|approval| GivenApproval {
            by: approval.by.name().to_owned(),
            at: approval.at.to_string(),
            reason: approval.reason.clone(),
            plan: approval.plan.clone(),
        });
        Ok(Some(NodeApproval {
            amount: rule.amount,
            missing: if waits { state.missing_approvals(n) } else { 0 },
            approvers: rule.approvers.clone(),
            exclude_author: rule.exclude_author,
            given: given.collect(),
            until: present::text(node.deadline.filter(|_| waits)),
            may,
        }))
    }
}

/// It is not known who is asking.
fn unproven(why: PeopleError) -> Error {
    match why.is_unknown() {
        true => Error::new(Code::Unauthenticated, why.to_string()),
        false => Error::unavailable(Error::internal(&why).message),
    }
}
