//! Whether the store can be written, as its last attempts tell.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A small write may still find room where larger ones do not: only when none failed for so long, the disk is well again.
const QUIET: Duration = Duration::from_secs(10);

/// Why the store cannot be written at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFailure {
    /// Whether the disk is full; otherwise it failed.
    pub is_full: bool,
    /// What the database says.
    pub detail: String,
    /// For how long.
    pub lasts: Duration,
}

/// Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Arc<Mutex<Option<Failing>>>);

#[derive(Clone, Debug)]
struct Failing {
    is_full: bool,
    detail: String,
    since: Instant,
    last: Instant,
}

impl Writes {
    /// A write failed by the disk; whether the one before had not.
    pub(super) fn failed(&self, is_full: bool, detail: String, now: Instant) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failing.as_ref().map(|failing| failing.since);
        *failing = Some(Failing {
            is_full,
            detail,
            since: since.unwrap_or(now),
            last: now,
        });
        since.is_none()
    }

    /// A write reached the disk; for how long they had failed, if this ends that.
    pub(super) fn succeeded(&self, now: Instant) -> Option<Duration> {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = failing
            .as_ref()
            .is_some_and(|failing| now.duration_since(failing.last) >= QUIET);
        let ended = if is_over { failing.take() } else { None };
        ended.map(|failing| now.duration_since(failing.since))
    }

    pub(super) fn failure(&self, now: Instant) -> Option<WriteFailure> {
        let failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing.as_ref().map(|failing| WriteFailure {
            is_full: failing.is_full,
            detail: failing.detail.clone(),
            lasts: now.duration_since(failing.since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_lasts_until_writes_went_well_for_a_while() {
        let (writes, start) = (Writes::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(writes.failure(at(0)), None);
        assert!(writes.failed(true, "full".to_owned(), at(0)), "it is news");
        assert!(!writes.failed(true, "full".to_owned(), at(5)));
        assert_eq!(writes.succeeded(at(14)), None, "another failed too lately");
        let failure = writes.failure(at(14)).unwrap();
        assert_eq!((failure.is_full, failure.lasts), (true, Duration::from_secs(14)));
        assert_eq!(writes.succeeded(at(15)), Some(Duration::from_secs(15)));
        assert_eq!(writes.failure(at(15)), None);
        assert_eq!(writes.succeeded(at(16)), None);
    }
}
