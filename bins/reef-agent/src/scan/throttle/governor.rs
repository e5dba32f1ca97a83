//! When the next file may go to clamd.
use super::{
    super::progress::{Progress, Why},
    pressure::Pressure,
    rate::Rate,
    steering::{Seen, Steering},
};
use crate::settings::Throttle;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Where the kernel says what tasks wait for.
const PRESSURE: &str = "/proc/pressure";
/// clamd rests no longer than this after one file, be it as heavy as it may.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Says when the next file may go to clamd.
pub(in crate::scan) struct Governor {
    throttle: Throttle,
    steering: Steering,
    files: Rate,
    bytes: Rate,
    /// In the background, until when clamd rests.
    rest_until: Duration,
    others: u64,
    is_news: bool,
    began: Instant,
    progress: Arc<Progress>,
}

/// Whether a file may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scan) enum Leave {
    /// At once.
    Now,
    /// At this instant.
    At(Instant),
    /// When an answer has come.
    AfterAnAnswer,
}

impl Governor {
    /// For at most `most` files at once, by a clamd of so many threads.
    pub(in crate::scan) fn new(throttle: Throttle, most: usize, threads: usize, progress: Arc<Progress>) -> Self {
        let mut governor = Self {
            throttle,
            steering: Steering::new(most, threads),
            files: Rate::new(),
            bytes: Rate::new(),
            rest_until: Duration::ZERO,
            others: 0,
            is_news: false,
            began: Instant::now(),
            progress,
        };
        governor.set_throttle(throttle);
        governor
    }

    /// Goes by this from now on.
    pub(in crate::scan) fn set_throttle(&mut self, throttle: Throttle) {
        self.throttle = throttle;
        if throttle.background {
            self.steering.step(&throttle, &Seen::default());
        } else {
            self.rest_until = Duration::ZERO;
        }
        self.tell();
    }

    /// Whether another file may be sent while so many are under way.
    pub(in crate::scan) fn leave(&self, under_way: usize) -> Leave {
        if under_way >= self.steering.window().0 {
            return Leave::AfterAnAnswer;
        }
        let caps = [
            self.throttle.files.map(|_| self.files.ready_at()),
            self.throttle.bytes.map(|_| self.bytes.ready_at()),
            Some(self.rest_until),
        ];
        let ready = caps.into_iter().flatten().max().unwrap_or_default();
        if ready <= self.began.elapsed() {
            Leave::Now
        } else {
            Leave::At(self.began + ready)
        }
    }

    /// A file of `bytes` was sent.
    pub(in crate::scan) fn sent(&mut self, bytes: u64) {
        let now = self.began.elapsed();
        if let Some(most) = self.throttle.files {
            self.files.take(1, most.into(), now);
        }
        if let Some(most) = self.throttle.bytes {
            self.bytes.take(bytes, most, now);
        }
    }

    /// clamd answered about a file of `bytes` that was sent at `sent`, while so many were under way.
    pub(in crate::scan) fn answered(&mut self, sent: Instant, bytes: u64, under_way: usize) {
        let took = sent.elapsed();
        self.steering.answered(took.as_secs_f64(), bytes, under_way);
        if self.throttle.background {
            let share = u32::from(self.throttle.cpu_share.clamp(1, 100));
            let rest = (took.saturating_mul(100 - share) / share).min(LONGEST_REST);
            self.rest_until = self.began.elapsed() + rest;
        }
    }

    /// clamd's queue held so many jobs while so many of ours were under way; nobody knows where it does not answer.
    pub(in crate::scan) fn queue(&mut self, waiting: Option<u64>, under_way: usize) {
        self.others = waiting.unwrap_or(0).saturating_sub(under_way as u64);
        self.is_news = true;
    }

    /// Once a second.
    pub(in crate::scan) fn tick(&mut self) {
        let seen = Seen {
            pressure: Pressure::read(Path::new(PRESSURE)),
            others: self.others,
            is_news: std::mem::take(&mut self.is_news),
        };
        self.steering.step(&self.throttle, &seen);
        self.tell();
    }

    fn tell(&self) {
        let (window, why) = self.steering.window();
        let is_capped = why == Why::Full && (self.throttle.files.is_some() || self.throttle.bytes.is_some());
        self.progress.set_window(window, if is_capped { Why::Cap } else { why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ThrottleSettings;

    fn governor(settings: &ThrottleSettings) -> Governor {
        let throttle = settings.over(&ThrottleSettings::default());
        Governor::new(throttle, 8, 2, Arc::new(Progress::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_background_clamd_rests_in_proportion_to_what_each_file_cost() {
        let mut governor = governor(&ThrottleSettings {
            background: Some(true),
            cpu_share: Some(20),
            ..ThrottleSettings::default()
        });
        assert_eq!(governor.leave(0), Leave::Now);
        assert_eq!(governor.leave(1), Leave::AfterAnAnswer);
        let sent = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        governor.answered(sent, 100, 1);
        assert_eq!(governor.leave(0), Leave::At(Instant::now() + Duration::from_secs(8)));
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(governor.leave(0), Leave::Now);
        // Nobody need wait for the end of a rest when it is no more wanted.
        governor.answered(Instant::now() - Duration::from_secs(2), 100, 1);
        governor.set_throttle(ThrottleSettings::default().over(&ThrottleSettings::default()));
        assert_eq!(governor.leave(0), Leave::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_of_bytes_holds_back_what_follows_a_long_file() {
        let mut governor = governor(&ThrottleSettings {
            max_bytes_per_second: Some(core_model::ByteSize::new(1_000_000)),
            ..ThrottleSettings::default()
        });
        tokio::time::advance(Duration::from_secs(1)).await;
        governor.sent(5_000_000);
        let Leave::At(ready) = governor.leave(1) else {
            panic!("nothing is held back");
        };
        let wait = ready - Instant::now();
        assert_eq!(wait, Duration::from_millis(4_750));
        assert_eq!(governor.progress.window(), (8, Why::Cap));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_jobs_of_others_count_as_a_queue() {
        let mut governor = governor(&ThrottleSettings::default());
        governor.queue(Some(6), 8);
        governor.tick();
        assert!(!matches!(governor.progress.window().1, Why::Queue));
        governor.queue(Some(9), 8);
        governor.tick();
        assert!(matches!(governor.progress.window().1, Why::Queue | Why::Memory));
        governor.queue(None, 8);
        governor.tick();
        assert!(!matches!(governor.progress.window().1, Why::Queue));
    }
}
