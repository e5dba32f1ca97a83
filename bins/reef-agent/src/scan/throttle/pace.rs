//! How long answers may gather: being woken for each costs more than what is done with it.
use std::time::Duration;
use tokio::time::Instant;

/// Timers are no finer than this.
const SHORTEST: Duration = Duration::from_millis(1);
/// Nobody notices that an answer is heard of so much later.
const LONGEST: Duration = Duration::from_millis(10);
/// How quickly clamd answers is measured over at least this.
const MEASURED_OVER: Duration = Duration::from_millis(20);

/// How quickly clamd answers.
#[derive(Debug)]
pub(in crate::scan) struct Pace {
    since: Instant,
    answers: u32,
    /// A second, of late; 0 while that is not known.
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
            self.rate = f64::from(self.answers) / took.as_secs_f64();
            (self.since, self.answers) = (Instant::now(), 0);
        }
    }

    /// How long answers may gather while so many files are under way, so that about `spare` of them are answered by then;
    /// `None` where that is too short to be worth it.
    pub(in crate::scan) fn pause(&self, spare: usize) -> Option<Duration> {
        if self.rate <= 0.0 || spare < 2 {
            return None;
        }
        let spare = f64::from(u32::try_from(spare).unwrap_or(u32::MAX));
        let pause = Duration::try_from_secs_f64(spare / self.rate).unwrap_or(LONGEST);
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
        // A thousand a second: four of them take four milliseconds.
        let pause = pace.pause(4).unwrap();
        assert!((3.9..4.1).contains(&(pause.as_secs_f64() * 1000.0)), "{pause:?}");
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
}
