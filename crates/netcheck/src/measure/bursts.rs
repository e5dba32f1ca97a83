//! Whether loss comes one packet at a time, or many in a row: the same share is heard differently.

/// Losses in a row (RFC 3357 calls a run of them a loss period), and the chain of two states that would lose like it (Gilbert, 1960).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Bursts {
    /// How often loss began.
    pub count: u64,
    /// The mean length, in packets; 0 without loss.
    pub mean: f64,
    /// The longest, in packets.
    pub longest: u64,
    /// How likely loss begins after a packet that came through: 0 to 1.
    pub begins: f64,
    /// How likely it ends after a packet that was lost: 0 to 1; 1 without loss.
    pub ends: f64,
}

/// The bursts of a run: of each packet in the order of sending whether it was lost, `None` where nobody knows. A packet of which
/// nobody knows belongs to no burst, and parts none.
///
/// ```
/// let lost = [false, true, true, false, true].map(Some);
/// let bursts = netcheck::measure::bursts(lost);
/// assert_eq!((bursts.count, bursts.longest, bursts.mean), (2, 2, 1.5));
/// ```
pub fn bursts(lost: impl IntoIterator<Item = Option<bool>>) -> Bursts {
    let mut chain = Chain::default();
    lost.into_iter().for_each(|is_lost| chain.add(is_lost));
    chain.bursts()
}

/// The same, one packet after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chain {
    before: Option<bool>,
    /// How long the burst is that has not ended.
    length: u64,
    longest: u64,
    count: u64,
    lost: u64,
    after_good: u64,
    after_lost: u64,
    ended: u64,
}

impl Chain {
    pub(crate) fn add(&mut self, is_lost: Option<bool>) {
        let Some(is_lost) = is_lost else { return };
        match self.before.replace(is_lost) {
            Some(true) => {
                self.after_lost += 1;
                self.ended += u64::from(!is_lost);
            }
            before => {
                self.after_good += u64::from(before.is_some());
                self.count += u64::from(is_lost);
            }
        }
        if is_lost {
            self.lost += 1;
            self.length += 1;
            self.longest = self.longest.max(self.length);
        } else {
            self.length = 0;
        }
    }

    pub(crate) fn bursts(&self) -> Bursts {
        let begun_after_good = self.count - u64::from(self.count > 0 && self.after_good == 0);
        let share = |part: u64, of: u64, without: f64| if of == 0 { without } else { part as f64 / of as f64 };
        Bursts {
            count: self.count,
            mean: share(self.lost, self.count, 0.0),
            longest: self.longest,
            begins: share(begun_after_good.min(self.after_good), self.after_good, 0.0),
            ends: share(self.ended, self.after_lost, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_nobody_knows_neither_parts_nor_lengthens_a_burst() {
        let lost = [Some(false), Some(true), None, Some(true), None, Some(false)];
        let found = bursts(lost);
        assert_eq!((found.count, found.longest, found.mean), (1, 2, 2.0));
        assert_eq!((found.begins, found.ends), (1.0, 0.5));
    }

    #[test]
    fn without_loss_there_is_none_and_with_nothing_else_it_never_ends() {
        let none = bursts([Some(false); 5]);
        assert_eq!((none.count, none.mean, none.begins, none.ends), (0, 0.0, 0.0, 1.0));
        let all = bursts([Some(true); 5]);
        assert_eq!((all.count, all.longest, all.ends), (1, 5, 0.0));
    }

    proptest! {
        #[test]
        fn bursts_hold_every_loss(lost in prop::collection::vec(prop::option::of(any::<bool>()), 0..200)) {
            let found = bursts(lost.iter().copied());
            let all = lost.iter().filter(|lost| **lost == Some(true)).count() as f64;
            prop_assert!((found.mean * found.count as f64 - all).abs() < 1e-6);
            prop_assert!((0.0..=1.0).contains(&found.begins) && (0.0..=1.0).contains(&found.ends));
            prop_assert!(found.longest as f64 >= found.mean);
        }
    }
}
