//! Recording through real subscribers into a real queue, with the requests read back.
use crate::{
    Batch, ExportSettings, Exporter, FileSettings, Format, LogSettings, Metrics, Reading, Signal, export_span,
    layer::Sink, logs::build, otlp::buffer::MAX_BYTES,
};
use chrono::Utc;
use core_model::Queue as _;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{Metric, metric::Data, number_data_point},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message as _;
use state_sqlite::{Bounds, Database, OpenOptions, Outbox, WhenFull};
use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

fn outbox(dir: &Path) -> Outbox {
    let database = Database::open(&dir.join("telemetry.db"), OpenOptions::default()).unwrap();
    Outbox::open(&database).unwrap()
}

fn batches(outbox: &Outbox) -> Vec<Batch> {
    let runs = outbox.peek(outbox.stream(), 0, 1000).unwrap();
    runs.into_iter()
        .map(|run| Batch::from_queue(run.body.unwrap()).unwrap())
        .collect()
}

fn of(batches: &[Batch], signal: Signal) -> impl Iterator<Item = &[u8]> {
    batches
        .iter()
        .filter(move |batch| batch.signal == signal)
        .map(|batch| batch.body.as_slice())
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, &str> {
    attributes
        .iter()
        .filter_map(|pair| Some((pair.key.as_str(), text(pair.value.as_ref())?)))
        .collect()
}

fn text(value: Option<&AnyValue>) -> Option<&str> {
    match value?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

struct Recorded {
    lines: Vec<serde_json::Value>,
    logs: Vec<LogRecord>,
    spans: Vec<Span>,
    resources: Vec<Resource>,
}

impl Recorded {
    fn log(&self, message: &str) -> &LogRecord {
        let mut found = self.logs.iter().filter(|log| text(log.body.as_ref()) == Some(message));
        let log = found.next().unwrap_or_else(|| panic!("no {message}: {:?}", self.logs));
        assert!(found.next().is_none(), "{message} came twice");
        log
    }

    fn span(&self, name: &str) -> &Span {
        self.spans.iter().find(|span| span.name == name).unwrap()
    }
}

/// What `work` leaves in the log file and in the queue.
fn record(level: &str, settings: ExportSettings, work: impl FnOnce(&Exporter)) -> Recorded {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let log = LogSettings {
        level: level.to_owned(),
        format: Format::Json,
        file: Some(FileSettings::new(&path)),
        ..LogSettings::new("scanner")
    };
    let nowhere = Sink {
        writer: BoxMakeWriter::new(io::sink),
        color: false,
    };
    let (subscriber, telemetry) = build(log, nowhere).unwrap();
    let exporter = Exporter::new(settings);
    assert!(telemetry.export(&exporter));
    assert!(!telemetry.export(&exporter), "there is one already");
    tracing::subscriber::with_default(subscriber, || work(&exporter));
    drop(telemetry);
    let outbox = outbox(dir.path());
    exporter.flush(&outbox, Utc::now()).unwrap();
    assert_eq!(exporter.stats().held, 0);
    let batches = batches(&outbox);
    let (mut logs, mut spans, mut resources) = (Vec::new(), Vec::new(), Vec::new());
    for body in of(&batches, Signal::Logs) {
        for resource in ExportLogsServiceRequest::decode(body).unwrap().resource_logs {
            resources.extend(resource.resource);
            logs.extend(resource.scope_logs.into_iter().flat_map(|scope| scope.log_records));
        }
    }
    for body in of(&batches, Signal::Traces) {
        for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            resources.extend(resource.resource);
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let waiting = outbox.stats().unwrap();
    assert_eq!(
        waiting.records,
        (logs.len() + spans.len()) as u64,
        "each line and span is a record"
    );
    let lines = fs::read_to_string(path).unwrap();
    Recorded {
        lines: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        logs,
        spans,
        resources,
    }
}

#[test]
fn a_run_is_a_span_and_its_lines_carry_its_ids() {
    let settings = ExportSettings::new("scanner", "1.2.3");
    let recorded = record("info", settings, |exporter| {
        tracing::info!("before");
        let command = tracing::info_span!(target: "run", "command", kind = "scan").entered();
        {
            let _scan = tracing::info_span!(target: "run", "scan", files = tracing::field::Empty).entered();
            let _detail = tracing::info_span!("detail", step = 1).entered();
            tracing::Span::current().record("step", 2);
            tracing::info!(count = 3, "inside");
            tracing::error!("it broke");
            tracing::error!("and again");
        }
        tracing::debug!("too fine");
        drop(command);
        exporter.set_instance_id("web-1");
    });
    let (command, scan) = (recorded.span("command"), recorded.span("scan"));
    assert_eq!(recorded.spans.len(), 2, "other spans are no runs");
    assert_eq!(command.trace_id, scan.trace_id);
    assert_eq!((command.trace_id.len(), command.span_id.len()), (16, 8));
    assert!(command.parent_span_id.is_empty());
    assert_eq!(scan.parent_span_id, command.span_id);
    assert_eq!(texts(&command.attributes), BTreeMap::from([("kind", "scan")]));
    assert!(command.start_time_unix_nano <= scan.start_time_unix_nano);
    assert!(scan.end_time_unix_nano <= command.end_time_unix_nano);
    assert_eq!(scan.status.as_ref().unwrap().message, "it broke");
    assert!(command.status.is_none());

    let (before, inside) = (recorded.log("before"), recorded.log("inside"));
    assert!(before.trace_id.is_empty() && before.span_id.is_empty());
    assert_eq!((&inside.trace_id, &inside.span_id), (&scan.trace_id, &scan.span_id));
    assert_eq!(inside.severity_text, "INFO");
    let names: Vec<&str> = inside.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(names, ["component", "kind", "step", "count"]);
    assert_eq!(recorded.logs.len(), 4, "the level of the log holds");
    let expected = [
        ("service.name", "scanner"),
        ("service.version", "1.2.3"),
        ("service.instance.id", "web-1"),
    ];
    for resource in &recorded.resources {
        assert_eq!(texts(&resource.attributes), BTreeMap::from(expected));
    }

    let line = &recorded.lines[1];
    assert_eq!(line["message"], "inside");
    assert_eq!(line["trace_id"], super::hex(&scan.trace_id));
    assert_eq!(line["span_id"], super::hex(&scan.span_id));
    assert!(recorded.lines[0].get("trace_id").is_none());
}

#[test]
fn lines_of_a_run_carry_its_ids_at_every_level_of_the_log() {
    let recorded = record("warn", ExportSettings::new("scanner", "1"), |_| {
        let _scan = tracing::info_span!(target: "run", "scan", session = "s1").entered();
        tracing::info!("not shown");
        tracing::warn!("shown");
    });
    assert_eq!(recorded.logs.len(), 1);
    assert_eq!(recorded.log("shown").trace_id, recorded.span("scan").trace_id);
    assert_eq!(recorded.lines[0]["session"], "s1");
}

#[test]
fn only_the_signals_that_are_asked_for_leave() {
    let mut settings = ExportSettings::new("scanner", "1");
    settings.signals = [Signal::Logs].into();
    let recorded = record("info", settings, |_| {
        let _scan = tracing::info_span!(target: "run", "scan").entered();
        tracing::info!("inside");
    });
    assert!(recorded.spans.is_empty() && recorded.log("inside").trace_id.is_empty());
    assert!(recorded.lines[0].get("trace_id").is_none());
}

#[test]
fn sending_makes_nothing_to_send() {
    let recorded = record("debug", ExportSettings::new("scanner", "1"), |_| {
        let _sending = export_span().entered();
        tracing::info!("sent");
        tracing::warn!("could not send");
    });
    assert!(recorded.logs.is_empty(), "{:?}", recorded.logs);
    assert_eq!(recorded.lines.len(), 2, "the log itself has both");
}

#[test]
fn metrics_leave_with_the_names_labels_and_values_of_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = Exporter::new(ExportSettings::new("scanner", "1"));
    let metrics = Metrics::with_export(&[("agent_id", "web-1")], &exporter).unwrap();
    metrics
        .counter("scanner_files_total", "Files.")
        .add(3, &[("action", "created")]);
    metrics.gauge("scanner_rate", "Rate.").set(2.5, &[]);
    metrics.observe_gauge("scanner_state", "State.", || [Reading::new(1.0).label("above", "open")]);
    metrics.observe_gauge("scanner_nothing", "Never there.", || [] as [Reading; 0]);
    let histogram = metrics.histogram("scanner_seconds", "Seconds.", &[1.0, 10.0]);
    [0.5, 5.0, 50.0]
        .into_iter()
        .for_each(|seconds| histogram.record(seconds, &[]));

    let outbox = outbox(dir.path());
    assert_eq!(exporter.flush_with_metrics(&outbox, Utc::now()).unwrap(), 1);
    let batches = batches(&outbox);
    let request = ExportMetricsServiceRequest::decode(batches[0].body.as_slice()).unwrap();
    let all: Vec<&Metric> = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .collect();
    let mut told = Vec::new();
    let mut tell = |name: &str, attributes: &[KeyValue], value: f64| {
        let labels: Vec<String> = texts(attributes)
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        told.push(format!("{name}{{{}}} {value}", labels.join(",")));
    };
    for metric in all {
        match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => tell(
                &metric.name,
                &gauge.data_points[0].attributes,
                value(&gauge.data_points[0].value),
            ),
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
                tell(
                    &metric.name,
                    &sum.data_points[0].attributes,
                    value(&sum.data_points[0].value),
                );
            }
            Data::Histogram(histogram) => {
                let point = &histogram.data_points[0];
                assert_eq!(
                    (&point.bucket_counts, &point.explicit_bounds),
                    (&vec![1, 1, 1], &vec![1.0, 10.0])
                );
                tell(&format!("{}_count", metric.name), &point.attributes, point.count as f64);
                tell(&format!("{}_sum", metric.name), &point.attributes, point.sum.unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    let text = metrics.render();
    let mut rendered: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket"))
        .collect();
    rendered.sort_unstable();
    assert_eq!(told, rendered);
    assert_eq!(told.len(), 5);
}

fn value(value: &Option<number_data_point::Value>) -> f64 {
    match value.unwrap() {
        number_data_point::Value::AsInt(value) => value as f64,
        number_data_point::Value::AsDouble(value) => value,
    }
}

#[test]
fn what_a_queue_does_not_take_is_held_within_a_bound_and_counted_beyond() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("telemetry.db"), OpenOptions::default()).unwrap();
    database.stop_when(|| true);
    let full = Outbox::open(&database).unwrap();
    full.set_bounds(Bounds {
        max_bytes: 1,
        when_full: WhenFull::Block,
        ..Bounds::default()
    });
    full.enqueue(
        &[core_model::Run {
            records: 1,
            body: vec![0],
        }],
        Utc::now(),
    )
    .unwrap();
    let exporter = Exporter::new(ExportSettings::new("scanner", "1"));
    let line = |number: u64| LogRecord {
        time_unix_nano: number,
        severity_text: "x".repeat(MAX_BYTES / 4),
        ..LogRecord::default()
    };
    let mut number = 0;
    let mut fill = || {
        for _ in 0..3 {
            number += 1;
            exporter.log(line(number));
        }
        exporter.flush(&full, Utc::now()).unwrap_err();
        (exporter.stats().held, exporter.stats().dropped)
    };
    assert_eq!([fill(), fill(), fill(), fill()], [(3, 0), (6, 0), (7, 2), (7, 5)]);

    full.ack(full.stream(), &[1]).unwrap();
    full.set_bounds(Bounds::default());
    exporter.flush(&full, Utc::now()).unwrap();
    let batches = batches(&full);
    let records = of(&batches, Signal::Logs).flat_map(|body| {
        let request = ExportLogsServiceRequest::decode(body).unwrap();
        request.resource_logs[0].scope_logs[0].log_records.clone()
    });
    let times: Vec<u64> = records.map(|record| record.time_unix_nano).collect();
    assert_eq!(times, (6..=12).collect::<Vec<_>>(), "the newest, in order");
    assert_eq!(exporter.stats().held, 0);
}

#[test]
fn it_says_when_it_should_be_flushed_before_its_time() {
    let exporter = Exporter::new(ExportSettings::new("scanner", "1"));
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&woken);
    exporter.on_pressure(move || {
        counted.fetch_add(1, Relaxed);
    });
    let long = |bytes| LogRecord {
        severity_text: "x".repeat(bytes),
        ..LogRecord::default()
    };
    exporter.log(long(100));
    assert_eq!(woken.load(Relaxed), 0);
    exporter.log(long(MAX_BYTES / 2));
    assert_eq!(woken.load(Relaxed), 1);
}
