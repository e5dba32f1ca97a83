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
    let mut all: Vec<u64> = of.into_iter().map(nanoseconds).collect();
    all.sort_unstable();
    let (first, last) = (*all.first()?, *all.last()?);
    let count = all.len() as f64;
    let mean = all.iter().map(|time| *time as f64).sum::<f64>() / count;
    let spread = all.iter().map(|time| (*time as f64 - mean).powi(2)).sum::<f64>() / count;
    // The least of them that so many percent do not pass (nearest rank).
    let rank = |percent: usize| all[(all.len() * percent).div_ceil(100).max(1) - 1];
    Some(Times {
        min: Duration::from_nanos(first),
        avg: Duration::from_nanos(mean.round() as u64),
        max: Duration::from_nanos(last),
        stddev: Duration::from_nanos(spread.sqrt().round() as u64),
        median: Duration::from_nanos(rank(50)),
        p95: Duration::from_nanos(rank(95)),
    })
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
    let mut all = of.into_iter().map(|time| nanoseconds(time) as f64);
    let mut before = all.next()?;
    let mut jitter = None;
    for time in all {
        let smoothed = jitter.unwrap_or(0.0);
        jitter = Some(smoothed + ((time - before).abs() - smoothed) / 16.0);
        before = time;
    }
    jitter.map(|jitter| Duration::from_nanos(jitter.round() as u64))
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
    }
}
