//! Records in the messages of OTLP, in requests of a size that every receiver takes.
use super::{Batch, Run, Signal, attributes};
use crate::fields::Fields;
use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::InstrumentationScope,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    metrics::v1::{ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use std::time::SystemTime;
use tracing::Level;

/// A request holds no more than this, but for a single record that is longer by itself. Receivers take 4 MB by default.
const MAX_REQUEST: usize = 1 << 20;

/// A line of the log.
pub(crate) fn log_record(
    time: DateTime<Utc>,
    level: Level,
    component: &str,
    fields: &Fields,
    run: Option<&Run>,
) -> LogRecord {
    let mut attributes = vec![attributes::text("component", component)];
    attributes.extend(fields.values.iter().map(|(name, value)| attributes::json(name, value)));
    let nanos = nanos(time.into());
    LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number: severity(level).into(),
        severity_text: level.as_str().to_owned(),
        body: Some(attributes::of_text(&fields.message)),
        attributes,
        trace_id: run.map(|run| run.trace_id.to_vec()).unwrap_or_default(),
        span_id: run.map(|run| run.span_id.to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::ERROR => SeverityNumber::Error,
        Level::WARN => SeverityNumber::Warn,
        Level::INFO => SeverityNumber::Info,
        Level::DEBUG => SeverityNumber::Debug,
        Level::TRACE => SeverityNumber::Trace,
    }
}

/// Since 1970; an instant before is 1970, and one after 2554 the end of what OTLP can say.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Lines in requests.
pub(crate) fn logs(resource: &Resource, scope: &InstrumentationScope, records: Vec<LogRecord>) -> Vec<(Batch, u64)> {
    requests(Signal::Logs, records, |log_records| ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope.clone()),
                log_records,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    })
}

/// Spans in requests.
pub(crate) fn spans(resource: &Resource, scope: &InstrumentationScope, spans: Vec<Span>) -> Vec<(Batch, u64)> {
    requests(Signal::Traces, spans, |spans| ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope.clone()),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    })
}

/// Metrics in one request: all of them stand at one instant. `None` where there are none.
pub(crate) fn metrics(resource: &Resource, scope_metrics: Vec<ScopeMetrics>) -> Option<(Batch, u64)> {
    let items = scope_metrics.iter().map(|scope| scope.metrics.len() as u64).sum();
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics,
            schema_url: String::new(),
        }],
    };
    let batch = Batch {
        signal: Signal::Metrics,
        body: request.encode_to_vec(),
    };
    (items > 0).then_some((batch, items))
}

/// Puts `items` into as few requests as their size allows, and says how many each holds.
fn requests<T: Message, R: Message>(signal: Signal, items: Vec<T>, request: impl Fn(Vec<T>) -> R) -> Vec<(Batch, u64)> {
    let mut batches = Vec::new();
    let mut some: Vec<T> = Vec::new();
    let mut bytes = 0;
    let mut close = |some: Vec<T>| {
        if !some.is_empty() {
            let count = some.len() as u64;
            let body = request(some).encode_to_vec();
            batches.push((Batch { signal, body }, count));
        }
    };
    for item in items {
        let more = item.encoded_len();
        if bytes + more > MAX_REQUEST {
            close(std::mem::take(&mut some));
            bytes = 0;
        }
        bytes += more;
        some.push(item);
    }
    close(some);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_within_their_size_and_hold_everything_in_order() {
        let records: Vec<LogRecord> = (1..=100)
            .map(|time_unix_nano| LogRecord {
                time_unix_nano,
                severity_text: "x".repeat(100_000),
                ..LogRecord::default()
            })
            .collect();
        let batches = logs(&Resource::default(), &InstrumentationScope::default(), records);
        let mut times = Vec::new();
        for (batch, items) in &batches {
            assert!(batch.body.len() < MAX_REQUEST + 1000, "{}", batch.body.len());
            let request = ExportLogsServiceRequest::decode(batch.body.as_slice()).unwrap();
            let records = &request.resource_logs[0].scope_logs[0].log_records;
            assert_eq!(*items, records.len() as u64);
            times.extend(records.iter().map(|record| record.time_unix_nano));
        }
        assert_eq!(batches.len(), 10);
        assert_eq!(times, (1..=100).collect::<Vec<_>>());
        assert!(spans(&Resource::default(), &InstrumentationScope::default(), Vec::new()).is_empty());
    }
}
