//! The loop of scans: by each rule when it is due, what somebody asks for, and what was cut off; one at a time.
use crate::{
    agenda::{Agenda, Next},
    parts::Parts,
    quarantine,
    scan::{How, Report, ScanError, Wanted, event_id, not_begun},
    settings::{RuleSettings, rule_names},
    state::scans,
};
use chrono::{DateTime, Utc};
use core_model::chain;
use daemon_kit::blocking;
use fleet_wire::{MalwareRecord, MalwareScan, ScanCause, ScanStatus};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How often it is looked, besides, whether something is due: a clock may be set.
const LOOK: Duration = Duration::from_secs(30);

/// And no more often than this, whatever the clock does.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// How often it is looked while a scan lasts whether the next one is due.
const LOOK_WHILE_SCANNING: Duration = Duration::from_secs(2);

/// So soon the keeper sees that clamd is gone, where somebody else could not reach it.
const KEEPER_LOOKS: Duration = Duration::from_secs(3);

/// What came of a scan.
pub(crate) enum Made {
    /// Its report, and whether it was stopped before its end.
    Report(Box<Report>, bool),
    /// Why there is none.
    Failed(String),
}

/// Scans until `stop`.
pub(crate) async fn run(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let mut agenda = Agenda::default();
    let mut changes = parts.context.changes();
    let mut clamd = parts.keeper.state();
    look_back(&parts).await?;
    let mut rest = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = parts.wake.notified() => {}
            Ok(()) = changes.changed() => {}
            Ok(_) = clamd.wait_for(|clamd| agenda.is_woken(clamd)) => {}
            () = time::sleep(rest.clamp(SHORTEST_REST, LOOK)) => {}
        }
        let live = parts.context.live();
        agenda.follow(&parts, &live).await?;
        agenda.look_again(&parts.keeper.state().borrow());
        let now = Utc::now();
        let Some(_at_work) = parts.reporter.hold() else {
            return Ok(());
        };
        let next = match parts.orders.take() {
            Some(asked) => Some(Next::of_asked(asked)),
            None => agenda.due(&live, parts.keeper.state().borrow().is_up(), now),
        };
        let Some(next) = next else {
            agenda.tell(&parts, &live, now);
            rest = agenda.rest(&live, now);
            continue;
        };
        rest = Duration::ZERO;
        make(&parts, &mut agenda, next, &stop).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Looks at what processes before have left, and tells what they could not: what they had just taken away.
pub(crate) async fn look_back(parts: &Parts) -> anyhow::Result<()> {
    let own = parts.clone();
    blocking(move || {
        own.health.look_into_quarantine();
        quarantine::tell_unknown(&own.context.quarantine(), &own.state.database, &own.reporter)
    })
    .await?;
    parts.health.oldest_verdict_is(parts.engine.oldest_verdict().await);
    Ok(())
}

/// Scans what a watch could not follow until `stop`, beside what is due: it was written just now.
pub(crate) async fn run_lost(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let mut agenda = Agenda::default();
    while let Some(asked) = stop.run_until_cancelled(parts.orders.lost()).await {
        let Some(_at_work) = parts.reporter.hold() else {
            return Ok(());
        };
        make(&parts, &mut agenda, Next::of_asked(asked), &stop).await?;
    }
    Ok(())
}

/// Scans by one rule now, until `stop`: for a run that ends by itself.
pub(crate) async fn make_once(parts: &Parts, rule: &RuleSettings, stop: &CancellationToken) -> anyhow::Result<Made> {
    let (database, name) = (parts.state.database.clone(), rule.name.clone());
    let last = blocking(move || scans::last(&database, &name)).await?;
    parts.health.scanned_before(&last);
    let next = Next {
        cancel: stop.clone(),
        timing: None,
        ..Next::of_rule(rule, ScanCause::Local)
    };
    make(parts, &mut Agenda::default(), next, &CancellationToken::new()).await
}

