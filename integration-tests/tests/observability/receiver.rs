//! A real OTLP receiver: keeps the spans that come, and the names of metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1 as proto,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A span that came.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// The process's: `service.name` and `service.instance.id`.
    pub(crate) service: (String, String),
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    /// Trace and span of each link.
    pub(crate) links: Vec<(String, String)>,
    attributes: BTreeMap<String, String>,
}

impl Span {
    /// Its trace and its id.
    pub(crate) fn place(&self) -> (String, String) {
        (self.trace.clone(), self.id.clone())
    }

    /// An attribute as a text.
    pub(crate) fn attribute(&self, name: &str) -> Option<&String> {
        self.attributes.get(name)
    }
}

/// The receiver; clones keep the same.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    came: Arc<Mutex<Came>>,
}

#[derive(Default)]
struct Came {
    spans: Vec<Span>,
    metrics: BTreeSet<String>,
}

impl Receiver {
    /// Listens on a free port until the test's runtime ends.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self { url, came: Arc::default() };
        let server = Server::builder()
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(MetricsServiceServer::new(receiver.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        receiver
    }

    /// The spans that came so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.came.lock().unwrap().spans.clone()
    }

    /// The names of the metrics that came so far.
    pub(crate) fn metrics(&self) -> BTreeSet<String> {
        self.came.lock().unwrap().metrics.clone()
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter();
        let spans = spans.flat_map(|of| {
            let about = of.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
            let about = |name: &str| about.get(name).cloned().unwrap_or_default();
            let service = (about("service.name"), about("service.instance.id"));
            let spans = of.scope_spans.into_iter().flat_map(|of| of.spans);
            spans.map(move |span| read(service.clone(), span))
        });
        self.came.lock().unwrap().spans.extend(spans);
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let metrics = request.into_inner().resource_metrics.into_iter();
        let metrics = metrics.flat_map(|of| of.scope_metrics).flat_map(|of| of.metrics);
        self.came.lock().unwrap().metrics.extend(metrics.map(|metric| metric.name));
        Ok(Response::new(Default::default()))
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

fn read(service: (String, String), span: proto::Span) -> Span {
    Span {
        name: span.name,
        service,
        trace: hex::encode(span.trace_id),
        id: hex::encode(span.span_id),
        parent: hex::encode(span.parent_span_id),
        links: span
            .links
            .into_iter()
            .map(|link| (hex::encode(link.trace_id), hex::encode(link.span_id)))
            .collect(),
        attributes: texts(span.attributes),
    }
}
