//! Metrics, recorded once and rendered for Prometheus.
use crate::{Exporter, Signal, Telemetry, otlp, process_sample};
use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Labels of one recording: names and values. Keep the values few: each new combination is a series of its own.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// One reading of an observed metric: its value and its labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The value.
    pub value: f64,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
}

impl Reading {
    /// A value without labels.
    pub fn new(value: f64) -> Self {
        Self {
            value,
            labels: Vec::new(),
        }
    }

    /// With a label more.
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A constant label is no label.
    #[error("could not set up metrics with these constant labels")]
    Registry {
        /// Why.
        source: prometheus::Error,
    },
    /// The exporter could not be built.
    #[error("could not connect metrics with their Prometheus form")]
    Exporter {
        /// Why.
        source: opentelemetry_sdk::error::OTelSdkError,
    },
}

/// The metrics of a process. Names are written as Prometheus has them (`scanner_files_processed_total`,
/// `scanner_scan_duration_seconds`) and leave exactly so. Cheap to clone: all clones are one set.
#[derive(Clone)]
pub struct Metrics {
    // The instruments record nothing once the provider is gone.
    _provider: SdkMeterProvider,
    meter: Meter,
    registry: Registry,
}

/// Counts up.
#[derive(Clone, Debug)]
pub struct Counter(opentelemetry::metrics::Counter<u64>);

/// Goes up and down: the last value counts.
#[derive(Clone, Debug)]
pub struct Gauge(opentelemetry::metrics::Gauge<f64>);

/// Sorts values into buckets.
#[derive(Clone, Debug)]
pub struct Histogram(opentelemetry::metrics::Histogram<f64>);

impl Metrics {
    /// No metrics yet. `constant` labels, such as `agent_id`, are on every series.
    pub fn new(constant: Labels<'_>) -> Result<Self, MetricsError> {
        Self::build(constant, None)
    }

    /// The same, for `exporter` too: one recording, and the same names, labels and values in both.
    pub fn with_export(constant: Labels<'_>, exporter: &Exporter) -> Result<Self, MetricsError> {
        Self::build(
            constant,
            Some(exporter).filter(|exporter| exporter.has(Signal::Metrics)),
        )
    }

    fn build(constant: Labels<'_>, exporter: Option<&Exporter>) -> Result<Self, MetricsError> {
        let reader = exporter.map(|exporter| {
            let reader = otlp::reader(constant);
            exporter.read_from(reader.clone());
            reader
        });
        let labels: HashMap<_, _> = constant
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let labels = Some(labels).filter(|labels| !labels.is_empty());
        let registry = Registry::new_custom(None, labels).map_err(|source| MetricsError::Registry { source })?;
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // The names in the code are final: whatever they end in, nothing is added.
            .without_units()
            .without_counter_suffixes()
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(|source| MetricsError::Exporter { source })?;
        let mut provider = SdkMeterProvider::builder()
            .with_reader(exporter)
            .with_resource(Resource::builder_empty().build());
        if let Some(reader) = reader {
            provider = provider.with_reader(reader);
        }
        let provider = provider.build();
        Ok(Self {
            meter: provider.meter("shoal"),
            _provider: provider,
            registry,
        })
    }

    /// A counter, by convention named `…_total`.
    pub fn counter(&self, name: impl Into<Cow<'static, str>>, help: &'static str) -> Counter {
        Counter(self.meter.u64_counter(name).with_description(help).build())
    }

    /// A gauge, named with its unit.
    pub fn gauge(&self, name: impl Into<Cow<'static, str>>, help: &'static str) -> Gauge {
        Gauge(self.meter.f64_gauge(name).with_description(help).build())
    }

    /// A histogram with buckets up to each of `bounds`, ascending, and one beyond.
    pub fn histogram(&self, name: impl Into<Cow<'static, str>>, help: &'static str, bounds: &[f64]) -> Histogram {
        let histogram = self
            .meter
            .f64_histogram(name)
            .with_description(help)
            .with_boundaries(bounds.to_vec());
        Histogram(histogram.build())
    }

    /// A gauge that is read when metrics are: `read` is called for every rendering, so it must be quick.
    pub fn observe_gauge<R, I>(&self, name: impl Into<Cow<'static, str>>, help: &'static str, read: R)
    where
        R: Fn() -> I + Send + Sync + 'static,
        I: IntoIterator<Item = Reading>,
    {
        let gauge = self.meter.f64_observable_gauge(name).with_description(help);
        gauge
            .with_callback(move |observer| {
                read()
                    .into_iter()
                    .for_each(|reading| observer.observe(reading.value, &pairs(&reading.labels)));
            })
            .build();
    }

    /// A counter that is read when metrics are, for figures that something else counts.
    pub fn observe_counter<R, I>(&self, name: impl Into<Cow<'static, str>>, help: &'static str, read: R)
    where
        R: Fn() -> I + Send + Sync + 'static,
        I: IntoIterator<Item = Reading>,
    {
        let counter = self.meter.f64_observable_counter(name).with_description(help);
        counter
            .with_callback(move |observer| {
                read()
                    .into_iter()
                    .for_each(|reading| observer.observe(reading.value, &pairs(&reading.labels)));
            })
            .build();
    }

