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
    settings::ScannerConfig,
};
use chrono::{DateTime, Utc};
use daemon_kit::{Exit, Timing, bell::Bell, blocking};
use fleet_link::agent::{AgentOrders, AgentState, Daemon, Linked, daemon};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

/// How often it is looked, besides, whether something is due or asked for: a clock may be set, a ring unheard.
const LOOK: Duration = Duration::from_secs(30);

/// And no more often than this, whatever the clock does.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// The same while a scan lasts; delivery takes what was found meanwhile as often.
const LOOK_WHILE_SCANNING: Duration = Duration::from_secs(2);

pub(crate) fn run(context: Context, args: &RunArgs) -> anyhow::Result<Exit> {
    if args.once {
        return once::run(context, &args.join);
    }
    // What cannot be scanned at all should be known before anything starts.
    request::of_settings(&context.live().scanner, 0)?;
    let (context, join) = (Arc::new(context), args.join.clone());
    daemon(Arc::clone(&context.process), move |state, orders| {
        assemble(context, &join, state, orders)
    })
}

fn assemble(
    context: Arc<Context>,
    join: &JoinArgs,
    state: Arc<AgentState>,
    orders: AgentOrders,
) -> anyhow::Result<Daemon<ScannerConfig>> {
    let health = Arc::new(Health::start(&context, &state)?);
    let linked = Linked::default();
    let orders = Orders::new(linked.wake(), orders);
    let verbs = orders.verbs(&health);
    let agent = agent::agent(&context, join, &state, &health, linked.clone(), verbs);
    let parts = Parts {
        scanning: Scanning {
            context: Arc::clone(&context),
            state,
            health,
            flag: Arc::new(AtomicBool::new(false)),
            prints: false,
        },
        linked,
        orders,
    };
    let is_up = move || say_up(&context);
    let daemon = Daemon::new(agent, is_up, "what they had not stored is scanned again");
    Ok(daemon.task("scan", parts, scan_loop))
}

fn say_up(context: &Context) {
    let live = context.live();
    match &live.scanner.schedule.when {
        Some(schedule) => tracing::info!(%schedule, zone = %live.scanner.schedule.zone, "scanner is up"),
        None => tracing::info!(interval = %live.scanner.scan_interval, "scanner is up"),
    }
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
    if scanning.context.live().common.server.base_url.is_none() || !is_answering {
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
