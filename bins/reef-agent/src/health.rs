//! How the work goes, beside what is told of every agent: clamd, its signatures, scans, watching, the webhook.
use crate::{
    context::Context,
    keeper::{KeeperHandle, clamd_block, signatures_block},
    metrics::ReefMetrics,
    news::Listener,
    quarantine::Quarantine,
    scan::{End, Progress, WatchQueue},
    settings::{Live, NO_RULE},
    webhook::Webhook,
};
use chrono::{DateTime, Utc};
use core_model::{EventId, chain};
use fleet_link::agent::{AgentHealth, AgentState, Pulse};
use fleet_wire::{MalwareRecord, MalwareScan, Outcome, ScanScope, ScanStatus};
use fsscan::watch::WatchCounters;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use transport_http::Status;

/// How files end of which nobody knows what is in them.
const WITHOUT_VERDICT: [&str; 2] = ["failed", "unreadable"];

/// What is told of the run.
pub(crate) struct Health {
    /// What is told of every agent.
    pub(crate) agent: Arc<AgentHealth>,
    pub(crate) metrics: ReefMetrics,
    webhook: Webhook,
    /// Where the quarantine lies.
    store: PathBuf,
    live: watch::Receiver<Arc<Live>>,
    shown: Arc<Mutex<Shown>>,
}

/// A scan under way.
struct Running {
    rule: String,
    scope: ScanScope,
    since: DateTime<Utc>,
    progress: Arc<Progress>,
}

/// What is shown of scans and watching.
#[derive(Default)]
struct Shown {
    running: BTreeMap<EventId, Running>,
    /// The last scan of all of each rule; where there is none, of a part.
    last: BTreeMap<String, MalwareScan>,
    watch: Option<(Arc<WatchCounters>, WatchQueue)>,
    /// What was found and cannot be written down: how much, and why.
    unwritten: Option<(usize, String)>,
    /// When the oldest signatures were last in use by which a file is still taken for clean.
    oldest_verdict: Option<DateTime<Utc>>,
    /// Items in quarantine and their bytes.
    quarantined: Option<(u64, u64)>,
}

impl Health {
    /// Registers what is known from the start, and binds the endpoint where it is switched on.
    pub(crate) fn start(
        context: &Context,
        state: &Arc<AgentState>,
        keeper: &KeeperHandle,
        webhook: Webhook,
    ) -> anyhow::Result<Self> {
        let agent = context.health(state)?;
        let metrics = ReefMetrics::new(agent.metrics());
        let shown: Arc<Mutex<Shown>> = Arc::default();
        metrics.agent_is(env!("CARGO_PKG_VERSION"), &context.agent().hostname);
        metrics.observe_clamd(&keeper.state());
        metrics.observe_webhook(&webhook);
        let of = Arc::clone(&shown);
        metrics.observe_throttle(move || {
            let shown = lock(&of);
            let windows = shown.running.values().map(|scan| u64::from(scan.progress.window().0));
            windows.max().unwrap_or_default()
        });
        let of = Arc::clone(&shown);
        metrics.observe_verdicts(move || lock(&of).oldest_verdict);
        let of = Arc::clone(&shown);
        metrics.observe_quarantine(move || lock(&of).quarantined);
        let registry = agent.registry();
        registry.ask("clamd", {
            let state = keeper.state();
            move || clamd_block(&state.borrow())
        });
        registry.ask("signatures", {
            let (state, live) = (keeper.state(), context.changes());
            move || signatures_block(&state.borrow(), live.borrow().signatures.max_age.get(), Utc::now())
        });
        registry.ask("scans", {
            let (shown, live) = (Arc::clone(&shown), context.changes());
            move || scans_block(&lock(&shown), live.borrow().rules.is_empty())
        });
        registry.ask("detections", {
            let shown = Arc::clone(&shown);
            move || detections_block(&lock(&shown))
        });
        registry.ask("watch", {
            let (shown, live) = (Arc::clone(&shown), context.changes());
            move || watch_block(&lock(&shown), &live.borrow())
        });
        registry.ask("webhook", {
            let webhook = webhook.clone();
            move || {
                webhook
                    .block()
                    .unwrap_or_else(|| (Status::Healthy, map(json!({"enabled": false}))))
            }
        });
        Ok(Self {
            agent: Arc::new(agent),
            metrics,
            webhook,
            store: context.quarantine(),
            live: context.changes(),
            shown,
        })
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        lock(&self.shown)
    }

