//! The number of files under way: less when clamd or the machine is short of something, more when not.
use super::{super::progress::Why, pressure::Pressure};
use crate::settings::Throttle;

/// What was seen since the last step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Of the machine.
    pub(super) pressure: Pressure,
    /// Jobs in clamd's queue that were not ours when it was last asked.
    pub(super) others: u64,
    /// Whether it was asked since the last step.
    pub(super) is_news: bool,
}

/// Decides how many files are under way at once. Once a second, it goes down by a part where something is short, and up
/// by a little where nothing is: so that several of the same kind share what there is.
#[derive(Clone, Debug)]
pub(super) struct Steering {
    most: usize,
    /// Latency alone never makes it less: clamd would have nothing to do between two files.
    busy: usize,
    threads: usize,
    window: usize,
    why: Why,
    cost: Cost,
}

/// What a byte costs, by its logarithm, so that a few heavy archives do not count for more than many files.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    answers: u32,
    /// Of the last dozens of files.
    recent: f64,
    /// Of the last thousand.
    usual: f64,
}

/// So many answers tell nothing yet.
const FEW: u32 = 64;
/// A file costs as much as so many bytes, were it empty.
const FIXED_BYTES: f64 = 65_536.0;
/// Slower than before by this factor is slower.
const SLOWER: f64 = 3.0;

impl Steering {
    /// `most` files at the most, for a clamd of so many threads. It begins with all of them.
    pub(super) fn new(most: usize, threads: usize) -> Self {
        let (most, threads) = (most.max(1), threads.max(1));
        Self {
            most,
            busy: (threads * 2).min(most),
            threads,
            window: most,
            why: Why::Full,
            cost: Cost::default(),
        }
    }

    /// How many files may be under way, and why so many.
    pub(super) const fn window(&self) -> (usize, Why) {
        (self.window, self.why)
    }

    /// clamd has answered about a file of `bytes` after `seconds`, while so many were under way.
    pub(super) fn answered(&mut self, seconds: f64, bytes: u64, under_way: usize) {
        // What waits behind others is slow for no other reason.
        let turns = under_way.max(self.threads) as f64 / self.threads as f64;
        let cost = (seconds / turns / (bytes as f64 + FIXED_BYTES))
            .max(f64::MIN_POSITIVE)
            .ln();
        let Cost { answers, recent, usual } = &mut self.cost;
        if *answers == 0 {
            (*recent, *usual) = (cost, cost);
        }
        *answers = answers.saturating_add(1);
        *recent += (cost - *recent) / 16.0;
        // At first all that there is, so that it does not stay at what happened to come first.
        *usual += (cost - *usual) / f64::from((*answers).min(1024));
    }

    /// One step, once a second.
    pub(super) fn step(&mut self, throttle: &Throttle, seen: &Seen) {
        if throttle.background {
            (self.window, self.why) = (1, Why::Background);
            return;
        }
        let over = |share: f64, limit: u8| limit < 100 && share > f64::from(limit);
        let Pressure { cpu, io, memory } = seen.pressure;
        let short = [
            (over(memory, throttle.memory_pressure), Why::Memory),
            (over(io, throttle.io_pressure), Why::Io),
            (over(cpu, throttle.cpu_pressure), Why::Cpu),
        ];
        if let Some((_, why)) = short.into_iter().find(|(is_short, _)| *is_short) {
            (self.window, self.why) = (self.less(4).max(1), why);
        } else if seen.others > 0 {
            // Once for each answer: clamd is asked less often than this is decided.
            let window = if seen.is_news { self.less(2).max(1) } else { self.window };
            (self.window, self.why) = (window, Why::Queue);
        } else if self.is_slower() && self.window >= self.busy {
            (self.window, self.why) = (self.less(4).max(self.busy), Why::Latency);
        } else {
            self.window = (self.window + (self.most / 16).max(1)).min(self.most);
            self.why = if self.window == self.most {
                Why::Full
            } else {
                Why::Growing
            };
        }
    }

    /// The window without one part of so many, and at least one less.
    const fn less(&self, parts: usize) -> usize {
        let part = self.window / parts;
        self.window.saturating_sub(if part == 0 { 1 } else { part })
    }

