//! Metrics, traces and logs that leave by OTLP: recorded by telemetry-otel, kept on disk, sent from there.
//!
//! What is recorded goes to a queue of its own every few seconds, and from the queue to the receiver as soon as that
//! takes it, in this life of the process or the next. It is sent at least once: where an answer is lost, lines and spans
//! may arrive twice. The bounds of the queue hold whatever happens, and what they cost is counted.
//!
//! ```no_run
//! use daemon_kit::telemetry::{OtlpExport, TelemetrySettings, open_queue};
//! use std::{path::Path, sync::Arc};
//! use telemetry_otel::{Exporter, Metrics, Telemetry};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn of_a_product(settings: TelemetrySettings, telemetry: Telemetry) -> Result<(), Box<dyn std::error::Error>> {
//! let exporter = Exporter::new(settings.otlp.export_settings("scanner", "1.0.0", Some("web-1")));
//! telemetry.export(&exporter);
//! let metrics = Metrics::with_export(&[("agent_id", "web-1")], &exporter)?;
//!
//! let queue = Arc::new(open_queue(Path::new("/var/lib/shoal/telemetry.db"), &settings.otlp.queue)?);
//! if let Some(export) = OtlpExport::new(&settings.otlp, exporter, queue)? {
//!     export.observe(&metrics, "scanner");
//!     export.run(CancellationToken::new()).await?;
//! }
//! # Ok(())
//! # }
//! ```
mod deliver;
mod export;
mod failure;
mod queue;
mod report;
mod settings;
mod transport;

pub use export::{OtlpError, OtlpExport, Sent};
pub use queue::open_queue;
pub use report::OtlpStatus;
pub use settings::{OtlpCompression, OtlpProtocol, OtlpQueueSettings, OtlpSettings, OtlpSignal, TelemetrySettings};
pub use transport::OtlpSetupError;
