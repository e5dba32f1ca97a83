//! What is known of clamd.
use super::{Canary, Looked};
use chrono::{DateTime, Local, NaiveDate, TimeDelta, Utc};
use clamd_proto::{DatabaseVersion, Endpoint, ErrorKind, LocalTime, Stats, Version};

/// Whether clamd is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Presence {
    /// It has not been asked yet.
    Unknown,
    /// It answers.
    Up {
        /// Since when, as far as is known.
        since: DateTime<Utc>,
    },
    /// It does not.
    Down {
        /// Since when.
        since: DateTime<Utc>,
        /// What kind of failure it is.
        kind: ErrorKind,
        /// The same for people, with all its causes.
        why: String,
    },
}

/// What clamd was doing when it was last asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Activity {
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// Jobs that wait for a thread.
    pub(crate) queue: u64,
    /// Threads that there are.
    pub(crate) threads_live: u32,
    /// Those with nothing to do.
    pub(crate) threads_idle: u32,
    /// `MaxThreads`.
    pub(crate) threads_max: u32,
    /// What its signatures take, in bytes, where it tells.
    pub(crate) memory: Option<u64>,
}

/// What is known of clamd.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClamdState {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// Whether it is there.
    pub(crate) presence: Presence,
    /// By what it judges, or judged when it was last there.
    pub(crate) version: Option<Version>,
    /// When the newest of its signatures were made: the daily database where it has one, and the newest file of the
    /// database directory where that can be read.
    pub(crate) database_made: Option<DateTime<Utc>>,
    /// What it was doing.
    pub(crate) activity: Option<Activity>,
    /// Whether it detected the last time it was tried.
    pub(crate) canary: Option<Canary>,
    /// Whether it looks at files as long as it is said to.
    pub(crate) looked: Option<Looked>,
}

impl ClamdState {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            presence: Presence::Unknown,
            version: None,
            database_made: None,
            activity: None,
            canary: None,
            looked: None,
        }
    }

    /// Whether it answers.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.presence, Presence::Up { .. })
    }

    /// Whether it answers and does not detect, as far as is known.
    pub(crate) fn is_blind(&self) -> bool {
        self.canary.as_ref().is_some_and(Canary::is_blind)
    }

    /// Whether it answers, and was found to detect after `at`.
    pub(crate) fn detects_since(&self, at: DateTime<Utc>) -> bool {
        let is_later = |canary: &Canary| canary.is_found() && canary.at > at;
        self.is_up() && self.canary.as_ref().is_some_and(is_later)
    }

    /// Whether it answers and detects.
    #[cfg(test)]
    pub(crate) fn is_guarding(&self) -> bool {
        self.is_up() && !self.is_blind()
    }

    /// How old its signatures are; `None` where nobody can say.
    pub(crate) fn database_age(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        // A clock that is a little ahead of the database's makers makes no negative age.
        self.database_made.map(|made| (now - made).max(TimeDelta::zero()))
    }
}

impl Activity {
    pub(super) fn of(stats: &Stats, at: DateTime<Utc>) -> Option<Self> {
        let primary = stats
            .pools
            .iter()
            .find(|pool| pool.is_primary)
            .or(stats.pools.first())?;
        Some(Self {
            at,
            queue: stats.waiting(),
            threads_live: primary.threads.live,
            threads_idle: primary.threads.idle,
            threads_max: primary.threads.max,
            memory: stats.memory.pools_total,
        })
    }
}

/// The instant at which a daily database was made. clamd tells the time of its host's zone without naming it: one on this
/// machine has this machine's, another is taken to have UTC, which is wrong by some hours at most.
pub(super) fn made(database: DatabaseVersion, endpoint: &Endpoint) -> Option<DateTime<Utc>> {
    let LocalTime {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = database.made;
    let date = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into())?;
    let time = date.and_hms_opt(hour.into(), minute.into(), second.min(59).into())?;
    if endpoint.passes_descriptors() {
        Some(time.and_local_timezone(Local).earliest()?.to_utc())
    } else {
        Some(time.and_utc())
    }
}
