//! What is told of the sending of telemetry: a state, for `/health`, and metrics.
use super::OtlpExport;
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::{Queue, QueueStats};
use serde_json::{Map, Value, json};
use telemetry_otel::{Metrics, Reading, Signal};
use transport_http::{HealthRegistry, Status};

/// How the sending of telemetry is. Records are lines of the log, spans, and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpStatus {
    /// Records that wait on disk.
    pub queued: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Records that were given up in this life of the process, or because the queue was full or damaged in any: all of
    /// what is below, and what was never put into the queue.
    pub dropped: u64,
    /// Records of batches that the receiver refused for good.
    pub refused: u64,
    /// Records that the receiver threw away out of batches that it took.
    pub rejected: u64,
    /// Records that waited too long.
    pub expired: u64,
    /// Batches that arrived: metrics, traces, logs.
    pub sent: [u64; 3],
    /// When the last one did.
    pub last_success: Option<DateTime<Utc>>,
    /// Why the last attempt failed; `None` when it did not.
    pub error: Option<String>,
}

impl<Q: Queue + 'static> OtlpExport<Q> {
    /// How it is. Asks the queue for its figures, which is quick.
    pub fn status(&self) -> OtlpStatus {
        // Without figures of the queue the others are still worth something; that it fails is logged by the work itself.
        let queue = self.inner.queue.stats().unwrap_or_else(|_| QueueStats::default());
        let mut status = self.inner.lock().status.clone();
        status.queued = queue.records;
        status.queued_bytes = queue.bytes;
        status.dropped += queue.dropped + queue.damaged + self.inner.exporter.stats().dropped;
        status.dropped += status.refused + status.rejected + status.expired;
        status
    }

    /// Reports as the component `telemetry` of `health`. That nothing can be sent degrades a process; it never makes it
    /// unhealthy, because its work goes on.
    pub fn report(&self, health: &HealthRegistry) {
        let export = self.clone();
        health.ask("telemetry", move || {
            let status = export.status();
            let is_fine = status.error.is_none();
            let health = if is_fine { Status::Healthy } else { Status::Degraded };
            (health, details(&export.inner.endpoint, &status))
        });
    }

    /// Records under `prefix`: `_telemetry_queued_records`, `_telemetry_queued_bytes`,
    /// `_telemetry_dropped_records_total`, and `_telemetry_sent_batches_total` by `signal`.
    pub fn observe(&self, metrics: &Metrics, prefix: &str) {
        let name = |suffix: &str| format!("{prefix}_telemetry_{suffix}");
        let of = |read: fn(&OtlpStatus) -> f64| {
            let export = self.clone();
            move || [Reading::new(read(&export.status()))]
        };
        metrics.observe_gauge(
            name("queued_records"),
            "Lines, spans and metrics that wait to be sent by OTLP.",
            of(|status| status.queued as f64),
        );
        metrics.observe_gauge(
            name("queued_bytes"),
            "Bytes that wait to be sent by OTLP.",
            of(|status| status.queued_bytes as f64),
        );
        metrics.observe_counter(
            name("dropped_records_total"),
            "Lines, spans and metrics that never arrived by OTLP.",
            of(|status| status.dropped as f64),
        );
        let export = self.clone();
        metrics.observe_counter(
            name("sent_batches_total"),
            "Requests that arrived by OTLP, by signal.",
            move || {
                let sent = export.status().sent;
                Signal::ALL.map(|signal| Reading::new(sent[signal as usize] as f64).label("signal", signal.name()))
            },
        );
    }
}

fn details(endpoint: &str, status: &OtlpStatus) -> Map<String, Value> {
    let mut details = Map::new();
    let mut put = |name: &str, value: Value| details.insert(name.to_owned(), value);
    put("endpoint", endpoint.into());
    put("queued", status.queued.into());
    put("queued_bytes", status.queued_bytes.into());
    put("dropped", status.dropped.into());
    let last = status
        .last_success
        .map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    put("last_success", json!(last));
    put("last_error", json!(status.error));
    details
}
