//! The ingress: what comes by HTTP, checked in the order that costs a stranger most and us least.
//!
//! Connections and heads are the port's (`service-kit`). Then the sizes and types; the raw body, in time; the hook by
//! its address; the signature over the body; the hook's rate; only then the body is read as what it claims to be, and
//! the database is touched. 202 follows the commit of the row, or, while the database is away, the sync of the spool.

mod body;
mod flow;
mod git;
mod reply;
mod take;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, header},
    routing::{get, post},
};
use ipnet::IpNet;
use shipway_eventing::Log;
use shipway_events::HookId;
use shipway_repository::Allow;

use crate::{
    domain::sources::Place,
    hooks::{HookCache, Hooks},
    inbox::Inbox,
    limits::{Buckets, Memory, Open},
    sealer::Sealer,
    signature::single,
    spool::Spool,
};
use reply::Refusal;
pub(crate) use take::{NotTaken, Target};

/// What the handlers share.
pub(crate) struct Ingress {
    pub hooks: HookCache,
    pub inbox: Inbox,
    pub spool: Spool,
    pub sealer: Arc<Sealer>,
    pub log: Arc<dyn Log>,
    pub buckets: Arc<Buckets>,
    pub open: Arc<Open>,
    pub memory: Memory,
    /// Addresses that speak for others.
    pub proxies: Vec<IpNet>,
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
    /// The hooks with everything that was in the log when the request came.
    async fn hooks(&self) -> Result<Arc<Hooks>, Refusal> {
        let end = *self.log.tail().borrow();
        self.hooks.at(end).await.ok_or_else(|| Refusal::away("the home of the hooks"))
    }

    fn within_rate(&self, hook: HookId) -> Result<(), Refusal> {
        self.buckets.take(hook, std::time::Instant::now()).map_err(Refusal::rate)
    }
}

/// A sender's own id of the delivery.
fn delivery_key(headers: &HeaderMap, names: &[&str]) -> Result<Option<String>, Refusal> {
    let Some(name) = names.iter().find(|name| headers.contains_key(**name)) else { return Ok(None) };
    let key = single(headers, name).and_then(|value| std::str::from_utf8(value).ok());
    match key.filter(|key| !key.is_empty() && key.len() <= Place::LONGEST) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Refusal::key(name)),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

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
