//! What a receiver took, in plain words.
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use std::collections::BTreeMap;

/// What a receiver took, in the order it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtlpReceived {
    /// Values of metrics.
    pub points: Vec<OtlpPoint>,
    /// Spans.
    pub spans: Vec<OtlpSpan>,
    /// Lines of the log.
    pub lines: Vec<OtlpLine>,
    /// Requests, those that were not taken included.
    pub requests: u64,
    /// Requests that came by gRPC.
    pub by_grpc: u64,
    /// Requests that came compressed.
    pub compressed: u64,
    /// The attributes of the resource that spoke last.
    pub resource: BTreeMap<String, String>,
    /// What was not right, in words. Empty is good.
    pub complaints: Vec<String>,
}

impl OtlpReceived {
    /// The newest value of each series of metrics, by name and labels, as `/metrics` shows them: a histogram as
    /// `_count` and `_sum`.
    pub fn series(&self) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
        let mut series = BTreeMap::new();
        for point in &self.points {
            series.insert((point.name.clone(), point.labels.clone()), point.value);
        }
        series
    }

    /// The newest value of the series of this name, whatever its labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.points
            .iter()
            .rfind(|point| point.name == name)
            .map(|point| point.value)
    }
}

/// One value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpPoint {
    /// The name; `_count` and `_sum` are appended to a histogram's.
    pub name: String,
    /// The attributes.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
    /// When it was so: nanoseconds since 1970.
    pub time: u64,
}

/// One span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSpan {
    /// The trace, in hexadecimal.
    pub trace_id: String,
    /// Its own id, in hexadecimal.
    pub span_id: String,
    /// The id of the span around it, in hexadecimal; empty where there is none.
    pub parent: String,
    /// The name.
    pub name: String,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// Its words where its status is an error.
    pub error: Option<String>,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpLine {
    /// The message.
    pub body: String,
    /// The level.
    pub severity: String,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// The trace it belongs to, in hexadecimal, or empty.
    pub trace_id: String,
    /// The span it belongs to, in hexadecimal, or empty.
    pub span_id: String,
}

/// Attributes as text.
pub(super) fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let pair = |attribute: &KeyValue| (attribute.key.clone(), text(attribute.value.as_ref()));
    attributes.iter().map(pair).collect()
}

/// A value as text: what is no scalar as its members, in brackets.
pub(super) fn text(value: Option<&AnyValue>) -> String {
    let Some(value) = value.and_then(|value| value.value.as_ref()) else {
        return String::new();
    };
    match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(truth) => truth.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BytesValue(bytes) => hex(bytes),
        Value::StringValueStrindex(number) => format!("#{number}"),
        Value::ArrayValue(list) => {
            let members: Vec<String> = list.values.iter().map(|member| text(Some(member))).collect();
            format!("[{}]", members.join(","))
        }
        Value::KvlistValue(map) => {
            let member = |entry: &KeyValue| format!("{}:{}", entry.key, text(entry.value.as_ref()));
            let members: Vec<String> = map.values.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
