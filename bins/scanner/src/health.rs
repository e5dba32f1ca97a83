//! How the run is, over HTTP where that is switched on: `/health` and `/metrics`.
use crate::{context::Context, settings::Live, state::State};
use chrono::{DateTime, Utc};
use core_model::{BreakerState, Queue};
use daemon_kit::{
    HealthSettings, TaskStates,
    telemetry::{Recorded, Recording},
};
use fleet_link::{Delivery, LinkStatus};
use fsscan::{ErrorKind, Progress, RootOutcome, Summary};
use serde_json::{Map, Value, json};
use state_sqlite::{Outbox, ResyncReason, Story};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use telemetry_otel::{Counter, Gauge, Histogram, Metrics, Reading};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{
    Client, ComponentHandle, HealthOptions, HealthRegistry, Observer, Server, Status, health_routes, metrics_route,
};

/// The scanner's port for health and metrics.
pub(crate) const PORT: u16 = 7604;

/// What is told of the run.
pub(crate) struct Health {
    registry: HealthRegistry,
    api: Mutex<Option<ComponentHandle>>,
    metrics: Metrics,
    scan: ScanMetrics,
    /// Bound at the start, so that a port in use is found out at once.
    bound: Mutex<Option<(HealthSettings, Server)>>,
    recording: Recording,
    /// Of the scan that lasts, or of the last one.
    progress: Mutex<Option<Arc<Progress>>>,
    /// A port that the system chose stays the same when serving starts again.
    chosen: Option<SocketAddr>,
    live: watch::Receiver<Arc<Live>>,
    last: Mutex<LastScan>,
    backups: Arc<Mutex<BackupState>>,
}

struct ScanMetrics {
    duration: Histogram,
    files: Counter,
    errors: Counter,
    failed: Counter,
    success: Gauge,
}

/// Binds the endpoint where it is switched on.
fn bind(settings: &HealthSettings, chosen: Option<SocketAddr>) -> anyhow::Result<Option<Server>> {
    let again = |address: SocketAddr| match chosen {
        Some(chosen) if address.port() == 0 && address.ip() == chosen.ip() => chosen,
        _ => address,
    };
    let server = settings.listen(PORT).map(again).map(Server::bind).transpose()?;
    if let Some(server) = &server {
        tracing::info!(address = %server.local_addr(), "health and metrics are served");
    }
    Ok(server)
}

/// The component `link` of `/health`. The agent works on without its controller, so that being away is no fault of its.
fn linked(status: &LinkStatus) -> (Status, Map<String, Value>) {
    let connected = status.connected.as_ref();
    let block = map(json!({
        "connected": connected.is_some(),
        "transport": connected.map(|connected| connected.transport.name()),
        "since": connected.map(|connected| connected.since),
        "clock_skew_ms": connected.map(|connected| connected.clock_skew.num_milliseconds()),
        "last_error": status.error,
        "commands_waiting": status.waiting,
        "commands_running": status.running,
    }));
    (
        if status.unauthorized {
            Status::Degraded
        } else {
            Status::Healthy
        },
        block,
    )
}

/// How the last scan ended, for heartbeats.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastScan {
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) files: u64,
    pub(crate) errors: u64,
}

