//! Verdicts by signatures that are not in use any more: when each is found anew, so that it is not all at once.
use super::{account::End, job::facts};
use crate::settings::VerdictLive;
use chrono::{DateTime, Utc};
use fsscan::FileStat;
use serde::Serialize;
use state_sqlite::{BasisFacts, BasisId, Found, Judgement, KnownVerdicts, Recalled, StateError, Verdicts};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Which verdicts count still, at one instant.
///
/// A file keeps the verdict of a basis that went out of use until its turn comes. Each has a turn once in
/// `recheck_within`, at an instant that only its identity decides: so every day, an even part of all files is judged by
/// the newest signatures, and none keeps a verdict for longer than that after its basis was last seen in use.
#[derive(Debug)]
pub(super) struct Ageing {
    now: DateTime<Utc>,
    within: Duration,
    /// Bytes that may be judged again for their age alone still.
    budget: Option<AtomicU64>,
    bases: HashMap<BasisId, BasisFacts>,
    /// The limits in use.
    limits: Option<String>,
    /// When the basis was last in use that is the oldest of those which count still, in milliseconds.
    oldest: AtomicI64,
    /// The same of those whose turn has come, and for which the budget had no room.
    left_over: AtomicI64,
}

/// The oldest signatures that a file is clean by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OldestVerdict {
    /// The engine.
    pub(crate) engine: String,
    /// The version of the signatures, and what tells one's own apart.
    pub(crate) signatures: String,
    /// When they were last seen in use.
    pub(crate) last_used: DateTime<Utc>,
    /// Seconds since then.
    pub(crate) age_secs: u64,
}

impl Ageing {
    /// What counts at `now`. Blocks.
    ///
    /// # Errors
    /// When the bases cannot be read.
    pub(super) fn new(settings: &VerdictLive, verdicts: &Verdicts, now: DateTime<Utc>) -> Result<Self, StateError> {
        let bases: HashMap<_, _> = verdicts.bases()?.into_iter().map(|facts| (facts.id, facts)).collect();
        let current = verdicts.basis().and_then(|id| bases.get(&id));
        Ok(Self {
            now,
            within: settings.recheck_within.get(),
            budget: settings.recheck_budget.map(|budget| AtomicU64::new(budget.bytes())),
            limits: current.map(|facts| facts.basis.limits.clone()),
            bases,
            oldest: AtomicI64::new(i64::MAX),
            left_over: AtomicI64::new(i64::MAX),
        })
    }

    /// How a file ends that need not be judged.
    pub(super) fn recall(&self, known: &mut KnownVerdicts<'_>, stat: &FileStat) -> Option<End> {
        match known.recall(&facts(stat)) {
            Recalled::Holds(found) => Some(end(&found, End::Remembered)),
            Recalled::Aged(found) if !self.is_due(&found, stat) => Some(end(&found, End::RememberedAged)),
            Recalled::Aged(_) | Recalled::Changed | Recalled::Unknown => None,
        }
    }

    /// Whether a verdict is to be found anew; one that is not counts on, and is noted.
    fn is_due(&self, found: &Found, stat: &FileStat) -> bool {
        let Some(basis) = self.bases.get(&found.basis) else {
            return true;
        };
        // What may run harms at once, and other limits let other things through.
        if self.within.is_zero() || stat.is_executable() || Some(&basis.basis.limits) != self.limits.as_ref() {
            return true;
        }
        let last_used = basis.last_used.timestamp_millis();
        if has_turn(basis.last_used, self.now, self.within, identity(stat)) {
            if self.is_within_budget(stat.size) {
                return true;
            }
            self.left_over.fetch_min(last_used, Relaxed);
        }
        self.oldest.fetch_min(last_used, Relaxed);
        false
    }

    /// Whether something is left of the budget. The file that takes the last of it may be longer than what is left: one
    /// that is longer than the whole of it would have its turn never.
    fn is_within_budget(&self, bytes: u64) -> bool {
        let take = |left: u64| (left > 0).then(|| left.saturating_sub(bytes));
        self.budget
            .as_ref()
            .is_none_or(|budget| budget.fetch_update(Relaxed, Relaxed, take).is_ok())
    }

