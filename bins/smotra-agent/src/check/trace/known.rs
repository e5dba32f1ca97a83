//! What is known of a way from the rounds before.
use super::probed::Became;
use netcheck::trace::{Hop, PathChange, PathLog, TraceReport};
use std::time::SystemTime;

/// What is known of the way to a target from the rounds before.
pub(super) struct Known {
    log: PathLog,
    /// The target's distance, once it was reached.
    end: Option<u8>,
    first_hop: u8,
    /// So many rounds have come to their end.
    pub(super) rounds: u64,
}

impl Known {
    pub(super) const fn new(first_hop: u8) -> Self {
        Self {
            log: PathLog::new(0),
            end: None,
            first_hop,
            rounds: 0,
        }
    }

    /// So many hops are probed, whatever comes.
    pub(super) fn length(&self) -> u8 {
        self.end.unwrap_or(0)
    }

    /// Notes what a round saw, and tells whether the way has become another one.
    pub(super) fn observe(&mut self, report: &TraceReport) -> Option<PathChange> {
        self.rounds += 1;
        let change = self.log.observe(SystemTime::now(), report);
        if report.reached {
            let length = u8::try_from(self.log.path().len()).unwrap_or(u8::MAX);
            self.end = Some((self.first_hop - 1).saturating_add(length));
        }
        change
    }

    /// What became of the probe to each hop of the way. A target that was not heard where it is, but by what was to go further, is not
    /// further: that probe was lost.
    pub(super) fn hops<'r>(&self, report: &'r TraceReport) -> impl Iterator<Item = (&'r Hop, Became)> {
        let last = self.end.unwrap_or(u8::MAX);
        let hops: Vec<&Hop> = report.hops.iter().filter(|hop| hop.hop <= last).collect();
        let outcome = |at: usize, hop: &Hop| match hop.routers.first() {
            Some(router) if router.said.is_some() && router.address != report.address => Became::Refused,
            Some(_) => Became::Answered,
            None if hop.unknown > 0 => Became::Unknown,
            None if hops[at + 1..].iter().any(|hop| !hop.routers.is_empty()) => Became::Silent,
            None if report.reached && hop.hop < last => Became::Silent,
            None => Became::Lost,
        };
        let outcomes: Vec<(&Hop, Became)> = hops
            .iter()
            .enumerate()
            .map(|(at, hop)| (*hop, outcome(at, hop)))
            .collect();
        outcomes.into_iter()
    }
}
