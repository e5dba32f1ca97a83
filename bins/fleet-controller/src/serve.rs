//! `fleet-controller serve`: the store, the routes, and what has to happen from time to time.
use crate::{
    cli::{Common, ServeArgs},
    context::Context,
    keeping::{Keeper, tls_health},
};
use anyhow::Context as _;
use chrono::Utc;
use core_model::Backoff;
use daemon_kit::{Exit, Restart, RuntimeSettings, Supervisor};
use fleet_api::{ApiSettings, AppState, router};
use fleet_core::{Fleet, FleetSettings, SqliteStore, Store, StoreSettings};
use state_sqlite::{RunLock, Story};
use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use telemetry_otel::{Gauge, Metrics};
use tokio::{task, time};
use transport_http::{HealthRegistry, Server, ServerLimits, ServerTls};

const SWEEP_EVERY: Duration = Duration::from_secs(15);
const KEEP_EVERY: Duration = Duration::from_secs(60);

pub(crate) fn run(common: &Common, args: &ServeArgs) -> anyhow::Result<Exit> {
    let context = Context::new(common, args.listen)?;
    daemon_kit::run(RuntimeSettings::default(), serve(&context))
}

async fn serve(context: &Context) -> anyhow::Result<Exit> {
    let config = &context.config;
    // Two controllers on one file would each believe to be the only one that writes.
    let _lock = RunLock::acquire(&context.database)?;
    // Read first: a certificate that cannot be used should not cost a start of everything else.
    let tls = config
        .tls
        .files()
        .map(|files| ServerTls::from_files(&files))
        .transpose()?;
    let (store, story) = SqliteStore::open_or_recover(
        &context.database,
        StoreSettings::default(),
        &context.backups(),
        Utc::now(),
    )?;
    tell(&story);
    let keeper = Keeper::new(context, store.clone(), story);
    let settings = FleetSettings {
        offline_after: config.agents.offline_after.get(),
        session_life: config.auth.session.get(),
        ..FleetSettings::default()
    };
    let fleet = Arc::new(Fleet::new(store, settings));
    // Bound before the admin is made: a password printed by a controller that then cannot start would be lost.
    let mut server = Server::bind(config.server.listen)?.with_limits(ServerLimits {
        request_timeout: config.server.request_timeout.get(),
        max_body: config.server.max_body,
        max_connections: config.server.max_connections as usize,
        ..ServerLimits::default()
    });
    if let Some(tls) = &tls {
        server = server.with_tls(tls.clone());
    }
    let password = fleet
        .ensure_admin(Utc::now())
        .await
        .context("could not make the first user")?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    announce(&server, scheme, password.as_ref().map(core_model::Secret::reveal));

    let health = HealthRegistry::new(env!("CARGO_PKG_VERSION"), None);
    let kept = Arc::clone(&keeper);
    health.ask("database", move || kept.health());
    if let Some(tls) = tls {
        health.ask("tls", move || tls_health(&tls, Utc::now()));
    }
    let metrics = Metrics::new(&[])?;
    metrics.observe_process("fleet");
    let render = metrics.clone();
    let routes = router(AppState {
        fleet: Arc::clone(&fleet),
        health: health.clone(),
        metrics: Arc::new(move || render.render()),
        settings: ApiSettings {
            max_body: body_limit(config.server.max_body),
            ..ApiSettings::default()
        },
    });
    let grace = config.server.shutdown_grace.get();
    let mut supervisor = Supervisor::new(grace + Duration::from_secs(2));
    let states = supervisor.states();
    let http = Mutex::new(Some((server, routes)));
    supervisor.spawn("http", Restart::Never, move |stop| {
        let parts = http.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            match parts {
                Some((server, routes)) => server.run(routes, stop, grace).await.map_err(anyhow::Error::from),
                None => Ok(()),
            }
        }
    });
    let sweeper = Arc::new(Sweeper::new(fleet, &metrics, Arc::clone(&keeper)));
    let again = Restart::Backoff(Backoff {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(60),
    });
    supervisor.spawn("sweep", again, move |stop| {
        let sweeper = Arc::clone(&sweeper);
        async move {
            while !stop.is_cancelled() {
                sweeper.sweep().await;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = time::sleep(SWEEP_EVERY) => {}
                }
            }
            Ok::<(), anyhow::Error>(())
        }
    });
    supervisor.spawn("keep", again, move |stop| {
        let keeper = Arc::clone(&keeper);
        async move {
            while !stop.is_cancelled() {
                let keeper = Arc::clone(&keeper);
                task::spawn_blocking(move || keeper.keep(Utc::now())).await?;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = time::sleep(KEEP_EVERY) => {}
                }
            }
            Ok::<(), anyhow::Error>(())
        }
    });
    states.report_to(&health);
    health.set_ready(true);
    let stopped = supervisor.join().await?;
    tracing::info!(cause = ?stopped.cause, "stopped");
    Ok(Exit::Done)
}

/// What was found when the store was opened, and what follows from it.
fn tell(story: &Story) {
    match story {
        Story::New | Story::Sound => tracing::debug!("{story}"),
        Story::Rebuilt { .. } => {
            tracing::error!("{story}; a new admin is made, and every agent has to enrol again with a new join token")
        }
        _ => tracing::error!("{story}; every agent is asked for a snapshot"),
    }
}

fn body_limit(size: core_model::ByteSize) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

/// On standard output, for whoever starts it by hand or by a program; the password is in no log.
fn announce(server: &Server, scheme: &str, password: Option<&str>) {
    let address = server.local_addr();
    let mut out = std::io::stdout().lock();
    // Nobody may be reading: the controller works all the same.
    if let Some(password) = password {
        let _ = writeln!(out, "first start: sign in as `admin`; this password is shown only now");
        let _ = writeln!(out, "admin password: {password}");
    }
    let _ = writeln!(out, "listening on {scheme}://{address}");
    let _ = out.flush();
    tracing::info!(%address, "listening");
}

/// What has to happen from time to time, and what it finds out for health and metrics.
struct Sweeper {
    fleet: Arc<Fleet<SqliteStore>>,
    keeper: Arc<Keeper>,
    agents: Gauge,
    files: Gauge,
}

impl Sweeper {
    fn new(fleet: Arc<Fleet<SqliteStore>>, metrics: &Metrics, keeper: Arc<Keeper>) -> Self {
        Self {
            fleet,
            keeper,
            agents: metrics.gauge("fleet_agents", "Agents by status."),
            files: metrics.gauge("fleet_files", "Files known of all agents."),
        }
    }

    async fn sweep(&self) {
        let now = Utc::now();
        let swept = self.fleet.sweep(now).await;
        let sums = self
            .fleet
            .store()
            .statistics(now, self.fleet.settings().offline_after)
            .await;
        match swept.and(sums) {
            Ok(sums) => {
                self.keeper.wrote(Ok(()));
                for (status, count) in [
                    ("online", sums.online),
                    ("degraded", sums.degraded),
                    ("offline", sums.offline),
                ] {
                    self.agents.set(count as f64, &[("status", status)]);
                }
                self.files.set(sums.files.present as f64, &[]);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store could not be swept");
                self.keeper.wrote(Err(error.to_string()));
            }
        }
    }
}
