//! Metrics, traces and logs that leave by OTLP: recorded by telemetry-otel, kept on disk, sent from there.
//!
//! What is recorded goes to a queue of its own every few seconds, and from the queue to the receiver as soon as that
//! takes it, in this life of the process or the next. It is sent at least once: where an answer is lost, lines and spans
//! may arrive twice. The bounds of the queue hold whatever happens, and what they cost is counted.
//!
//! ```no_run
//! use daemon_kit::telemetry::{Recorded, Recording, TelemetrySettings};
//! use std::path::Path;
//! use telemetry_otel::Telemetry;
//! use tokio_util::sync::CancellationToken;
//! use transport_http::HealthRegistry;
//!
//! # async fn of_a_product(settings: TelemetrySettings, telemetry: Telemetry) -> anyhow::Result<()> {
//! let health = HealthRegistry::new("1.0.0", Some("web-1".to_owned()));
//! let of = Recorded {
//!     service: "scanner",
//!     version: "1.0.0",
//!     prefix: "scanner",
//!     agent_id: Some("web-1"),
//!     data_dir: Path::new("/var/lib/scanner"),
//! };
//! let recording = Recording::start(of, &settings.otlp, &telemetry, &health)?;
//! let scans = recording.metrics.counter("scanner_scans_total", "Scans that came to their end.");
//! scans.add(1, &[]);
//! recording.run(CancellationToken::new()).await?;
//! # Ok(())
//! # }
//! ```
mod deliver;
mod export;
mod failure;
mod queue;
mod recording;
mod report;
mod settings;
mod transport;

pub use export::{OtlpError, OtlpExport, Sent};
pub use queue::open_queue;
pub use recording::{Recorded, Recording};
pub use report::OtlpStatus;
pub use settings::{OtlpCompression, OtlpProtocol, OtlpQueueSettings, OtlpSettings, OtlpSignal, TelemetrySettings};
pub use telemetry_otel::{Counter, Gauge, Histogram, Metrics, ProcessSample, RUN, Reading, Telemetry, process_sample};
pub use transport::OtlpSetupError;
