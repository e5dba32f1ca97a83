//! One round: scan the configured paths, tell the server, exit. For `run --once` and `resume`.
use crate::{
    agent,
    cli::JoinArgs,
    context::Context,
    health::Health,
    report, requests,
    scanning::{self, Scanning},
    settings::ScannerConfig,
    stop,
};
use daemon_kit::{Exit, RuntimeSettings, to_stdout};
use fleet_link::{
    Verbs,
    agent::{AgentState, Linked, Membership},
};
use fsscan::Summary;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// `scanner run --once`.
pub(crate) fn run(context: Context, join: &JoinArgs) -> anyhow::Result<Exit> {
    let state = context.own_state()?;
    round(context, join, state, true)
}

/// `scanner resume`: a scan only if the last one did not come to its end.
pub(crate) fn resume(context: Context, join: &JoinArgs) -> anyhow::Result<Exit> {
    let state = context.own_state()?;
    let is_due = scanning::was_interrupted(&state)?;
    if !is_due && !context.quiet {
        let waiting = state.waiting();
        to_stdout(format_args!(
            "no scan was interrupted; {waiting} records wait for the server\n"
        ))?;
    }
    round(context, join, state, is_due)
}

fn round(context: Context, join: &JoinArgs, state: AgentState, scans: bool) -> anyhow::Result<Exit> {
    let work = work(Arc::new(context), join, Arc::new(state), scans);
    daemon_kit::run(RuntimeSettings::of_command(), work)
}

async fn work(context: Arc<Context>, join: &JoinArgs, state: Arc<AgentState>, scans: bool) -> anyhow::Result<Exit> {
    let stop = stop::on_signal()?;
    let health = Arc::new(Health::start(&context, &state)?);
    // Who the agent is must be settled before the scan: a wrong key or name should not be found out hours later. That
    // the server is away is no reason not to scan.
    let agent = agent::agent(&context, join, &state, &health, Linked::default(), Verbs::new());
    let link = agent.establish().await?;
    if let Some(link) = &link {
        link.sync_config(&stop.token).await?;
    }
    requests::serve(&context, &state)?;
    let serve = health.agent.serve(context.agent(), CancellationToken::new());
    let scanning = Scanning {
        context: Arc::clone(&context),
        state,
        health: Arc::clone(&health),
        flag: Arc::clone(&stop.flag),
        prints: true,
    };
    health.agent.ready();
    tokio::pin!(serve);
    let work = async {
        let mut summary = None;
        if scans {
            summary = scan(&scanning, link.as_ref()).await?;
            if summary.is_none() {
                return Ok(Exit::Partial);
            }
        }
        let mut is_told = told(link.as_ref(), summary.as_ref(), &stop.token).await;
        if scans && !is_told && wants_all(&scanning, link.as_ref(), &stop.token)? {
            // What the server lacks is found out by telling it something: it is set right in this run, not in the next.
            tracing::info!("scanning again, to tell the server everything");
            summary = scan(&scanning, link.as_ref()).await?;
            if summary.is_none() {
                return Ok(Exit::Partial);
            }
            is_told = told(link.as_ref(), summary.as_ref(), &stop.token).await;
        }
        let exit = summary.as_ref().map_or(Exit::Done, report::exit);
        // On a full disk it cannot even be written down what the server took.
        let is_kept = !scanning.state.database.is_disk_short();
        let is_whole = is_told && is_kept && summary.is_none_or(|summary| summary.held == 0);
        Ok(if !is_whole && exit == Exit::Done {
            Exit::Partial
        } else {
            exit
        })
    };
    let exit = tokio::select! {
        exit = work => exit,
        served = &mut serve => served.map(|()| Exit::Done),
    };
    health.agent.export_once(&stop.token).await;
    exit
}

async fn told(link: Option<&Membership<ScannerConfig>>, summary: Option<&Summary>, stop: &CancellationToken) -> bool {
    match link {
        Some(link) => link.finish(summary.map(agent::pulse_of), stop).await,
        None => true,
    }
}

/// Whether the server answers and wants everything told anew.
fn wants_all(
    scanning: &Scanning,
    link: Option<&Membership<ScannerConfig>>,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let can_be_told = link.is_some_and(Membership::is_answering) && !stop.is_cancelled();
    Ok(can_be_told && scanning.state.outbox.resync()?.is_some())
}

/// Scans, and delivers meanwhile; `None` when the scan waited for room in the outbox and nobody takes records away.
async fn scan(scanning: &Scanning, link: Option<&Membership<ScannerConfig>>) -> anyhow::Result<Option<Summary>> {
    let scan = scanning.scan(true);
    tokio::pin!(scan);
    let scanned = match link {
        Some(link) => tokio::select! {
            scanned = &mut scan => scanned,
            () = link.keep_up() => scan.await,
            () = stuck(scanning, link) => {
                scanning.state.stop.store(true, Ordering::Relaxed);
                scan.await
            }
        },
        None => scan.await,
    };
    match scanned {
        Ok(summary) => Ok(Some(summary)),
        Err(error) if scanning::is_gave_up(&error) => {
            tracing::error!(
                waiting = scanning.state.waiting(),
                "the outbox is full (`outbox.max_bytes`) and the server takes nothing: the scan was given up; what it \
                 found is kept, and the next one goes on"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Until the scan waits for room that it will not get: the server takes nothing, or the process has to end.
async fn stuck(scanning: &Scanning, link: &Membership<ScannerConfig>) {
    let mut look = time::interval(Duration::from_millis(200));
    loop {
        look.tick().await;
        let is_over = !link.is_answering() || scanning.flag.load(Ordering::Relaxed);
        if scanning.state.outbox.is_blocked() && is_over {
            return;
        }
    }
}
