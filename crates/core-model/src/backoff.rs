//! How long to wait before trying again: exponential, with full jitter.
use std::time::Duration;

/// Exponential waits with full jitter: the n-th is uniform between zero and `first * 2^n`, at most `longest`.
///
/// Full jitter spreads a crowd that failed at one instant better than a fixed or half-random wait (Brooker,
/// "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
///
/// ```
/// use core_model::Backoff;
/// use std::time::Duration;
/// let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// assert_eq!(backoff.ceiling(3), Duration::from_secs(8));
/// assert!(backoff.wait(3, u64::MAX / 2) <= Duration::from_secs(4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub first: Duration,
    /// The bound that no wait passes.
    pub longest: Duration,
}

impl Backoff {
    /// The longest that the wait after failure number `attempt` (from 0) may be.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 2u32
            .checked_pow(attempt)
            .and_then(|factor| self.first.checked_mul(factor));
        doubled.unwrap_or(self.longest).min(self.longest)
    }

    /// The wait after failure number `attempt` (from 0), with `random` uniform over all of `u64`.
    pub fn wait(&self, attempt: u32, random: u64) -> Duration {
        self.ceiling(attempt).mul_f64(random as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_never_passes_its_bounds(attempt in any::<u32>(), random in any::<u64>(), first in 0u64..10_000, longest in 0u64..1_000_000) {
            let backoff = Backoff { first: Duration::from_millis(first), longest: Duration::from_millis(longest) };
            prop_assert!(backoff.wait(attempt, random) <= backoff.ceiling(attempt));
            prop_assert!(backoff.ceiling(attempt) <= backoff.longest);
            prop_assert!(backoff.ceiling(attempt) <= backoff.ceiling(attempt.saturating_add(1)));
        }
    }
}