    /// When the oldest signatures were last in use by which a file was still clean though its turn had come.
    pub(super) fn left_over(&self) -> Option<DateTime<Utc>> {
        let oldest = self.left_over.load(Relaxed);
        (oldest < i64::MAX)
            .then(|| DateTime::from_timestamp_millis(oldest))
            .flatten()
    }

    /// The oldest signatures that a file was clean by; none where all are clean by those in use.
    pub(super) fn oldest(&self) -> Option<OldestVerdict> {
        let oldest = self.oldest.load(Relaxed);
        let of = |facts: &&BasisFacts| facts.last_used.timestamp_millis() == oldest;
        let BasisFacts { basis, last_used, .. } = self.bases.values().find(of)?;
        Some(OldestVerdict {
            engine: basis.engine.clone(),
            signatures: basis.signatures.clone(),
            last_used: *last_used,
            age_secs: (self.now - last_used).to_std().unwrap_or_default().as_secs(),
        })
    }
}

/// How a file ends that is as it was when it was judged by what judges now.
pub(super) fn held(known: &mut KnownVerdicts<'_>, stat: &FileStat) -> Option<End> {
    match known.recall(&facts(stat)) {
        Recalled::Holds(found) => Some(end(&found, End::Remembered)),
        _ => None,
    }
}

const fn end(found: &Found, clean: End) -> End {
    match found.judgement {
        Judgement::Clean => clean,
        Judgement::OverLimit => End::OverLimit,
    }
}

/// Whether a file of this identity had a turn after `since`, and not after `now`. Turns come once in `within`.
fn has_turn(since: DateTime<Utc>, now: DateTime<Utc>, within: Duration, identity: u64) -> bool {
    let within = i64::try_from(within.as_millis()).unwrap_or(i64::MAX).max(1);
    let phase = (identity % within.cast_unsigned()).cast_signed();
    let turns = |at: DateTime<Utc>| at.timestamp_millis().saturating_sub(phase).div_euclid(within);
    turns(now) > turns(since)
}

/// What stays the same of a file while it is the same, spread evenly (the finaliser of SplitMix64).
const fn identity(stat: &FileStat) -> u64 {
    let mut mixed = stat.inode ^ stat.btime_ns.cast_unsigned().rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + hours * 3600, 0).unwrap()
    }

    fn stat(inode: u64) -> FileStat {
        FileStat {
            inode,
            ..FileStat::default()
        }
    }

    proptest! {
        #[test]
        fn no_verdict_outlives_its_basis_by_more_than_the_time_set(
            inode: u64, since in 0_i64..10_000, hours in 1_u64..1_000,
        ) {
            let within = Duration::from_secs(hours * 3600);
            let (since, until) = (at(since), at(since + hours as i64));
            let identity = identity(&stat(inode));
            prop_assert!(has_turn(since, until, within, identity));
            prop_assert!(!has_turn(since, since, within, identity));
            // One turn, and only one.
            let turns = (0..hours as i64).filter(|hour| {
                let from = since + chrono::TimeDelta::hours(*hour);
                has_turn(from, from + chrono::TimeDelta::hours(1), within, identity)
            });
            prop_assert_eq!(turns.count(), 1);
        }
    }

    #[test]
    fn each_day_an_even_part_of_all_files_has_its_turn() {
        let mut days = [0_u32; 7];
        for inode in 0..7_000 {
            let identity = identity(&stat(inode));
            for (day, files) in days.iter_mut().enumerate() {
                let day = day as i64 * 24;
                *files += u32::from(has_turn(at(day), at(day + 24), WEEK, identity));
            }
        }
        assert_eq!(days.iter().sum::<u32>(), 7_000);
        // Four standard deviations of a fair draw.
        assert!(days.iter().all(|files| (883..=1117).contains(files)), "{days:?}");
    }
}
