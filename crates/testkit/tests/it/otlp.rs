//! The receiver of OTLP takes what is right, and says what is wrong with the rest.
use crate::wire;
use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use std::io::Write as _;
use testkit::{OtlpAnswer, OtlpOptions, OtlpReceiver};

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        key_strindex: 0,
    }
}

fn resource() -> Option<Resource> {
    Some(Resource {
        attributes: vec![text("service.name", "scanner")],
        ..Resource::default()
    })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "scanner".to_owned(),
        ..InstrumentationScope::default()
    })
}

fn spans(change: impl FnOnce(&mut Span)) -> ExportTraceServiceRequest {
    let mut span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "scan".to_owned(),
        kind: 1,
        start_time_unix_nano: 10,
        end_time_unix_nano: 20,
        ..Span::default()
    };
    change(&mut span);
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(),
            scope_spans: vec![ScopeSpans {
                scope: scope(),
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn logs(change: impl FnOnce(&mut LogRecord)) -> ExportLogsServiceRequest {
    let mut record = LogRecord {
        time_unix_nano: 10,
        observed_time_unix_nano: 10,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: text("", "hello").value,
        ..LogRecord::default()
    };
    change(&mut record);
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(),
            scope_logs: vec![ScopeLogs {
                scope: scope(),
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn metrics(data: Data, name: &str) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(),
            scope_metrics: vec![ScopeMetrics {
                scope: scope(),
                metrics: vec![Metric {
                    name: name.to_owned(),
                    data: Some(data),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn sum(points: &[(u64, f64)]) -> ExportMetricsServiceRequest {
    let point = |(time, value): &(u64, f64)| NumberDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: *time,
        value: Some(number_data_point::Value::AsDouble(*value)),
        ..NumberDataPoint::default()
    };
    let sum = Sum {
        data_points: points.iter().map(point).collect(),
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    metrics(Data::Sum(sum), "scanner_files_total")
}

fn histogram(change: impl FnOnce(&mut HistogramDataPoint)) -> ExportMetricsServiceRequest {
    let mut point = HistogramDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 10,
        count: 3,
        sum: Some(7.0),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![1.0],
        ..HistogramDataPoint::default()
    };
    change(&mut point);
    let histogram = Histogram {
        data_points: vec![point],
        aggregation_temporality: 2,
    };
    metrics(Data::Histogram(histogram), "scanner_seconds")
}

/// The answer: its status, and its text.
fn post(receiver: &OtlpReceiver, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let reply = wire::post(receiver.address(), path, "", &headers, body).unwrap();
    (reply.status().unwrap(), reply.text())
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn send(receiver: &OtlpReceiver, path: &str, message: &impl Message) -> u16 {
    post(receiver, path, &[PROTOBUF], &message.encode_to_vec()).0
}

#[test]
fn it_takes_what_is_right_and_says_what_it_holds() {
    let receiver = OtlpReceiver::start().unwrap();
    assert_eq!(send(&receiver, "/v1/metrics", &sum(&[(10, 3.0)])), 200);
    assert_eq!(send(&receiver, "/v1/metrics", &sum(&[(11, 4.0)])), 200);
    assert_eq!(send(&receiver, "/v1/metrics", &histogram(|_| ())), 200);
    assert_eq!(send(&receiver, "/v1/traces", &spans(|_| ())), 200);
    assert_eq!(
        send(&receiver, "/v1/traces", &spans(|_| ())),
        200,
        "the same again is no fault"
    );
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(&logs(|_| ()).encode_to_vec()).unwrap();
    let packed = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(post(&receiver, "/v1/logs", &packed, &packer.finish().unwrap()).0, 200);
    let received = receiver.received();
    assert_eq!(received.complaints, [""; 0]);
    assert_eq!((received.requests, received.compressed), (6, 1));
    assert_eq!(received.value("scanner_files_total"), Some(4.0));
    assert_eq!(received.value("scanner_seconds_sum"), Some(7.0));
    assert_eq!(received.spans.len(), 1);
    assert_eq!(received.spans[0].trace_id, "01".repeat(16));
    assert_eq!(received.lines[0].body, "hello");
    assert_eq!(received.resource["service.name"], "scanner");
}

#[test]
fn it_refuses_what_is_not_otlp_to_the_letter() {
    let receiver = OtlpReceiver::start().unwrap();
    assert_eq!(send(&receiver, "/v1/metrics", &sum(&[(10, 3.0)])), 200);
    assert_eq!(send(&receiver, "/v1/traces", &spans(|_| ())), 200);
    let mut count = 0;
    let mut refused = |status: u16, why: &str| {
        let complaints = receiver.received().complaints;
        assert_eq!(status, 400, "{why}");
        count += 1;
        assert_eq!(complaints.len(), count, "{complaints:?}");
        assert!(
            complaints[count - 1].contains(why),
            "{complaints:?} should end with {why}"
        );
    };
    let body = logs(|_| ()).encode_to_vec();
    let json = [("content-type", "application/json")];
    refused(
        post(&receiver, "/v1/logs", &json, &body).0,
        "content type `application/json`",
    );
    let zstd = [PROTOBUF, ("content-encoding", "zstd")];
    refused(post(&receiver, "/v1/logs", &zstd, &body).0, "encoding `zstd`");
    refused(
        post(&receiver, "/v1/logs", &[PROTOBUF], b"no protobuf").0,
        "not the protobuf message",
    );
    let unknown = [body.as_slice(), &[0x78, 1]].concat();
    refused(
        post(&receiver, "/v1/logs", &[PROTOBUF], &unknown).0,
        "fields that are not of this message",
    );
    refused(post(&receiver, "/v1/log", &[PROTOBUF], &body).0, "nothing at /v1/log");
    refused(
        send(&receiver, "/v1/logs", &ExportLogsServiceRequest::default()),
        "without a resource",
    );

    let mut nobody = logs(|_| ());
    nobody.resource_logs[0].resource = Some(Resource::default());
    refused(send(&receiver, "/v1/logs", &nobody), "without `service.name`");
    let mut twice = logs(|_| ());
    twice.resource_logs[0].resource.as_mut().unwrap().attributes = vec![text("service.name", "a"); 2];
    refused(send(&receiver, "/v1/logs", &twice), "`service.name` comes twice");
    refused(
        send(&receiver, "/v1/logs", &logs(|log| log.time_unix_nano = 0)),
        "no time",
    );
    refused(
        send(&receiver, "/v1/logs", &logs(|log| log.severity_number = 0)),
        "no severity",
    );
    refused(
        send(&receiver, "/v1/logs", &logs(|log| log.trace_id = vec![1; 8])),
        "trace id of 8 bytes",
    );
    refused(
        send(&receiver, "/v1/logs", &logs(|log| log.span_id = vec![1; 8])),
        "a span without a trace",
    );

    refused(
        send(&receiver, "/v1/traces", &spans(|span| span.trace_id = vec![0; 16])),
        "id of zeros",
    );
    refused(
        send(&receiver, "/v1/traces", &spans(|span| span.span_id = vec![1; 16])),
        "span id of 16 bytes",
    );
    refused(
        send(&receiver, "/v1/traces", &spans(|span| span.parent_span_id = vec![2; 8])),
        "its own parent",
    );
    refused(
        send(&receiver, "/v1/traces", &spans(|span| span.end_time_unix_nano = 9)),
        "ends before it starts",
    );
    refused(send(&receiver, "/v1/traces", &spans(|span| span.kind = 0)), "no kind");
    refused(
        send(&receiver, "/v1/traces", &spans(|span| span.name = "other".to_owned())),
        "another span of the same id",
    );

    refused(send(&receiver, "/v1/metrics", &sum(&[(9, 4.0)])), "time goes back");
    refused(
        send(&receiver, "/v1/metrics", &sum(&[(10, 4.0)])),
        "another value for the same instant",
    );
    refused(
        send(&receiver, "/v1/metrics", &sum(&[(11, 2.0)])),
        "a sum that shrinks from 3 to 2",
    );
    refused(
        send(&receiver, "/v1/metrics", &sum(&[(11, 4.0), (12, 5.0)])),
        "two data points with the labels",
    );
    refused(send(&receiver, "/v1/metrics", &sum(&[])), "no data points");
    let mut named = sum(&[(11, 4.0)]);
    named.resource_metrics[0].scope_metrics[0].metrics[0].name = "9 files".to_owned();
    refused(send(&receiver, "/v1/metrics", &named), "not a name of an instrument");
    refused(
        send(&receiver, "/v1/metrics", &histogram(|point| point.count = 4)),
        "the buckets hold 3 of 4",
    );
    let more = |point: &mut HistogramDataPoint| point.bucket_counts.push(0);
    refused(
        send(&receiver, "/v1/metrics", &histogram(more)),
        "3 buckets for 1 bounds",
    );

    let received = receiver.received();
    assert_eq!(
        (received.points.len(), received.spans.len(), received.lines.len()),
        (1, 1, 0)
    );
}

#[test]
fn it_answers_as_it_is_told_and_asks_for_its_headers() {
    let receiver = OtlpReceiver::start_with(OtlpOptions {
        headers: vec![("x-key".to_owned(), "k1".to_owned())],
        ..OtlpOptions::default()
    })
    .unwrap();
    let body = logs(|_| ()).encode_to_vec();
    let known = [PROTOBUF, ("x-key", "k1")];
    assert_eq!(post(&receiver, "/v1/logs", &[PROTOBUF], &body).0, 401);
    receiver.answer(OtlpAnswer::Status {
        code: 503,
        retry_after: Some(7),
        message: "later".to_owned(),
    });
    let reply = post(&receiver, "/v1/logs", &known, &body);
    assert!(reply.0 == 503 && reply.1.contains("retry-after: 7\r\n"), "{reply:?}");
    receiver.answer(OtlpAnswer::default());
    receiver.go_away().unwrap();
    std::net::TcpStream::connect(receiver.address()).unwrap_err();
    receiver.come_back().unwrap();
    assert_eq!(post(&receiver, "/v1/logs", &known, &body).0, 200);
    assert_eq!(receiver.received().lines.len(), 1);
}
