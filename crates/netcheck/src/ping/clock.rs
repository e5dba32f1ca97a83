//! Two clocks: one that never jumps, and the one by which the kernel stamps packets.
use nix::sys::time::TimeSpec;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// What both clocks said at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since some moment before the start; it never jumps.
    pub(crate) steady: u64,
    /// Since 1970; people and time servers set it.
    pub(crate) wall: u64,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self {
            steady: nanoseconds(ClockId::Monotonic),
            wall: nanoseconds(ClockId::Realtime),
        }
    }

    /// The stamp of a packet, in nanoseconds of the wall clock.
    pub(crate) fn stamp(time: TimeSpec) -> Option<u64> {
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec()).ok()?, u64::try_from(time.tv_nsec()).ok()?);
        Some(seconds * 1_000_000_000 + nanoseconds)
    }

    /// How far the wall clock is ahead of the other.
    pub(super) const fn offset(self) -> i64 {
        self.wall.wrapping_sub(self.steady) as i64
    }
}

/// How long it took, in nanoseconds, from `sent` until the kernel stamped the answer, or until `now` by the steady clock. A time that
/// is longer than the steady clock says, or negative, is that of a wall clock that was set.
pub(crate) fn round_trip(sent: Now, stamp: Option<u64>, now: u64) -> u64 {
    let elapsed = now.saturating_sub(sent.steady);
    let stamped = stamp.and_then(|stamp| stamp.checked_sub(sent.wall));
    stamped.filter(|rtt| *rtt <= elapsed).unwrap_or(elapsed)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A clock that is steered runs faster or slower by up to this share (adjtimex(2): 500 ppm), which is no step.
const STEERED: u64 = 2000;
/// Between the readings of the two clocks the process may be kept from running: that looks like a step, and is gone with the next.
const TOLERATED: u64 = 500_000;

/// Notices that the wall clock was set.
#[derive(Debug)]
pub(super) struct Steps {
    before: Now,
    /// Seen once: a step only if it is there still at the next look.
    suspected: Option<i64>,
}

impl Steps {
    pub(super) const fn new(now: Now) -> Self {
        Self {
            before: now,
            suspected: None,
        }
    }

    /// How far it was set since the last look.
    pub(super) fn look(&mut self, now: Now) -> Option<Duration> {
        let passed = now.steady.saturating_sub(self.before.steady);
        let moved = now.offset().saturating_sub(self.before.offset());
        if moved.unsigned_abs() <= TOLERATED + passed / STEERED {
            (self.before, self.suspected) = (now, None);
            return None;
        }
        let is_sure = self.suspected.is_some_and(|before| before.abs_diff(moved) <= TOLERATED);
        if !is_sure {
            self.suspected = Some(moved);
            return None;
        }
        (self.before, self.suspected) = (now, None);
        Some(Duration::from_nanos(moved.unsigned_abs()))
    }

    /// Whether another look is due at once.
    pub(super) const fn is_unsure(&self) -> bool {
        self.suspected.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(steady: u64, wall: u64) -> Now {
        Now {
            steady: steady * MS,
            wall: wall * MS,
        }
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_in_either_direction() {
        let mut steps = Steps::new(at(0, 1000));
        assert_eq!(steps.look(at(10, 1010)), None);
        assert_eq!(steps.look(at(20, 3020)), None);
        assert!(steps.is_unsure());
        assert_eq!(steps.look(at(20, 3020)), Some(Duration::from_secs(2)));
        assert_eq!(steps.look(at(30, 3030)), None);
        assert_eq!(steps.look(at(40, 3000)), None);
        assert_eq!(steps.look(at(40, 3000)), Some(Duration::from_millis(40)));
    }

    #[test]
    fn neither_steering_nor_a_process_that_was_kept_from_running_between_two_readings_is_a_step() {
        let mut steps = Steps::new(at(0, 1000));
        // Half a second in a quarter of an hour, which steering can make.
        assert_eq!(steps.look(at(1_000_000, 1_001_450)), None);
        assert!(!steps.is_unsure());
        // The second clock was read 30 ms after the first, once.
        assert_eq!(steps.look(at(1_000_010, 1_001_490)), None);
        assert_eq!(steps.look(at(1_000_020, 1_001_470)), None);
        assert!(!steps.is_unsure());
    }
}
