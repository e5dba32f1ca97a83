//! Round-trip times.
use std::time::Duration;

/// Round-trip times of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Times {
    /// The shortest.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "min_ms", serialize_with = "crate::millis::serialize")
    )]
    pub min: Duration,
    /// The mean.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "avg_ms", serialize_with = "crate::millis::serialize")
    )]
    pub avg: Duration,
    /// The longest.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "max_ms", serialize_with = "crate::millis::serialize")
    )]
    pub max: Duration,
    /// How far they are from the mean: the standard deviation of all.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "stddev_ms", serialize_with = "crate::millis::serialize")
    )]
    pub stddev: Duration,
    /// Half of them are no longer than this.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "median_ms", serialize_with = "crate::millis::serialize")
    )]
    pub median: Duration,
    /// Nineteen of twenty are no longer than this.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "p95_ms", serialize_with = "crate::millis::serialize")
    )]
    pub p95: Duration,
}

/// The times of a run, in any order; `None` for a run without any.
///
/// ```
/// use std::time::Duration;
/// let times = netcheck::measure::times([3, 1, 2].map(Duration::from_millis)).unwrap();
/// assert_eq!((times.min, times.median, times.max), (Duration::from_millis(1), Duration::from_millis(2), Duration::from_millis(3)));
/// ```
pub fn times(of: impl IntoIterator<Item = Duration>) -> Option<Times> {
    times_after(Spread::default(), &[], of)
}

/// The same, after others of which only these sums are left, and of which `latest` are the latest: what depends on the order of
/// all is told of those and the rest.
pub(crate) fn times_after(
    mut spread: Spread,
    latest: &[Duration],
    rest: impl IntoIterator<Item = Duration>,
) -> Option<Times> {
    let mut all: Vec<u64> = latest.iter().copied().map(nanoseconds).collect();
    let before = all.len();
    all.extend(rest.into_iter().map(nanoseconds));
    all[before..].iter().for_each(|time| spread.add_nanoseconds(*time));
    all.sort_unstable();
    // The least of them that so many percent do not pass (nearest rank).
    let rank = |percent: usize| all.get((all.len() * percent).div_ceil(100).max(1) - 1).copied();
    Some(Times {
        min: Duration::from_nanos(spread.min),
        avg: Duration::from_nanos(spread.mean.round() as u64),
        max: Duration::from_nanos(spread.max),
        stddev: Duration::from_nanos((spread.squares / spread.count as f64).sqrt().round() as u64),
        median: Duration::from_nanos(rank(50)?),
        p95: Duration::from_nanos(rank(95)?),
    })
}

/// Sums of times, from which most of [`Times`] follows without the times (B. P. Welford, 1962).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    count: u64,
    mean: f64,
    /// Of how far each is from the mean.
    squares: f64,
    min: u64,
    max: u64,
}

impl Spread {
    pub(crate) fn add(&mut self, time: Duration) {
        self.add_nanoseconds(nanoseconds(time));
    }

    fn add_nanoseconds(&mut self, time: u64) {
        self.min = if self.count == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.count += 1;
        let off = time as f64 - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (time as f64 - self.mean);
    }
}

/// How much the delay differs from packet to packet: the smoothed estimate of RFC 3550, section 6.4.1 (appendix A.8), from times in
/// the order in which the packets were sent. The difference of two round trips stands for that of two transits. `None` with
/// fewer than two.
///
/// ```
/// use std::time::Duration;
/// let steady = [5; 20].map(Duration::from_millis);
/// assert_eq!(netcheck::measure::jitter(steady), Some(Duration::ZERO));
/// ```
pub fn jitter(of: impl IntoIterator<Item = Duration>) -> Option<Duration> {
    let mut jitter = Jitter::default();
    of.into_iter().for_each(|time| jitter.add(time));
    jitter.get()
}

/// The same, one time after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    before: Option<f64>,
    smoothed: Option<f64>,
}

impl Jitter {
    /// The next time.
    pub fn add(&mut self, time: Duration) {
        let time = nanoseconds(time) as f64;
        if let Some(before) = self.before.replace(time) {
            let smoothed = self.smoothed.unwrap_or(0.0);
            self.smoothed = Some(smoothed + ((time - before).abs() - smoothed) / 16.0);
        }
    }

    /// How much it is so far; `None` after fewer than two times.
    #[must_use]
    pub fn get(&self) -> Option<Duration> {
        self.smoothed.map(|jitter| Duration::from_nanos(jitter.round() as u64))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_a_local_network_keep_their_digits() {
        let times = times([41, 43, 47, 1041].map(Duration::from_micros)).unwrap();
        assert_eq!(times.avg, Duration::from_micros(293));
        assert_eq!(
            (times.median, times.p95),
            (Duration::from_micros(43), Duration::from_micros(1041))
        );
        // By hand: the root of (252² + 250² + 246² + 748²) / 4.
        assert!(
            (times.stddev.as_secs_f64() * 1e6 - 431.86).abs() < 0.01,
            "{:?}",
            times.stddev
        );
        assert_eq!(super::times([]), None);
    }

    #[test]
    fn jitter_is_a_sixteenth_of_each_difference() {
        let millis = |times: &[u64]| jitter(times.iter().copied().map(Duration::from_millis));
        assert_eq!(millis(&[10, 26]), Some(Duration::from_millis(1)));
        // 1 + (32 - 1) / 16
        assert_eq!(millis(&[10, 26, 58]), Some(Duration::from_nanos(2_937_500)));
        assert_eq!((millis(&[10]), millis(&[])), (None, None));
    }

    proptest! {
        #[test]
        fn times_are_in_order(all in prop::collection::vec(0_u64..10_000_000_000, 1..50)) {
            let of = || all.iter().copied().map(Duration::from_nanos);
            let found = times(of()).unwrap();
            prop_assert!(found.min <= found.median && found.median <= found.p95 && found.p95 <= found.max);
            prop_assert!(found.min <= found.avg && found.avg <= found.max);
            prop_assert!(found.stddev <= found.max - found.min);
            prop_assert!(jitter(of()).is_none_or(|jitter| jitter <= found.max - found.min));
        }

        #[test]
        fn what_is_forgotten_but_for_its_sums_counts_like_what_is_not(
            all in prop::collection::vec(0_u64..10_000_000_000, 1..50),
            forgotten in 0_usize..50,
        ) {
            let all: Vec<Duration> = all.into_iter().map(Duration::from_nanos).collect();
            let (before, rest) = all.split_at(forgotten.min(all.len()));
            let mut spread = Spread::default();
            before.iter().for_each(|time| spread.add(*time));
            prop_assert_eq!(times_after(spread, before, rest.iter().copied()), times(all.iter().copied()));
        }
    }
}