/// Makes one scan, and tells how it ended. Where the agent may end meanwhile, the caller
/// [holds](crate::news::Reporter::hold) the reporter.
async fn make(parts: &Parts, agenda: &mut Agenda, next: Next, stop: &CancellationToken) -> anyhow::Result<Made> {
    let began = Utc::now();
    let id = event_id(began)?;
    let Next {
        wanted,
        how,
        cause,
        span,
        progress,
        cancel,
        timing,
        asked,
    } = next;
    let how = How { id: Some(id), ..how };
    let (database, rule, scope) = (parts.state.database.clone(), wanted.rule.clone(), wanted.scope);
    let expected = blocking(move || {
        let before = scans::newest(&database, &rule)?.and_then(|scan| scan.ended);
        scans::begin(&database, id, (&rule, scope), cause, began)?;
        Ok(before.map_or(0, |before| before.met.files))
    });
    match expected.await {
        Ok(expected) => progress.expected.store(expected, Relaxed),
        // It is scanned all the same, and written down when it has ended.
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "that a scan begins cannot be written down"
        ),
    }
    if let Some(timing) = timing.as_deref().and_then(|rule| agenda.rules.get_mut(rule)) {
        timing.began(began);
    }
    let work = parts.agent_orders.begin();
    let _busy = parts.keeper.busy();
    let until = stop.child_token();
    parts
        .health
        .scan_began(id, (&wanted.rule, scope), began, Arc::clone(&progress));
    tracing::info!(scan = %id, rule = wanted.rule, cause = cause.name(), "a scan begins");
    let reporter = parts.reporter.clone();
    let scanned = {
        let found = |found: &crate::scan::Detection| reporter.report(found.time, MalwareRecord::Detected(found.into()));
        let scan = parts
            .engine
            .scan(wanted.clone(), how, Arc::clone(&progress), found, until.clone());
        let span = tracing::info_span!(target: daemon_kit::telemetry::RUN, parent: &span, "scan", rule = wanted.rule, scan = %id);
        let scan = scan.instrument(span);
        tokio::pin!(scan);
        loop {
            tokio::select! {
                scanned = &mut scan => break scanned,
                () = work.stopped(), if !until.is_cancelled() => {
                    tracing::info!(scan = %id, "the scan is stopped, as the controller asked");
                    until.cancel();
                }
                () = cancel.cancelled(), if !until.is_cancelled() => until.cancel(),
                () = time::sleep(LOOK_WHILE_SCANNING) => {
                    let live = parts.context.live();
                    if agenda.wants_cancel(&live, timing.as_deref(), Utc::now()) {
                        until.cancel();
                    }
                }
            }
        }
    };
    drop(work);
    parts.linked.ended();
    let was_stopped = until.is_cancelled();
    let ended = Utc::now();
    let mut told = ended_scan(id, &wanted, cause, (began, ended), &scanned, was_stopped);
    told.proof.rules = Some(rule_names(&parts.context.live().rules));
    told.proof.canary_found_at = parts
        .keeper
        .state()
        .borrow()
        .canary
        .as_ref()
        .and_then(|canary| canary.last_found);
    parts.health.scan_ended(&told);
    let has_failed = scanned.is_err();
    if let Err(error) = &scanned {
        tracing::error!(rule = wanted.rule, error = chain(error), "the scan failed");
        if let Some(error) = error.no_clamd() {
            parts.keeper.connection_failed();
            parts.health.metrics.failed(error.kind().as_str(), 1);
            // The keeper sees when it is back, long before the scan would be tried again by the clock.
            let mut clamd = parts.keeper.state();
            let seen = time::timeout(KEEPER_LOOKS, clamd.wait_for(|clamd| !clamd.is_up())).await;
            if let (Some(rule), Ok(Ok(_))) = (&timing, seen) {
                agenda.first.push((rule.clone(), cause));
            }
        }
    }
    if let (Some(rule), Ok(report)) = (&timing, &scanned) {
        if report.blind.is_some() {
            agenda.blind.insert(rule.clone(), ended);
        } else {
            agenda.blind.remove(rule);
        }
    }
    let made = match scanned {
        Ok(report) => Made::Report(Box::new(report), was_stopped),
        Err(error) => Made::Failed(chain(&error)),
    };
    // Where the agent ends, the scan was cut off, and goes on when the agent is back.
    if !stop.is_cancelled() {
        parts.reporter.report(ended, MalwareRecord::ScanEnded(told));
        if let Some(asked) = asked {
            asked.ended(&made);
        }
        if let Some(timing) = timing.as_deref().and_then(|rule| agenda.rules.get_mut(rule)) {
            timing.ended(None, began, has_failed, ended);
        }
    }
    parts.reporter.flushed().await;
    parts.health.oldest_verdict_is(parts.engine.oldest_verdict().await);
    Ok(made)
}

/// How a scan ended, as it is told.
fn ended_scan(
    id: core_model::EventId,
    wanted: &Wanted,
    cause: ScanCause,
    (started_at, ended_at): (DateTime<Utc>, DateTime<Utc>),
    scanned: &Result<Report, ScanError>,
    was_stopped: bool,
) -> MalwareScan {
    match scanned {
        Ok(report) => {
            let mut scan = report.to_wire(cause);
            if was_stopped {
                scan.status = ScanStatus::Stopped;
            }
            scan
        }
        Err(error) => MalwareScan {
            id,
            rule: wanted.rule.clone(),
            cause,
            started_at,
            ended_at,
            status: ScanStatus::Failed,
            met: Default::default(),
            account: BTreeMap::new(),
            unaccounted: 0,
            detections: 0,
            engine: None,
            error: Some(chain(error)),
            proof: Box::new(not_begun(wanted)),
        },
    }
}
