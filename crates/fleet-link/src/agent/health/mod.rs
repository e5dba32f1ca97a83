//! How the agent is, over HTTP where that is switched on: `/health` and `/metrics`.
mod blocks;
mod server;

use super::{AgentConfig, AgentContext, AgentState, BootSettings as _, LiveSettings as _, Product};
use blocks::BackupState;
use chrono::{DateTime, Utc};
use daemon_kit::{
    HealthServer, TaskStates,
    telemetry::{Counter, Metrics, Recorded, Recording, Telemetry},
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;
use transport_http::{ComponentHandle, HealthRegistry, Status};

/// What is told of an agent. A product adds its own metrics and components.
pub struct AgentHealth {
    product: &'static Product,
    registry: HealthRegistry,
    api: Mutex<Option<ComponentHandle>>,
    metrics: Metrics,
    errors: Counter,
    server: HealthServer,
    recording: Recording,
    backups: Arc<Mutex<BackupState>>,
}

impl AgentHealth {
    /// Registers what is known from the start, and binds the endpoint where it is switched on.
    ///
    /// # Errors
    /// When the address cannot be bound, or telemetry cannot be recorded by its settings.
    pub fn start<C: AgentConfig>(
        context: &AgentContext<C>,
        state: &Arc<AgentState>,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Self> {
        let product = context.product;
        let registry = HealthRegistry::new(product.version, Some(context.name.clone()));
        let of = Recorded {
            service: product.name,
            version: product.version,
            prefix: product.metrics,
            agent_id: Some(&context.name),
            data_dir: &context.data_dir,
        };
        let boot = context.reloader.boot().common();
        let recording = Recording::start(of, &boot.telemetry.otlp, telemetry, &registry)?;
        let metrics = recording.metrics.clone();
        metrics.observe_process(product.metrics);
        blocks::observe_state(&metrics, product.metrics, state);
        let live = context.live();
        let newest = live.common().database.backups(&state.file).list().unwrap_or_default();
        let newest = newest.into_iter().map(|backup| backup.taken_at);
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
                let most = live.borrow().common().outbox.max_bytes.bytes();
                blocks::outbox(&outbox, most)
            }
        });
        let reports = context.reloader.report();
        registry.ask("configuration", move || reports.borrow().health());
        let server = HealthServer::bind(registry.clone(), metrics.clone(), &live.common().health, product.port)?;
        let errors = metrics.counter(
            format!("{}_errors_total", product.metrics),
            "Paths that could not be scanned, requests that failed, records that were refused, by kind.",
        );
        Ok(Self {
            product,
            registry,
            api: Mutex::default(),
            metrics,
            errors,
            server,
            recording,
            backups,
        })
    }

    /// Serves until `stop`; where it is switched off, it waits until it is switched on.
    ///
    /// # Errors
    /// When that fails.
    pub async fn serve<C: AgentConfig>(
        &self,
        context: &AgentContext<C>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        Ok(self
            .server
            .run(context.changes(), |live| &live.common().health, stop)
            .await?)
    }

    /// Sends metrics, traces and the log until `stop`; where no receiver is configured, it only waits.
    ///
    /// # Errors
    /// When their queue fails.
    pub async fn export(&self, stop: CancellationToken) -> anyhow::Result<()> {
        Ok(self.recording.run(stop).await?)
    }

    /// Sends what was recorded of a run that is over; what the receiver does not take goes with the next run.
    pub async fn export_once(&self, stop: &CancellationToken) {
        self.recording.send_once(stop).await;
    }

    /// The components, for those of the product.
    pub fn registry(&self) -> &HealthRegistry {
        &self.registry
    }

    /// The metrics, for those of the product.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The counter `<prefix>_errors_total`, by `error_type`. Requests that failed are counted already, as `network`.
    pub fn errors(&self) -> &Counter {
        &self.errors
    }

    /// Shows every task of the supervisor.
    pub fn watch_tasks(&self, states: &TaskStates) {
        states.report_to(&self.registry);
    }

    /// Start-up is over.
    pub fn ready(&self) {
        self.registry.set_ready(true);
    }

    /// What a heartbeat says, where `reason` is what else is not well.
    pub(super) fn status(&self, reason: Option<&str>) -> &'static str {
        match self.registry.status() {
            Status::Unhealthy => "unhealthy",
            Status::Degraded => "degraded",
            Status::Healthy if reason.is_some() => "degraded",
            Status::Healthy => "healthy",
        }
    }

    /// Why a heartbeat says that all is not well; `reason` is what else is not.
    pub(super) fn reason(&self, reason: Option<String>) -> Option<String> {
        let parts: Vec<String> = self.registry.reason().into_iter().chain(reason).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// A backup was taken.
    pub(super) fn backed_up(&self, at: DateTime<Utc>) {
        let mut backups = self.backups.lock().unwrap_or_else(PoisonError::into_inner);
        backups.last = Some(at);
        backups.error = None;
    }

    /// A backup could not be taken.
    pub(super) fn backup_failed(&self, why: &str) {
        let mut backups = self.backups.lock().unwrap_or_else(PoisonError::into_inner);
        backups.error = Some(why.to_owned());
    }
}
