//! Whether a result can be trusted: what this machine itself did to it.
use std::time::Duration;

/// What this machine did to a measurement. Loss that it may have caused is not counted as loss of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Trust {
    /// Packets that the kernel dropped because nobody read the socket in time, while the run lasted: for all runs of the
    /// socket together, and `None` where the system does not tell, as of what routers say to a socket that is not raw. A full raw socket counts packets too that are nobody's answer.
    pub dropped: Option<u64>,
    /// How late a probe was sent at the most. That spoils no time and loses nothing: where many are due at once, the last ones wait.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "slip_ms", serialize_with = "crate::millis::serialize")
    )]
    pub slip: Duration,
    /// The longest time for which the process did not run although there was something to do.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "stall_ms", serialize_with = "crate::millis::serialize")
    )]
    pub stall: Duration,
    /// How far the clock of the machine was set while the run lasted, in either direction. Times are right all the same, up to how
    /// late the answer was read.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "clock_step_ms", serialize_with = "crate::millis::serialize")
    )]
    pub clock_step: Duration,
}

/// What makes a result one that this machine has spoilt, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Doubt {
    /// The socket ran over: answers may have come and been dropped here.
    Dropped,
    /// The process was stopped, or got no processor.
    Stalled,
    /// The clock was set.
    ClockStepped,
}

impl Doubt {
    /// In words, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Dropped => "this machine dropped answers: its socket ran over",
            Self::Stalled => "this process did not run for a while",
            Self::ClockStepped => "the clock of this machine was set meanwhile",
        }
    }
}

/// A process that comes back later than this was kept from running.
pub(crate) const STALL: Duration = Duration::from_millis(100);

impl Trust {
    /// The same, and what another one of the same measurement says.
    pub(crate) fn add(&mut self, other: Self) {
        self.dropped = match (self.dropped, other.dropped) {
            // They tell of the same socket at nearly the same time, not of other packets.
            (Some(one), Some(two)) => Some(one.max(two)),
            (one, two) => one.or(two),
        };
        self.slip = self.slip.max(other.slip);
        self.stall = self.stall.max(other.stall);
        self.clock_step = self.clock_step.max(other.clock_step);
    }

    /// What there is to doubt; nothing for a measurement to be trusted.
    pub fn doubts(&self) -> impl Iterator<Item = Doubt> {
        let doubts = [
            (self.dropped.is_some_and(|dropped| dropped > 0), Doubt::Dropped),
            (self.stall >= STALL, Doubt::Stalled),
            (!self.clock_step.is_zero(), Doubt::ClockStepped),
        ];
        doubts.into_iter().filter_map(|(is_so, doubt)| is_so.then_some(doubt))
    }

    /// Whether nothing is to be doubted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.doubts().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_things_that_spoil_a_result_is_named() {
        assert!(Trust::default().is_full());
        let spoilt = Trust {
            dropped: Some(1),
            slip: Duration::ZERO,
            stall: STALL,
            clock_step: Duration::from_nanos(1),
        };
        assert_eq!(
            spoilt.doubts().collect::<Vec<_>>(),
            [Doubt::Dropped, Doubt::Stalled, Doubt::ClockStepped]
        );
        let busy = Trust {
            slip: STALL,
            stall: STALL / 2,
            ..Trust::default()
        };
        assert!(busy.is_full(), "a busy machine is late by some milliseconds");
    }
}