#[derive(Debug, Default)]
struct BackupState {
    last: Option<DateTime<Utc>>,
    error: Option<String>,
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
        observe_state(&metrics, state);
        let scan = ScanMetrics {
            duration: metrics.histogram(
                "scanner_scan_duration_seconds",
                "How long the scans took that looked at a path.",
                &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0],
            ),
            files: metrics.counter("scanner_files_processed_total", "Files by what was found of them."),
            errors: metrics.counter(
                "scanner_errors_total",
                "Paths that could not be scanned, requests that failed, records that were refused, by kind.",
            ),
            failed: metrics.counter("scanner_failed_files_total", "Files that could not be told, by reason."),
            success: metrics.gauge("scanner_scan_success_rate", "1 if the last scan was whole, else 0."),
        };
        let newest = crate::state::backups(&context.live(), &state.file)
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
            move || database(&state, &backups)
        });
        registry.ask("outbox", {
            let (outbox, live) = (state.outbox.clone(), context.changes());
            move || {
                let most = live.borrow().outbox.max_bytes.bytes();
                outbox_block(&outbox, most)
            }
        });
        let reports = context.reloader().handle().report();
        registry.ask("configuration", move || reports.borrow().health());
        let settings = context.live().health.clone();
        // Bound at once: an address that cannot be used is an error of the start.
        let server = bind(&settings, None)?;
        let chosen = server.as_ref().map(Server::local_addr);
        Ok(Self {
            registry,
            api: Mutex::default(),
            metrics,
            scan,
            recording,
            progress: Mutex::default(),
            chosen,
            bound: Mutex::new(server.map(|server| (settings, server))),
            live: context.changes(),
            last: Mutex::default(),
            backups,
        })
    }

    /// Serves until `stop`; an error only if that fails. Where it is switched off, it waits until it is switched on.
    pub(crate) async fn serve(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut live = self.live.clone();
        loop {
            let settings = live.borrow_and_update().health.clone();
            let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).take();
            let server = match bound {
                Some((of, server)) if of == settings => Some(server),
                _ => bind(&settings, self.chosen)?,
            };
            let metrics = self.metrics.clone();
            let options = HealthOptions {
                health_path: settings.path.clone(),
            };
            let routes = health_routes(self.registry.clone(), &options).merge(metrics_route(move || metrics.render()));
            let until = stop.child_token();
            let serve = async {
                match server {
                    Some(server) => server.run(routes, until.clone(), Duration::from_secs(1)).await,
                    None => {
                        until.cancelled().await;
                        Ok(())
                    }
                }
            };
            let change = async {
                self.wait_for_another(&mut live, &settings).await;
                until.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                served = serve => served?,
                () = change => {}
            }
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Waits until something else is to be served than by `settings`. Another address is taken before the one that is
    /// there is given up: where that cannot be, it is said, and all stays as it is.
    async fn wait_for_another(&self, live: &mut watch::Receiver<Arc<Live>>, settings: &HealthSettings) {
        let mut refused = settings.clone();
        loop {
            let changed = live.wait_for(|live| live.health != refused).await;
            let Some(wanted) = changed.ok().map(|live| live.health.clone()) else {
                // Nobody is left who could change it.
                return std::future::pending().await;
            };
            if wanted == *settings {
                refused = wanted;
                continue;
            }
            if wanted.listen(PORT).is_none() || wanted.listen(PORT) == settings.listen(PORT) {
                return;
            }
            match bind(&wanted, self.chosen) {
                Ok(server) => {
                    let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
                    *bound = server.map(|server| (wanted, server));
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "health and metrics cannot be served at the new address; they stay where they are"
                    );
                    refused = wanted;
                }
            }
        }
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

    /// Delivery has been going on: what was said of the time before enrolment is over.
    pub(crate) fn delivered(&self) {
        self.api.lock().unwrap_or_else(PoisonError::into_inner).take();
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
        let errors = self.scan.errors.clone();
        Arc::new(move |observation| {
            if !observation.ok {
                errors.add(1, &[("error_type", "network")]);
            }
            let endpoint = endpoint(&observation.path);
            let status = if observation.ok { "success" } else { "failure" };
            requests.add(1, &[("endpoint", endpoint), ("status", status)]);
            retries.add(u64::from(observation.retries), &[("endpoint", endpoint)]);
            seconds.record(observation.duration.as_secs_f64(), &[("endpoint", endpoint)]);
        })
    }

    /// Shows the client's breaker and how delivery goes from now on.
    pub(crate) fn watch_delivery(&self, client: &Client, delivery: &Delivery<Outbox>) {
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
        let (client, status) = (client.clone(), delivery.status());
        self.registry.ask("api", move || {
            let delivery = status.borrow().clone();
            let breaker = client.stats().breaker;
            let status = match (&delivery.error, breaker) {
                (None, BreakerState::Closed) => Status::Healthy,
                _ => Status::Degraded,
            };
            let mut block = map(json!({
                "server": client.server(),
                "last_success": delivery.last_success,
                "circuit_breaker": breaker.name(),
                "records_sent": delivery.sent,
                "records_refused": delivery.rejected,
                "failures_in_a_row": delivery.failures,
            }));
            if let Some(error) = delivery.error {
                block.insert("last_error".to_owned(), error.into());
            }
            (status, block)
        });
    }

    /// The server cannot be used yet.
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
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&progress));
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

    /// A scan could not go on.
    pub(crate) fn scan_failed(&self, why: &str, started: DateTime<Utc>, ended: DateTime<Utc>) {
        let block = json!({"started_at": started, "completed_at": ended, "status": "failed", "error": why});
        self.registry.inform("last_scan", map(block));
        self.scan.success.set(0.0, &[]);
        // What a path does to a scan is no failure of it: what fails a scan is the state.
        self.scan.errors.add(1, &[("error_type", "database")]);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.errors = last.errors.max(1);
        last.ended_at = Some(ended);
    }

    /// Files that the scan under way has looked at.
    pub(crate) fn files_so_far(&self) -> Option<u64> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.as_ref().map(|progress| progress.files.load(Relaxed))
    }

    /// Shows how the link to a fleet controller is.
    pub(crate) fn watch_link(&self, link: watch::Receiver<LinkStatus>) {
        self.registry.ask("link", move || linked(&link.borrow()));
    }

    /// How the last scan ended.
    pub(crate) fn last_scan(&self) -> LastScan {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a scan has ended since the start.
    pub(crate) fn has_scanned(&self) -> bool {
        self.last_scan().ended_at.is_some()
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
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = LastScan {
            ended_at: Some(ended),
            files: summary.files,
            errors: summary.error_count(),
        };
        let scan = &self.scan;
        for root in &summary.roots {
            let path = root.path.to_string_lossy();
            scan.duration
                .record(summary.duration.as_secs_f64(), &[("scan_path", &path)]);
        }
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
            let reason = match kind {
                ErrorKind::Permission => "permission_denied",
                other => other.name(),
            };
            scan.failed.add(*count, &[("reason", reason)]);
        }
    }

    /// The server refused records for good.
    pub(crate) fn refused(&self, records: u64) {
        self.scan.errors.add(records, &[("error_type", "validation")]);
        self.scan.failed.add(records, &[("reason", "validation_error")]);
    }
}

