//! Metrics, traces and the log by OTLP, where a receiver is configured.
use crate::context::Context;
use daemon_kit::telemetry::{OtlpExport, open_queue};
use state_sqlite::Outbox;
use std::sync::Arc;
use telemetry_otel::{Exporter, Metrics};
use transport_http::HealthRegistry;

/// What is recorded, and its way out.
pub(crate) struct Exporting {
    pub(crate) metrics: Metrics,
    /// `None` where no receiver is configured: then nothing but `/metrics` and the log tells.
    pub(crate) otlp: Option<OtlpExport<Outbox>>,
}

impl Exporting {
    /// Begins to record.
    pub(crate) fn start(context: &Context, name: &str, health: &HealthRegistry) -> anyhow::Result<Self> {
        let settings = &context.boot.telemetry.otlp;
        let labels = [("agent_id", name)];
        if settings.endpoint.is_none() {
            let metrics = Metrics::new(&labels)?;
            metrics.observe_log("scanner", context.telemetry());
            return Ok(Self { metrics, otlp: None });
        }
        let exporter = Exporter::new(settings.export_settings("scanner", env!("CARGO_PKG_VERSION"), Some(name)));
        context.telemetry().export(&exporter);
        let metrics = Metrics::with_export(&labels, &exporter)?;
        metrics.observe_log("scanner", context.telemetry());
        let queue = open_queue(&context.data_dir().join("telemetry.db"), &settings.queue)?;
        let otlp = OtlpExport::new(settings, exporter, Arc::new(queue))?;
        if let Some(otlp) = &otlp {
            otlp.report(health);
            otlp.observe(&metrics, "scanner");
        }
        Ok(Self { metrics, otlp })
    }
}
