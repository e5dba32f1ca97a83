//! What is known of one target so far.
use daemon_kit::printable;
use netcheck::{Failure, measure::Jitter};
use std::{collections::VecDeque, time::Duration};

/// So many of the latest probes are kept for the strip: as many as a wide terminal has room for.
const LATEST: usize = 200;

/// What became of one probe or check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It was answered, after so long.
    Time(Duration),
    /// It was not: lost, refused, wrong.
    Failed,
    /// Nobody knows.
    Unknown,
    /// It was not sent, or could not be made from here.
    Unsent,
}

/// What is known of one target so far.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) target: String,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    /// Of these it is known whether they failed.
    known: u64,
    /// The time of the latest, where it was answered.
    pub(crate) last: Option<Duration>,
    pub(crate) times: Option<Sums>,
    jitter: Jitter,
    latest: VecDeque<Mark>,
    /// In a word or two, how the latest went.
    pub(crate) result: String,
    /// For how many days the certificate is good.
    pub(crate) days: Option<i64>,
    /// Why the target is not well, where that was told.
    pub(crate) failure: Option<Failure>,
}

/// What follows from times without their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    sum: Duration,
    count: u32,
}

impl Sums {
    pub(crate) fn avg(&self) -> Duration {
        self.sum / self.count
    }
}

impl Tally {
    /// Nothing is known yet.
    pub(crate) fn new(target: &str) -> Self {
        Self {
            target: printable(target.as_bytes()).into_owned(),
            sent: 0,
            failed: 0,
            known: 0,
            last: None,
            times: None,
            jitter: Jitter::default(),
            latest: VecDeque::new(),
            result: String::new(),
            days: None,
            failure: None,
        }
    }

    /// It could not be begun with.
    pub(crate) fn of_failure(target: &str, failure: &Failure) -> Self {
        Self {
            failure: Some(failure.clone()),
            ..Self::new(target)
        }
    }

    /// Whether it is called something else.
    pub(crate) fn is_other(&self, target: &str) -> bool {
        self.target != printable(target.as_bytes())
    }

    /// It is called something else from now on.
    pub(crate) fn rename(&mut self, target: &str) {
        self.target = printable(target.as_bytes()).into_owned();
    }

    /// How many had an answer.
    pub(crate) fn answered(&self) -> u64 {
        self.times.map_or(0, |times| times.count.into())
    }

    /// One more.
    pub(crate) fn add(&mut self, mark: Mark) {
        self.sent += u64::from(mark != Mark::Unsent);
        self.known += u64::from(matches!(mark, Mark::Time(_) | Mark::Failed));
        self.failed += u64::from(mark == Mark::Failed);
        self.last = None;
        if let Mark::Time(time) = mark {
            self.last = Some(time);
            self.jitter.add(time);
            let sums = self.times.get_or_insert(Sums {
                min: time,
                max: time,
                sum: Duration::ZERO,
                count: 0,
            });
            (sums.min, sums.max) = (sums.min.min(time), sums.max.max(time));
            (sums.sum, sums.count) = (sums.sum + time, sums.count + 1);
        }
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(mark);
    }

    /// The share that failed, of those of which it is known.
    pub(crate) fn loss(&self) -> Option<f64> {
        (self.known > 0).then(|| self.failed as f64 / self.known as f64)
    }

    pub(crate) fn jitter(&self) -> Option<Duration> {
        self.jitter.get()
    }

    /// Whether nothing is wrong with the target by the latest of which something is known.
    pub(crate) fn is_well(&self) -> bool {
        match self.latest.back() {
            Some(mark) => !matches!(mark, Mark::Failed | Mark::Unsent),
            None => self.failure.is_none(),
        }
    }

    /// The latest, at most so many, the last of them at the right.
    pub(crate) fn strip(&self, most: usize) -> String {
        let from = self.latest.len().saturating_sub(most);
        self.latest.range(from..).map(|mark| mark.symbol()).collect()
    }
}

impl Mark {
    /// One character: higher is longer, each step about three times the one before, so that rows compare with each other.
    const fn symbol(self) -> char {
        match self {
            Self::Time(time) => match time.as_micros() {
                0..=1_000 => '▁',
                1_001..=3_000 => '▂',
                3_001..=10_000 => '▃',
                10_001..=30_000 => '▄',
                30_001..=100_000 => '▅',
                100_001..=300_000 => '▆',
                300_001..=1_000_000 => '▇',
                _ => '█',
            },
            Self::Failed => '!',
            Self::Unknown => '?',
            Self::Unsent => '-',
        }
    }
}
