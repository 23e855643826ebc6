//! Around every call: its span, a child of the caller's if the caller is traced, and what is counted of it.

use std::{
    mem::ManuallyDrop,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hyper::body::{Frame, SizeHint};
use shipway_contracts::trace;
use tonic::Code;
use tracing::Instrument as _;

use crate::metrics;

/// A name that nobody can make up stands for every address that is not served.
const OTHER: &str = "other";

/// Answers a call inside its span, and counts it.
pub(crate) async fn measured(request: Request, next: Next) -> Response {
    let grpc = is_grpc(request.headers());
    let method = match (grpc, request.extensions().get::<MatchedPath>()) {
        (_, None) => OTHER.to_owned(),
        (true, Some(_)) => request.uri().path().to_owned(),
        (false, Some(route)) => format!("{} {}", request.method(), route.as_str()),
    };
    let span = tracing::info_span!("request", otel.name = %method, otel.kind = "server");
    trace::follow(&span, request.headers());
    let unanswered = Unanswered { grpc, method, begin: Instant::now() };
    let mut response = next.run(request).instrument(span).await;
    let (method, took) = unanswered.answered();
    if !grpc {
        if code(response.headers()).is_some() {
            // What nobody serves falls to gRPC, whose refusal is a 200 to everybody else.
            response = StatusCode::NOT_FOUND.into_response();
        }
        count("http", &method, response.status().as_str(), took);
        return response;
    }
    match code(response.headers()) {
        // A method that the service does not have is a name that somebody made up.
        Some(Code::Unimplemented) => count("grpc", OTHER, "Unimplemented", took),
        Some(code) => count("grpc", &method, &format!("{code:?}"), took),
        // The code comes after the last message.
        None => return response.map(|body| Body::new(Counted { body, method, took, code: None })),
    }
    response
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}

fn count(protocol: &str, method: &str, code: &str, took: f64) {
    let labels = [protocol, method, code];
    metrics::REQUESTS.add(1, &labels);
    metrics::REQUEST_SECONDS.record(took, &labels);
}

/// A call that waits for its answer. Dropped, its caller has gone away before: what nobody waits for to the end is seen
/// nowhere else.
struct Unanswered {
    grpc: bool,
    method: String,
    begin: Instant,
}

impl Unanswered {
    /// Its method, and how long it took.
    fn answered(self) -> (String, f64) {
        let mut call = ManuallyDrop::new(self);
        (std::mem::take(&mut call.method), call.begin.elapsed().as_secs_f64())
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        // HTTP has no code of its own for it; 499 is what other servers write.
        let (protocol, code) = if self.grpc { ("grpc", "Cancelled") } else { ("http", "499") };
        count(protocol, &self.method, code, self.begin.elapsed().as_secs_f64());
    }
}

/// The body of an answer whose code is not known yet.
struct Counted {
    body: Body,
    method: String,
    took: f64,
    code: Option<Code>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.code = code(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Whoever does not wait for the end has gone away.
        let code = self.code.unwrap_or(Code::Cancelled);
        count("grpc", &self.method, &format!("{code:?}"), self.took);
    }
}
