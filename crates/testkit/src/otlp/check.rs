//! The rules of OTLP and of OpenTelemetry's data model, each with the words for its breach.
use super::facts::{OtlpLine, OtlpPoint, OtlpReceived, OtlpSpan, attributes, hex, text};
use anyhow::{Context, Result, bail, ensure};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{InstrumentationScope, KeyValue},
    logs::v1::LogRecord,
    metrics::v1::{
        AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// What came before, which later values have to agree with.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    series: BTreeMap<Series, Last>,
    /// Each span as it was, by its ids.
    spans: BTreeMap<(Vec<u8>, Vec<u8>), Span>,
}

/// Who spoke, of what, with which labels.
type Series = (String, String, BTreeMap<String, String>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    start: u64,
    time: u64,
    value: f64,
}

/// Reads the request of the kind that `path` ends with, and takes all of it or nothing.
pub(super) fn take(path: &str, body: &[u8], history: &mut History, received: &mut OtlpReceived) -> Result<()> {
    let (mut new_history, mut new) = (history.clone(), received.clone());
    match path {
        "/v1/metrics" => metrics(&decode(body)?, &mut new_history, &mut new)?,
        "/v1/traces" => traces(&decode(body)?, &mut new_history, &mut new)?,
        "/v1/logs" => logs(&decode(body)?, &mut new)?,
        other => bail!("there is nothing at {other}"),
    }
    (*history, *received) = (new_history, new);
    Ok(())
}

fn decode<T: Message + Default>(body: &[u8]) -> Result<T> {
    let message = T::decode(body).context("not the protobuf message of this path")?;
    // What is skipped in decoding is not there after encoding again.
    ensure!(
        message.encoded_len() == body.len(),
        "fields that are not of this message"
    );
    Ok(message)
}

fn metrics(request: &ExportMetricsServiceRequest, history: &mut History, received: &mut OtlpReceived) -> Result<()> {
    ensure!(!request.resource_metrics.is_empty(), "a request without a resource");
    for of_resource in &request.resource_metrics {
        let who = resource(of_resource.resource.as_ref(), received)?;
        ensure!(!of_resource.scope_metrics.is_empty(), "a resource without a scope");
        for of_scope in &of_resource.scope_metrics {
            scope(of_scope.scope.as_ref())?;
            ensure!(!of_scope.metrics.is_empty(), "a scope without metrics");
            let mut names = BTreeSet::new();
            for metric in &of_scope.metrics {
                ensure!(
                    names.insert(metric.name.to_ascii_lowercase()),
                    "`{}` comes twice",
                    metric.name
                );
                self::metric(metric, &who, history, received)
                    .with_context(|| format!("in the metric `{}`", metric.name))?;
            }
        }
    }
    Ok(())
}

fn metric(metric: &Metric, who: &str, history: &mut History, received: &mut OtlpReceived) -> Result<()> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    let is_name = metric.name.starts_with(|c: char| c.is_ascii_alphabetic()) && metric.name.chars().all(is_inside);
    ensure!(is_name && metric.name.len() <= 255, "not a name of an instrument");
    let mut points = Points {
        name: &metric.name,
        who,
        history,
        seen: BTreeSet::new(),
        received,
    };
    match metric.data.as_ref().context("no data")? {
        Data::Gauge(gauge) => {
            ensure!(!gauge.data_points.is_empty(), "no data points");
            gauge
                .data_points
                .iter()
                .try_for_each(|point| points.number(point, false))
        }
        Data::Sum(sum) => {
            ensure!(!sum.data_points.is_empty(), "no data points");
            let grows = sum.is_monotonic && is_cumulative(sum.aggregation_temporality)?;
            sum.data_points.iter().try_for_each(|point| points.number(point, grows))
        }
        Data::Histogram(histogram) => {
            ensure!(!histogram.data_points.is_empty(), "no data points");
            let grows = is_cumulative(histogram.aggregation_temporality)?;
            histogram
                .data_points
                .iter()
                .try_for_each(|point| points.histogram(point, grows))
        }
        Data::ExponentialHistogram(_) | Data::Summary(_) => bail!("a kind that no product here has"),
    }
}