    /// A scan begins.
    pub(crate) fn scan_began(
        &self,
        id: EventId,
        (rule, scope): (&str, ScanScope),
        since: DateTime<Utc>,
        progress: Arc<Progress>,
    ) {
        if scope == ScanScope::Whole {
            self.metrics.scan_started(rule, &progress);
        }
        let running = Running {
            rule: rule.to_owned(),
            scope,
            since,
            progress,
        };
        self.shown().running.insert(id, running);
    }

    /// These were made by processes before, or beside.
    pub(crate) fn scanned_before(&self, scans: &[MalwareScan]) {
        for scan in scans {
            self.metrics.scanned(scan);
        }
    }

    /// It has ended.
    pub(crate) fn scan_ended(&self, scan: &MalwareScan) {
        self.metrics.scan_ended(scan);
        for end in WITHOUT_VERDICT {
            if let Some(count) = scan.account.get(end) {
                self.metrics.failed(end, count.files);
            }
        }
        let mut shown = self.shown();
        shown.running.remove(&scan.id);
        let hides = |last: &MalwareScan| last.is_whole() && !scan.is_whole();
        if !shown.last.get(&scan.rule).is_some_and(hides) {
            shown.last.insert(scan.rule.clone(), scan.clone());
        }
    }

    /// How old what is gone by is, as the engine says.
    pub(crate) fn oldest_verdict_is(&self, at: Option<DateTime<Utc>>) {
        self.shown().oldest_verdict = at;
    }

    /// Counts what lies in quarantine. Blocks.
    pub(crate) fn look_into_quarantine(&self) {
        let count = || -> anyhow::Result<(u64, u64)> {
            let Some(quarantine) = Quarantine::open_existing(&self.store)? else {
                return Ok((0, 0));
            };
            let items = quarantine.list()?.items;
            Ok((items.len() as u64, items.iter().map(|item| item.manifest.size).sum()))
        };
        match count() {
            Ok(count) => self.shown().quarantined = Some(count),
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the quarantine cannot be looked through"),
        }
    }

    /// Something is watched from now on.
    pub(crate) fn watches(&self, counters: Arc<WatchCounters>, queue: &WatchQueue) {
        self.shown().watch = Some((counters, queue.clone()));
    }

    /// Nothing is watched.
    pub(crate) fn watches_nothing(&self) {
        self.shown().watch = None;
    }

    /// What was written somewhere is not known.
    pub(crate) fn lost_sight(&self, rule: &str) {
        self.metrics.watch_overflowed(rule);
    }

    /// What was written is judged, so long after.
    pub(crate) fn watched_file_ended(&self, rule: &str, end: End, after: Duration) {
        self.metrics.watch_events(rule, 1);
        self.metrics.watch_judged(rule, after);
        if let Some(end) = WITHOUT_VERDICT.into_iter().find(|name| *name == end.key()) {
            self.metrics.failed(end, 1);
        }
    }

    /// How the work goes, for heartbeats.
    pub(crate) fn pulse(&self) -> Pulse {
        let shown = self.shown();
        let newest = shown.last.values().max_by_key(|scan| scan.ended_at);
        let failed = shown.last.values().filter(|scan| scan.status == ScanStatus::Failed);
        let failed: Vec<&str> = failed.map(|scan| scan.rule.as_str()).collect();
        Pulse {
            last_scan_time: newest.map(|scan| scan.ended_at),
            files: newest.map_or(0, |scan| scan.met.files),
            errors: shown.last.values().map(without_verdict).sum(),
            reason: (!failed.is_empty()).then(|| format!("the last scan failed of: {}", failed.join(", "))),
        }
    }
}

