//! So many a second, evenly.
use std::time::Duration;

/// A cap of so many a second. Instants are durations since some beginning, the same for all calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// What was taken is paid for at this instant.
    paid: Duration,
}

/// What was not used is made up for, as far back as this.
const BURST: Duration = Duration::from_millis(250);

impl Rate {
    pub(super) const fn new() -> Self {
        Self { paid: Duration::ZERO }
    }

    /// When the next may be taken.
    pub(super) const fn ready_at(&self) -> Duration {
        self.paid
    }

    /// `amount` is taken at `now`, of `per_second`.
    pub(super) fn take(&mut self, amount: u64, per_second: u64, now: Duration) {
        let cost = amount as f64 / per_second.max(1) as f64;
        // A single file of years is none that a cap lets wait for.
        let cost = Duration::from_secs_f64(cost.min(365.0 * 86_400.0));
        self.paid = self.paid.max(now.saturating_sub(BURST)) + cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn in_no_stretch_of_time_is_more_taken_than_the_cap_and_one_burst(
            per_second in 1_u64..5_000, amounts in proptest::collection::vec((1_u64..20, 0_u64..400), 1..200),
        ) {
            let mut rate = Rate::new();
            let mut now = Duration::from_secs(1);
            let mut taken: Vec<(Duration, u64)> = Vec::new();
            for (amount, idle_ms) in amounts {
                now = now.max(rate.ready_at()) + Duration::from_millis(idle_ms);
                rate.take(amount, per_second, now);
                taken.push((now, amount));
            }
            for from in 0..taken.len() {
                let mut sum = 0;
                for (at, amount) in &taken[from..] {
                    let span = (*at - taken[from].0 + BURST).as_secs_f64();
                    // What is taken last is paid for afterwards.
                    prop_assert!(sum as f64 <= span * per_second as f64 + 1e-3 * per_second as f64 + 1e-6);
                    sum += amount;
                }
            }
        }

        #[test]
        fn whoever_takes_whenever_it_is_ready_gets_all_of_the_cap(per_second in 1_u64..5_000) {
            let mut rate = Rate::new();
            let mut now = Duration::ZERO;
            for _ in 0..500 {
                now = now.max(rate.ready_at());
                rate.take(1, per_second, now);
            }
            let expected = 499.0 / per_second as f64;
            prop_assert!((now.as_secs_f64() - expected).abs() < 0.01 * expected + 0.001);
        }
    }
}
