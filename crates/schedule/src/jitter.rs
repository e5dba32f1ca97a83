//! Spreading what would otherwise happen on every host at the same instant.
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// How far a run may be put off, so that the hosts of a fleet do not all start at once.
///
/// How far each is put off follows from a key and from the instant at which the run is due, and from nothing else: it
/// is the same again after a restart, another for each host and job, and another from one run to the next.
///
/// ```
/// use schedule::Jitter;
/// use std::time::Duration;
/// let jitter = Jitter::up_to(Duration::from_secs(600));
/// let due = "2027-01-10T03:00:00Z".parse().unwrap();
/// let here = jitter.offset(Jitter::key(["agent-1", "nightly"]), due);
/// assert!(here < Duration::from_secs(600));
/// assert_ne!(here, jitter.offset(Jitter::key(["agent-2", "nightly"]), due));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jitter(Duration);

impl Jitter {
    /// No run is put off.
    pub const NONE: Self = Self(Duration::ZERO);

    /// Each run is put off by less than this.
    pub const fn up_to(most: Duration) -> Self {
        Self(most)
    }

    /// The bound below which every offset stays.
    pub const fn most(self) -> Duration {
        self.0
    }

    /// A key out of names, such as the agent's id and the job's name. It is the same on every machine and in every
    /// version.
    pub fn key<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
        // FNV-1a, with a byte between names that UTF-8 never holds, so that ("ab", "c") is not ("a", "bc").
        let bytes = names.into_iter().flat_map(|name| name.bytes().chain([0xff]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// How far the run due at this instant is put off: uniform from zero to the bound.
    pub fn offset(self, key: u64, due: DateTime<Utc>) -> Duration {
        let drawn = mix(key ^ mix(due.timestamp().cast_unsigned()));
        // The high half of a product is uniform below the factor, without the bias of a remainder.
        let nanos = (self.0.as_nanos().min(u128::from(u64::MAX)) * u128::from(drawn)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The same, below this bound too: a run is not put off as far as the one after it.
    #[must_use]
    pub fn within(self, bound: TimeDelta) -> Self {
        Self(self.0.min(bound.to_std().unwrap_or_default()))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: DateTime<Utc> = DateTime::UNIX_EPOCH;

    /// Every tenth of the range gets its share, give or take: five standard deviations.
    #[track_caller]
    fn is_uniform(offsets: impl Iterator<Item = Duration>) {
        let mut tenths = [0i32; 10];
        for offset in offsets {
            tenths[usize::try_from(offset.as_secs() / 60).unwrap()] += 1;
        }
        let count: i32 = tenths.iter().sum();
        assert_eq!(count, 10_000);
        assert!(tenths.iter().all(|share| (share - 1000).abs() < 150), "{tenths:?}");
    }

    #[test]
    fn offsets_are_uniform_over_hosts_and_over_runs() {
        let jitter = Jitter::up_to(Duration::from_secs(600));
        is_uniform((0..10_000).map(|host| jitter.offset(Jitter::key([format!("agent-{host}").as_str(), "scan"]), DUE)));
        is_uniform((0..10_000).map(|day| jitter.offset(7, DUE + TimeDelta::days(day))));
    }

    #[test]
    fn a_key_tells_names_apart_and_stays_the_same_in_every_version() {
        assert_ne!(Jitter::key(["ab", "c"]), Jitter::key(["a", "bc"]));
        // Worked out by hand from the published parameters of FNV-1a: a fleet must not be reshuffled by an upgrade.
        assert_eq!(
            Jitter::key(["a"]),
            (0xaf63_dc4c_8601_ec8c_u64 ^ 0xff).wrapping_mul(0x0000_0100_0000_01b3)
        );
        assert_eq!(Jitter::NONE.offset(7, DUE), Duration::ZERO);
        assert!(Jitter::up_to(Duration::MAX).offset(7, DUE) > Duration::ZERO);
    }
}
