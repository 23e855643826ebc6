//! Who speaks to Git hosts: the account that a trigger or a comment means. None is linked yet, so nobody does.

use async_trait::async_trait;
use shipway_contracts::{
    Code, Error,
    v1::{AccountForCommentReply, AccountForCommentRequest},
};
use shipway_documents::flow::{Flow as Document, GitTrigger, TriggerSource};
use shipway_events::{Fence, FlowId, ProjectId};
use shipway_nodes::Workload;

use crate::{
    api::fence_error,
    change::Shared,
    fences,
    statuses::{Spoken, Voice, Voices},
};

#[async_trait]
impl Voices for Shared {
    async fn voice(&self, spoken: &Spoken<'_>) -> Result<Voice, String> {
        let projects = self.world.now();
        let flow = spoken.flow.parse().ok().and_then(|id: FlowId| projects.flow(id));
        let document = flow.and_then(|(_, flow)| Document::parse(&flow.newest()?.document).ok());
        let Some(git) = document.as_ref().and_then(|document| trigger(document, spoken.trigger)) else {
            return Ok(Voice::Nobody(format!("the flow has no trigger `{}` any more", spoken.trigger)));
        };
        if git.silent {
            return Ok(Voice::Nobody(format!("`commitStatus` of the trigger `{}` is false", spoken.trigger)));
        }
        Ok(Voice::Nobody(nobody(spoken.repository)))
    }
}

impl Shared {
    /// The account that an open attempt at a comment speaks as. What it may say where is in the log, not in the request.
    pub(crate) async fn account_for_comment(
        &self,
        request: &AccountForCommentRequest,
    ) -> Result<AccountForCommentReply, Error> {
        let project: ProjectId = shipway_contracts::id("project", &request.project)?;
        let fence = Fence::from_raw(request.fence);
        let run = self.run_of(fence).await?;
        let work = fences::open_work(&*self.log, project, run, fence).await.map_err(fence_error)?;
        let Ok(Workload::Comment(comment)) = serde_json::from_value(work) else {
            let message = format!("the work with fence {fence} of run {run} is no comment");
            return Err(Error::new(Code::PermissionDenied, message));
        };
        Err(Error::new(Code::NotFound, nobody(&comment.repository)))
    }
}

fn nobody(repository: &str) -> String {
    format!("no account is linked that speaks for {repository}")
}

fn trigger<'a>(document: &'a Document, reference: &str) -> Option<&'a GitTrigger> {
    let found = document.triggers.iter().find(|trigger| trigger.reference == reference)?;
    match &found.source {
        TriggerSource::Git(git) => Some(git),
        TriggerSource::Typed(typed) => Some(&typed.git),
        TriggerSource::Webhook(_) => None,
    }
}