fn is_cumulative(temporality: i32) -> Result<bool> {
    match AggregationTemporality::try_from(temporality) {
        Ok(AggregationTemporality::Cumulative) => Ok(true),
        Ok(AggregationTemporality::Delta) => Ok(false),
        _ => bail!("no temporality"),
    }
}

/// The data points of one metric.
struct Points<'a> {
    name: &'a str,
    who: &'a str,
    history: &'a mut History,
    seen: BTreeSet<BTreeMap<String, String>>,
    received: &'a mut OtlpReceived,
}

impl Points<'_> {
    fn number(&mut self, point: &NumberDataPoint, grows: bool) -> Result<()> {
        let value = match point.value.context("a data point without a value")? {
            Value::AsDouble(value) => value,
            Value::AsInt(value) => value as f64,
        };
        let last = Last {
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            value,
        };
        ensure!(!grows || last.start > 0, "a sum without a start");
        self.point("", &point.attributes, last, grows)
    }

    fn histogram(&mut self, point: &HistogramDataPoint, grows: bool) -> Result<()> {
        let bounds = &point.explicit_bounds;
        ensure!(bounds.is_sorted_by(|a, b| a < b), "bounds that do not ascend");
        ensure!(
            point.bucket_counts.len() == bounds.len() + 1,
            "{} buckets for {} bounds",
            point.bucket_counts.len(),
            bounds.len()
        );
        let counted: u64 = point.bucket_counts.iter().sum();
        ensure!(counted == point.count, "the buckets hold {counted} of {}", point.count);
        ensure!(point.start_time_unix_nano > 0, "a histogram without a start");
        let of = |value| Last {
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            value,
        };
        self.point("_count", &point.attributes, of(point.count as f64), grows)?;
        self.seen.clear();
        self.point("_sum", &point.attributes, of(point.sum.unwrap_or_default()), false)
    }

    fn point(&mut self, suffix: &str, labels: &[KeyValue], last: Last, grows: bool) -> Result<()> {
        check_keys(labels)?;
        let labels = attributes(labels);
        ensure!(
            self.seen.insert(labels.clone()),
            "two data points with the labels {labels:?}"
        );
        ensure!(last.time > 0, "a data point without a time");
        ensure!(last.start <= last.time, "a data point that ends before it starts");
        let name = format!("{}{suffix}", self.name);
        let series = (self.who.to_owned(), name.clone(), labels.clone());
        if let Some(before) = self.history.series.get(&series) {
            ensure!(before.time <= last.time, "time goes back in {labels:?}");
            ensure!(
                before.time < last.time || *before == last,
                "another value for the same instant in {labels:?}"
            );
            ensure!(
                !grows || before.start != last.start || before.value <= last.value,
                "a sum that shrinks from {} to {} in {labels:?}",
                before.value,
                last.value
            );
        }
        self.history.series.insert(series, last);
        self.received.points.push(OtlpPoint {
            name,
            labels,
            value: last.value,
            time: last.time,
        });
        Ok(())
    }
}

fn traces(request: &ExportTraceServiceRequest, history: &mut History, received: &mut OtlpReceived) -> Result<()> {
    ensure!(!request.resource_spans.is_empty(), "a request without a resource");
    for of_resource in &request.resource_spans {
        resource(of_resource.resource.as_ref(), received)?;
        ensure!(!of_resource.scope_spans.is_empty(), "a resource without a scope");
        for of_scope in &of_resource.scope_spans {
            scope(of_scope.scope.as_ref())?;
            ensure!(!of_scope.spans.is_empty(), "a scope without spans");
            for span in &of_scope.spans {
                self::span(span, history, received).with_context(|| format!("in the span `{}`", span.name))?;
            }
        }
    }
    Ok(())
}

