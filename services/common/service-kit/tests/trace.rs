//! A call over the network is its caller's child.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use shipway_contracts::Targets;
use shipway_service_kit::Server;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tracing::Instrument as _;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(spans);
        Ok(())
    }
}

#[tokio::test]
async fn a_call_over_the_network_carries_its_trace() {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("probe"));
    tracing_subscriber::registry().with(traces).init();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stopping = CancellationToken::new();
    let server = tokio::spawn(Server::new().serve(listener, stopping.clone()));
    let (_, channel) = Targets::new(&[format!("http://{address}")]).unwrap();
    let mut client = HealthClient::new(channel);
    let span = tracing::info_span!("caller");
    client.check(HealthCheckRequest::default()).instrument(span).await.unwrap();
    drop(client);
    stopping.cancel();
    server.await.unwrap().unwrap();

    let spans = kept.0.lock().unwrap();
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (caller, request) = (find("caller"), find("/grpc.health.v1.Health/Check"));
    assert_eq!(request.span_context.trace_id(), caller.span_context.trace_id());
    assert_eq!(request.parent_span_id, caller.span_context.span_id());
    assert!(request.parent_span_is_remote);
}
