//! A circuit breaker as a pure state machine (Nygard, "Release It!", 2007).
use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// The last so many requests are looked at; with fewer it stays closed.
    pub window: usize,
    /// It opens when at least this fraction of the window failed (0 to 1).
    pub threshold: f64,
    /// How long it stays open before one request may try.
    pub recovery: Duration,
}

impl Default for BreakerSettings {
    /// Half of the last ten, two minutes: the file-scanner document's figures.
    fn default() -> Self {
        Self {
            window: 10,
            threshold: 0.5,
            recovery: Duration::from_secs(120),
        }
    }
}

/// What the breaker is doing, as `/health` and metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// One request is trying.
    HalfOpen,
}

impl BreakerState {
    /// `closed`, `open` or `half_open`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The answer to "may I send?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send.
    Allow,
    /// Send: this request decides whether the breaker closes.
    Probe,
    /// Do not send; ask again after `wait`.
    Refuse {
        /// Until the next probe may go.
        wait: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Closed,
    Open { until: Instant },
    // The probe's own outcome may be lost (a task was cancelled), so the next one goes after the recovery time.
    HalfOpen { until: Instant },
}

/// Refuses requests to a host that keeps failing, and lets a single one try after a while.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    outcomes: VecDeque<bool>,
    inner: Inner,
}

impl Breaker {
    /// Closed, with nothing seen.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            outcomes: VecDeque::with_capacity(settings.window),
            inner: Inner::Closed,
        }
    }

    /// May a request go now? A `Probe` must be followed by [`Breaker::succeeded`] or [`Breaker::failed`].
    pub fn ask(&mut self, now: Instant) -> Decision {
        match self.inner {
            Inner::Closed => Decision::Allow,
            Inner::Open { until } | Inner::HalfOpen { until } if now < until => Decision::Refuse {
                wait: until.saturating_duration_since(now),
            },
            Inner::Open { .. } | Inner::HalfOpen { .. } => {
                self.inner = Inner::HalfOpen {
                    until: now + self.settings.recovery,
                };
                Decision::Probe
            }
        }
    }

    /// A request was answered properly.
    pub fn succeeded(&mut self, _now: Instant) {
        match self.inner {
            Inner::Closed => self.push(true),
            // A late answer to a request sent before it opened says as much as the probe's.
            Inner::Open { .. } | Inner::HalfOpen { .. } => {
                self.outcomes.clear();
                self.inner = Inner::Closed;
            }
        }
    }

    /// A request failed in a way that speaks against the host: no answer, or 5xx.
    pub fn failed(&mut self, now: Instant) {
        let open = Inner::Open {
            until: now + self.settings.recovery,
        };
        match self.inner {
            Inner::Closed => {
                self.push(false);
                let failed = self.outcomes.iter().filter(|ok| !**ok).count() as f64;
                if self.outcomes.len() >= self.settings.window
                    && failed >= self.settings.threshold * self.outcomes.len() as f64
                {
                    self.outcomes.clear();
                    self.inner = open;
                }
            }
            Inner::HalfOpen { .. } => self.inner = open,
            Inner::Open { .. } => {}
        }
    }

    /// The state as people see it at `now`.
    pub fn state(&self) -> BreakerState {
        match self.inner {
            Inner::Closed => BreakerState::Closed,
            Inner::Open { .. } => BreakerState::Open,
            Inner::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn push(&mut self, ok: bool) {
        if self.outcomes.len() >= self.settings.window {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(ok);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(BreakerSettings::default());
        for _ in 0..10 {
            breaker.failed(now);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[test]
    fn half_of_ten_opens_it_and_fewer_do_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerSettings::default());
        for _ in 0..9 {
            breaker.failed(now);
        }
        assert_eq!(breaker.ask(now), Decision::Allow, "nine requests are no window");
        let mut breaker = Breaker::new(BreakerSettings::default());
        for n in 0..40 {
            if n % 5 < 2 {
                breaker.failed(now)
            } else {
                breaker.succeeded(now)
            }
        }
        assert_eq!(breaker.ask(now), Decision::Allow, "two in five is below half");
        opened(now);
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let now = Instant::now();
        let after = now + Duration::from_secs(120);
        let mut breaker = opened(now);
        assert_eq!(
            breaker.ask(now + Duration::from_secs(30)),
            Decision::Refuse {
                wait: Duration::from_secs(90)
            }
        );
        assert_eq!(breaker.ask(after), Decision::Probe);
        assert!(
            matches!(breaker.ask(after), Decision::Refuse { .. }),
            "a second request waits for the probe"
        );
        breaker.failed(after);
        assert!(matches!(breaker.ask(after), Decision::Refuse { .. }));
        let later = after + Duration::from_secs(120);
        assert_eq!(breaker.ask(later), Decision::Probe);
        breaker.succeeded(later);
        assert_eq!(breaker.ask(later), Decision::Allow);
    }

    proptest! {
        #[test]
        fn it_never_refuses_for_longer_than_the_recovery_time(steps in prop::collection::vec((0u8..3, 0u64..200), 1..200)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(BreakerSettings::default());
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    0 => breaker.failed(now),
                    1 => breaker.succeeded(now),
                    _ => if let Decision::Refuse { wait } = breaker.ask(now) {
                        prop_assert!(wait <= Duration::from_secs(120));
                    },
                }
            }
        }
    }
}
