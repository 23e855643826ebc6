//! Where what is measured goes: the text at `/metrics`, and OTLP if there is an endpoint.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Counter, Histogram, Meter, MeterProvider as _},
};
use opentelemetry_otlp::{MetricExporter, WithExportConfig};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

use super::{ALL, BUILD_INFO, Kind, Metric};
use crate::telemetry::TelemetryOptions;

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The endpoint was not taken.
    #[error("exporting metrics to {endpoint}")]
    Exporter {
        endpoint: String,
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// The text could not be set up.
    #[error("setting up /metrics")]
    Text(#[source] opentelemetry_sdk::error::OTelSdkError),
}

/// Set once in a process; before that nothing is measured.
static MEASURED: OnceLock<Measured> = OnceLock::new();

/// Who is asked about gauges. Separate, since they may come before anybody measures.
static OBSERVERS: Mutex<Vec<(&'static str, Arc<Look>)>> = Mutex::new(Vec::new());

type Look = dyn Fn(&mut Seen<'_>) -> Option<()> + Send + Sync;

struct Measured {
    registry: Registry,
    counters: HashMap<&'static str, Counter<u64>>,
    histograms: HashMap<&'static str, Histogram<f64>>,
}

/// Begins to measure; once in a process.
pub(crate) fn start(
    service: &'static str,
    options: &TelemetryOptions<'_>,
) -> Result<SdkMeterProvider, StartError> {
    let registry = Registry::new();
    let text = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_units()
        .without_counter_suffixes()
        .without_target_info()
        .scope_info_enabled(false)
        .build()
        .map_err(StartError::Text)?;
    let resource = crate::telemetry::resource(service);
    let mut provider = SdkMeterProvider::builder().with_resource(resource).with_reader(text);
    if let Some(endpoint) = options.otlp {
        let exporter = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|source| StartError::Exporter { endpoint: endpoint.to_owned(), source })?;
        provider =
            provider.with_reader(PeriodicReader::builder(exporter).with_interval(options.interval).build());
    }
    let provider = provider.build();
    // Telemetry starts once; if it did not, the instruments in use would stay.
    let _ = MEASURED.set(Measured::new(registry, &provider.meter("shipway")));
    BUILD_INFO.observe(move |seen| {
        seen.value(1.0, &[env!("CARGO_PKG_VERSION"), service]);
        Some(())
    });
    Ok(provider)
}

/// Everything that is measured, as Prometheus reads it; empty before anything is.
#[must_use]
pub fn text() -> String {
    let Some(measured) = MEASURED.get() else { return String::new() };
    TextEncoder::new().encode_to_string(&measured.registry.gather()).unwrap_or_else(|error| {
        tracing::error!(%error, "what is measured could not be written");
        String::new()
    })
}

impl Measured {
    fn new(registry: Registry, meter: &Meter) -> Self {
        let mut measured = Self { registry, counters: HashMap::new(), histograms: HashMap::new() };
        for metric in ALL {
            match metric.kind {
                Kind::Counter => {
                    let counter = meter.u64_counter(metric.name).with_description(metric.about).build();
                    metric.known(|labels| counter.add(0, labels));
                    measured.counters.insert(metric.name, counter);
                }
                Kind::Histogram(bounds) => {
                    let histogram = meter
                        .f64_histogram(metric.name)
                        .with_description(metric.about)
                        .with_boundaries(bounds.to_vec())
                        .build();
                    measured.histograms.insert(metric.name, histogram);
                }
                Kind::Gauge => {
                    meter
                        .f64_observable_gauge(metric.name)
                        .with_description(metric.about)
                        .with_callback(|instrument| metric.look(instrument))
                        .build();
                }
            }
        }
        measured
    }
}

impl Metric {
    /// Counts; the values are of the metric's labels, in their order.
    pub fn add(&self, count: u64, values: &[&str]) {
        if let Some(counter) = MEASURED.get().and_then(|measured| measured.counters.get(self.name)) {
            counter.add(count, &self.labelled(values));
        }
    }

    /// Measures; the values are of the metric's labels, in their order.
    pub fn record(&self, value: f64, values: &[&str]) {
        if let Some(histogram) = MEASURED.get().and_then(|measured| measured.histograms.get(self.name)) {
            histogram.record(value, &self.labelled(values));
        }
    }

    /// Looks whenever somebody asks, until it answers none because what it looked at is gone. It must not wait.
    pub fn observe(&self, look: impl Fn(&mut Seen<'_>) -> Option<()> + Send + Sync + 'static) {
        lock().push((self.name, Arc::new(look)));
    }

    /// Asks everybody who looks. What is known beforehand and nobody sees is zero.
    fn look(&'static self, instrument: &dyn AsyncInstrument<f64>) {
        let looks: Vec<_> =
            lock().iter().filter(|(name, _)| *name == self.name).map(|(_, look)| Arc::clone(look)).collect();
        let mut seen = Seen { metric: self, instrument, all: Vec::new() };
        let gone: Vec<_> = looks.iter().filter(|look| look(&mut seen).is_none()).collect();
        if !gone.is_empty() {
            lock().retain(|(_, look)| !gone.iter().any(|gone| Arc::ptr_eq(gone, look)));
        }
        let all = seen.all;
        self.known(|labels| {
            if !all.iter().any(|seen| seen == labels) {
                instrument.observe(0.0, labels);
            }
        });
    }

    fn labelled(&self, values: &[&str]) -> Vec<KeyValue> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}: a value for each label", self.name);
        let pairs = self.labels.iter().zip(values);
        pairs.map(|((label, _), value)| KeyValue::new(*label, (*value).to_owned())).collect()
    }

    /// Each combination of labels that is known beforehand; none if one of the labels has no known values.
    fn known(&self, mut each: impl FnMut(&[KeyValue])) {
        let mut all = vec![Vec::new()];
        for (label, values) in self.labels {
            all = all
                .iter()
                .flat_map(|before: &Vec<KeyValue>| {
                    values.iter().map(move |value| {
                        let mut labels = before.clone();
                        labels.push(KeyValue::new(*label, *value));
                        labels
                    })
                })
                .collect();
        }
        all.iter().for_each(|labels| each(labels));
    }
}

/// Takes what is seen of a gauge.
pub struct Seen<'a> {
    metric: &'static Metric,
    instrument: &'a dyn AsyncInstrument<f64>,
    all: Vec<Vec<KeyValue>>,
}

impl Seen<'_> {
    /// The gauge has this value; the other values are of its labels, in their order.
    pub fn value(&mut self, value: f64, values: &[&str]) {
        let labels = self.metric.labelled(values);
        self.instrument.observe(value, &labels);
        self.all.push(labels);
    }
}

impl fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("metric", &self.metric.name).finish_non_exhaustive()
    }
}

fn lock() -> std::sync::MutexGuard<'static, Vec<(&'static str, Arc<Look>)>> {
    // The list is whole after every change of it.
    OBSERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}
