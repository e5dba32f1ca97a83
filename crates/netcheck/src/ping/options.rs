//! What is asked of a run.
use crate::{Failure, FailureKind, icmp, reach::LONGEST};
use std::time::Duration;

/// The longest time from one probe to the next.
const INTERVAL_MOST: Duration = Duration::from_secs(86_400);
/// The longest payload, in bytes: with the headers a packet is at most 65,535 bytes long.
const SIZE_MOST: u16 = 65_507;
/// So many probes a run with an end may have: each is remembered until the report.
pub const COUNT_MOST: u32 = 1_000_000;
/// As a count: until the run is wound down (see [`Pinger::wind_down`](super::Pinger::wind_down)).
pub const ENDLESS: u32 = 0;
/// Of a run without an end so many probes are remembered one by one, and of the others the sums: its memory does not grow.
pub const REMEMBERED: usize = 100;

/// How a target is pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingOptions {
    /// How many probes: 1 to [`COUNT_MOST`], or [`ENDLESS`].
    pub count: u32,
    /// From the start of one probe to that of the next, a day at the most.
    pub interval: Duration,
    /// How long an answer may take; what comes later is counted as late, and the probe as lost. From a millisecond to an hour.
    pub timeout: Duration,
    /// Payload of a probe, in bytes: from 20, which tell its answer from others, to 65,507. 56 make a packet of 84 bytes.
    pub size: u16,
    /// The time to live (hop limit), where it is not the system's.
    pub ttl: Option<u8>,
    /// Routers may not split the packet: one that does not fit is answered by who could not send it on.
    pub dont_fragment: bool,
    /// The traffic class (DSCP and ECN), of eight bits.
    pub class: u8,
    /// How long the first probe waits: so that the probes of many targets are spread over the interval.
    pub delay: Duration,
}

impl Default for PingOptions {
    fn default() -> Self {
        Self {
            count: 4,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            size: 56,
            ttl: None,
            dont_fragment: false,
            class: 0,
            delay: Duration::ZERO,
        }
    }
}

impl PingOptions {
    /// # Errors
    /// When one of the values is out of its bounds; the failure names it.
    pub fn check(&self) -> Result<(), Failure> {
        let least = icmp::TOKEN as u16;
        let wrong = if self.count > COUNT_MOST {
            format!(
                "count is {}, and must be {COUNT_MOST} at the most, or 0 for no end",
                self.count
            )
        } else if !(least..=SIZE_MOST).contains(&self.size) {
            format!("size is {} bytes, and must be {least} to {SIZE_MOST}", self.size)
        } else if let Some(wrong) = wrong_times(self.timeout, self.interval) {
            wrong
        } else if self.ttl == Some(0) {
            "ttl is 0, and must be 1 to 255".to_owned()
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureKind::Invalid, wrong))
    }
}

/// What is wrong with the times of probes, of which there may be several.
pub(crate) fn wrong_times(timeout: Duration, interval: Duration) -> Option<String> {
    if timeout < Duration::from_millis(1) {
        Some(format!("timeout is {timeout:?}, and must be a millisecond at least"))
    } else if timeout > LONGEST {
        Some(format!("timeout is {timeout:?}, and must be an hour at the most"))
    } else if interval > INTERVAL_MOST {
        Some(format!("interval is {interval:?}, and must be a day at the most"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_packet_can_be_is_refused_by_name() {
        let of = |change: fn(&mut PingOptions)| {
            let mut options = PingOptions::default();
            change(&mut options);
            options.check().map_err(|failure| failure.detail)
        };
        assert_eq!(of(|_| {}), Ok(()));
        assert!(
            of(|options| options.size = 19)
                .unwrap_err()
                .starts_with("size is 19 bytes")
        );
        assert!(of(|options| options.size = 65_508).is_err());
        assert_eq!(of(|options| options.count = ENDLESS), Ok(()));
        assert!(
            of(|options| options.count = COUNT_MOST + 1)
                .unwrap_err()
                .starts_with("count")
        );
        assert!(
            of(|options| options.timeout = Duration::ZERO)
                .unwrap_err()
                .starts_with("timeout")
        );
        assert!(
            of(|options| options.timeout = Duration::MAX)
                .unwrap_err()
                .ends_with("an hour at the most")
        );
        assert!(
            of(|options| options.interval = Duration::MAX)
                .unwrap_err()
                .ends_with("a day at the most")
        );
        assert!(of(|options| options.ttl = Some(0)).unwrap_err().starts_with("ttl"));
    }
}
