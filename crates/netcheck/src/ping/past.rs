//! What is left of probes that a run without an end no longer remembers one by one.
use super::report::{Outcome, Sample};
use crate::measure::{self, Bursts, Chain, Jitter, Spread, Times};
use std::{collections::VecDeque, time::Duration};

/// Sums of the probes that are forgotten, and the latest of their times.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub(super) unsent: u32,
    pub(super) answered: u32,
    pub(super) unknown: u32,
    pub(super) all: u32,
    spread: Spread,
    jitter: Jitter,
    chain: Chain,
    latest: VecDeque<Duration>,
}

impl Past {
    /// Forgets a probe, the oldest that is remembered; of its time, only with `most` that came later.
    pub(super) fn forget(&mut self, sample: &Sample, most: usize) {
        self.count(sample);
        if let Some(rtt) = sample.rtt() {
            self.spread.add(rtt);
            if self.latest.len() >= most {
                self.latest.pop_front();
            }
            self.latest.push_back(rtt);
        }
    }

    /// All that there is to say of these and of `samples`, which come after them.
    pub(super) fn with(mut self, samples: &[Sample]) -> Whole {
        samples.iter().for_each(|sample| self.count(sample));
        let times = samples.iter().filter_map(Sample::rtt);
        Whole {
            times: measure::times_after(self.spread, self.latest.make_contiguous(), times),
            jitter: self.jitter.get(),
            bursts: self.chain.bursts(),
            sent: self.all - self.unsent,
            answered: self.answered,
            unknown: self.unknown,
        }
    }

    fn count(&mut self, sample: &Sample) {
        self.all += 1;
        let counter = match sample.outcome {
            Outcome::Answered { rtt, .. } => {
                self.jitter.add(rtt);
                Some(&mut self.answered)
            }
            Outcome::Unknown { .. } => Some(&mut self.unknown),
            Outcome::Unsent { .. } => Some(&mut self.unsent),
            Outcome::Lost | Outcome::Unreachable { .. } => None,
        };
        counter.into_iter().for_each(|counter| *counter += 1);
        self.chain.add(sample.is_lost());
    }
}

/// What follows from all probes of a run.
pub(super) struct Whole {
    pub(super) sent: u32,
    pub(super) answered: u32,
    pub(super) unknown: u32,
    pub(super) times: Option<Times>,
    pub(super) jitter: Option<Duration>,
    pub(super) bursts: Bursts,
}