    fn is_slower(&self) -> bool {
        self.cost.answers >= FEW && self.cost.recent - self.cost.usual > SLOWER.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ThrottleSettings;
    use proptest::{collection, prelude::*};

    fn throttle() -> Throttle {
        ThrottleSettings {
            max_cpu_pressure: Some(50),
            max_io_pressure: Some(40),
            ..ThrottleSettings::default()
        }
        .over(&ThrottleSettings::default())
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let share = || prop_oneof![Just(0.0), 0.0..100.0_f64];
        let others = (prop_oneof![Just(0_u64), 0..50_u64], any::<bool>());
        (share(), share(), share(), others).prop_map(|(cpu, io, memory, (others, is_news))| Seen {
            pressure: Pressure { cpu, io, memory },
            others,
            is_news,
        })
    }

    proptest! {
        #[test]
        fn the_window_stays_between_one_and_the_most_whatever_happens(
            most in 0_usize..300, threads in 0_usize..40,
            steps in collection::vec((seen(), collection::vec((0.0..1e6_f64, any::<u64>(), 0_usize..500), 0..20)), 1..100),
        ) {
            let mut steering = Steering::new(most, threads);
            let throttle = throttle();
            for (seen, answers) in steps {
                for (seconds, bytes, under_way) in answers {
                    steering.answered(seconds, bytes, under_way);
                }
                let (before, _) = steering.window();
                steering.step(&throttle, &seen);
                let (window, why) = steering.window();
                prop_assert!((1..=most.max(1)).contains(&window));
                let is_short = seen.pressure.cpu > 50.0 || seen.pressure.io > 40.0 || seen.pressure.memory > 20.0;
                if is_short || seen.others > 0 {
                    let is_held = !is_short && !seen.is_news;
                    let is_right = if is_held { window == before } else { window < before || window == 1 };
                    prop_assert!(is_right, "{before} to {window} by {why:?}");
                    prop_assert!(!matches!(why, Why::Full | Why::Growing));
                }
            }
        }

        #[test]
        fn it_yields_to_one_and_comes_back_to_all_within_a_minute(most in 1_usize..=256, threads in 1_usize..64) {
            let mut steering = Steering::new(most, threads);
            let short = Seen { others: 1, is_news: true, ..Seen::default() };
            (0..10).for_each(|_| steering.step(&throttle(), &short));
            prop_assert_eq!(steering.window(), (1, Why::Queue));
            (0..32).for_each(|_| steering.step(&throttle(), &Seen::default()));
            prop_assert_eq!(steering.window(), (most, Why::Full));
        }

        #[test]
        fn latency_alone_leaves_clamd_busy(most in 1_usize..=256, threads in 1_usize..64, rounds in 1_usize..60) {
            let mut steering = Steering::new(most, threads);
            (0..200).for_each(|_| steering.answered(0.001, 10_000, threads));
            for _ in 0..rounds {
                (0..50).for_each(|_| steering.answered(1.0, 10_000, threads));
                steering.step(&throttle(), &Seen::default());
            }
            prop_assert!(steering.window().0 >= (2 * threads).min(most));
        }
    }

    #[test]
    fn a_clamd_that_becomes_slow_gets_less_until_that_is_what_is_usual() {
        let mut steering = Steering::new(64, 4);
        (0..2_000).for_each(|_| steering.answered(0.01, 10_000, 64));
        steering.step(&throttle(), &Seen::default());
        assert_eq!(steering.window(), (64, Why::Full));
        (0..60).for_each(|_| steering.answered(0.2, 10_000, 64));
        steering.step(&throttle(), &Seen::default());
        assert_eq!(steering.window(), (48, Why::Latency));
        (0..4_000).for_each(|_| steering.answered(0.2, 10_000, 48));
        steering.step(&throttle(), &Seen::default());
        assert_eq!(steering.window(), (52, Why::Growing));
    }

    #[test]
    fn longer_files_and_more_of_them_at_once_are_not_slowness() {
        let mut steering = Steering::new(64, 4);
        (0..500).for_each(|_| steering.answered(0.01, 0, 4));
        (0..500).for_each(|_| steering.answered(0.16, 0, 64));
        (0..500).for_each(|_| steering.answered(1.6, 640_000, 64));
        steering.step(&throttle(), &Seen::default());
        assert_eq!(steering.window(), (64, Why::Full));
    }

    #[test]
    fn in_the_background_there_is_one() {
        let background = ThrottleSettings {
            background: Some(true),
            ..ThrottleSettings::default()
        };
        let mut steering = Steering::new(64, 4);
        steering.step(&background.over(&ThrottleSettings::default()), &Seen::default());
        assert_eq!(steering.window(), (1, Why::Background));
    }
}
