//! How far a target is: which hop is probed next, while answers come in any order. No socket and no clock.
use super::options::TraceOptions;

/// So many hops are waited for at the beginning; each answer allows one more. Most targets of a local network are nearer.
const AT_FIRST: usize = 3;
/// A hop is probed again so often, if nobody knows whose answer it was that came.
const AGAIN_MOST: u8 = 2;

/// What is known of the length of a path.
#[derive(Debug)]
pub(super) struct Discovery {
    first: u8,
    last: u8,
    /// Hops up to this one are probed whatever comes.
    least: u8,
    window: usize,
    window_most: usize,
    give_up_after: u8,
    /// The next hop that has not been probed yet.
    next: u16,
    pending: Vec<u8>,
    /// Hops to be probed again.
    again: Vec<u8>,
    retried: Vec<u8>,
    /// The furthest hop that passed a probe on.
    passed: u8,
    end: Option<u8>,
}

/// What a probe came to, as far as the length of the path goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A router passed it on until its time to live was over.
    Passed,
    /// It came to its end: to the target, or to somebody who refused it.
    Ended,
    /// Nothing came.
    Nothing,
    /// Something came, and nobody knows about which of several probes.
    Untold,
}

impl Discovery {
    /// `is_serial`: one hop at a time.
    pub(super) fn new(options: &TraceOptions, is_serial: bool) -> Self {
        let least = options.min_hops.min(options.max_hops);
        let (at_first, most) = (AT_FIRST.max(least.into()), options.parallel.max(least).into());
        let (window, window_most) = if is_serial { (1, 1) } else { (at_first.min(most), most) };
        Self {
            first: options.first_hop,
            last: options.max_hops,
            least,
            window,
            window_most,
            give_up_after: options.give_up_after,
            next: u16::from(options.first_hop),
            pending: Vec::new(),
            again: Vec::new(),
            retried: Vec::new(),
            passed: options.first_hop - 1,
            end: None,
        }
    }

    /// The hop to be probed now, if there is one.
    pub(super) fn next(&mut self) -> Option<u8> {
        if self.pending.len() >= self.window {
            return None;
        }
        let hop = match self.again.pop() {
            Some(hop) => hop,
            None => {
                let hop = u8::try_from(self.next).ok().filter(|hop| self.may_probe(*hop))?;
                self.next += 1;
                hop
            }
        };
        self.pending.push(hop);
        Some(hop)
    }

    fn may_probe(&self, hop: u8) -> bool {
        let is_worth_it = hop <= self.passed.saturating_add(self.give_up_after) || hop <= self.least;
        hop <= self.last && self.end.is_none() && is_worth_it
    }

    /// What became of the probe of a hop; true when the hop will be probed again for that.
    pub(super) fn saw(&mut self, hop: u8, came: Came) -> bool {
        if let Some(at) = self.pending.iter().position(|pending| *pending == hop) {
            self.pending.swap_remove(at);
        }
        match came {
            Came::Passed => self.passed = self.passed.max(hop),
            Came::Ended => self.end = Some(self.end.map_or(hop, |end| end.min(hop))),
            Came::Nothing => {}
            Came::Untold => {
                // One at a time, each answer can only be about the one.
                (self.window, self.window_most) = (1, 1);
                let before = self.retried.iter().filter(|retried| **retried == hop).count();
                if before < usize::from(AGAIN_MOST) {
                    self.retried.push(hop);
                    self.again.push(hop);
                    return true;
                }
            }
        }
        if matches!(came, Came::Passed | Came::Ended) {
            self.window = (self.window + 1).min(self.window_most);
        }
        false
    }

    /// Whether the length is known as well as it will be.
    pub(super) fn is_over(&self) -> bool {
        let is_done = self.pending.is_empty() && self.again.is_empty();
        self.end.is_some() || (is_done && !u8::try_from(self.next).is_ok_and(|hop| self.may_probe(hop)))
    }

    /// The hop where the path ends, if that is known.
    pub(super) const fn end(&self) -> Option<u8> {
        self.end
    }

    /// The hops worth probing further: to the end, or to the first silent one behind all that answered.
    pub(super) fn hops(&self) -> std::ops::RangeInclusive<u8> {
        let heard = self.passed.saturating_add(1).min(self.last);
        let last = self.end.unwrap_or_else(|| heard.max(self.least));
        self.first..=last
    }

