//! `POST` or `GET /hooks/flow/<token>`: a request that starts a flow. The address is the credential; a request
//! that is signed, as Standard Webhooks or GitHub do it, must be signed rightly, and where the hook has signing
//! secrets, every request must be.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, Method},
    response::Response,
};
use shipway_eventing::failing;
use shipway_events::delivery::Verdict;

use super::{
    Ingress, delivery_key, is_json, kept_headers,
    reply::{Refusal, accepted},
};
use crate::{
    domain::generic,
    hooks::FlowHook,
    inbox::{Incoming, Outcome},
    signature::Scheme,
};

/// How a request to a flow's address can be signed.
const SCHEME: Scheme = Scheme::StandardOrHub("x-hub-signature-256");

#[tracing::instrument(name = "delivery", skip_all)]
pub(super) async fn receive(
    State(ingress): State<Arc<Ingress>>,
    Path(token): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    if request.method() == Method::HEAD {
        // Whoever only looks at an address starts nothing.
        return Err(Refusal::method());
    }
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|_| Refusal::bad("the query string cannot be read"))?;
    let (headers, method) = (request.headers().clone(), request.method().clone());
    let raw_query = request.uri().query().unwrap_or_default().to_owned();
    let body = ingress.body(request).await?;
    if !body.is_empty() && !is_json(&headers) {
        return Err(Refusal::media("a body must be JSON, with content type application/json"));
    }
    let hook = ingress.hooks().await?.flow(&token).ok_or_else(Refusal::unauthorized)?;
    if !signature_fits(&ingress, &hook, &headers, &body) {
        return Err(Refusal::unauthorized());
    }
    ingress.within_rate(hook.id)?;
    let key = delivery_key(&headers, &["webhook-id", "idempotency-key"])?;
    let verdicts = judge(&hook, &query, &body)?;
    let summary = if verdicts.is_empty() {
        format!("request to {}: the flow has no webhook trigger any more", hook.path)
    } else {
        format!("request to {}", hook.path)
    };
    let whole = whole_request(&method, &raw_query, &body);
    let kept = kept_headers(&headers);
    let incoming = Incoming::with_more(&ingress.sealer, Some(hook.id), key, kept, &body, &whole);
    let incoming = incoming.saying(&summary).judged(verdicts);
    let accepted_row = ingress.inbox.accept(Arc::new(incoming));
    match failing!("triggers.accept", accepted_row.await)? {
        Outcome::Kept(kept) => Ok(accepted(&kept)),
        Outcome::AskFirst => Err(Refusal::away("the inbox")),
    }
}

/// The address is the credential, and a signature beside it must be right. A hook with signing secrets takes
/// signed requests only.
fn signature_fits(ingress: &Ingress, hook: &FlowHook, headers: &HeaderMap, body: &[u8]) -> bool {
    if !hook.signed && !SCHEME.is_tried(headers) {
        return true;
    }
    SCHEME.verify(&hook.secrets, headers, body, ingress.log.now())
}

fn judge(hook: &FlowHook, query: &[(String, String)], body: &[u8]) -> Result<Vec<Verdict>, Refusal> {
    let Some(trigger) = &hook.trigger else { return Ok(Vec::new()) };
    let siblings: Vec<_> = hook.siblings.iter().map(AsRef::as_ref).collect();
    let body = Some(body).filter(|body| !body.is_empty());
    let verdict = generic::judge(query, body, trigger, &siblings);
    verdict.map(|verdict| vec![verdict]).map_err(|refused| Refusal::bad(&refused.to_string()))
}

/// What is sealed of a request: the method, the query, and the body after an empty line.
fn whole_request(method: &Method, query: &str, body: &[u8]) -> Vec<u8> {
    [method.as_str().as_bytes(), b" ?", query.as_bytes(), b"\n\n", body].concat()
}
