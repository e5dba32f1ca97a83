//! What is known of each rule: read when metrics are, so that a rule that is gone is told of no longer.
use crate::scan::Progress;
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use telemetry_otel::{Metrics, Reading};

/// What is known of a rule.
#[derive(Default)]
pub(super) struct RuleState {
    pub(super) due: Option<DateTime<Utc>>,
    /// When the last scan of all of it ended, however it did.
    pub(super) ended: Option<DateTime<Utc>>,
    /// The same of those that looked at everything.
    pub(super) completed: Option<DateTime<Utc>>,
    pub(super) unaccounted: Option<i64>,
    /// The counters of a scan, while it runs.
    pub(super) running: Weak<Progress>,
}

/// Each rule by its name.
#[derive(Clone, Default)]
pub(super) struct Rules(Arc<Mutex<BTreeMap<String, RuleState>>>);

impl Rules {
    pub(super) fn observed_by(metrics: &Metrics) -> Self {
        let rules = Self::default();
        rules.observe(
            metrics,
            "clamav_last_scan_end_timestamp_seconds",
            "When the last scan of all of a rule ended, since 1970, however it did.",
            |state| state.ended.map(|at| at.timestamp() as f64),
        );
        rules.observe(
            metrics,
            "clamav_last_complete_scan_timestamp_seconds",
            "When the last scan of all of a rule ended that looked at everything, since 1970.",
            |state| state.completed.map(|at| at.timestamp() as f64),
        );
        rules.observe(
            metrics,
            "clamav_scan_due_timestamp_seconds",
            "When a rule is due next, since 1970; in the past where it should have run and has not.",
            |state| state.due.map(|at| at.timestamp() as f64),
        );
        rules.observe(
            metrics,
            "clamav_unaccounted_files",
            "Files that the last scan met and that ended in no way: 0, or the agent has a fault.",
            |state| state.unaccounted.map(|files| files as f64),
        );
        rules.observe(
            metrics,
            "clamav_scan_running",
            "1 while a scan of all of the rule runs, else 0.",
            |state| Some(f64::from(u8::from(state.running.strong_count() > 0))),
        );
        rules.observe(
            metrics,
            "clamav_scan_files",
            "Files that the scan under way has met so far.",
            |state| state.running.upgrade().map(|progress| progress.snapshot().files as f64),
        );
        rules
    }

    fn observe(&self, metrics: &Metrics, name: &'static str, help: &'static str, of: fn(&RuleState) -> Option<f64>) {
        let rules = self.clone();
        metrics.observe_gauge(name, help, move || {
            let rules = rules.0.lock().unwrap_or_else(PoisonError::into_inner);
            let readings = rules
                .iter()
                .filter_map(|(rule, state)| Some(Reading::new(of(state)?).label("rule", rule.as_str())));
            readings.collect::<Vec<_>>()
        });
    }

    pub(super) fn change(&self, rule: &str, change: impl FnOnce(&mut RuleState)) {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(rules.entry(rule.to_owned()).or_default());
    }

    /// Forgets all but these, and knows these.
    pub(super) fn keep(&self, names: &[&str]) {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|rule, _| names.contains(&rule.as_str()));
        for name in names {
            rules.entry((*name).to_owned()).or_default();
        }
    }
}
