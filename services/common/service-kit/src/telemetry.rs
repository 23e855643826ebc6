//! Logs to standard error; metrics at `/metrics`; and, if an endpoint is set, traces and metrics by OTLP.

use std::{sync::LazyLock, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{config::section, lines::JsonLines, metrics};

/// Keeps the exporters; flushed by [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: SdkMeterProvider,
}

/// What is told, and where.
#[derive(Clone, Copy, Debug)]
pub struct TelemetryOptions<'a> {
    /// Which lines are written, as in `RUST_LOG`.
    pub filter: &'a str,
    /// As JSON lines; their fields are described at [`crate::config::section::Telemetry`].
    pub json: bool,
    /// Where traces and metrics are sent by OTLP over gRPC, like `http://127.0.0.1:4317`.
    pub otlp: Option<&'a str>,
    /// How often metrics are sent.
    pub interval: Duration,
}

impl<'a> From<&'a section::Telemetry> for TelemetryOptions<'a> {
    fn from(settings: &'a section::Telemetry) -> Self {
        Self {
            filter: settings.filter.as_str(),
            json: settings.json,
            otlp: settings.otlp.as_ref().map(crate::config::HttpUrl::as_str),
            interval: settings.interval,
        }
    }
}

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The endpoint was not taken.
    #[error("exporting traces to {endpoint}")]
    Exporter {
        /// The endpoint.
        endpoint: String,
        /// Why.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Nothing can be measured.
    #[error("starting the metrics")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Telemetry was started twice in one process.
    #[error("telemetry is already running in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Starts logging, measuring and, with an endpoint, tracing for `service`. Call it inside the runtime.
    ///
    /// # Errors
    /// If the endpoint is not usable or telemetry runs already.
    pub fn start(service: &'static str, options: &TelemetryOptions<'_>) -> Result<Self, TelemetryError> {
        let provider = options.otlp.map(|endpoint| provider(service, endpoint)).transpose()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(service))
                .with_filter(EnvFilter::new("info"))
        });
        let lines = fmt::layer().with_writer(std::io::stderr);
        let lines = if options.json {
            lines.fmt_fields(fmt::format::JsonFields::new()).event_format(JsonLines::new(service)).boxed()
        } else {
            lines.with_target(false).compact().boxed()
        };
        tracing_subscriber::registry()
            .with(lines.with_filter(EnvFilter::new(options.filter)))
            .with(traces)
            .try_init()
            .map_err(TelemetryError::Twice)?;
        let metrics =
            metrics::start(service, options).map_err(|error| TelemetryError::Metrics(Box::new(error)))?;
        Ok(Self { traces: provider, metrics })
    }

    /// Sends what is still held back.
    pub fn shutdown(self) {
        if let Some(Err(error)) = self.traces.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
        if let Err(error) = self.metrics.shutdown() {
            tracing::warn!(%error, "the last metrics could not be sent");
        }
    }
}

/// Who measures and traces here, as OpenTelemetry's conventions have it: one process of several that are this service.
pub(crate) fn resource(service: &'static str) -> Resource {
    static INSTANCE: LazyLock<String> = LazyLock::new(|| uuid::Uuid::new_v4().to_string());
    Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.namespace", "shipway"))
        .with_attribute(KeyValue::new("service.instance.id", INSTANCE.as_str()))
        .build()
}

fn provider(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })?;
    let resource = resource(service);
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
