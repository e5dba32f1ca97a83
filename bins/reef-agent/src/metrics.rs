//! What is measured, by the names under which dashboards and alerts know it. `examples/observability/reef-agent` has those,
//! and what each means.
mod clamd;
mod rules;
#[cfg(test)]
mod tests;

use crate::{scan::Progress, webhook::Webhook};
use chrono::{DateTime, Utc};
use fleet_wire::{Detection, MalwareScan, Outcome};
use rules::Rules;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use telemetry_otel::{Counter, Histogram, Metrics, Reading};

/// Bounds of how long scans take, in seconds.
const SCANS: [f64; 10] = [
    0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0,
];
/// Bounds of how soon what was written is judged, in seconds.
const LATENCIES: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// The agent's metrics. Cheap to clone: all clones are one.
#[derive(Clone)]
pub(crate) struct ReefMetrics {
    metrics: Metrics,
    rules: Rules,
    scans: Counter,
    duration: Histogram,
    files: Counter,
    bytes: Counter,
    cache_hits: Counter,
    errors: Counter,
    threats: Counter,
    handled: Counter,
    updates: Counter,
    watch_events: Counter,
    watch_overflows: Counter,
    watch_latency: Histogram,
}

impl ReefMetrics {
    /// Nothing measured yet.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            rules: Rules::observed_by(metrics),
            scans: metrics.counter("clamav_scans_total", "Scans that ended, by rule and by how they ended."),
            duration: metrics.histogram("clamav_scan_duration_seconds", "How long scans took, by rule.", &SCANS),
            files: metrics.counter("clamav_files_total", "Files met, by rule and by how they ended."),
            bytes: metrics.counter(
                "clamav_bytes_total",
                "Bytes of the files met, by rule and by how they ended.",
            ),
            cache_hits: metrics.counter(
                "clamav_cache_hits_total",
                "Files that were known to be clean and not judged again, by rule.",
            ),
            errors: metrics.counter(
                "clamav_errors_total",
                "Files without a verdict, and failures of clamd, by kind.",
            ),
            threats: metrics.counter("clamav_threats_detected_total", "Malware found, by rule."),
            handled: metrics.counter("clamav_threats_handled_total", "Malware by what became of it."),
            updates: metrics.counter(
                "clamav_signature_updates_total",
                "Runs of freshclam, by what they came to.",
            ),
            watch_events: metrics.counter("clamav_watch_events_total", "Changes in watched directories, by rule."),
            watch_overflows: metrics.counter(
                "clamav_watch_overflows_total",
                "How often more changed in watched directories than could be followed, by rule.",
            ),
            watch_latency: metrics.histogram(
                "clamav_watch_latency_seconds",
                "From a change in a watched directory to the verdict, by rule.",
                &LATENCIES,
            ),
            metrics: metrics.clone(),
        }
    }

    /// Who this is; its name is on every series.
    pub(crate) fn agent_is(&self, version: &'static str, hostname: &str) {
        let info = Reading::new(1.0)
            .label("version", version)
            .label("hostname", hostname)
            .label("os", std::env::consts::OS)
            .label("arch", std::env::consts::ARCH);
        self.metrics.observe_gauge(
            "clamreef_agent_info",
            "1, and who the agent is.",
            move || [info.clone()],
        );
    }

    /// The rules that there are now. Their counters begin at 0, so that the first detection is seen to be one more; what
    /// was told of others is told no longer.
    pub(crate) fn rules_are<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<&str> = names.into_iter().collect();
        for rule in &names {
            let labels = [("rule", *rule)];
            for counter in [&self.threats, &self.cache_hits, &self.watch_overflows] {
                counter.add(0, &labels);
            }
            for status in ["completed", "partial", "stopped", "failed"] {
                self.scans.add(0, &[("rule", rule), ("status", status)]);
            }
        }
        for outcome in [Outcome::Reported, Outcome::Quarantined, Outcome::LeftThere] {
            self.handled.add(0, &[("outcome", outcome.name())]);
        }
        for kind in ["failed", "unreadable"] {
            self.failed(kind, 0);
        }
        for result in ["updated", "up_to_date", "failed"] {
            self.updates.add(0, &[("result", result)]);
        }
        self.rules.keep(&names);
    }

    /// When the rule is due next; `None` where it has no schedule.
    pub(crate) fn scan_due(&self, rule: &str, due: Option<DateTime<Utc>>) {
        self.rules.change(rule, |state| state.due = due);
    }

    /// A scan of all of a rule began, and counts so. It is held weakly: a scan whose counters are gone is told of no longer, though nobody
    /// said that it ended.
    pub(crate) fn scan_started(&self, rule: &str, progress: &Arc<Progress>) {
        let progress = Arc::downgrade(progress);
        self.rules.change(rule, |state| state.running = progress);
    }

    /// A scan ended.
    pub(crate) fn scan_ended(&self, scan: &MalwareScan) {
        let rule = scan.rule.as_str();
        self.scans.add(1, &[("rule", rule), ("status", scan.status.name())]);
        let took = (scan.ended_at - scan.started_at).to_std().unwrap_or_default();
        self.duration.record(took.as_secs_f64(), &[("rule", rule)]);
        for (result, count) in &scan.account {
            let labels = [("rule", rule), ("result", result.as_str())];
            self.files.add(count.files, &labels);
            self.bytes.add(count.bytes, &labels);
        }
        if let Some(remembered) = scan.account.get("remembered") {
            self.cache_hits.add(remembered.files, &[("rule", rule)]);
        }
        self.rules.change(rule, |state| {
            if scan.is_whole() {
                state.running = Weak::new();
            }
            state.unaccounted = Some(scan.unaccounted);
        });
        self.scanned(scan);
    }

    /// A scan has ended, here or elsewhere, now or before. Told again, it changes nothing; a part of a rule does not stand
    /// for it.
    pub(crate) fn scanned(&self, scan: &MalwareScan) {
        if !scan.is_whole() {
            return;
        }
        let ended = Some(scan.ended_at);
        self.rules.change(&scan.rule, |state| {
            state.ended = state.ended.max(ended);
            if scan.is_complete() {
                state.completed = state.completed.max(ended);
            }
        });
    }

    /// Malware was found.
    pub(crate) fn detected(&self, detection: &Detection) {
        self.threats.add(1, &[("rule", &detection.rule)]);
        self.handled(detection.outcome);
    }

    /// Something was done about malware after it had been found.
    pub(crate) fn handled(&self, outcome: Outcome) {
        self.handled.add(1, &[("outcome", outcome.name())]);
    }

    /// So many files have no verdict, or so often clamd failed.
    pub(crate) fn failed(&self, kind: &'static str, times: u64) {
        self.errors.add(times, &[("kind", kind)]);
    }

    /// freshclam was run, and what it came to: `updated`, `up_to_date` or `failed`.
    pub(crate) fn signatures_looked_after(&self, result: &'static str) {
        self.updates.add(1, &[("result", result)]);
    }

    /// So much changed in a watched directory.
    pub(crate) fn watch_events(&self, rule: &str, events: u64) {
        self.watch_events.add(events, &[("rule", rule)]);
    }

    /// More changed than could be followed.
    pub(crate) fn watch_overflowed(&self, rule: &str) {
        self.watch_overflows.add(1, &[("rule", rule)]);
    }

    /// What was written is judged, so long after.
    pub(crate) fn watch_judged(&self, rule: &str, after: Duration) {
        self.watch_latency.record(after.as_secs_f64(), &[("rule", rule)]);
    }

    /// When the oldest signatures were last in use by which a file is still taken for clean, as
    /// [`Engine::oldest_verdict`](crate::scan::Engine::oldest_verdict) said last. `oldest` is asked for each rendering, so it
    /// must be quick.
    pub(crate) fn observe_verdicts(&self, oldest: impl Fn() -> Option<DateTime<Utc>> + Send + Sync + 'static) {
        self.metrics.observe_gauge(
            "clamav_oldest_verdict_age_seconds",
            "How long ago the oldest signatures were last in use by which a file is still taken for clean.",
            move || oldest().map(|at| Reading::new(age(at))),
        );
    }

    /// What lies in quarantine: items and bytes. `read` is asked for each rendering, so it must be quick.
    pub(crate) fn observe_quarantine(&self, read: impl Fn() -> Option<(u64, u64)> + Send + Sync + 'static) {
        let of_bytes = Arc::new(read);
        let of_items = Arc::clone(&of_bytes);
        self.metrics
            .observe_gauge("clamav_quarantine_items", "Files in quarantine.", move || {
                of_items().map(|(items, _)| Reading::new(items as f64))
            });
        self.metrics.observe_gauge(
            "clamav_quarantine_bytes",
            "Bytes of the files in quarantine.",
            move || of_bytes().map(|(_, bytes)| Reading::new(bytes as f64)),
        );
    }

    /// How many files are under way to clamd at a time, as the throttle has it now.
    pub(crate) fn observe_throttle(&self, window: impl Fn() -> u64 + Send + Sync + 'static) {
        self.metrics.observe_gauge(
            "clamav_throttle_window",
            "How many files may be under way to clamd at a time now.",
            move || [Reading::new(window() as f64)],
        );
    }

    /// What became of detections by the webhook.
    pub(crate) fn observe_webhook(&self, webhook: &Webhook) {
        let (of_waiting, status) = (webhook.clone(), webhook.status());
        self.metrics.observe_gauge(
            "clamreef_webhook_waiting",
            "Detections that wait for the webhook's receiver.",
            move || of_waiting.waiting().map(|stats| Reading::new(stats.records as f64)),
        );
        let of_dropped = webhook.clone();
        self.metrics.observe_counter(
            "clamreef_webhook_detections_total",
            "Detections by what became of them at the webhook's receiver.",
            move || {
                let status = status.borrow();
                let dropped = of_dropped.waiting().map_or(0, |stats| stats.dropped);
                [("sent", status.sent), ("given_up", status.given_up + dropped)]
                    .map(|(result, count)| Reading::new(count as f64).label("result", result))
            },
        );
    }
}

/// Seconds since `at`; none of a clock that was set back.
fn age(at: DateTime<Utc>) -> f64 {
    (Utc::now() - at).to_std().unwrap_or_default().as_secs_f64()
}
