//! Who speaks to Git hosts: the account that a trigger or a comment means.

use async_trait::async_trait;
use shipway_contracts::{
    Code, Error,
    v1::{AccountForCommentReply, AccountForCommentRequest},
};
use shipway_documents::flow::{Flow as Document, GitTrigger, TriggerSource};
use shipway_events::{Fence, FlowId, ProjectId, ResourceId};
use shipway_forge::HostKind;
use shipway_nodes::Workload;

use crate::{
    accounts::{mention, mentioned},
    api::fence_error,
    change::{Shared, secret_error},
    domain::{Account, Accounts, Mention, resolve_account},
    fences,
    secrets::installation,
    statuses::{Spoken, Voice, Voices},
    world::Projects,
};

#[async_trait]
impl Voices for Shared {
    async fn voice(&self, spoken: &Spoken<'_>) -> Result<Voice, String> {
        let projects = self.world.now();
        let meant = match meant(&projects, spoken) {
            Ok(meant) => meant,
            Err(why) => return Ok(Voice::Nobody(why)),
        };
        // The delivery may have come from another spelling of the address: the account is the trigger's.
        let mention = Mention { repository: spoken.repository.to_owned(), ..meant };
        let account = match speaker(&projects.accounts, &mention) {
            Ok(account) => account,
            Err(why) => return Ok(Voice::Nobody(why)),
        };
        let token = self.secrets.get(installation(), &account.credential.secret).await;
        let token = token.map_err(|error| secret_error(error).to_string())?;
        let kind = HostKind::of(account.kind.word());
        let Some(kind) = kind else { return Ok(Voice::Nobody(silent(account))) };
        let api = account.api.as_deref();
        Ok(match shipway_forge::Account::new(kind, &account.host, api, &account.login, token) {
            Ok(account) => Voice::Account(account),
            Err(error) => Voice::Nobody(error.to_string()),
        })
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
        let named = comment.self_hosted.clone().map(|said| ("selfHostedVcsId", said));
        let named = named.or_else(|| comment.account.clone().map(|said| ("accountLogin", said)));
        let mention = Mention { repository: comment.repository.clone(), named };
        let projects = self.world.now();
        let account = speaker(&projects.accounts, &mention);
        let account = account.map_err(|why| Error::new(Code::NotFound, why))?;
        let token = self.secrets.get(installation(), &account.credential.secret).await;
        Ok(AccountForCommentReply {
            kind: account.kind.word().to_owned(),
            host: account.host.clone(),
            api: account.api.clone().unwrap_or_default(),
            login: account.login.clone(),
            token: token.map_err(secret_error)?.to_string(),
        })
    }
}

/// How the trigger of a run names its account: the trigger of a flow, or of a build service that builds by itself. Else
/// in words why nobody speaks for it.
fn meant(projects: &Projects, spoken: &Spoken<'_>) -> Result<Mention, String> {
    let gone = || format!("the flow has no trigger `{}` any more", spoken.trigger);
    let flow: FlowId = spoken.flow.parse().map_err(|_| gone())?;
    let service = ResourceId::new(flow.uuid());
    if let Some(service) = projects.by_slug.values().find_map(|project| project.state.resource(service)) {
        return mentioned(service.kind, &service.spec).ok_or_else(gone);
    }
    let document = projects.flow(flow).and_then(|(_, flow)| Document::parse(&flow.newest()?.document).ok());
    let git = document.as_ref().and_then(|document| trigger(document, spoken.trigger)).ok_or_else(gone)?;
    if git.silent {
        return Err(format!("`commitStatus` of the trigger `{}` is false", spoken.trigger));
    }
    Ok(mention(git))
}

/// The account that may say something to a repository's host, or in words why there is none.
fn speaker<'a>(accounts: &'a Accounts, mention: &Mention) -> Result<&'a Account, String> {
    match resolve_account(accounts, mention) {
        Ok(None) => Err(nobody(&mention.repository)),
        Ok(Some(account)) if account.has_key() || HostKind::of(account.kind.word()).is_none() => {
            Err(silent(account))
        }
        Ok(Some(account)) => Ok(account),
        Err(unresolved) => Err(unresolved.message),
    }
}

fn silent(account: &Account) -> String {
    let what = if account.has_key() { "a key for ssh" } else { "for a host without an API that is known" };
    format!(
        "the account `{}` is {what}, and only one with a token of a known host can say anything",
        account.name
    )
}

fn nobody(repository: &str) -> String {
    format!("no account is linked that speaks for {repository}, or more than one: name it in the trigger")
}

fn trigger<'a>(document: &'a Document, reference: &str) -> Option<&'a GitTrigger> {
    let found = document.triggers.iter().find(|trigger| trigger.reference == reference)?;
    match &found.source {
        TriggerSource::Git(git) => Some(git),
        TriggerSource::Typed(typed) => Some(&typed.git),
        TriggerSource::Webhook(_) => None,
    }
}
