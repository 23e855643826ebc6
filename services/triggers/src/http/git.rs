//! `POST /hooks/<source>/<hook>`: deliveries of a Git host about a repository.

use std::{str::FromStr as _, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use shipway_events::HookId;

use super::{
    Ingress, is_json, kept_headers,
    reply::{Refusal, accepted},
};
use crate::{
    domain::{
        happened::Happened,
        push::Delivered,
        sources::{self, Source},
    },
    git,
    hooks::GitHook,
    inbox::{Incoming, Outcome, Subject},
    judging::judged,
    signature::{Secrets, single},
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
    let headers = request.headers().clone();
    let body = ingress.body(request).await?;
    let now = ingress.log.now();
    let Some(hook) = find(&ingress, source, &hook).await? else {
        // As long as for a hook that exists.
        let _ = source.scheme.verify(&Secrets::default(), &headers, &body, now);
        return Err(Refusal::unauthorized());
    };
    if !source.scheme.verify(&hook.secrets, &headers, &body, now) {
        return Err(Refusal::unauthorized());
    }
    ingress.within_rate(hook.id)?;
    let key = source.key(&headers, &body).map_err(Refusal::key)?;
    let event =
        source.event(|name| single(&headers, name).and_then(|text| std::str::from_utf8(text).ok()), &body);
    let delivered = read(source, event.as_deref(), &body);
    let incoming = Incoming::new(&ingress.sealer, Some(hook.id), key, kept_headers(&headers), &body);
    let incoming = judged(incoming, delivered, &hook, source.name, event.as_deref().unwrap_or_default());
    keep(&ingress, &hook, incoming).await
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

async fn keep(ingress: &Ingress, hook: &GitHook, incoming: Incoming) -> Result<Response, Refusal> {
    let incoming = Arc::new(incoming);
    if let Outcome::Kept(kept) = ingress.inbox.accept(Arc::clone(&incoming)).await? {
        return Ok(accepted(&kept));
    }
    let again = incoming.confirmed(are_heads(ingress, hook, &incoming.to).await);
    match ingress.inbox.accept(Arc::new(again)).await? {
        Outcome::Kept(kept) => Ok(accepted(&kept)),
        Outcome::AskFirst => Err(Refusal::away("the repository")),
    }
}

/// Of each push, whether the repository says that its commit is its ref's newest. It cannot answer: not confirmed, and
/// if there was such a push, it is found by asking later.
async fn are_heads(ingress: &Ingress, hook: &GitHook, to: &[Subject]) -> Vec<bool> {
    let branches = match git::branches(&hook.address, ingress.ask_time).await {
        Ok(branches) => branches,
        Err(problem) => {
            tracing::warn!(
                error = &problem as &dyn std::error::Error,
                "a body that came before is not confirmed"
            );
            return vec![false; to.len()];
        }
    };
    let is_head = |subject: &Subject| match &subject.happened {
        Happened::Push(push) => branches.get(&push.reference).map(String::as_str) == push.target(),
        _ => false,
    };
    to.iter().map(is_head).collect()
}
