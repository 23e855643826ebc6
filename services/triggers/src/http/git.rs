//! `POST /hooks/<source>/<hook>`: deliveries of a Git host about a repository.

use std::{str::FromStr as _, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use shipway_events::HookId;

use super::{
    Ingress, delivery_key, is_json, kept_headers,
    reply::{Refusal, accepted},
    single,
};
use crate::{
    domain::{
        push::{Delivered, Push},
        repository::RepositoryKey,
        rules::judge_push,
        sources::{self, Source},
    },
    git::{self, Asking},
    hooks::GitHook,
    inbox::{Incoming, Outcome, PushTo},
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
    let headers = request.headers().clone();
    let body = ingress.body(request).await?;
    let signature = single(&headers, source.signature_header);
    let Some(hook) = find(&ingress, &hook).await? else {
        // As long as for a hook that exists.
        let _ = Secrets::default().verify_hub(signature, &body);
        return Err(Refusal::unauthorized());
    };
    if !hook.secrets.verify_hub(signature, &body) {
        return Err(Refusal::unauthorized());
    }
    ingress.within_rate(hook.id)?;
    let event = single(&headers, source.event_header).and_then(|event| std::str::from_utf8(event).ok());
    let key = delivery_key(&headers, &[source.delivery_header])?;
    let delivered = read(source, event.unwrap_or_default(), &body);
    let incoming = Incoming::new(&ingress.sealer, Some(hook.id), key, kept_headers(&headers), &body);
    let incoming = judged(incoming, delivered, &hook);
    keep(&ingress, &hook, incoming).await
}

async fn find(ingress: &Ingress, hook: &str) -> Result<Option<Arc<GitHook>>, Refusal> {
    let Ok(id) = HookId::from_str(hook) else { return Ok(None) };
    Ok(ingress.hooks().await?.git(id))
}

/// What it says, or in words why nobody can tell: a body with the right signature is stored in any case.
fn read(source: &Source, event: &str, body: &[u8]) -> Result<Delivered, String> {
    if event.is_empty() {
        return Err(format!("nothing can be made of it: it has no header `{}`", source.event_header));
    }
    (source.read)(event, body).map_err(|unreadable| format!("nothing can be made of it: {unreadable}"))
}

fn judged(incoming: Incoming, delivered: Result<Delivered, String>, hook: &GitHook) -> Incoming {
    match delivered {
        Err(problem) => incoming.saying(&problem),
        Ok(Delivered::Ping) => incoming.saying("ping: the hook works"),
        Ok(Delivered::Other(event)) => incoming.saying(&format!("`{event}` event: nothing listens to it")),
        Ok(Delivered::PullRequest(pull)) => {
            incoming.saying(&format!("{}: nothing listens to it", pull.summary()))
        }
        Ok(Delivered::Release(release)) => {
            incoming.saying(&format!("{}: nothing listens to it", release.summary()))
        }
        Ok(Delivered::CheckSuite(suite)) => {
            incoming.saying(&format!("{}: nothing listens to it", suite.summary()))
        }
        Ok(Delivered::Pushes(pushes)) => {
            let Some(push) = pushes.into_iter().next() else { return incoming.saying("a push of nothing") };
            let verdicts = judge_push(&push, &hook.key, hook.triggers.iter().map(AsRef::as_ref));
            let summary = push.summary();
            let about = push.repositories.iter().any(|address| RepositoryKey::of(address) == hook.key);
            let summary = match (verdicts.is_empty(), about) {
                (false, _) => summary,
                (true, true) => format!("{summary}: no trigger names this repository"),
                (true, false) => format!("{summary}: the hook is for {}", hook.key),
            };
            let to = about.then(|| PushTo { repository: hook.key.clone(), push });
            incoming.saying(&summary).judged(verdicts).about(to)
        }
    }
}

async fn keep(ingress: &Ingress, hook: &GitHook, incoming: Incoming) -> Result<Response, Refusal> {
    let incoming = Arc::new(incoming);
    if let Outcome::Kept(kept) = ingress.inbox.accept(Arc::clone(&incoming)).await? {
        return Ok(accepted(&kept));
    }
    let confirmed = match &incoming.to {
        Some(to) => is_head(ingress, hook, &to.push).await,
        None => false,
    };
    let again = incoming.confirmed(confirmed);
    match ingress.inbox.accept(Arc::new(again)).await? {
        Outcome::Kept(kept) => Ok(accepted(&kept)),
        Outcome::AskFirst => Err(Refusal::away("the repository")),
    }
}

/// Whether the repository says that the push's commit is its ref's newest. It cannot answer: not confirmed, and
/// if there was such a push, it is found by asking later.
async fn is_head(ingress: &Ingress, hook: &GitHook, push: &Push) -> bool {
    let asking = Asking { login: hook.login.as_ref(), limit: ingress.ask_time, allow: ingress.allow };
    match git::branches(&hook.address, asking).await {
        Ok(branches) => branches.get(&push.reference).map(String::as_str) == push.target(),
        Err(problem) => {
            tracing::warn!(
                error = &problem as &dyn std::error::Error,
                "a body that came before is not confirmed"
            );
            false
        }
    }
}
