//! `POST /api/v1/ingest`: consecutive records of one stream, answered by what was taken.
use chrono::{DateTime, Utc};
use core_model::{BatchId, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A record on its way: the body stays JSON text until somebody who knows its kind reads it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RawRecord {
    /// Its number in the stream, from 1 without gaps.
    pub seq: u64,
    /// What the body is.
    pub kind: String,
    /// When it was made.
    pub time: DateTime<Utc>,
    /// The record itself.
    pub body: Box<RawValue>,
}

/// The request. Its records are consecutive; a repeat carries the same `batch_id`.
#[derive(Debug, Serialize, Deserialize)]
pub struct IngestRequest {
    /// The request's id.
    pub batch_id: BatchId,
    /// The stream whose records these are.
    pub stream: StreamId,
    /// The records, by rising `seq`.
    pub records: Vec<RawRecord>,
}

/// A record that the server will never take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its number.
    pub seq: u64,
    /// A stable name of the reason, such as `invalid_body`.
    pub code: String,
    /// The reason for people.
    pub detail: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestResponse {
    /// The last number *of this request* up to which every record is stored or rejected.
    pub accepted_through: u64,
    /// Records that were refused, among those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// Makes a request's JSON from a run as it lies in an outbox: one record a line, each an object *without* `seq`, which
/// was not known when the record was encoded. `first_seq` numbers the first line. Nothing is parsed: this is the hot
/// path of an agent with a million records to send.
pub fn join_records(batch_id: BatchId, stream: StreamId, runs: &[(u64, &[u8])]) -> Vec<u8> {
    let size: usize = runs.iter().map(|(_, body)| body.len() + body.len() / 8).sum();
    let mut json = Vec::with_capacity(size + 128);
    json.extend_from_slice(format!(r#"{{"batch_id":"{batch_id}","stream":"{stream}","records":["#).as_bytes());
    let mut comma = "";
    for (first_seq, body) in runs {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (seq, line) in (*first_seq..).zip(lines) {
            json.extend_from_slice(format!(r#"{comma}{{"seq":{seq},"#).as_bytes());
            json.extend_from_slice(line.strip_prefix(b"{").unwrap_or(line));
            comma = ",";
        }
    }
    json.extend_from_slice(b"]}");
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_outbox_become_a_numbered_request() {
        let line =
            |kind: &str| format!("{{\"kind\":\"{kind}\",\"time\":\"2026-01-02T03:04:05Z\",\"body\":{{\"n\":1}}}}\n");
        let first = line("a") + &line("b");
        let second = line("c");
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (batch, stream) = (BatchId::new(at, [1; 10]), StreamId::new(at, [2; 10]));
        let json = join_records(batch, stream, &[(41, first.as_bytes()), (43, second.as_bytes())]);
        let request: IngestRequest = serde_json::from_slice(&json).unwrap();
        assert_eq!((request.batch_id, request.stream), (batch, stream));
        let seen: Vec<_> = request
            .records
            .iter()
            .map(|r| (r.seq, r.kind.as_str(), r.body.get()))
            .collect();
        assert_eq!(
            seen,
            [
                (41, "a", r#"{"n":1}"#),
                (42, "b", r#"{"n":1}"#),
                (43, "c", r#"{"n":1}"#)
            ]
        );
    }
}
