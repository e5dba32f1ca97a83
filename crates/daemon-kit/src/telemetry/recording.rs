//! What a process records, and its ways out, in one call.
use super::{OtlpError, OtlpExport, OtlpSettings, Sent, open_queue};
use anyhow::Context as _;
use state_sqlite::Outbox;
use std::{path::Path, sync::Arc};
use telemetry_otel::{Exporter, Metrics, Telemetry};
use tokio_util::sync::CancellationToken;
use transport_http::HealthRegistry;

/// Whose records they are.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// The product: `service.name`.
    pub service: &'a str,
    /// Its version: `service.version`.
    pub version: &'a str,
    /// What the names of its metrics begin with.
    pub prefix: &'a str,
    /// The agent's name, for agents: `service.instance.id`, and the label `agent_id` of each metric.
    pub agent_id: Option<&'a str>,
    /// Where the queue of what could not be sent lies, as `telemetry.db`.
    pub data_dir: &'a Path,
}

/// Metrics, and where a receiver of OTLP is configured, everything that goes there.
pub struct Recording {
    /// What is measured.
    pub metrics: Metrics,
    otlp: Option<OtlpExport<Outbox>>,
}

impl Recording {
    /// Begins to record; the log of `telemetry` goes to the receiver too. With a receiver, `health` gets the component
    /// `telemetry`.
    ///
    /// # Errors
    /// When the settings cannot be used, or the queue can be neither opened nor made.
    pub fn start(
        of: Recorded<'_>,
        settings: &OtlpSettings,
        telemetry: &Telemetry,
        health: &HealthRegistry,
    ) -> anyhow::Result<Self> {
        let labels: Vec<(&str, &str)> = of.agent_id.map(|name| ("agent_id", name)).into_iter().collect();
        if settings.endpoint.is_none() {
            let metrics = Metrics::new(&labels)?;
            metrics.observe_log(of.prefix, telemetry);
            return Ok(Self { metrics, otlp: None });
        }
        let exporter = Exporter::new(settings.export_settings(of.service, of.version, of.agent_id));
        telemetry.export(&exporter);
        let metrics = Metrics::with_export(&labels, &exporter)?;
        metrics.observe_log(of.prefix, telemetry);
        let queue = open_queue(&of.data_dir.join("telemetry.db"), &settings.queue)
            .context("the queue of telemetry could not be opened")?;
        let otlp = OtlpExport::new(settings, exporter, Arc::new(queue))?;
        if let Some(otlp) = &otlp {
            otlp.report(health);
            otlp.observe(&metrics, of.prefix);
        }
        Ok(Self { metrics, otlp })
    }

    /// Sends until `stop`; where no receiver is configured, it only waits.
    ///
    /// # Errors
    /// When the queue fails.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), OtlpError> {
        match &self.otlp {
            Some(otlp) => otlp.run(stop).await,
            None => {
                stop.cancelled().await;
                Ok(())
            }
        }
    }

    /// Sends what was recorded of a run that is over; what the receiver does not take goes with the next run.
    pub async fn send_once(&self, stop: &CancellationToken) {
        let Some(otlp) = &self.otlp else { return };
        match otlp.send_once(stop).await {
            Ok(Sent::All) => {}
            Ok(sent) => tracing::warn!(?sent, "telemetry waits for the next run"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "telemetry could not be sent"),
        }
    }
}
