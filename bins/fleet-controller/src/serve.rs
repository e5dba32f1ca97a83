//! `fleet-controller serve`: the store, the routes, and what has to happen from time to time.
use crate::{
    cli::{Common, ServeArgs},
    context::Context,
    encryption,
    keeping::{Keeper, see_removals_through, see_snapshots_through},
    links, rules,
    sweeping::{Sweeper, observe_detections},
};
use anyhow::Context as _;
use chrono::Utc;
use core_model::{Backoff, Secret};
use daemon_kit::{
    Exit, Restart, RuntimeSettings, Signals, Supervisor,
    telemetry::{Recorded, Recording},
};
use fleet_api::{ApiSettings, AppState, Links, router};
use fleet_core::{Fleet, Opened, SqliteStore, StoreSettings};
use state_sqlite::{RunLock, Story};
use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task;
use transport_http::{HealthRegistry, Server, ServerLimits, ServerTls};

const AGAIN: Restart = Restart::Backoff(Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
});

pub(crate) fn run(common: &Common, args: &ServeArgs) -> anyhow::Result<Exit> {
    let context = Context::serving(common, args.listen)?;
    daemon_kit::run(RuntimeSettings::default(), serve(Arc::new(context)))
}

async fn serve(context: Arc<Context>) -> anyhow::Result<Exit> {
    // Taken first: checking or restoring a large store takes a while, and ends well when it is cut off.
    let mut signals = Signals::take().context("could not take over the signals of this process")?;
    let started = tokio::select! {
        started = Started::begin(&context) => started?,
        signal = signals.next() => {
            tracing::info!(%signal, "stopping before everything had started");
            return Ok(Exit::Done);
        }
    };
    // Held until everything has ended.
    let (supervisor, _lock) = started.into_supervisor(&context)?;
    let stopped = supervisor.join(signals).await?;
    tracing::info!(cause = ?stopped.cause, "stopped");
    Ok(Exit::Done)
}

/// Everything that can keep the controller from serving is done.
struct Started {
    lock: RunLock,
    health: HealthRegistry,
    recording: Arc<Recording>,
    fleet: Arc<Fleet<SqliteStore>>,
    keeper: Arc<Keeper>,
    server: Server,
    tls: Option<ServerTls>,
}

impl Started {
    async fn begin(context: &Context) -> anyhow::Result<Self> {
        let config = &context.boot;
        // First, so that what is said of the start leaves too.
        let health = HealthRegistry::new(env!("CARGO_PKG_VERSION"), None);
        let recording = Arc::new(record(context, &health)?);
        // Two controllers on one file would each believe to be the only one that writes.
        let lock = RunLock::acquire(&context.database)?;
        // Before the store, which may take long to open: what is wrong with a certificate should be said at once.
        let tls = encryption::read(&config.tls)?;
        let (store, opened) = open(context).await?;
        tell(&opened);
        let keeper = Keeper::new(context, store.clone(), opened);
        let fleet = Arc::new(Fleet::new(store, rules::of_fleet(&context.live())));
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
        announce(&server, tls.is_some(), password.as_ref());
        Ok(Self {
            lock,
            health,
            recording,
            fleet,
            keeper,
            server,
            tls,
        })
    }

