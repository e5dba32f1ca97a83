//! One direction of the link: what befalls each packet, and the account of it. No clock and no device.
use super::counts::DirectionCounts;
use super::settings::LinkSettings;
use crate::Random;
use std::time::Duration;

/// The most packets held at once; more are dropped.
const MOST_HELD: u64 = 65_536;

/// The state of one direction.
#[derive(Debug)]
pub(super) struct Direction {
    settings: LinkSettings,
    cut: bool,
    random: Random,
    in_burst: bool,
    /// How many packets in a row have been dropped, up to now.
    run: u64,
    /// The number of the latest packet that went out.
    latest: u64,
    /// Which settings these are; packets that came in under others are not counted any more.
    generation: u64,
    counts: DirectionCounts,
}

/// What becomes of a packet that is not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Passage {
    /// How long it is held.
    pub(super) delay: Duration,
    /// Whether a copy follows it.
    pub(super) twice: bool,
    number: u64,
    generation: u64,
}

impl Direction {
    /// One that does as `settings` say, with dice of `seed`.
    pub(super) fn new(settings: LinkSettings, seed: u64) -> Self {
        Self {
            settings,
            cut: false,
            random: Random::new(seed),
            in_burst: false,
            run: 0,
            latest: 0,
            generation: 0,
            counts: DirectionCounts::default(),
        }
    }

    /// Does as `settings` say from now on, with fresh dice and a fresh account.
    pub(super) fn restart(&mut self, settings: LinkSettings, seed: u64) {
        let fresh = Self::new(settings, seed);
        *self = Self {
            cut: self.cut,
            generation: self.generation + 1,
            ..fresh
        };
    }

    /// Loses everything from now on, or no longer.
    pub(super) const fn cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// The account up to now.
    pub(super) fn counts(&self) -> DirectionCounts {
        let mut counts = self.counts.clone();
        if self.run > 0 {
            *counts.loss_runs.entry(self.run).or_default() += 1;
        }
        counts
    }

    /// Decides about a packet of so many bytes that has come in. `None`: it is dropped.
    pub(super) fn accept(&mut self, size: usize) -> Option<Passage> {
        self.counts.received += 1;
        if self.drops(size) {
            self.run += 1;
            return None;
        }
        self.end_run();
        self.counts.under_way += 1;
        let delay = self.delay();
        Some(Passage {
            delay,
            twice: self.random.chance(self.settings.duplication),
            number: self.counts.received,
            generation: self.generation,
        })
    }

    /// Enters that a packet goes out after it was held for so long, and what it was: the packet, or its copy.
    pub(super) fn deliver(&mut self, passage: Passage, copy: bool, held: Duration) {
        if passage.generation != self.generation {
            return;
        }
        let counts = &mut self.counts;
        if copy {
            counts.duplicated += 1;
            return;
        }
        counts.held.add(held, counts.delivered == 0);
        counts.under_way -= 1;
        counts.delivered += 1;
        if passage.number < self.latest {
            counts.reordered += 1;
        }
        self.latest = self.latest.max(passage.number);
    }

    /// Enters that a packet which was to go out could not.
    pub(super) fn overrun(&mut self, passage: Passage, copy: bool) {
        if passage.generation == self.generation && !copy {
            self.counts.under_way -= 1;
            self.counts.overrun += 1;
            *self.counts.loss_runs.entry(1).or_default() += 1;
        }
    }

    fn drops(&mut self, size: usize) -> bool {
        let reason = if self.cut {
            &mut self.counts.cut
        } else if self.settings.black_hole_above.is_some_and(|most| size > most) {
            &mut self.counts.too_big
        } else if self.bursts() {
            &mut self.counts.lost_in_bursts
        } else if self.random.chance(self.settings.loss) {
            &mut self.counts.lost
        } else if self.counts.under_way >= MOST_HELD {
            &mut self.counts.overrun
        } else {
            return false;
        };
        *reason += 1;
        true
    }

    /// Whether this packet falls into a burst.
    fn bursts(&mut self) -> bool {
        let Some(burst) = self.settings.burst else {
            return false;
        };
        if self.in_burst && self.random.chance(1.0 / burst.mean_length.max(1.0)) {
            self.in_burst = false;
            // The packet after a burst is good, else two bursts were one.
            return false;
        }
        if !self.in_burst && self.random.chance(burst.enter) {
            self.in_burst = true;
            self.counts.bursts += 1;
        }
        self.in_burst
    }

    fn delay(&mut self) -> Duration {
        let LinkSettings { delay, jitter, .. } = self.settings;
        if self.random.chance(self.settings.reordering) && !delay.is_zero() {
            self.counts.hurried += 1;
            return Duration::ZERO;
        }
        if jitter.is_zero() {
            return delay;
        }
        (delay + jitter.mul_f64(2.0 * self.random.unit())).saturating_sub(jitter)
    }

