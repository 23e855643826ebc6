//! The ingress: what comes by HTTP, checked in the order that costs a stranger most and us least.
//!
//! The hook by its address; the sizes and types; the raw body; the signature over it; the hook's rate; only then
//! the body is read as what it claims to be, and the database is touched. 202 follows the commit of the row.

mod flow;
mod git;
mod reply;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, header},
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};
use shipway_eventing::Log;
use shipway_events::HookId;
use shipway_repository::Allow;

use crate::{
    hooks::{HookCache, Hooks},
    inbox::Inbox,
    limits::Buckets,
    sealer::Sealer,
};
use reply::Refusal;

/// How long a sender may take for its whole body.
const BODY_TIME: Duration = Duration::from_secs(15);

/// How many bytes of headers are kept with a delivery.
const KEPT_HEADERS: usize = 8 * 1024;

/// The longest delivery id that is taken.
const MAX_KEY: usize = 200;

/// What the handlers share.
pub(crate) struct Ingress {
    pub hooks: HookCache,
    pub inbox: Inbox,
    pub sealer: Arc<Sealer>,
    pub log: Arc<dyn Log>,
    pub buckets: Arc<Buckets>,
    /// The largest body in bytes.
    pub max_body: usize,
    /// How long a repository may take to be asked about a body that came before.
    pub ask_time: Duration,
    /// Which repositories are asked at all.
    pub allow: Allow,
}

/// The routes under `/hooks`.
pub(crate) fn router(ingress: Arc<Ingress>) -> Router {
    Router::new()
        .route("/hooks/{source}/{hook}", post(git::receive))
        .route("/hooks/flow/{token}", get(flow::receive).post(flow::receive))
        .with_state(ingress)
}

impl Ingress {
    /// The whole body, if it is not too large, not compressed and comes in time.
    async fn body(&self, request: Request<Body>) -> Result<Bytes, Refusal> {
        let headers = request.headers();
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Refusal::media("send the body without Content-Encoding"));
        }
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.max_body as u64) {
            return Err(Refusal::too_large(self.max_body));
        }
        let limited = Limited::new(request.into_body(), self.max_body).collect();
        match tokio::time::timeout(BODY_TIME, limited).await {
            Err(_) => Err(Refusal::slow(BODY_TIME)),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::too_large(self.max_body)),
            Ok(Err(_)) => Err(Refusal::bad("the body ended before its time")),
        }
    }

    /// The hooks with everything that was in the log when the request came.
    async fn hooks(&self) -> Result<Arc<Hooks>, Refusal> {
        let end = *self.log.tail().borrow();
        self.hooks.at(end).await.ok_or_else(|| Refusal::away("the home of the hooks"))
    }

    fn within_rate(&self, hook: HookId) -> Result<(), Refusal> {
        self.buckets.take(hook, std::time::Instant::now()).map_err(Refusal::rate)
    }
}

/// A header that may come once; two of them are as good as a wrong one.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// A sender's own id of the delivery.
fn delivery_key(headers: &HeaderMap, names: &[&str]) -> Result<Option<String>, Refusal> {
    let Some(name) = names.iter().find(|name| headers.contains_key(**name)) else { return Ok(None) };
    let key = single(headers, name).and_then(|value| std::str::from_utf8(value).ok());
    match key.filter(|key| !key.is_empty() && key.len() <= MAX_KEY) {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            Err(Refusal::bad(&format!("header `{name}` must be one text of at most {MAX_KEY} characters")))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The headers as they are kept: those that carry a credential by their length only.
fn kept_headers(headers: &HeaderMap) -> String {
    let mut kept = Map::new();
    let mut size = 0;
    for (name, value) in headers {
        let text = if is_secret(name) {
            format!("({} bytes, not kept)", value.len())
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        size += name.as_str().len() + text.len();
        if size > KEPT_HEADERS {
            break;
        }
        kept.insert(name.as_str().to_owned(), Value::String(text));
    }
    Value::Object(kept).to_string()
}

fn is_secret(name: &HeaderName) -> bool {
    let secret = ["auth", "cookie", "token", "secret", "signature", "password", "api-key", "apikey"];
    secret.iter().any(|part| name.as_str().contains(part))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn credentials_in_headers_are_not_kept() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "x-hub-signature-256", "webhook-signature", "x-gitlab-token"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("hunter2"));
        }
        headers.insert("x-github-event", HeaderValue::from_static("push"));
        let kept: Value = serde_json::from_str(&kept_headers(&headers)).unwrap();
        assert!(!kept.to_string().contains("hunter2"));
        assert_eq!(kept["x-github-event"], "push");
        assert_eq!(kept["cookie"], "(7 bytes, not kept)");
    }

    #[test]
    fn two_of_a_header_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, "x"), None);
        headers.append("x", HeaderValue::from_static("1"));
        assert_eq!(single(&headers, "x"), Some(&b"1"[..]));
        headers.append("x", HeaderValue::from_static("1"));
        assert_eq!(single(&headers, "x"), None);
    }

    #[test]
    fn json_by_its_name() {
        for (kind, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/cloudevents+json", true),
            ("text/json", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonx", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_json(&headers), expected, "{kind}");
        }
    }
}