    /// Starts every task.
    fn into_supervisor(self, context: &Arc<Context>) -> anyhow::Result<(Supervisor, RunLock)> {
        let Self {
            lock,
            health,
            recording,
            fleet,
            keeper,
            server,
            tls,
        } = self;
        let config = &context.boot;
        let kept = Arc::clone(&keeper);
        health.ask("store", move || kept.health());
        let is_encrypted = tls.is_some();
        if let Some(tls) = tls {
            health.ask("tls", move || encryption::health(&tls, Utc::now()));
        }
        let reports = context.reloader().handle().report();
        health.ask("configuration", move || reports.borrow().health());
        let metrics = recording.metrics.clone();
        metrics.observe_process("fleet");
        let agent_links = Links::new(rules::of_links(&context.live()));
        let watched = agent_links.clone();
        health.ask("agent_link", move || links::health(&watched));
        links::observe(&agent_links, &metrics);
        observe_detections(&fleet, &metrics);
        let render = metrics.clone();
        let routes = router(AppState {
            fleet: Arc::clone(&fleet),
            health: health.clone(),
            metrics: Arc::new(move || render.render()),
            links: agent_links.clone(),
            read_config: Arc::new(read_config),
            public_url: {
                let live = context.changes();
                Arc::new(move || live.borrow().server.public_url.clone())
            },
            settings: ApiSettings {
                max_body: body_limit(config.server.max_body),
                is_encrypted,
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
        let sweeper = Sweeper::new(Arc::clone(&fleet), &metrics, Arc::clone(&keeper));
        supervisor.spawn("sweep", AGAIN, move |stop| Arc::clone(&sweeper).run(stop));
        supervisor.spawn("keep", AGAIN, move |stop| Arc::clone(&keeper).run(stop));
        supervisor.spawn("configuration", AGAIN, {
            let context = Arc::clone(context);
            move |stop| {
                let context = Arc::clone(&context);
                async move { context.reloader().run(stop).await }
            }
        });
        supervisor.spawn("rules", AGAIN, {
            let (live, fleet, links) = (context.changes(), Arc::clone(&fleet), agent_links.clone());
            move |stop| rules::follow(live.clone(), Arc::clone(&fleet), links.clone(), stop)
        });
        supervisor.spawn("telemetry", AGAIN, move |stop| {
            let recording = Arc::clone(&recording);
            async move { recording.run(stop).await }
        });
        let of_links = Arc::clone(&fleet);
        supervisor.spawn("links", AGAIN, move |stop| {
            links::run(agent_links.clone(), Arc::clone(&of_links), stop)
        });
        let of_commands = Arc::clone(&fleet);
        supervisor.spawn("commands", AGAIN, move |stop| {
            links::end_commands(Arc::clone(&of_commands), stop)
        });
        let of_removals = Arc::clone(&fleet);
        supervisor.spawn("removals", AGAIN, move |stop| {
            see_removals_through(Arc::clone(&of_removals), stop)
        });
        supervisor.spawn("snapshots", AGAIN, move |stop| {
            see_snapshots_through(Arc::clone(&fleet), stop)
        });
        states.report_to(&health);
        health.set_ready(true);
        Ok((supervisor, lock))
    }
}

/// What is measured and logged, and where it goes.
fn record(context: &Context, health: &HealthRegistry) -> anyhow::Result<Recording> {
    let of = Recorded {
        service: "fleet-controller",
        version: env!("CARGO_PKG_VERSION"),
        prefix: "fleet",
        agent_id: None,
        data_dir: context.data_dir(),
    };
    Recording::start(of, &context.boot.telemetry.otlp, context.telemetry(), health)
}

/// Opens the store where it may block: every page is read, and a backup may have to be put in its place.
async fn open(context: &Context) -> anyhow::Result<(SqliteStore, Opened)> {
    let (file, backups) = (context.database.clone(), context.backups());
    let open = move || SqliteStore::open_or_recover(&file, StoreSettings::default(), &backups, Utc::now());
    let opened = task::spawn_blocking(open).await;
    Ok(opened.context("opening the store met a bug")??)
}

/// What was found when the store was opened, and what follows from it.
fn tell(opened: &Opened) {
    let Opened { story, agents_asked } = opened;
    match story {
        Story::New | Story::Sound => tracing::debug!("{story}"),
        Story::Rebuilt { .. } => {
            tracing::error!("{story}; a new admin is made, and every agent has to enrol again with a new join token")
        }
        Story::Restored { .. } | Story::RolledBack { .. } => tracing::error!(
            agents = agents_asked,
            "{story}; every agent is asked for a full snapshot. Agents that enrolled since have to enrol again, and what \
             was revoked since has to be revoked again"
        ),
    }
}

/// The document that is to be an agent's configuration. What it may say is for the agent to judge.
fn read_config(text: &str) -> Result<serde_json::Value, String> {
    let parsed = conf::parse("configuration", text, conf::Format::Yaml);
    let read = parsed.and_then(|tree| conf::from_tree(&tree));
    read.map_err(|problems| problems.render(false))
}

fn body_limit(size: core_model::ByteSize) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

/// On standard output, for whoever starts it by hand or by a program; the password is in no log.
fn announce(server: &Server, is_encrypted: bool, password: Option<&Secret>) {
    let address = server.local_addr();
    let mut out = std::io::stdout().lock();
    // Nobody may be reading: the controller works all the same.
    if let Some(password) = password {
        let _ = writeln!(out, "first start: sign in as `admin`; this password is shown only now");
        let _ = writeln!(out, "admin password: {}", password.reveal());
    }
    let scheme = if is_encrypted { "https" } else { "http" };
    let _ = writeln!(out, "listening on {scheme}://{address}");
    let _ = out.flush();
    tracing::info!(%address, "listening");
}
