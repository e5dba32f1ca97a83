//! `scanner run`: stay up, scan at an interval, deliver, take backups; every task under one supervisor.
use crate::{
    agent,
    cli::{JoinArgs, RunArgs},
    context::Context,
    health::Health,
    once,
    orders::{Asked, Orders},
    request, requests,
    scanning::{self, Scanning},
    session,
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use core_model::Backoff;
use daemon_kit::{Exit, Restart, RuntimeSettings, Signals, Supervisor, Timing, bell::Bell, blocking, start_again};
use fleet_link::agent::{Linked, upkeep};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

/// So long tasks get to end; systemd's own limit is 90 seconds.
const GRACE: Duration = Duration::from_secs(20);

/// How often it is looked, besides, whether something is due or asked for: a clock may be set, a ring unheard.
const LOOK: Duration = Duration::from_secs(30);

/// And no more often than this, whatever the clock does.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// The same while a scan lasts; delivery takes what was found meanwhile as often.
const LOOK_WHILE_SCANNING: Duration = Duration::from_secs(2);

const AGAIN: Restart = Restart::Backoff(Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
});

pub(crate) fn run(context: Context, args: &RunArgs) -> anyhow::Result<Exit> {
    if args.once {
        return once::run(context, &args.join);
    }
    // What cannot be scanned at all should be known before anything starts.
    request::of_settings(&context.live().scanner, 0)?;
    let wants_restart = Arc::new(AtomicBool::new(false));
    let serve = serve(Arc::new(context), args.join.clone(), Arc::clone(&wants_restart));
    let exit = daemon_kit::run(RuntimeSettings::default(), serve)?;
    // Everything is closed and unlocked by now.
    if wants_restart.load(Ordering::Relaxed) {
        return Err(start_again());
    }
    Ok(exit)
}

async fn serve(context: Arc<Context>, join: JoinArgs, wants_restart: Arc<AtomicBool>) -> anyhow::Result<Exit> {
    // Taken first: checking or restoring a large state takes a while, and ends well when it is cut off.
    let mut signals = Signals::take().context("could not take over the signals of this process")?;
    let own = Arc::clone(&context);
    let state = tokio::select! {
        state = blocking(move || own.own_state()) => Arc::new(state?),
        signal = signals.next() => {
            tracing::info!(%signal, "stopping before everything had started");
            return Ok(Exit::Done);
        }
    };
    let mut agent = Supervisor::new(GRACE);
    let health = Arc::new(Health::start(&context, &state)?);
    health.agent.watch_tasks(&agent.states());
    let linked = Linked::default();
    let orders = Orders::new(linked.wake(), agent.stop());
    let parts = Parts {
        orders: orders.clone(),
        scanning: Scanning {
            context: Arc::clone(&context),
            state: Arc::clone(&state),
            health: Arc::clone(&health),
            flag: Arc::new(AtomicBool::new(false)),
            prints: false,
        },
        linked: linked.clone(),
    };
    agent.spawn("configuration", AGAIN, {
        let context = Arc::clone(&context);
        move |stop| {
            let context = Arc::clone(&context);
            async move { context.reloader().run(stop).await }
        }
    });
    agent.spawn("health", AGAIN, {
        let (health, context) = (Arc::clone(&health), Arc::clone(&context));
        move |stop| {
            let (health, context) = (Arc::clone(&health), Arc::clone(&context));
            async move { health.agent.serve(context.agent(), stop).await }
        }
    });
    agent.spawn("telemetry", AGAIN, {
        let health = Arc::clone(&health);
        move |stop| {
            let health = Arc::clone(&health);
            async move { health.agent.export(stop).await }
        }
    });
    agent.spawn("link", AGAIN, {
        let link = agent::agent(&context, &join, &state, &health, linked, orders.verbs(&health));
        move |stop| {
            let link = link.clone();
            async move { link.run(stop).await }
        }
    });
    agent.spawn("scan", AGAIN, {
        let parts = parts.clone();
        move |stop| scan_loop(parts.clone(), stop)
    });
    agent.spawn("upkeep", AGAIN, {
        let (context, scanned) = (context.agent().clone(), Arc::clone(&health));
        move |stop| {
            let has_scanned = {
                let scanned = Arc::clone(&scanned);
                move || scanned.has_scanned()
            };
            upkeep(
                context.clone(),
                Arc::clone(&state),
                Arc::clone(&scanned.agent),
                has_scanned,
                stop,
            )
        }
    });
    health.agent.ready();
    let live = context.live();
    match &live.scanner.schedule.when {
        Some(schedule) => tracing::info!(%schedule, zone = %live.scanner.schedule.zone, "scanner is up"),
        None => tracing::info!(interval = %live.scanner.scan_interval, "scanner is up"),
    }
    let stopped = agent.join(signals).await?;
    if !stopped.aborted.is_empty() {
        tracing::warn!(tasks = ?stopped.aborted, "ended without them; what they had not stored is scanned again");
    }
    wants_restart.store(orders.wants_restart(), Ordering::Relaxed);
    Ok(Exit::Done)
}

