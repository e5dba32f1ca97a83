//! Which lengths are tried next. No socket and no clock.

/// Lengths that links and tunnels have: one of them is the limit more often than any other.
const USUAL: [u16; 18] = [
    68, 296, 576, 1006, 1280, 1300, 1380, 1400, 1420, 1440, 1460, 1472, 1480, 1492, 1500, 4352, 8166, 9000,
];
/// Lengths between which the limit is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    /// This length comes through,
    pub(super) passes: u16,
    /// and this one does not.
    pub(super) fails: u16,
}

impl Bracket {
    /// The lengths to be tried next, at most so many: the usual ones first, then all parts of what is left.
    pub(super) fn lengths(self, most: usize) -> Vec<u16> {
        let between = |length: &u16| (self.passes + 1..self.fails).contains(length);
        let usual: Vec<u16> = USUAL.into_iter().filter(between).collect();
        if !usual.is_empty() {
            let step = usual.len().div_ceil(most);
            return usual.into_iter().skip(step / 2).step_by(step).collect();
        }
        let left = usize::from(self.fails - self.passes).saturating_sub(1);
        let parts = left.min(most);
        let at = |part: usize| self.passes + ((left + 1) * part / (parts + 1)) as u16;
        (1..=parts).map(at).collect()
    }
}

/// The next shorter length that links have.
pub(super) fn usual_below(length: u16) -> u16 {
    USUAL.into_iter().rev().find(|usual| *usual < length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_limit_is_found_in_a_few_steps(limit in 80_u16..9_500, most in 1_usize..20) {
            let mut bracket = Bracket { passes: 80, fails: 9_500 };
            let mut steps = 0;
            loop {
                let lengths = bracket.lengths(most);
                prop_assert!(lengths.len() <= most);
                if lengths.is_empty() {
                    break;
                }
                steps += 1;
                for length in lengths {
                    prop_assert!(bracket.passes < length && length < bracket.fails || steps > 0);
                    if length <= limit {
                        bracket.passes = bracket.passes.max(length);
                    } else {
                        bracket.fails = bracket.fails.min(length);
                    }
                }
                prop_assert!(steps <= 20, "{bracket:?}");
            }
            let found = bracket.passes;
            prop_assert_eq!(found, limit.min(9_499));
        }
    }

    #[test]
    fn what_links_carry_is_tried_first() {
        let bracket = Bracket {
            passes: 80,
            fails: 1500,
        };
        assert_eq!(bracket.lengths(15)[..4], [296, 576, 1006, 1280]);
        assert_eq!(bracket.lengths(1).len(), 1);
        let narrow = Bracket {
            passes: 1400,
            fails: 1420,
        };
        assert_eq!(narrow.lengths(15).len(), 15);
        assert_eq!((usual_below(1500), usual_below(68)), (1492, 0));
    }
}
