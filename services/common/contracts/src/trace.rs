//! The trace context that travels in envelopes, messages and calls: the W3C `traceparent`.
//!
//! What is done at once for a caller is a child of the caller's span. What is handled later, possibly by another
//! process, is a trace of its own that links back: minutes of waiting are nobody's span.

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header, of HTTP, gRPC and NATS alike.
pub const HEADER: &str = "traceparent";

/// The current span as a `traceparent`; none where nothing is being traced.
#[must_use]
pub fn current() -> Option<String> {
    of(&Span::current())
}

/// A span as a `traceparent`; none where nothing is being traced.
#[must_use]
pub fn of(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()))
}

/// Links the current span to the one that a `traceparent` names: what is handled later, possibly by
/// another process, is its own trace that points back.
pub fn link_to(traceparent: Option<&str>) {
    link(&Span::current(), traceparent);
}

/// Links a span to the one that a `traceparent` names.
pub fn link(span: &Span, traceparent: Option<&str>) {
    if let Some(context) = traceparent.and_then(parse) {
        span.add_link(context);
    }
}

/// Puts the current span into the headers of a call.
pub fn inject(headers: &mut HeaderMap) {
    if let Some(value) = current().and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(HEADER, value);
    }
}

/// Makes a span that nobody has entered yet a child of the caller's, if the headers name one.
pub fn follow(span: &Span, headers: &HeaderMap) {
    let context = headers.get(HEADER).and_then(|value| value.to_str().ok()).and_then(parse);
    if let Some(context) = context {
        // Without an exporter there is no layer that could take it, and nothing to be traced.
        let _ = span.set_parent(Context::new().with_remote_span_context(context));
    }
}

fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read() {
        let context = parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn what_is_no_traceparent_is_ignored() {
        for text in
            ["", "00", "00-0-0-0", "00-00000000000000000000000000000000-0000000000000000-01", "x-y-z-ä"]
        {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
