//! How long answers may gather: being woken for each costs more than what is done with it.
use std::time::Duration;
use tokio::time::Instant;

/// A timer may be late by as much.
const SHORTEST: Duration = Duration::from_millis(2);
/// Nobody notices that an answer is heard of so much later.
const LONGEST: Duration = Duration::from_millis(10);
/// How quickly clamd answers is measured over at least this.
const MEASURED_OVER: Duration = Duration::from_millis(20);

/// What a quicker time of before still counts, with each measurement.
const KEPT: f64 = 0.95;

/// How quickly clamd answers.
#[derive(Debug)]
pub(in crate::scan) struct Pace {
    since: Instant,
    answers: u32,
    /// A second, at its quickest of late; 0 while that is not known.
    rate: f64,
}

impl Pace {
    pub(in crate::scan) fn new() -> Self {
        Self {
            since: Instant::now(),
            answers: 0,
            rate: 0.0,
        }
    }

    /// clamd answered about a file.
    pub(in crate::scan) fn answered(&mut self) {
        self.answers += 1;
        let took = self.since.elapsed();
        if took >= MEASURED_OVER {
            // A pause that was too long must not pass for a clamd that is slow, and make the next one longer.
            self.rate = (self.rate * KEPT).max(f64::from(self.answers) / took.as_secs_f64());
            (self.since, self.answers) = (Instant::now(), 0);
        }
    }

    /// How long answers may gather while clamd could do without `spare` of the files under way: half of the time in which it
    /// answers about as many, since a timer is late and files are not alike. `None` where that is too short.
    pub(in crate::scan) fn pause(&self, spare: usize) -> Option<Duration> {
        if self.rate <= 0.0 || spare < 2 {
            return None;
        }
        let spare = f64::from(u32::try_from(spare).unwrap_or(u32::MAX));
        let pause = Duration::try_from_secs_f64(spare / self.rate / 2.0).unwrap_or(LONGEST);
        (pause >= SHORTEST).then_some(pause.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn answers_gather_for_as_long_as_clamd_has_enough_to_do() {
        let mut pace = Pace::new();
        assert_eq!(pace.pause(8), None, "nobody knows how quick clamd is");
        for _ in 0..21 {
            advance(Duration::from_millis(1)).await;
            pace.answered();
        }
        // A thousand a second: six of them take six milliseconds.
        let pause = pace.pause(6).unwrap();
        assert!((2.9..3.1).contains(&(pause.as_secs_f64() * 1000.0)), "{pause:?}");
        assert_eq!(pace.pause(3), None, "a late timer would keep clamd waiting");
        assert_eq!(pace.pause(100), Some(LONGEST));
        assert_eq!(pace.pause(1), None, "nothing can gather");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_clamd_is_never_kept_waiting() {
        let mut pace = Pace::new();
        for _ in 0..1000 {
            advance(Duration::from_micros(50)).await;
            pace.answered();
        }
        assert_eq!(pace.pause(4), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_pause_costs_makes_the_next_one_no_longer() {
        let mut pace = Pace::new();
        let mut answers = async |each: Duration, count: u32| {
            for _ in 0..count {
                advance(each).await;
                pace.answered();
            }
            pace.pause(6)
        };
        let quick = answers(Duration::from_millis(1), 40).await.unwrap();
        let after = answers(Duration::from_millis(2), 11).await.unwrap();
        assert!(after < quick * 2, "{quick:?} {after:?}");
    }
}
