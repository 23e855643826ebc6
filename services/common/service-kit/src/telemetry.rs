//! Logs to standard error and, if an endpoint is set, traces by OTLP.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Keeps the exporter; flushed by [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
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
    /// Telemetry was started twice in one process.
    #[error("telemetry is already running in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Starts logging for `service`; `filter` is as in `RUST_LOG`. With `otlp` (an address like
    /// `http://127.0.0.1:4317`) spans are exported too. Call it inside the runtime.
    ///
    /// # Errors
    /// If the endpoint is not usable or telemetry runs already.
    pub fn start(
        service: &'static str,
        filter: &str,
        json: bool,
        otlp: Option<&str>,
    ) -> Result<Self, TelemetryError> {
        let provider = otlp.map(|endpoint| provider(service, endpoint)).transpose()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(service))
                .with_filter(EnvFilter::new("info"))
        });
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
        let lines = if json { lines.json().boxed() } else { lines.compact().boxed() };
        tracing_subscriber::registry()
            .with(lines.with_filter(EnvFilter::new(filter)))
            .with(traces)
            .try_init()
            .map_err(TelemetryError::Twice)?;
        Ok(Self { provider })
    }

    /// Sends what is still held back.
    pub fn shutdown(self) {
        if let Some(Err(error)) = self.provider.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

fn provider(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })?;
    let resource = Resource::builder().with_service_name(service).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
