//! Logs, metrics and traces set up in one call.
//!
//! Logs are what `tracing` is told, as text or as JSON lines, on stderr and in a file that rotates by size and age;
//! their level can be changed while running. Metrics are recorded through OpenTelemetry and rendered for Prometheus
//! under exactly the names that the code gives them. An [`Exporter`] takes all of that, and spans of runs, to a
//! [`Queue`](core_model::Queue) as requests of OTLP.
//!
//! It does *not* know the name of any metric of a product, nor serve `/metrics`: it hands out the text. It sends nothing:
//! it hands out the bytes (but for gRPC, behind the feature `otlp-grpc`).
//!
//! ```
//! use telemetry_otel::{Format, LogSettings, Metrics};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = telemetry_otel::init(LogSettings {
//!     format: Format::Json,
//!     agent_id: Some("server-01-scanner".to_owned()),
//!     ..LogSettings::new("scanner")
//! })?;
//! let metrics = Metrics::new(&[("agent_id", "server-01-scanner")])?;
//! let files = metrics.counter("scanner_files_processed_total", "Files that were looked at.");
//!
//! files.add(3, &[("action", "created")]);
//! tracing::info!(files = 3, "Scan completed");
//! telemetry.set_level("info,fsscan=debug")?;
//!
//! let series = r#"scanner_files_processed_total{action="created",agent_id="server-01-scanner"} 3"#;
//! assert!(metrics.render().contains(series));
//! # Ok(())
//! # }
//! ```
mod fields;
mod layer;
mod level;
mod line;
mod logs;
mod metrics;
mod otlp;
mod process;
mod rotate;
mod settings;
mod writer;

pub use level::LevelError;
pub use logs::{InitError, LevelHandle, Telemetry, init, subscriber};
pub use metrics::{Counter, Gauge, Histogram, Labels, Metrics, MetricsError, Reading};
pub use otlp::{
    Batch, CONTENT_TYPE, ExportSettings, ExportStats, Exporter, NotABatch, RUN, Rejected, Signal, export_span,
};
#[cfg(feature = "otlp-grpc")]
pub use otlp::{GrpcClient, GrpcError, GrpcSettings};
pub use process::{ProcessSample, process_sample};
pub use settings::{FileSettings, Format, LogSettings};