    /// How many lines are missing from the log file, under `prefix`: `_log_lines_dropped_total`. Nothing where the log
    /// has no file.
    pub fn observe_log(&self, prefix: &str, telemetry: &Telemetry) {
        let Some(losses) = telemetry.losses() else { return };
        let lines = self
            .meter
            .u64_observable_counter(format!("{prefix}_log_lines_dropped_total"));
        lines
            .with_description("Lines missing from the log file because it could not be written, or not fast enough.")
            .with_callback(move |observer| observer.observe(losses.lines(), &[]))
            .build();
    }

    /// What this process uses, under `prefix`: `_memory_usage_bytes`, `_cpu_usage_percent` (since the last rendering,
    /// of one processor), `_cpu_seconds_total`, `_open_fds`, `_file_io_operations_total` by `operation` (calls that read and
    /// write, those on sockets among them). Nothing where the system does not tell.
    pub fn observe_process(&self, prefix: &str) {
        let name = |suffix: &str| format!("{prefix}_{suffix}");
        let memory = self.meter.f64_observable_gauge(name("memory_usage_bytes"));
        memory
            .with_description("Memory held by the process.")
            .with_callback(|observer| {
                if let Some(sample) = process_sample() {
                    observer.observe(sample.resident_bytes as f64, &[]);
                }
            })
            .build();
        let descriptors = self.meter.f64_observable_gauge(name("open_fds"));
        descriptors
            .with_description("Open file descriptors of the process.")
            .with_callback(|observer| {
                if let Some(sample) = process_sample() {
                    observer.observe(sample.open_fds as f64, &[]);
                }
            })
            .build();
        let seconds = self.meter.f64_observable_counter(name("cpu_seconds_total"));
        seconds
            .with_description("Processor time used by the process.")
            .with_callback(|observer| {
                if let Some(sample) = process_sample() {
                    observer.observe(sample.cpu_seconds, &[]);
                }
            })
            .build();
        let calls = self.meter.u64_observable_counter(name("file_io_operations_total"));
        calls
            .with_description("Calls of the process that read and that wrote; those on sockets are among them.")
            .with_callback(|observer| {
                if let Some((reads, writes)) = process_sample().and_then(|sample| sample.io_calls) {
                    observer.observe(reads, &[KeyValue::new("operation", "read")]);
                    observer.observe(writes, &[KeyValue::new("operation", "write")]);
                }
            })
            .build();
        let start = (
            Instant::now(),
            process_sample().map_or(0.0, |sample| sample.cpu_seconds),
        );
        let usage = Mutex::new(Usage {
            before: start,
            percent: 0.0,
        });
        let percent = self.meter.f64_observable_gauge(name("cpu_usage_percent"));
        percent
            .with_description("Processor time used by the process since the last reading, of one processor.")
            .with_callback(move |observer| {
                if let Some(sample) = process_sample() {
                    let mut usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
                    observer.observe(usage.read((Instant::now(), sample.cpu_seconds)), &[]);
                }
            })
            .build();
    }

    /// All metrics in Prometheus' text form (version 0.0.4).
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|error| {
                tracing::error!(%error, "metrics could not be rendered");
                String::new()
            })
    }
}

/// Use of the processor between readings. There may be two readers, and what one sees in the moment after the other looked
/// would say nothing: until so long has gone by, both are told the same.
struct Usage {
    before: (Instant, f64),
    percent: f64,
}

impl Usage {
    const LEAST: Duration = Duration::from_secs(1);

    fn read(&mut self, now: (Instant, f64)) -> f64 {
        if now.0.saturating_duration_since(self.before.0) >= Self::LEAST {
            self.percent = share(self.before, now);
            self.before = now;
        }
        self.percent
    }
}

/// Percent of one processor between two readings.
fn share(before: (Instant, f64), now: (Instant, f64)) -> f64 {
    let elapsed = now.0.saturating_duration_since(before.0).as_secs_f64();
    if elapsed > 0.0 {
        100.0 * (now.1 - before.1).max(0.0) / elapsed
    } else {
        0.0
    }
}

impl Counter {
    /// Counts `n` more. Zero makes the series appear before anything happened.
    pub fn add(&self, n: u64, labels: Labels<'_>) {
        self.0.add(n, &pairs(labels));
    }
}

impl Gauge {
    /// The value from now on.
    pub fn set(&self, value: f64, labels: Labels<'_>) {
        self.0.record(value, &pairs(labels));
    }
}

impl Histogram {
    /// One value more.
    pub fn record(&self, value: f64, labels: Labels<'_>) {
        self.0.record(value, &pairs(labels));
    }
}

fn pairs<N: AsRef<str>, V: AsRef<str>>(labels: &[(N, V)]) -> Vec<KeyValue> {
    let pair = |(name, value): &(N, V)| KeyValue::new(name.as_ref().to_owned(), value.as_ref().to_owned());
    labels.iter().map(pair).collect()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
