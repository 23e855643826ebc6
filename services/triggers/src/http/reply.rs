//! What a sender gets to hear, and with which status.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use shipway_events::DeliveryId;
use shipway_service_kit::metrics;

use crate::{
    domain::{
        answer::{Answer, answer},
        depth::DEEPEST,
        sources::{Place, SOURCES},
    },
    inbox::Kept,
    limits::Busy,
    spool::SpoolError,
};

/// How long a sender waits when the database is away.
const AWAY: Duration = Duration::from_secs(5);

/// How long it waits when others have to be answered first.
const SOON: Duration = Duration::from_secs(1);

/// How long it waits when there is no room until the database is back.
const FULL: Duration = Duration::from_secs(60);

/// A request that is not taken; nothing of it is stored.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// What is wrong, in words.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

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

    /// The body is nested more deeply than anything that is read.
    pub(super) fn deep() -> Self {
        Self::bad(&format!("the body is nested deeper than {DEEPEST} levels"))
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

    pub(super) fn slow() -> Self {
        let message = "the body comes too slowly: 16 KiB a second after 2 s, and all of it within 15 s";
        Self::new(StatusCode::REQUEST_TIMEOUT, message)
    }

    /// The hook, or all hooks together, send more than they may.
    pub(super) fn rate(busy: Busy) -> Self {
        let (wait, message) = match busy {
            Busy::Hook(wait) => (wait, "this hook sends more than its limit; try again later"),
            Busy::All(wait) => (wait, "all hooks together send more than their limit; try again later"),
        };
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// Too many deliveries of one source are on their way.
    pub(super) fn many_open() -> Self {
        let message = "too many deliveries from your address are under way; try again when they are answered";
        Self { retry_after: Some(SOON), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// There is no room for the bodies of all that are on their way.
    pub(super) fn full() -> Self {
        let message = "too much is under way and nothing was stored; deliver it again later";
        Self { retry_after: Some(SOON), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// Something that a delivery needs does not answer.
    pub(super) fn away(what: &str) -> Self {
        let message = format!("{what} is away and nothing was stored; deliver it again later");
        Self { retry_after: Some(AWAY), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// The database is away, and so is the room to keep it until it is back.
    pub(super) fn no_spool(error: &SpoolError) -> Self {
        let message = match error {
            SpoolError::Full { .. } => {
                "the database is away, and the spool for the time until it is back is full; nothing was stored; \
                 deliver it again later"
            }
            _ => {
                "the database is away, and the disk does not take it either; nothing was stored; deliver it \
                  again later"
            }
        };
        Self { retry_after: Some(FULL), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
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

/// The 202 of a delivery that waits on this machine's disk until the database is back.
pub(super) fn spooled(delivery: DeliveryId) -> Response {
    metrics::DELIVERIES.add(1, &["spooled"]);
    let message = "the database is away: the delivery is safe on disk, and is judged as soon as the database is back; \
                   what follows from it is in the inbox then";
    let answer = Answer { delivery, runs: Vec::new(), message: message.to_owned() };
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

/// The 202 of a delivery that is in the inbox.
pub(super) fn accepted(kept: &Kept) -> Response {
    let answer = answer(kept.delivery, &kept.summary, &kept.verdicts);
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}
