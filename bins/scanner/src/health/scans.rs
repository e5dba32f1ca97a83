//! Scans: what is counted of each, and how the last one ended.
use super::Health;
use chrono::{DateTime, Utc};
use daemon_kit::telemetry::{Counter, Gauge, Histogram, Reading};
use fleet_link::agent::AgentHealth;
use fsscan::{ErrorKind, Progress, RootOutcome, Summary};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, atomic::Ordering::Relaxed};

pub(super) struct ScanMetrics {
    pub(super) duration: Histogram,
    pub(super) files: Counter,
    pub(super) errors: Counter,
    pub(super) failed: Counter,
    pub(super) success: Gauge,
}

impl ScanMetrics {
    pub(super) fn new(agent: &AgentHealth) -> Self {
        let metrics = agent.metrics();
        Self {
            duration: metrics.histogram(
                "scanner_scan_duration_seconds",
                "How long the scans took that looked at a path.",
                &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0],
            ),
            files: metrics.counter("scanner_files_processed_total", "Files by what was found of them."),
            errors: agent.errors().clone(),
            failed: metrics.counter("scanner_failed_files_total", "Files that could not be told, by reason."),
            success: metrics.gauge("scanner_scan_success_rate", "1 if the last scan was whole, else 0."),
        }
    }
}

/// How the last scan ended, for heartbeats.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastScan {
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) files: u64,
    pub(crate) errors: u64,
}

impl Health {
    /// A scan began; its counters are shown while it runs.
    pub(crate) fn scan_started(&self, at: DateTime<Utc>, progress: Arc<Progress>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&progress));
        self.tell(json!({"started_at": at, "status": "running"}));
        let started = std::time::Instant::now();
        self.agent
            .metrics()
            .observe_gauge("scanner_files_per_second", "Files a second in this scan.", move || {
                [Reading::new(
                    progress.files.load(Relaxed) as f64 / started.elapsed().as_secs_f64().max(0.001),
                )]
            });
    }

    /// A scan could not go on.
    pub(crate) fn scan_failed(&self, why: &str, started: DateTime<Utc>, ended: DateTime<Utc>) {
        self.tell(json!({"started_at": started, "completed_at": ended, "status": "failed", "error": why}));
        self.scan.success.set(0.0, &[]);
        // What a path does to a scan is no failure of it: what fails a scan is the state.
        self.scan.errors.add(1, &[("error_type", "database")]);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.errors = last.errors.max(1);
        last.ended_at = Some(ended);
    }

    /// Files that the scan under way has looked at, and how many there were at the last one.
    pub(crate) fn files_so_far(&self) -> Option<(u64, Option<u64>)> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let files = progress.as_ref().map(|progress| progress.files.load(Relaxed))?;
        let before = Some(self.last_scan().files).filter(|before| *before >= files && *before > 0);
        Some((files, before))
    }

    /// What was counted is of a scan that has ended.
    pub(crate) fn forget_progress(&self) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How the last scan ended.
    pub(crate) fn last_scan(&self) -> LastScan {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A scan ended.
    pub(crate) fn scan_ended(&self, summary: &Summary, started: DateTime<Utc>, ended: DateTime<Utc>) {
        let is_whole = summary.roots.iter().all(|root| root.outcome == RootOutcome::Scanned);
        let is_clean = is_whole && summary.error_count() == 0;
        let status = if is_clean { "success" } else { "partial" };
        self.tell(json!({
            "started_at": started, "completed_at": ended, "status": status, "files_processed": summary.files,
            "errors": summary.error_count(), "held_deletions": summary.held,
        }));
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

    /// The component `last_scan` of `/health`.
    fn tell(&self, block: Value) {
        if let Value::Object(block) = block {
            self.agent.registry().inform("last_scan", block);
        }
    }

    /// The server refused records for good.
    pub(crate) fn refused(&self, records: u64) {
        self.scan.errors.add(records, &[("error_type", "validation")]);
        self.scan.failed.add(records, &[("reason", "validation_error")]);
    }
}