/// What the tasks share.
#[derive(Clone)]
struct Parts {
    scanning: Scanning,
    /// Whether the server takes records, as delivery says.
    linked: Linked,
    /// What a controller asks for.
    orders: Orders,
}

/// Scans when due, when the server has to be told everything anew, and when somebody asks.
async fn scan_loop(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let Parts {
        scanning,
        linked,
        orders,
    } = parts;
    let wake = linked.wake();
    let mut timing = Timing::new(scanning.context.agent_name(), "scan", last_scan(&scanning)?);
    let mut changes = scanning.context.changes();
    let bell = Bell::hang(&requests::bell(&scanning.state.file));
    let mut rest = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = wake.notified() => {}
            () = bell.rung() => {}
            Ok(()) = changes.changed() => {}
            () = time::sleep(rest.clamp(SHORTEST_REST, LOOK)) => {}
        }
        let own = scanning.clone();
        let is_answering = linked.is_answering();
        let is_asked = blocking(move || {
            let is_asked = requests::serve(&own.context, &own.state)?;
            Ok(is_asked || wants_resync(&own, is_answering)?)
        });
        let is_asked = is_asked.await?;
        let asked = orders.take();
        let is_asked = is_asked || !asked.is_empty();
        let now = Utc::now();
        let live = scanning.context.live();
        let interval = Some(live.scanner.scan_interval);
        if !timing.is_due(&live.scanner.schedule, interval, now) && !is_asked {
            rest = timing.rest(interval, now);
            continue;
        }
        rest = Duration::ZERO;
        timing.began(now);
        scanning.health.forget_progress();
        let work = orders.begin();
        let scanned = {
            let asked_by = asked.first().map_or_else(Span::current, Asked::span);
            let scan = scanning.scan(linked.is_answering()).instrument(asked_by);
            tokio::pin!(scan);
            let mut is_wanted = true;
            loop {
                tokio::select! {
                    scanned = &mut scan => break scanned,
                    () = stop.cancelled() => {
                        scanning::stop(&scanning);
                        break scan.await;
                    }
                    () = orders.scan_unwanted(&work, &asked), if is_wanted => {
                        is_wanted = false;
                        scanning::stop(&scanning);
                    }
                    () = time::sleep(LOOK_WHILE_SCANNING) => {
                        linked.found();
                        if timing.wants_cancel(&scanning.context.live().scanner.schedule, Utc::now()) {
                            scanning::stop(&scanning);
                        }
                    }
                }
            }
        };
        orders.ended(work, &scanned);
        linked.ended();
        if !stop.is_cancelled() {
            asked.into_iter().for_each(|asked| asked.ended(&scanned));
        }
        if stop.is_cancelled() {
            return Ok(());
        }
        scanning::go_on(&scanning);
        let has_failed = match scanned {
            Ok(_) => false,
            // It waited for room when it was told to stop.
            Err(error) if scanning::is_gave_up(&error) => false,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the scan failed; it is tried again");
                true
            }
        };
        let interval = Some(scanning.context.live().scanner.scan_interval);
        timing.ended(interval, now, has_failed, Utc::now());
    }
}

/// Whether everything has to be told anew, and can be.
fn wants_resync(scanning: &Scanning, is_answering: bool) -> anyhow::Result<bool> {
    if scanning.context.live().server.base_url.is_none() || !is_answering {
        return Ok(false);
    }
    Ok(scanning.state.outbox.resync()?.is_some())
}

/// When the last scan that came to its end began; `None` where one is due at once.
fn last_scan(scanning: &Scanning) -> anyhow::Result<Option<DateTime<Utc>>> {
    let is_open = scanning::was_interrupted(&scanning.state)? || scanning.state.outbox.resync()?.is_some();
    let last = session::history(&scanning.state.database, 1)?.pop();
    Ok(last.filter(|_| !is_open).map(|last| last.started_at))
}
