//! What a sender gets to hear, and with which status.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use shipway_service_kit::metrics;

use crate::{
    domain::{
        answer::answer,
        sources::{Place, SOURCES},
    },
    inbox::{InboxError, Kept},
};

/// How long a sender waits when the database is away.
const AWAY: Duration = Duration::from_secs(5);

/// A request that is not taken; nothing of it is stored.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// The same for a hook that does not exist and for a signature that is wrong.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "no such hook, or the signature is wrong: check the address and the secret",
        )
    }

    pub(super) fn not_found() -> Self {
        let names: Vec<String> = SOURCES.iter().map(|source| format!("/hooks/{}/…", source.name)).collect();
        let message = format!("no hooks of that kind; addresses are {} and /hooks/flow/…", names.join(", "));
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST start the flow")
    }

    pub(super) fn bad(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The sender's id of the delivery, by the name of what holds it, is none.
    pub(super) fn key(name: &str) -> Self {
        Self::bad(&format!("`{name}` must be one text of at most {} characters", Place::LONGEST))
    }

    pub(super) fn media(message: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes"))
    }

    pub(super) fn slow(limit: Duration) -> Self {
        let message = format!("the body did not come within {} s", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, message)
    }

    pub(super) fn rate(wait: Duration) -> Self {
        let message = "this hook sends more than its limit; try again later";
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// Something that a delivery needs does not answer.
    pub(super) fn away(what: &str) -> Self {
        let message = format!("{what} is away and nothing was stored; deliver it again later");
        Self { retry_after: Some(AWAY), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }
}

impl From<InboxError> for Refusal {
    fn from(error: InboxError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a delivery could not be stored");
        Self::away("the database")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        metrics::DELIVERIES.add(1, &["refused"]);
        let mut response = (self.status, Json(json!({ "error": self.message }))).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The 202 of a delivery that is in the inbox.
pub(super) fn accepted(kept: &Kept) -> Response {
    let answer = answer(kept.delivery, &kept.summary, &kept.verdicts);
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}