/// The component `detections` of `/health`.
fn detections_block(shown: &Shown) -> (Status, Map<String, Value>) {
    match &shown.unwritten {
        None => (Status::Healthy, map(json!({"unwritten": 0}))),
        Some((records, why)) => (Status::Unhealthy, map(json!({"unwritten": records, "error": why}))),
    }
}

impl Listener for Health {
    fn has_server(&self) -> bool {
        self.live.borrow().common.server.base_url.is_some()
    }

    fn happened(&self, at: DateTime<Utc>, record: &MalwareRecord) {
        match record {
            MalwareRecord::Detected(found) => {
                self.metrics.detected(found);
                if found.outcome == Outcome::Quarantined
                    && let Some((items, bytes)) = &mut self.shown().quarantined
                {
                    *items += 1;
                    *bytes += found.size;
                }
                if let Err(error) = self.webhook.detected(found, at) {
                    tracing::error!(error = chain(&error), "a detection was not told by the webhook");
                }
            }
            MalwareRecord::Handled(handled) => {
                self.metrics.handled(handled.outcome);
                self.look_into_quarantine();
            }
            // It may have been made by hand, beside this process.
            MalwareRecord::ScanEnded(scan) => self.metrics.scanned(scan),
        }
    }

    fn unwritten(&self, records: usize, why: &str) {
        self.shown().unwritten = Some((records, why.to_owned()));
    }

    fn written(&self) {
        self.shown().unwritten = None;
    }
}

/// Files that were met and of which nobody knows what is in them.
fn without_verdict(scan: &MalwareScan) -> u64 {
    let ends = WITHOUT_VERDICT.iter();
    ends.filter_map(|end| scan.account.get(*end))
        .map(|count| count.files)
        .sum()
}

/// The component `scans` of `/health`.
fn scans_block(shown: &Shown, has_no_rule: bool) -> (Status, Map<String, Value>) {
    let mut status = Status::Healthy;
    let mut block = Map::new();
    if has_no_rule {
        // A controller may be about to send some: that is not ill.
        block.insert("detail".to_owned(), NO_RULE.into());
    }
    let mut running: Vec<&Running> = shown.running.values().collect();
    // Of one rule, that of all of it is shown.
    running.sort_by_key(|scan| scan.scope == ScanScope::Whole);
    for scan in running {
        let (_, why) = scan.progress.window();
        block.insert(
            scan.rule.clone(),
            json!({
                "status": "running", "scope": scan.scope, "since": scan.since, "progress": scan.progress.snapshot(),
                "window_is": why.name(),
            }),
        );
    }
    for (rule, scan) in &shown.last {
        if scan.status == ScanStatus::Failed || scan.unaccounted != 0 {
            status = Status::Degraded;
        }
        if block.contains_key(rule) {
            continue;
        }
        block.insert(
            rule.clone(),
            json!({
                "status": scan.status, "scope": scan.proof.scope, "started_at": scan.started_at, "completed_at": scan.ended_at,
                "files": scan.met.files, "detections": scan.detections, "unaccounted": scan.unaccounted,
                "without_verdict": without_verdict(scan), "error": scan.error,
            }),
        );
    }
    (status, block)
}

/// The component `watch` of `/health`.
fn watch_block(shown: &Shown, live: &Live) -> (Status, Map<String, Value>) {
    if live.watch.paths.is_empty() {
        return (Status::Healthy, map(json!({"enabled": false})));
    }
    let Some((counters, queue)) = &shown.watch else {
        return (
            Status::Degraded,
            map(json!({"enabled": true, "error": "nothing is watched yet"})),
        );
    };
    let stats = counters.read();
    let block = map(json!({
        "enabled": true, "watches": stats.watches, "waiting": queue.len(), "written": stats.written, "lost": stats.lost,
        "overflows": stats.overflows, "blind_directories": stats.blind,
    }));
    let status = if stats.blind > 0 {
        Status::Degraded
    } else {
        Status::Healthy
    };
    (status, block)
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
