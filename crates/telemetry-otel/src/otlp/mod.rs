//! OTLP out of what is recorded: encoded here, kept in a [`Queue`](core_model::Queue), sent by others.
mod attributes;
mod batch;
mod buffer;
mod encode;
mod exporter;
#[cfg(feature = "otlp-grpc")]
mod grpc;
mod points;
mod run;
mod settings;

pub use batch::{Batch, CONTENT_TYPE, NotABatch, Rejected, Signal};
pub use exporter::{ExportStats, Exporter};
#[cfg(feature = "otlp-grpc")]
pub use grpc::{GrpcClient, GrpcError, GrpcSettings};
pub use settings::ExportSettings;

pub(crate) use encode::log_record;
pub(crate) use exporter::Slot;
pub(crate) use points::reader;
pub(crate) use run::{Run, RunLayer, hex, is_run};

/// The target of the spans that become traces: `tracing::info_span!(target: "run", "scan", …)`. Such a span is there
/// whatever the level of the log is.
pub const RUN: &str = "run";

/// The target of [`export_span`].
pub(crate) const EXPORT: &str = "telemetry_otel::export";

/// A span for the sending of telemetry. What is logged inside it goes to the log but is not exported itself: each sending,
/// and each refusal, would make something to send.
pub fn export_span() -> tracing::Span {
    // Of the gravest level, so that it is there whenever anything is logged at all.
    tracing::error_span!(target: EXPORT, "export")
}

#[cfg(test)]
mod tests;
