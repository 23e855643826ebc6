//! `POST` or `GET /hooks/flow/<token>`: a request that starts a flow. The address is the credential; a request
//! that is signed, as Standard Webhooks or GitHub do it, must be signed rightly, and where the hook has signing
//! secrets, every request must be.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use shipway_eventing::failing;
use shipway_events::delivery::Verdict;

use super::{Ingress, NotTaken, Target, delivery_key, is_json, reply::Refusal};
use crate::{
    domain::{depth::is_shallow, generic},
    hooks::FlowHook,
    inbox::{Incoming, Kept, Outcome},
    parcel::{Parcel, Way},
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
    let query = request.uri().query().unwrap_or_default().to_owned();
    pairs(&query)?;
    let method = request.method().clone();
    let (headers, body) = ingress.body(request).await?;
    if !body.is_empty() && !is_json(&headers) {
        return Err(Refusal::media("a body must be JSON, with content type application/json"));
    }
    let hook = ingress.hooks().await?.flow(&token).ok_or_else(Refusal::unauthorized)?;
    if !signature_fits(&ingress, &hook, &headers, &body) {
        return Err(Refusal::unauthorized());
    }
    ingress.within_rate(hook.id)?;
    let key = delivery_key(&headers, &["webhook-id", "idempotency-key"])?;
    let way = Way::Flow {
        hook: hook.id,
        trigger: hook.trigger.as_ref().map(|trigger| trigger.trigger.reference.clone()),
        method: method.to_string(),
        query,
    };
    let verified = match SCHEME.is_tried(&headers) {
        true => format!("the signature in {} was right", SCHEME.header(&headers)),
        false => "the address is the credential".to_owned(),
    };
    let parcel = Parcel::new(way, key, &headers, &verified, body, ingress.log.now());
    ingress.take(&parcel, &Target::Flow(hook)).await
}

/// The delivery with what the flow's trigger makes of it.
///
/// # Errors
/// If the query holds what it may not, or the body is nested too deeply; nothing of it is stored.
pub(super) fn judge(parcel: &Parcel, incoming: Incoming, hook: &FlowHook) -> Result<Incoming, Refusal> {
    let Way::Flow { query, .. } = &parcel.way else { return Ok(incoming) };
    if !is_shallow(&parcel.body) {
        return Err(Refusal::deep());
    }
    let verdicts = verdicts(hook, &pairs(query)?, &parcel.body)?;
    let summary = if verdicts.is_empty() {
        format!("request to {}: the flow has no webhook trigger any more", hook.path)
    } else {
        format!("request to {}", hook.path)
    };
    Ok(incoming.saying(&summary).judged(verdicts))
}

/// Stores it.
pub(super) async fn keep(ingress: &Ingress, incoming: &Arc<Incoming>) -> Result<Kept, NotTaken> {
    let accepted = ingress.inbox.accept(Arc::clone(incoming));
    match failing!("triggers.accept", accepted.await)? {
        Outcome::Kept(kept) => Ok(kept),
        Outcome::AskFirst => Err(NotTaken::Refused(Refusal::away("the inbox"))),
    }
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let unreadable = |_| Refusal::bad("the query string cannot be read");
    let uri = Uri::builder().path_and_query(format!("/?{query}")).build().map_err(unreadable)?;
    let Query(pairs) =
        Query::try_from_uri(&uri).map_err(|_| Refusal::bad("the query string cannot be read"))?;
    Ok(pairs)
}

/// The address is the credential, and a signature beside it must be right. A hook with signing secrets takes
/// signed requests only.
fn signature_fits(ingress: &Ingress, hook: &FlowHook, headers: &HeaderMap, body: &[u8]) -> bool {
    if !hook.signed && !SCHEME.is_tried(headers) {
        return true;
    }
    SCHEME.verify(&hook.secrets, headers, body, ingress.log.now())
}

fn verdicts(hook: &FlowHook, query: &[(String, String)], body: &[u8]) -> Result<Vec<Verdict>, Refusal> {
    let Some(trigger) = &hook.trigger else { return Ok(Vec::new()) };
    let siblings: Vec<_> = hook.siblings.iter().map(AsRef::as_ref).collect();
    let body = Some(body).filter(|body| !body.is_empty());
    let verdict = generic::judge(query, body, trigger, &siblings);
    verdict.map(|verdict| vec![verdict]).map_err(|refused| Refusal::bad(&refused.to_string()))
}