fn span(span: &Span, history: &mut History, received: &mut OtlpReceived) -> Result<()> {
    id("trace", &span.trace_id, 16)?;
    id("span", &span.span_id, 8)?;
    if !span.parent_span_id.is_empty() {
        id("parent", &span.parent_span_id, 8)?;
        ensure!(span.parent_span_id != span.span_id, "its own parent");
    }
    ensure!(!span.name.is_empty(), "no name");
    let kind = SpanKind::try_from(span.kind).unwrap_or_default();
    ensure!(kind != SpanKind::Unspecified, "no kind");
    ensure!(span.start_time_unix_nano > 0, "no start");
    ensure!(
        span.end_time_unix_nano >= span.start_time_unix_nano,
        "it ends before it starts"
    );
    check_keys(&span.attributes)?;
    let ids = (span.trace_id.clone(), span.span_id.clone());
    match history.spans.get(&ids) {
        // An answer that was lost makes a client send again.
        Some(before) => {
            ensure!(before == span, "another span of the same id");
            return Ok(());
        }
        None => history.spans.insert(ids, span.clone()),
    };
    let status = span.status.clone().unwrap_or_default();
    let is_error = status.code == StatusCode::Error as i32;
    ensure!(
        is_error || status.message.is_empty(),
        "words for a status that is no error"
    );
    received.spans.push(OtlpSpan {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        attributes: attributes(&span.attributes),
        error: is_error.then_some(status.message),
    });
    Ok(())
}

fn logs(request: &ExportLogsServiceRequest, received: &mut OtlpReceived) -> Result<()> {
    ensure!(!request.resource_logs.is_empty(), "a request without a resource");
    for of_resource in &request.resource_logs {
        resource(of_resource.resource.as_ref(), received)?;
        ensure!(!of_resource.scope_logs.is_empty(), "a resource without a scope");
        for of_scope in &of_resource.scope_logs {
            scope(of_scope.scope.as_ref())?;
            ensure!(!of_scope.log_records.is_empty(), "a scope without lines");
            for record in &of_scope.log_records {
                line(record, received).with_context(|| format!("in the line `{}`", text(record.body.as_ref())))?;
            }
        }
    }
    Ok(())
}

fn line(record: &LogRecord, received: &mut OtlpReceived) -> Result<()> {
    ensure!(record.time_unix_nano > 0, "no time");
    ensure!(record.observed_time_unix_nano > 0, "no time of observation");
    ensure!((1..=24).contains(&record.severity_number), "no severity");
    ensure!(record.body.is_some(), "no body");
    check_keys(&record.attributes)?;
    if !record.trace_id.is_empty() {
        id("trace", &record.trace_id, 16)?;
    }
    if !record.span_id.is_empty() {
        id("span", &record.span_id, 8)?;
        ensure!(!record.trace_id.is_empty(), "a span without a trace");
    }
    received.lines.push(OtlpLine {
        body: text(record.body.as_ref()),
        severity: record.severity_text.clone(),
        attributes: attributes(&record.attributes),
        trace_id: hex(&record.trace_id),
        span_id: hex(&record.span_id),
    });
    Ok(())
}

/// Says who speaks.
fn resource(resource: Option<&Resource>, received: &mut OtlpReceived) -> Result<String> {
    let resource = resource.context("no resource")?;
    check_keys(&resource.attributes)?;
    let attributes = attributes(&resource.attributes);
    let name = attributes
        .get("service.name")
        .context("a resource without `service.name`")?;
    ensure!(!name.is_empty(), "an empty `service.name`");
    let who = format!("{attributes:?}");
    received.resource = attributes;
    Ok(who)
}

fn scope(scope: Option<&InstrumentationScope>) -> Result<()> {
    let scope = scope.context("no scope")?;
    ensure!(!scope.name.is_empty(), "a scope without a name");
    check_keys(&scope.attributes)
}

fn check_keys(attributes: &[KeyValue]) -> Result<()> {
    let mut keys = BTreeSet::new();
    for attribute in attributes {
        let key = &attribute.key;
        ensure!(!key.is_empty(), "an attribute without a name");
        ensure!(keys.insert(key), "the attribute `{key}` comes twice");
        ensure!(attribute.value.is_some(), "the attribute `{key}` has no value");
    }
    Ok(())
}

fn id(what: &str, id: &[u8], length: usize) -> Result<()> {
    ensure!(id.len() == length, "a {what} id of {} bytes", id.len());
    ensure!(id.iter().any(|byte| *byte != 0), "a {what} id of zeros");
    Ok(())
}
