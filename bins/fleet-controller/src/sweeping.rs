//! What is forgotten in time, and what is found out for metrics and health on the way.
use crate::keeping::Keeper;
use chrono::{DateTime, Utc};
use fleet_core::{DeliveryState, Fleet, SqliteStore, Store};
use fleet_wire::Outcome;
use std::{sync::Arc, time::Duration};
use telemetry_otel::{Gauge, Metrics, Reading};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// Each time something is written too, so that a disk that is full or well again is known this soon.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

pub(crate) struct Sweeper {
    fleet: Arc<Fleet<SqliteStore>>,
    keeper: Arc<Keeper>,
    agents: Gauge,
    files: Gauge,
    gaps: Gauge,
    deliveries: Gauge,
    open_detections: Gauge,
    started: time::Instant,
}

/// Detections as a measure, by what became of them at once.
pub(crate) fn observe_detections(fleet: &Arc<Fleet<SqliteStore>>, metrics: &Metrics) {
    let fleet = Arc::clone(fleet);
    let help = "Detections of malware that agents told of since the start, by what became of them at once.";
    metrics.observe_counter("fleet_detections_total", help, move || {
        let received = fleet.detections_received();
        let reading = |(outcome, count): (Outcome, u64)| Reading::new(count as f64).label("outcome", outcome.name());
        received.map(reading).collect::<Vec<_>>()
    });
}

impl Sweeper {
    pub(crate) fn new(fleet: Arc<Fleet<SqliteStore>>, metrics: &Metrics, keeper: Arc<Keeper>) -> Arc<Self> {
        Arc::new(Self {
            fleet,
            keeper,
            agents: metrics.gauge("fleet_agents", "Agents by status."),
            files: metrics.gauge("fleet_files", "Files known of all agents."),
            deliveries: metrics.gauge(
                "fleet_commands",
                "Commands kept, once for each agent, by where they stand.",
            ),
            open_detections: metrics.gauge(
                "fleet_open_detections",
                "Detections of malware whose file is, or may be, where it was found.",
            ),
            started: time::Instant::now(),
            gaps: metrics.gauge("fleet_streams_with_gaps", "Streams in which a record is missing."),
        })
    }

    /// Sweeps until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            self.sweep().await;
            if stop.run_until_cancelled(time::sleep(SWEEP_EVERY)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn remove_silent(&self, now: DateTime<Utc>) {
        let Some(silent_for) = self.fleet.settings().remove_silent_after else {
            return;
        };
        // Whoever is silent since before the start may have called in vain while the controller was away.
        let up = self.started.elapsed();
        if up < self.fleet.settings().offline_after {
            return;
        }
        match self.fleet.remove_silent(silent_for, now).await {
            Ok(removed) => {
                for (agent, name) in removed {
                    tracing::warn!(%agent, name, "an agent was not heard of for `agents.remove_silent_after` and is removed");
                }
            }
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "silent agents could not be removed"
                );
            }
        }
    }

    async fn sweep(&self) {
        let now = Utc::now();
        if let Err(error) = self.fleet.sweep(now).await {
            // The store says once that it cannot be written, and `/health` for as long as that lasts.
            tracing::debug!(error = &error as &dyn std::error::Error, "the store could not be swept");
        }
        self.remove_silent(now).await;
        let offline_after = self.fleet.settings().offline_after;
        match self.fleet.store().statistics(now, offline_after).await {
            Ok(sums) => {
                for (status, count) in [
                    ("online", sums.online),
                    ("degraded", sums.degraded),
                    ("offline", sums.offline),
                    ("maintenance", sums.maintenance),
                ] {
                    self.agents.set(count as f64, &[("status", status)]);
                }
                for state in DeliveryState::ALL {
                    let count = sums.deliveries.of(state);
                    self.deliveries.set(count as f64, &[("state", state.name())]);
                }
                self.files.set(sums.files.present as f64, &[]);
                self.gaps.set(sums.streams_with_gaps as f64, &[]);
                let open = &sums.detections;
                for (acknowledged, count) in [
                    ("true", open.total.saturating_sub(open.unacknowledged)),
                    ("false", open.unacknowledged),
                ] {
                    self.open_detections
                        .set(count as f64, &[("acknowledged", acknowledged)]);
                }
                self.keeper.saw(Ok(&sums));
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store could not be read");
                self.keeper.saw(Err(error.to_string()));
            }
        }
    }
}