    /// Whether one hop is probed at a time.
    pub(super) const fn is_serial(&self) -> bool {
        self.window_most == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_next(discovery: &mut Discovery) -> Vec<u8> {
        std::iter::from_fn(|| discovery.next()).collect()
    }

    #[test]
    fn a_near_target_is_found_with_few_probes() {
        let mut discovery = Discovery::new(&TraceOptions::default(), false);
        assert_eq!(all_next(&mut discovery), [1, 2, 3]);
        discovery.saw(3, Came::Ended);
        assert!(discovery.is_over() && all_next(&mut discovery).is_empty());
        discovery.saw(2, Came::Ended);
        assert_eq!((discovery.end(), discovery.hops()), (Some(2), 1..=2));
    }

    #[test]
    fn answers_open_the_window_and_silence_moves_it_on() {
        let mut discovery = Discovery::new(&TraceOptions::default(), false);
        assert_eq!(all_next(&mut discovery), [1, 2, 3]);
        discovery.saw(1, Came::Passed);
        assert_eq!(all_next(&mut discovery), [4, 5]);
        for hop in 2..=5 {
            discovery.saw(hop, Came::Nothing);
        }
        assert_eq!(all_next(&mut discovery), [6, 7, 8, 9]);
        assert!(!discovery.is_over());
        for hop in 6..=9 {
            discovery.saw(hop, Came::Nothing);
        }
        // Eight hops behind the first are silent.
        assert!(discovery.is_over() && all_next(&mut discovery).is_empty());
        assert_eq!((discovery.end(), discovery.hops()), (None, 1..=2));
    }

    #[test]
    fn a_way_that_is_known_is_probed_at_once_and_to_its_end() {
        let known = TraceOptions {
            min_hops: 12,
            ..TraceOptions::default()
        };
        let mut discovery = Discovery::new(&known, false);
        assert_eq!(all_next(&mut discovery).len(), 12);
        discovery.saw(1, Came::Passed);
        for hop in 2..=12 {
            discovery.saw(hop, Came::Nothing);
        }
        assert!(all_next(&mut discovery).is_empty() && discovery.is_over());
        assert_eq!(discovery.hops(), 1..=12);
        let mut nearer = Discovery::new(&known, false);
        all_next(&mut nearer);
        nearer.saw(4, Came::Ended);
        assert_eq!(nearer.hops(), 1..=4);
    }

    #[test]
    fn what_nobody_can_tell_apart_is_probed_one_by_one() {
        let mut discovery = Discovery::new(&TraceOptions::default(), false);
        assert_eq!(all_next(&mut discovery), [1, 2, 3]);
        discovery.saw(1, Came::Passed);
        discovery.saw(2, Came::Untold);
        discovery.saw(3, Came::Untold);
        assert!(discovery.is_serial());
        let mut probed = Vec::new();
        while let Some(hop) = discovery.next() {
            probed.push(hop);
            assert_eq!(discovery.next(), None);
            discovery.saw(hop, if hop == 4 { Came::Ended } else { Came::Passed });
        }
        probed.sort_unstable();
        assert_eq!((probed, discovery.end()), (vec![2, 3, 4], Some(4)));
        // Somebody else probes the same target from the same port: that is not tried for ever.
        let mut discovery = Discovery::new(&TraceOptions::default(), false);
        let mut tries = 0;
        while let Some(hop) = discovery.next() {
            tries += 1;
            discovery.saw(hop, Came::Untold);
        }
        assert!(discovery.is_over() && tries <= 8 * 3, "{tries}");
    }

    proptest! {
        /// Whatever a path is like, and in whatever order answers come: it ends, no hop is probed twice, and the target is found unless
        /// too many before it are silent.
        #[test]
        fn every_path_is_walked_to_its_end(
            length in 1_u8..40,
            silent in prop::collection::vec(any::<bool>(), 40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 200),
            is_serial: bool,
        ) {
            let mut discovery = Discovery::new(&TraceOptions::default(), is_serial);
            let (mut flying, mut probed) = (Vec::new(), Vec::new());
            let mut order = order.into_iter();
            loop {
                while let Some(hop) = discovery.next() {
                    flying.push(hop);
                    probed.push(hop);
                    let most = if is_serial { 1 } else { 8 };
                    prop_assert!(flying.len() <= most);
                }
                if discovery.is_over() {
                    break;
                }
                let hop = flying.swap_remove(order.next().unwrap().index(flying.len()));
                let came = if hop >= length {
                    Came::Ended
                } else if silent[usize::from(hop)] {
                    Came::Nothing
                } else {
                    Came::Passed
                };
                discovery.saw(hop, came);
            }
            // Others are still flying, and may show that the target is nearer.
            for hop in flying.into_iter().filter(|hop| *hop >= length) {
                discovery.saw(hop, Came::Ended);
            }
            let mut runs = (1..length).map(|hop| silent[usize::from(hop)]).collect::<Vec<_>>();
            runs.push(false);
            let longest = runs.split(|silent| !silent).map(<[bool]>::len).max().unwrap_or(0);
            if longest < 8 && length <= 30 {
                prop_assert_eq!(discovery.end(), Some(length));
            }
            probed.sort_unstable();
            probed.dedup();
            prop_assert!(probed.iter().all(|hop| *hop <= 30));
        }
    }
}
