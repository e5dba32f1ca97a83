//! How the run is, over HTTP where that is switched on: `/health` and `/metrics`.
mod blocks;
mod scans;
mod server;

pub(crate) use scans::LastScan;

use crate::{context::Context, settings::Live, state::State};
use blocks::BackupState;
use chrono::{DateTime, Utc};
use daemon_kit::{
    HealthServer, TaskStates,
    telemetry::{Recorded, Recording},
};
use fsscan::Progress;
use scans::ScanMetrics;
use std::sync::{Arc, Mutex, PoisonError};
use telemetry_otel::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{ComponentHandle, HealthRegistry, Status};

/// The scanner's port for health and metrics.
pub(crate) const PORT: u16 = 7604;

/// What is told of the run.
pub(crate) struct Health {
    registry: HealthRegistry,
    api: Mutex<Option<ComponentHandle>>,
    metrics: Metrics,
    scan: ScanMetrics,
    server: HealthServer,
    recording: Recording,
    /// Of the scan that lasts, or of the last one.
    progress: Mutex<Option<Arc<Progress>>>,
    live: watch::Receiver<Arc<Live>>,
    last: Mutex<LastScan>,
    backups: Arc<Mutex<BackupState>>,
}

impl Health {
    /// Registers what is known from the start, and binds the endpoint where it is switched on.
    pub(crate) fn start(context: &Context, state: &Arc<State>) -> anyhow::Result<Self> {
        let name = context.agent_name();
        let registry = HealthRegistry::new(env!("CARGO_PKG_VERSION"), Some(name.clone()));
        let of = Recorded {
            service: "scanner",
            version: env!("CARGO_PKG_VERSION"),
            prefix: "scanner",
            agent_id: Some(&name),
            data_dir: context.data_dir(),
        };
        let recording = Recording::start(of, &context.boot.telemetry.otlp, context.telemetry(), &registry)?;
        let metrics = recording.metrics.clone();
        metrics.observe_process("scanner");
        blocks::observe_state(&metrics, state);
        let newest = context
            .live()
            .database
            .backups(&state.file)
            .list()
            .unwrap_or_default()
            .into_iter()
            .map(|backup| backup.taken_at);
        let backups = Arc::new(Mutex::new(BackupState {
            last: newest.max(),
            error: None,
        }));
        registry.ask("database", {
            let (state, backups) = (Arc::clone(state), Arc::clone(&backups));
            move || blocks::database(&state, &backups)
        });
        registry.ask("outbox", {
            let (outbox, live) = (state.outbox.clone(), context.changes());
            move || {
                let most = live.borrow().outbox.max_bytes.bytes();
                blocks::outbox(&outbox, most)
            }
        });
        let reports = context.reloader().handle().report();
        registry.ask("configuration", move || reports.borrow().health());
        let server = HealthServer::bind(registry.clone(), metrics.clone(), &context.live().health, PORT)?;
        Ok(Self {
            registry,
            api: Mutex::default(),
            scan: ScanMetrics::new(&metrics),
            metrics,
            recording,
            progress: Mutex::default(),
            server,
            live: context.changes(),
            last: Mutex::default(),
            backups,
        })
    }

    /// Serves until `stop`; an error only if that fails. Where it is switched off, it waits until it is switched on.
    pub(crate) async fn serve(&self, stop: CancellationToken) -> anyhow::Result<()> {
        Ok(self.server.run(self.live.clone(), |live| &live.health, stop).await?)
    }

    /// Sends metrics, traces and the log until `stop`; where no receiver is configured, it only waits.
    pub(crate) async fn export(&self, stop: CancellationToken) -> anyhow::Result<()> {
        Ok(self.recording.run(stop).await?)
    }

    /// Sends what was recorded of a run that is over; what the receiver does not take goes with the next run.
    pub(crate) async fn export_once(&self, stop: &CancellationToken) {
        self.recording.send_once(stop).await;
    }

    /// Shows every task of the supervisor.
    pub(crate) fn watch_tasks(&self, states: &TaskStates) {
        states.report_to(&self.registry);
    }

    /// Start-up is over.
    pub(crate) fn ready(&self) {
        self.registry.set_ready(true);
    }

    /// What a heartbeat says after a scan with so many errors.
    pub(crate) fn heartbeat_status(&self, errors: u64) -> &'static str {
        match self.registry.status() {
            Status::Unhealthy => "unhealthy",
            Status::Degraded => "degraded",
            Status::Healthy if errors > 0 => "degraded",
            Status::Healthy => "healthy",
        }
    }

    /// Why a heartbeat says that all is not well, after a scan with so many errors.
    pub(crate) fn heartbeat_reason(&self, errors: u64) -> Option<String> {
        let files = (errors > 0).then(|| format!("{errors} errors in the last scan"));
        let parts: Vec<String> = self.registry.reason().into_iter().chain(files).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// A backup was taken.
    pub(crate) fn backed_up(&self, at: DateTime<Utc>) {
        let mut backups = self.backups.lock().unwrap_or_else(PoisonError::into_inner);
        backups.last = Some(at);
        backups.error = None;
    }

    /// A backup could not be taken.
    pub(crate) fn backup_failed(&self, why: &str) {
        let mut backups = self.backups.lock().unwrap_or_else(PoisonError::into_inner);
        backups.error = Some(why.to_owned());
    }
}
