//! How old what is still gone by is, for whoever watches over all scans.
use super::{basis, engine::Engine, wanted::Wanted};
use chrono::{DateTime, Utc};
use core_model::chain;
use state_sqlite::{StateError, Verdicts};
use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::task::spawn_blocking;

/// What the last complete scans left to later ones, since their budgets had run out.
#[derive(Debug, Default)]
pub(super) struct Overdue(Mutex<Vec<LeftOver>>);

#[derive(Debug)]
struct LeftOver {
    rule: String,
    paths: Vec<PathBuf>,
    /// When the oldest signatures were last in use that count on there.
    last_used: DateTime<Utc>,
}

impl Overdue {
    /// A complete scan left so much behind, or nothing. What was known of the same paths, and of paths below, is known
    /// better now.
    pub(super) fn scanned(&self, wanted: &Wanted, left: Option<DateTime<Utc>>) {
        let Wanted { rule, paths, .. } = wanted;
        let mut known = self.lock();
        known.retain(|before| {
            let is_below = |path: &PathBuf| paths.iter().any(|root| path.starts_with(root));
            before.rule != *rule || !before.paths.iter().all(is_below)
        });
        known.extend(left.map(|last_used| LeftOver {
            rule: rule.clone(),
            paths: paths.clone(),
            last_used,
        }));
    }

    /// Forgets what was known by other rules.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|left| is_there(&left.rule));
    }

    fn oldest(&self) -> Option<DateTime<Utc>> {
        self.lock().iter().map(|left| left.last_used).min()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LeftOver>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// When those signatures were last in use that are the oldest by which a file is still taken for clean; `None` where
    /// nothing is remembered. It ages between scans, since nobody knows then what a file would be found by now.
    ///
    /// What the next scan judges anyway does not count: verdicts by other limits, and by signatures that went out of use
    /// longer ago than `recheck_within`, but for those that a budget left over in the last complete scan. A file that has
    /// gone counts for as long, since only a scan sees that it has.
    ///
    /// Reads all that is remembered, some 50 ms for a million files: for the start, and when a scan has ended.
    pub(crate) async fn oldest_verdict(&self) -> Option<DateTime<Utc>> {
        let engine = self.clone();
        let read = spawn_blocking(move || {
            let verdicts = engine.verdicts()?;
            let read = engine.read_oldest(&verdicts, Utc::now());
            read.unwrap_or_else(|error| {
                tracing::debug!(error = chain(&error), "how old what is remembered is cannot be read");
                None
            })
        });
        read.await.ok().flatten()
    }

    fn read_oldest(&self, verdicts: &Verdicts, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StateError> {
        let settings = self.settings();
        let (limits, within) = (basis::limits(&settings.clamd), settings.recheck.recheck_within.get());
        let census = verdicts.census()?;
        let current = verdicts.basis();
        let counting = verdicts.bases()?.into_iter().filter(|facts| {
            let is_due = (now - facts.last_used).to_std().is_ok_and(|unused| unused >= within);
            let is_used = census.by_basis.contains_key(&facts.id) && facts.basis.limits == limits;
            is_used && (current == Some(facts.id) || !is_due)
        });
        let oldest = counting.map(|facts| facts.last_used).min();
        Ok(oldest.into_iter().chain(self.overdue().oldest()).min())
    }
}
