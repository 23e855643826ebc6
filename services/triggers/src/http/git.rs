//! `POST /hooks/<source>/<hook>`: deliveries of a Git host about a repository.

use std::{str::FromStr as _, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use shipway_events::HookId;

use super::{Ingress, NotTaken, Target, is_json, reply::Refusal};
use crate::{
    domain::{
        depth::is_shallow,
        push::Delivered,
        sources::{self, Source},
    },
    git::{self, Asking},
    hooks::GitHook,
    inbox::{Heads, Incoming, Kept, Outcome, Subject},
    judging::judged,
    parcel::{Parcel, Way},
    signature::Secrets,
};

#[tracing::instrument(name = "delivery", skip_all, fields(hook))]
pub(super) async fn receive(
    State(ingress): State<Arc<Ingress>>,
    Path((source, hook)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    tracing::Span::current().record("hook", &*hook);
    let source = sources::named(&source).ok_or_else(Refusal::not_found)?;
    if !is_json(request.headers()) {
        return Err(Refusal::media("set the hook's content type to application/json"));
    }
    let (headers, body) = ingress.body(request).await?;
    let now = ingress.log.now();
    let Some(hook) = find(&ingress, source, &hook).await? else {
        // As long as for a hook that exists.
        let _ = source.scheme.verify(&Secrets::default(), &headers, &body, now);
        return Err(Refusal::unauthorized());
    };
    if !source.scheme.verify(&hook.secrets, &headers, &body, now) {
        return Err(Refusal::unauthorized());
    }
    if !is_shallow(&body) {
        return Err(Refusal::deep());
    }
    ingress.within_rate(hook.id)?;
    let key = source.key(&headers, &body).map_err(Refusal::key)?;
    let way = Way::Git { source: source.name.to_owned(), hook: hook.id };
    let verified = format!("what it has in {} was right", source.scheme.header(&headers));
    let parcel = Parcel::new(way, key, &headers, &verified, body, now);
    ingress.take(&parcel, &Target::Git(source, hook)).await
}

/// The delivery with what each trigger makes of it.
pub(super) fn judge(parcel: &Parcel, incoming: Incoming, source: &Source, hook: &GitHook) -> Incoming {
    let event = source.event(|name| parcel.headers.get(name), &parcel.body);
    let delivered = read(source, event.as_deref(), &parcel.body);
    judged(incoming, delivered, hook, source.name, event.as_deref().unwrap_or_default())
}

/// The hook, if deliveries of this source may come to it: what it is for decides, not what they say.
async fn find(ingress: &Ingress, source: &Source, hook: &str) -> Result<Option<Arc<GitHook>>, Refusal> {
    let Ok(id) = HookId::from_str(hook) else { return Ok(None) };
    let hook = ingress.hooks().await?.git(id);
    Ok(hook.filter(|hook| hook.sources.iter().any(|known| known.name == source.name)))
}

/// What it says, or in words why nobody can tell: a body with the right signature is stored in any case.
fn read(source: &Source, event: Option<&str>, body: &[u8]) -> Result<Delivered, String> {
    let Some(event) = event else {
        return Err(format!("nothing can be made of it: it has no {}", source.event));
    };
    (source.read)(event, body).map_err(|unreadable| format!("nothing can be made of it: {unreadable}"))
}

/// Stores a delivery, after its repository was asked if that has to tell what it is.
pub(super) async fn keep(
    ingress: &Ingress,
    hook: &GitHook,
    incoming: &Arc<Incoming>,
) -> Result<Kept, NotTaken> {
    if let Outcome::Kept(kept) = ingress.inbox.accept(Arc::clone(incoming)).await? {
        return Ok(kept);
    }
    let again = incoming.after_asking(are_heads(ingress, hook, &incoming.to).await);
    match ingress.inbox.accept(Arc::new(again)).await? {
        Outcome::Kept(kept) => Ok(kept),
        Outcome::AskFirst => Err(NotTaken::Refused(Refusal::away("the repository"))),
    }
}

/// Of each push, whether the repository says that its commit is its ref's newest.
async fn are_heads(ingress: &Ingress, hook: &GitHook, to: &[Subject]) -> Heads {
    let asking = Asking { login: hook.login.as_ref(), limit: ingress.ask_time, allow: ingress.allow };
    match git::branches(&hook.address, asking).await {
        Ok(branches) => Heads::Told(to.iter().map(|subject| subject.is_head(&branches)).collect()),
        Err(problem) => {
            tracing::warn!(
                error = &problem as &dyn std::error::Error,
                "a body that came before waits until the repository says whether its commit is the newest again"
            );
            Heads::Silent
        }
    }
}