fn observe_state(metrics: &Metrics, state: &State) {
    let size = state.database.clone();
    metrics.observe_gauge("scanner_database_size_bytes", "Size of the state on disk.", move || {
        [Reading::new(size.size() as f64)]
    });
    for (name, help, of) in [
        (
            "scanner_outbox_records",
            "Records that wait for the server.",
            (|stats| stats.records) as fn(&core_model::QueueStats) -> u64,
        ),
        ("scanner_outbox_bytes", "Bytes of the records that wait.", |stats| {
            stats.bytes
        }),
        (
            "scanner_outbox_dropped_records",
            "Records given up because the outbox was full or they were too old, ever.",
            |stats| stats.dropped,
        ),
        (
            "scanner_outbox_damaged_records",
            "Records damaged on disk, ever.",
            |stats| stats.damaged,
        ),
    ] {
        let outbox = state.outbox.clone();
        metrics.observe_gauge(name, help, move || {
            outbox.stats().ok().map(|stats| Reading::new(of(&stats) as f64))
        });
    }
}

fn database(state: &State, backups: &Mutex<BackupState>) -> (Status, Map<String, Value>) {
    let database = &state.database;
    let mut block = map(json!({
        "path": database.path(),
        "size_mb": database.size() as f64 / f64::from(1 << 20),
    }));
    let mut status = Status::Healthy;
    let backups = backups.lock().unwrap_or_else(PoisonError::into_inner);
    block.extend(backups.last.map(|at| ("last_backup".to_owned(), json!(at))));
    if let Some(error) = &backups.error {
        status = Status::Degraded;
        block.insert("backup_error".to_owned(), error.clone().into());
    }
    if !matches!(state.story, Story::New | Story::Sound) {
        block.insert("recovered".to_owned(), state.story.to_string().into());
        // Until the server has been told everything anew, its picture may be wrong.
        if state.outbox.resync().is_ok_and(|wanted| wanted.is_some()) {
            status = Status::Degraded;
        }
    }
    if database.is_disk_short() {
        status = Status::Unhealthy;
        let remedy = "the disk is full: free space, and scans go on by themselves";
        block.insert("error".to_owned(), remedy.into());
    }
    (status, block)
}

fn outbox_block(outbox: &Outbox, most: u64) -> (Status, Map<String, Value>) {
    let stats = match outbox.stats() {
        Ok(stats) => stats,
        Err(error) => return (Status::Unhealthy, map(json!({"error": error.to_string()}))),
    };
    let mut status = Status::Healthy;
    let mut block = map(json!({
        "records": stats.records, "bytes": stats.bytes, "oldest": stats.oldest, "max_bytes": most,
        "dropped": stats.dropped, "damaged": stats.damaged,
    }));
    if outbox.is_blocked() {
        status = Status::Degraded;
        let why = "full (`outbox.max_bytes`): the scan waits until the server takes records";
        block.insert("blocked".to_owned(), why.into());
    }
    match outbox.resync() {
        Ok(None) => {}
        // That a new state has everything to tell is as it should be.
        Ok(Some(wanted)) if wanted.reason == ResyncReason::First => {}
        Ok(Some(wanted)) => {
            status = status.max(Status::Degraded);
            let text = format!("{}: {}", wanted.reason.name(), wanted.detail);
            block.insert("resync_wanted".to_owned(), text.into());
        }
        Err(error) => {
            status = Status::Unhealthy;
            block.insert("error".to_owned(), error.to_string().into());
        }
    }
    (status, block)
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
    let known = KNOWN.into_iter().find(|known| path.starts_with(known));
    // As dashboards have it, which are made for one server.
    known.and_then(|known| known.strip_prefix("/api")).unwrap_or("other")
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}
