//! How the run is, over HTTP where that is switched on: `/health` and `/metrics`.
use crate::context::Context;
use chrono::{DateTime, Utc};
use core_model::{BreakerState, Queue};
use fsscan::{Progress, RootOutcome, Summary};
use serde_json::{Map, Value, json};
use state_sqlite::{Database, Outbox};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use telemetry_otel::{Counter, Gauge, Histogram, Metrics, Reading};
use tokio_util::sync::CancellationToken;
use transport_http::{
    Client, ComponentHandle, HealthOptions, HealthRegistry, Observer, Server, Status, health_routes, metrics_route,
};

/// The scanner's port for health and metrics.
const PORT: u16 = 7604;

/// What is told of the run.
pub(crate) struct Health {
    registry: HealthRegistry,
    api: Mutex<Option<ComponentHandle>>,
    metrics: Metrics,
    scan: ScanMetrics,
    server: Mutex<Option<Server>>,
    path: String,
}

struct ScanMetrics {
    duration: Histogram,
    files: Counter,
    errors: Counter,
    success: Gauge,
}

impl Health {
    /// Registers what is known from the start, and binds the endpoint where it is switched on.
    pub(crate) fn start(context: &Context, database: &Database, outbox: &Outbox) -> anyhow::Result<Self> {
        let name = context.agent_name();
        let metrics = Metrics::new(&[("agent_id", &name)])?;
        metrics.observe_process("scanner");
        let size = database.clone();
        metrics.observe_gauge("scanner_database_size_bytes", "Size of the state on disk.", move || {
            [Reading::new(size.size() as f64)]
        });
        let owed = outbox.clone();
        metrics.observe_gauge(
            "scanner_outbox_records",
            "Records that wait for the server.",
            move || owed.stats().ok().map(|stats| Reading::new(stats.records as f64)),
        );
        let scan = ScanMetrics {
            duration: metrics.histogram(
                "scanner_scan_duration_seconds",
                "How long scans take.",
                &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0],
            ),
            files: metrics.counter("scanner_files_processed_total", "Files by what was found of them."),
            errors: metrics.counter("scanner_errors_total", "Paths that could not be scanned, by reason."),
            success: metrics.gauge("scanner_scan_success_rate", "1 if the last scan was whole, else 0."),
        };
        let registry = HealthRegistry::new(env!("CARGO_PKG_VERSION"), Some(name));
        let block = json!({"path": database.path(), "size_mb": database.size() as f64 / f64::from(1 << 20)});
        registry.component("database").set(Status::Healthy, map(block));
        let settings = &context.config.health;
        let server = settings
            .listen(PORT)
            .map(|address: SocketAddr| Server::bind(address))
            .transpose()?;
        if let Some(server) = &server {
            tracing::info!(address = %server.local_addr(), "health and metrics are served");
        }
        let path = settings.path.clone();
        Ok(Self {
            registry,
            api: Mutex::default(),
            metrics,
            scan,
            server: Mutex::new(server),
            path,
        })
    }

    /// Serves until `stop`; an error only if that fails. Never ends where it is switched off.
    pub(crate) async fn serve(&self, stop: CancellationToken) -> anyhow::Error {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(server) = server else {
            return std::future::pending().await;
        };
        let metrics = self.metrics.clone();
        let routes = health_routes(
            self.registry.clone(),
            &HealthOptions {
                health_path: self.path.clone(),
            },
        )
        .merge(metrics_route(move || metrics.render()));
        match server.run(routes, stop, Duration::from_secs(1)).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error.into(),
        }
    }

    /// Start-up is over.
    pub(crate) fn ready(&self) {
        self.registry.set_ready(true);
    }

    /// Told of every request to the server.
    pub(crate) fn api_observer(&self) -> Observer {
        let requests = self
            .metrics
            .counter("scanner_api_requests_total", "Requests to the server.");
        let retries = self.metrics.counter(
            "scanner_api_retry_count_total",
            "Repetitions of requests to the server.",
        );
        let seconds = self.metrics.histogram(
            "scanner_api_request_duration_seconds",
            "How long requests to the server take, repetitions included.",
            &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0],
        );
        Arc::new(move |observation| {
            let endpoint = endpoint(&observation.path);
            let status = if observation.ok { "success" } else { "failure" };
            requests.add(1, &[("endpoint", endpoint), ("status", status)]);
            retries.add(u64::from(observation.retries), &[("endpoint", endpoint)]);
            seconds.record(observation.duration.as_secs_f64(), &[("endpoint", endpoint)]);
        })
    }

    /// Shows the client's breaker and last success from now on.
    pub(crate) fn watch_client(&self, client: &Client) {
        let breaker = client.clone();
        self.metrics.observe_gauge(
            "scanner_circuit_breaker_state",
            "1 for the state that it is in.",
            move || {
                let state = breaker.stats().breaker;
                [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen]
                    .map(|other| Reading::new(f64::from(u8::from(other == state))).label("state", other.name()))
            },
        );
        self.api_component().set(
            Status::Healthy,
            map(json!({"server": client.server(), "circuit_breaker": "closed"})),
        );
    }

    /// The server cannot be used.
    pub(crate) fn api_failed(&self, why: &str) {
        self.api_component()
            .set(Status::Degraded, map(json!({"last_error": why})));
    }

    fn api_component(&self) -> ComponentHandle {
        let mut api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        api.get_or_insert_with(|| self.registry.component("api")).clone()
    }

    /// A scan began; its counters are shown while it runs.
    pub(crate) fn scan_started(&self, at: DateTime<Utc>, progress: Arc<Progress>) {
        self.registry
            .inform("last_scan", map(json!({"started_at": at, "status": "running"})));
        let started = std::time::Instant::now();
        self.metrics
            .observe_gauge("scanner_files_per_second", "Files a second in this scan.", move || {
                [Reading::new(
                    progress.files.load(Relaxed) as f64 / started.elapsed().as_secs_f64().max(0.001),
                )]
            });
    }

    /// A scan ended.
    pub(crate) fn scan_ended(&self, summary: &Summary, started: DateTime<Utc>, ended: DateTime<Utc>) {
        let is_whole = summary.roots.iter().all(|root| root.outcome == RootOutcome::Scanned);
        let is_clean = is_whole && summary.error_count() == 0;
        let status = if is_clean { "success" } else { "partial" };
        let block = json!({
            "started_at": started, "completed_at": ended, "status": status, "files_processed": summary.files,
            "errors": summary.error_count(), "held_deletions": summary.held,
        });
        self.registry.inform("last_scan", map(block));
        let scan = &self.scan;
        scan.duration.record(summary.duration.as_secs_f64(), &[]);
        scan.success.set(f64::from(u8::from(is_clean)), &[]);
        for (action, count) in [
            ("created", summary.created),
            ("updated", summary.updated),
            ("moved", summary.moved),
            ("deleted", summary.deleted),
            ("unchanged", summary.unchanged),
            ("skipped", summary.ignored),
        ] {
            scan.files.add(count, &[("action", action)]);
        }
        for (kind, count) in &summary.errors {
            scan.errors.add(*count, &[("error_type", kind.name())]);
        }
    }
}

/// The endpoint of a request's path, without what differs from agent to agent.
fn endpoint(path: &str) -> &'static str {
    const KNOWN: [&str; 5] = [
        "/api/v1/ingest",
        "/api/files/ingest",
        "/api/v1/agents/me/heartbeat",
        "/api/agents/heartbeat",
        "/api/agents/register",
    ];
    KNOWN
        .into_iter()
        .find(|known| path.starts_with(known))
        .unwrap_or("other")
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}
