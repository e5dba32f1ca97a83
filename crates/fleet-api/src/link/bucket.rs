//! So many messages a second from one agent.
use std::time::Duration;
use tokio::time::{self, Instant};

/// A bucket of tokens: one for each message. Who has none waits, and so do those who send to it, by TCP: nothing is lost.
pub(super) struct Bucket {
    each: Duration,
    burst: u32,
    /// When the bucket would be full, were nothing taken.
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            each: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
            full_at: Instant::now(),
        }
    }

    /// Takes a token, or waits for one.
    pub(super) async fn take(&mut self) {
        let now = Instant::now();
        self.full_at = self.full_at.max(now) + self.each;
        let allowed = now + self.each * self.burst;
        if self.full_at > allowed {
            time::sleep(self.full_at - allowed).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(10, 5);
        for _ in 0..5 {
            bucket.take().await;
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            bucket.take().await;
        }
        // tokio's timers count whole milliseconds, upward.
        let took = begin.elapsed().as_millis();
        assert!((2_000..2_050).contains(&took), "{took}");
        time::advance(Duration::from_secs(60)).await;
        let rested = Instant::now();
        for _ in 0..5 {
            bucket.take().await;
        }
        assert_eq!(
            rested.elapsed(),
            Duration::ZERO,
            "no more than a burst is saved up, and no less"
        );
    }
}
