//! The loop of scans: by each rule when it is due, what somebody asks for, and what was cut off; one at a time.
use crate::{
    keeper::ClamdState,
    orders::Asked,
    parts::Parts,
    quarantine,
    scan::{BLIND, How, Progress, Report, ScanError, Wanted, event_id, not_begun},
    settings::{Live, RuleSettings, rule_names},
    state::scans,
};
use chrono::{DateTime, Utc};
use core_model::chain;
use daemon_kit::{Timing, blocking};
use fleet_wire::{MalwareRecord, MalwareScan, ScanCause, ScanStatus};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

/// How often it is looked, besides, whether something is due: a clock may be set.
const LOOK: Duration = Duration::from_secs(30);

/// And no more often than this, whatever the clock does.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// How often it is looked while a scan lasts whether the next one is due.
const LOOK_WHILE_SCANNING: Duration = Duration::from_secs(2);

/// So soon the keeper sees that clamd is gone, where somebody else could not reach it.
const KEEPER_LOOKS: Duration = Duration::from_secs(3);

/// A scan that is to be made.
struct Next {
    wanted: Wanted,
    how: How,
    cause: ScanCause,
    span: Span,
    progress: Arc<Progress>,
    cancel: CancellationToken,
    /// The rule whose schedule it is of.
    timing: Option<String>,
    asked: Option<Asked>,
}

/// What came of a scan.
pub(crate) enum Made {
    /// Its report, and whether it was stopped before its end.
    Report(Box<Report>, bool),
    /// Why there is none.
    Failed(String),
}

/// When each rule is due.
#[derive(Default)]
struct Agenda {
    rules: BTreeMap<String, Timing>,
    /// Rules that go first as soon as clamd is there: their scan was cut off when the agent ended, or found no clamd.
    first: Vec<(String, ScanCause)>,
    /// When each rule's last scan ended, of those during which clamd did not detect: they are due when it does.
    blind: BTreeMap<String, DateTime<Utc>>,
    is_begun: bool,
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

/// Makes one scan, and tells how it ended.
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
    let (_busy, _at_work) = (parts.keeper.busy(), parts.reporter.hold());
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

impl Next {
    fn of_asked(asked: Asked) -> Self {
        Self {
            wanted: asked.wanted.clone(),
            how: asked.how.clone(),
            cause: asked.cause,
            span: asked.span.clone(),
            progress: Arc::clone(&asked.progress),
            cancel: asked.cancel.clone(),
            timing: None,
            asked: Some(asked),
        }
    }

    fn of_rule(rule: &RuleSettings, cause: ScanCause) -> Self {
        Self {
            wanted: Wanted::of(rule),
            how: How::default(),
            cause,
            span: Span::current(),
            progress: Arc::default(),
            cancel: CancellationToken::new(),
            timing: Some(rule.name.clone()),
            asked: None,
        }
    }
}

impl Agenda {
    /// Goes by the rules there are now.
    async fn follow(&mut self, parts: &Parts, live: &Live) -> anyhow::Result<()> {
        let is_there = |name: &str| live.rules.iter().any(|rule| rule.name == name);
        self.rules.retain(|name, _| is_there(name));
        self.first.retain(|(name, _)| is_there(name));
        self.blind.retain(|name, _| is_there(name));
        for rule in &live.rules {
            if self.rules.contains_key(&rule.name) {
                continue;
            }
            let (database, name, is_begun) = (parts.state.database.clone(), rule.name.clone(), self.is_begun);
            let (last, is_cut_off, before, blind) = blocking(move || {
                let now = Utc::now();
                let since = scans::known_since(&database, &name, now).unwrap_or_else(|error| {
                    tracing::error!(error = format!("{error:#}"), "its first time counts from now");
                    now
                });
                let newest = scans::newest(&database, &name)?;
                let is_cut_off = !is_begun && newest.as_ref().is_some_and(|scan| scan.ended.is_none());
                let before = scans::last(&database, &name)?;
                let last = newest.as_ref().map_or(since, |scan| scan.started_at);
                let ended = newest.and_then(|scan| scan.ended);
                let blind = ended.filter(|scan| scan.error.as_deref() == Some(BLIND));
                Ok((last, is_cut_off, before, blind.map(|scan| scan.ended_at)))
            })
            .await?;
            parts.health.scanned_before(&before);
            if is_cut_off {
                self.first.push((rule.name.clone(), ScanCause::Resume));
            }
            if let Some(ended) = blind {
                self.blind.insert(rule.name.clone(), ended);
            }
            let timing = rule.timing(&parts.context.agent_name(), last);
            self.rules.insert(rule.name.clone(), timing);
        }
        self.is_begun = true;
        Ok(())
    }

    /// Whether a rule can be scanned that waits for clamd: to be there, or to detect after a scan in which it did not.
    fn is_woken(&self, clamd: &ClamdState) -> bool {
        let sees_again = |ended: &DateTime<Utc>| clamd.detects_since(*ended);
        (clamd.is_up() && !self.first.is_empty()) || self.blind.values().any(sees_again)
    }

    /// What was scanned while clamd did not detect goes first, once it does.
    fn look_again(&mut self, clamd: &ClamdState) {
        let again = self.blind.extract_if(.., |_, ended| clamd.detects_since(*ended));
        for (rule, _) in again {
            if !self.first.iter().any(|(name, _)| *name == rule) {
                tracing::info!(
                    rule,
                    "clamd detects again: what it did not detect then is scanned again"
                );
                self.first.push((rule, ScanCause::CatchUp));
            }
        }
    }

    /// The rule that is due, the one of the highest priority first.
    fn due(&mut self, live: &Live, has_clamd: bool, now: DateTime<Utc>) -> Option<Next> {
        let mut rules: Vec<&RuleSettings> = live.rules.iter().collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        for rule in rules.iter().filter(|_| has_clamd) {
            if let Some(at) = self.first.iter().position(|(name, _)| *name == rule.name) {
                let (_, cause) = self.first.remove(at);
                return Some(Next::of_rule(rule, cause));
            }
        }
        for rule in rules {
            let timing = self.rules.get_mut(&rule.name)?;
            if timing.is_due(&rule.schedule, None, now) {
                return Some(Next::of_rule(rule, ScanCause::Schedule));
            }
        }
        None
    }

    /// How long nothing is due, as far as is known now.
    fn rest(&self, live: &Live, now: DateTime<Utc>) -> Duration {
        let rests = live.rules.iter().filter_map(|rule| {
            let timing = self.rules.get(&rule.name)?;
            Some(timing.rest(None, now))
        });
        rests.min().unwrap_or(Duration::MAX)
    }

    /// Whether the schedule of the rule that is gone through wants it cancelled for the next one.
    fn wants_cancel(&mut self, live: &Live, rule: Option<&str>, now: DateTime<Utc>) -> bool {
        let rule = rule.and_then(|name| live.rules.iter().find(|rule| rule.name == name));
        rule.and_then(|rule| Some((self.rules.get_mut(&rule.name)?, rule)))
            .is_some_and(|(timing, rule)| timing.wants_cancel(&rule.schedule, now))
    }

    /// Tells when each rule is due next. Not told while another one is gone through, so it lies in the past then.
    fn tell(&self, parts: &Parts, live: &Live, now: DateTime<Utc>) {
        for rule in &live.rules {
            let timing = self.rules.get(&rule.name).filter(|_| rule.schedule.when.is_some());
            let due = timing.and_then(|timing| timing.next(None, now));
            parts.health.metrics.scan_due(&rule.name, due);
        }
    }
}