    fn end_run(&mut self) {
        if self.run > 0 {
            *self.counts.loss_runs.entry(self.run).or_default() += 1;
            self.run = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Burst;

    const MS: Duration = Duration::from_millis(1);

    /// So many packets of 100 bytes, each of which goes out before the next comes in.
    fn pass(direction: &mut Direction, packets: u64) -> DirectionCounts {
        for _ in 0..packets {
            if let Some(passage) = direction.accept(100) {
                direction.deliver(passage, false, passage.delay);
            }
        }
        direction.counts()
    }

    #[test]
    fn what_comes_in_goes_out_is_dropped_or_is_under_way() {
        let settings = LinkSettings {
            loss: 0.1,
            burst: Some(Burst {
                enter: 0.01,
                mean_length: 5.0,
            }),
            black_hole_above: Some(1_000),
            ..LinkSettings::default()
        };
        let mut direction = Direction::new(settings, 1);
        let mut held = Vec::new();
        for size in 1..2_000 {
            held.extend(direction.accept(size));
            direction.cut(size > 1_990);
        }
        let refused = held.pop().unwrap();
        for passage in held.drain(..500) {
            direction.deliver(passage, false, MS);
        }
        direction.overrun(refused, false);
        let counts = direction.counts();
        assert_eq!((counts.received, counts.delivered, counts.overrun), (1_999, 500, 1));
        assert_eq!(counts.received, counts.delivered + counts.dropped() + counts.under_way);
        assert_eq!(
            (counts.too_big, counts.cut, counts.under_way),
            (991, 8, held.len() as u64)
        );
        assert!(counts.lost > 0 && counts.lost_in_bursts > 0);
        let in_runs: u64 = counts.loss_runs.iter().map(|(length, runs)| length * runs).sum();
        assert_eq!(in_runs, counts.dropped());
    }

    #[test]
    fn losses_and_bursts_come_as_often_as_they_were_set() {
        let settings = LinkSettings {
            burst: Some(Burst {
                enter: 0.02,
                mean_length: 8.0,
            }),
            ..LinkSettings::default()
        };
        let counts = pass(&mut Direction::new(settings, 1), 100_000);
        let mean = counts.dropped() as f64 / counts.bursts as f64;
        assert!((7.5..8.5).contains(&mean), "{mean} packets a burst");
        let begun = counts.bursts as f64 / (counts.delivered - counts.bursts) as f64;
        assert!(
            (0.019..0.021).contains(&begun),
            "{begun} bursts a packet outside of one"
        );
        assert_eq!(counts.loss_runs.values().sum::<u64>(), counts.bursts);
        let independent = LinkSettings {
            loss: 0.02,
            ..LinkSettings::default()
        };
        let loss = pass(&mut Direction::new(independent, 1), 100_000).loss();
        assert!((0.019..0.021).contains(&loss), "{loss} lost");
    }

    #[test]
    fn delays_are_even_around_the_one_that_was_set_and_never_negative() {
        let jittery = |delay, jitter| LinkSettings {
            delay,
            jitter,
            ..LinkSettings::default()
        };
        let held = pass(&mut Direction::new(jittery(10 * MS, 4 * MS), 1), 10_000).held;
        assert!(held.min >= 6 * MS && held.min < 6 * MS + MS / 10, "{held:?}");
        assert!(held.max <= 14 * MS && held.max > 14 * MS - MS / 10, "{held:?}");
        let mean = held.total / 10_000;
        assert!(mean > 10 * MS - MS / 10 && mean < 10 * MS + MS / 10, "{mean:?}");
        let held = pass(&mut Direction::new(jittery(MS, 4 * MS), 1), 10_000).held;
        assert!(held.min.is_zero() && held.max > 4 * MS, "{held:?}");
    }

    #[test]
    fn a_packet_is_reordered_when_a_later_one_went_before_it() {
        let mut direction = Direction::new(LinkSettings::default(), 1);
        let passages: Vec<_> = (0..5).filter_map(|_| direction.accept(100)).collect();
        for index in [0, 3, 1, 2, 4] {
            direction.deliver(passages[index], false, MS);
            direction.deliver(passages[index], true, MS);
        }
        let counts = direction.counts();
        assert_eq!((counts.delivered, counts.duplicated, counts.reordered), (5, 5, 2));
    }

    #[test]
    fn packets_from_before_a_restart_are_not_counted() {
        let mut direction = Direction::new(LinkSettings::default(), 1);
        let before = direction.accept(100).unwrap();
        let refused = direction.accept(100).unwrap();
        direction.restart(LinkSettings::default(), 1);
        direction.deliver(before, false, MS);
        direction.overrun(refused, false);
        assert_eq!(direction.counts(), DirectionCounts::default());
        assert_eq!(pass(&mut direction, 3).delivered, 3);
    }
}
