//! Which records of a stream were seen: ranges that never touch, and the gaps between them.
use core_model::SeqRange;

/// What becomes of the ranges seen when `new` arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The range that takes the place of `new` and of all in `touching`.
    pub(crate) whole: SeqRange,
    /// The parts of `new` that no range held: the records to apply.
    pub(crate) fresh: Vec<SeqRange>,
}

/// Merges `new` with `touching`: the ranges already seen that overlap it or lie right beside it, by rising `first`.
pub(crate) fn merge(new: SeqRange, touching: &[SeqRange]) -> Merged {
    let mut fresh = Vec::new();
    let mut whole = new;
    let mut next = new.first;
    for seen in touching {
        if seen.first > next {
            fresh.push(SeqRange {
                first: next,
                last: seen.first - 1,
            });
        }
        next = next.max(seen.last.saturating_add(1));
        whole.first = whole.first.min(seen.first);
        whole.last = whole.last.max(seen.last);
    }
    if next <= new.last {
        fresh.push(SeqRange {
            first: next,
            last: new.last,
        });
    }
    Merged { whole, fresh }
}

/// The numbers missing between 1 and the highest seen; `seen` is sorted and its ranges do not touch.
pub(crate) fn gaps(seen: &[SeqRange]) -> Vec<SeqRange> {
    let mut next = 1;
    let mut missing = Vec::new();
    for range in seen {
        if range.first > next {
            missing.push(SeqRange {
                first: next,
                last: range.first - 1,
            });
        }
        next = range.last.saturating_add(1);
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn numbers(range: SeqRange) -> impl Iterator<Item = u64> {
        range.first..=range.last
    }

    proptest! {
        #[test]
        fn ranges_are_the_set_of_numbers_seen(requests in prop::collection::vec((1u64..60, 0u64..9), 1..40)) {
            let mut model = BTreeSet::new();
            let mut ranges: Vec<SeqRange> = Vec::new();
            for (first, length) in requests {
                let new = SeqRange { first, last: first + length };
                let beside = |seen: &SeqRange| seen.first <= new.last + 1 && seen.last + 1 >= new.first;
                let touching: Vec<_> = ranges.iter().copied().filter(beside).collect();
                let merged = merge(new, &touching);
                let expected: Vec<_> = numbers(new).filter(|seq| !model.contains(seq)).collect();
                prop_assert_eq!(merged.fresh.iter().copied().flat_map(numbers).collect::<Vec<_>>(), expected);
                ranges.retain(|seen| !beside(seen));
                ranges.push(merged.whole);
                ranges.sort_by_key(|range| range.first);
                model.extend(numbers(new));
                prop_assert_eq!(ranges.iter().copied().flat_map(numbers).collect::<BTreeSet<_>>(), model.clone());
                prop_assert!(ranges.windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
                let top = *model.last().unwrap();
                let missing: Vec<_> = (1..=top).filter(|seq| !model.contains(seq)).collect();
                prop_assert_eq!(gaps(&ranges).into_iter().flat_map(numbers).collect::<Vec<_>>(), missing);
            }
        }
    }
}
