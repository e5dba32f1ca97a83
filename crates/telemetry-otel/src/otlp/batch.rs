//! One request of OTLP as it waits in a queue: a letter for its kind, then the bytes that are posted.
use core_model::Run;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message as _;
use std::fmt;

/// The media type of a batch.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Metrics as they stood at an instant.
    Metrics,
    /// Spans of runs that ended.
    Traces,
    /// Lines of the log.
    Logs,
}

impl Signal {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Traces, Self::Logs];

    /// `metrics`, `traces` or `logs`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }

    /// Where it is posted to, below the address of the receiver.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }

    /// What it begins with in a queue. Batches of an older version are read for as long as the queue keeps them, so
    /// these stay as they are.
    const fn mark(self) -> u8 {
        match self {
            Self::Metrics => b'm',
            Self::Traces => b't',
            Self::Logs => b'l',
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An encoded request: what is posted is its body as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What it holds.
    pub signal: Signal,
    /// The protobuf message of the request.
    pub body: Vec<u8>,
}

/// The body of a run in a queue is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what waits in the telemetry queue is no batch of this program")]
pub struct NotABatch;

impl Batch {
    /// Reads what [`Exporter::flush`](crate::Exporter::flush) put into a queue.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_queue(mut body: Vec<u8>) -> Result<Self, NotABatch> {
        let mark = body.first().ok_or(NotABatch)?;
        let signal = Signal::ALL.into_iter().find(|signal| signal.mark() == *mark);
        let signal = signal.ok_or(NotABatch)?;
        body.remove(0);
        Ok(Self { signal, body })
    }

    /// For a queue: one run, whose records are the lines, spans or metrics in it.
    pub(crate) fn into_run(self, items: u64) -> Run {
        let mut body = self.body;
        body.insert(0, self.signal.mark());
        Run {
            records: u32::try_from(items).unwrap_or(u32::MAX).max(1),
            body,
        }
    }
}

/// What a receiver that took a request says it did not take of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How many data points, spans or lines it threw away; with 0 it only warns.
    pub items: u64,
    /// Its reason.
    pub message: String,
}

impl Rejected {
    /// What the answer to a request says; `None` where all was taken, which is also what an answer in other terms says.
    pub fn read(answer: &[u8]) -> Option<Self> {
        // The answers for the three kinds are the same message but for the names of its fields.
        let said = ExportLogsServiceResponse::decode(answer).ok()?.partial_success?;
        let rejected = Self {
            items: u64::try_from(said.rejected_log_records).unwrap_or(0),
            message: said.error_message,
        };
        (rejected.items > 0 || !rejected.message.is_empty()).then_some(rejected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::{
        metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse},
        trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
    };

    #[test]
    fn a_batch_comes_out_of_a_queue_as_it_went_in() {
        for signal in Signal::ALL {
            let batch = Batch {
                signal,
                body: vec![0, 1, 255],
            };
            assert_eq!(Batch::from_queue(batch.clone().into_run(2).body), Ok(batch));
        }
        assert_eq!(Batch::from_queue(Vec::new()), Err(NotABatch));
        assert_eq!(Batch::from_queue(b"x".to_vec()), Err(NotABatch));
    }

    #[test]
    fn each_kind_of_answer_says_what_was_rejected() {
        let of_metrics = ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess {
                rejected_data_points: 3,
                error_message: "too old".to_owned(),
            }),
        };
        let of_traces = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too old".to_owned(),
            }),
        };
        let rejected = Rejected {
            items: 3,
            message: "too old".to_owned(),
        };
        for answer in [of_metrics.encode_to_vec(), of_traces.encode_to_vec()] {
            assert_eq!(Rejected::read(&answer), Some(rejected.clone()));
        }
        let empty = ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess::default()),
        };
        for all_taken in [empty.encode_to_vec(), Vec::new(), b"{}".to_vec()] {
            assert_eq!(Rejected::read(&all_taken), None);
        }
    }
}
