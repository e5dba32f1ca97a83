//! The verdicts of one directory as they lie in a row: entries of one length in the order of their inodes, so that a
//! file is found in the bytes as they are.
//!
//! A directory has a row for each 8,192 inodes that its files have: mostly one, and never one that takes long to write.
use super::{BasisId, DirKey, FileFacts, Judgement};

/// Bytes of an entry: five numbers of eight bytes and two of four.
pub(super) const LENGTH: usize = 48;
const PART_BITS: u32 = 13;

/// A file and its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) facts: FileFacts,
    pub(super) judgement: Judgement,
    pub(super) basis: BasisId,
    /// When it was judged, in seconds since the epoch.
    pub(super) checked_s: u32,
}

impl Entry {
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        let FileFacts {
            inode,
            size,
            mtime_ns,
            ctime_ns,
            btime_ns,
        } = self.facts;
        let kind = self.basis.0 << 1 | u32::from(self.judgement == Judgement::OverLimit);
        let long = [
            inode,
            size,
            mtime_ns.cast_unsigned(),
            ctime_ns.cast_unsigned(),
            btime_ns.cast_unsigned(),
        ];
        long.iter()
            .for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        [kind, self.checked_s]
            .iter()
            .for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    }

    pub(super) fn unpack(bytes: &[u8; LENGTH]) -> Self {
        let (long, _) = bytes.as_chunks::<8>();
        let number = |place: usize| u64::from_le_bytes(long[place]);
        let last = number(5);
        let (kind, checked_s) = (last as u32, (last >> 32) as u32);
        Self {
            facts: FileFacts {
                inode: number(0),
                size: number(1),
                mtime_ns: number(2).cast_signed(),
                ctime_ns: number(3).cast_signed(),
                btime_ns: number(4).cast_signed(),
            },
            judgement: if kind & 1 == 0 {
                Judgement::Clean
            } else {
                Judgement::OverLimit
            },
            basis: BasisId(kind >> 1),
            checked_s,
        }
    }
}

/// The row that a file's verdict lies in.
pub(super) fn part_of(inode: u64) -> i64 {
    (inode >> PART_BITS).cast_signed()
}

/// The packed entries; what is less than one at the end is none.
pub(super) fn entries(packed: &[u8]) -> &[[u8; LENGTH]] {
    packed.as_chunks().0
}

/// The place of an inode among packed entries.
pub(super) fn find(packed: &[u8], inode: u64) -> Option<usize> {
    let of = |entry: &[u8; LENGTH]| u64::from_le_bytes(*entry.first_chunk().unwrap_or(&[0; 8]));
    entries(packed).binary_search_by_key(&inode, of).ok()
}

/// The checksum of a row: a row is no other's, and ends where it ends.
pub(super) fn checksum(dir: DirKey, part: i64, packed: &[u8]) -> i64 {
    let numbers = [dir.volume, dir.inode, part.cast_unsigned(), packed.len() as u64];
    let sum = numbers
        .iter()
        .fold(0, |crc, number| crc32c::crc32c_append(crc, &number.to_le_bytes()));
    i64::from(crc32c::crc32c_append(sum, packed))
}

/// Whether a row is as it was written.
pub(super) fn is_sound(dir: DirKey, part: i64, crc: i64, packed: &[u8]) -> bool {
    packed.len().is_multiple_of(LENGTH) && crc == checksum(dir, part, packed)
}

/// The entries of a row after `changes`, which are in the order of their inodes, at most one for each: a new verdict, or
/// `None` to forget.
pub(super) fn merge(packed: &[u8], changes: &[(u64, Option<Entry>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(packed.len() + changes.len() * LENGTH);
    let mut old = entries(packed).iter().map(Entry::unpack).peekable();
    for (inode, change) in changes {
        while let Some(before) = old.next_if(|entry| entry.facts.inode < *inode) {
            before.pack(&mut out);
        }
        old.next_if(|entry| entry.facts.inode == *inode);
        if let Some(entry) = change {
            entry.pack(&mut out);
        }
    }
    old.for_each(|entry| entry.pack(&mut out));
    out
}

/// Reads arbitrary bytes as a row whose checksum matched.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(packed: &[u8]) {
    let mut again = Vec::new();
    entries(packed)
        .iter()
        .map(Entry::unpack)
        .for_each(|entry| entry.pack(&mut again));
    assert!(packed.starts_with(&again), "what was read does not come again");
    // Out of order, an entry may not be found, but none is found in another's place.
    if let Some(place) = find(packed, 7) {
        assert_eq!(Entry::unpack(&entries(packed)[place]).facts.inode, 7);
    }
    assert!(merge(packed, &[(7, None)]).len() <= packed.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection, prelude::*};
    use std::collections::BTreeMap;

    fn entry() -> impl Strategy<Value = Entry> {
        let facts = (0..20_u64, any::<u64>(), any::<i64>(), any::<i64>(), any::<i64>());
        let rest = (any::<bool>(), 0..1_u32 << 31, any::<u32>());
        (facts, rest).prop_map(
            |((inode, size, mtime_ns, ctime_ns, btime_ns), (over, basis, checked_s))| Entry {
                facts: FileFacts {
                    inode,
                    size,
                    mtime_ns,
                    ctime_ns,
                    btime_ns,
                },
                judgement: if over { Judgement::OverLimit } else { Judgement::Clean },
                basis: BasisId(basis),
                checked_s,
            },
        )
    }

    fn pack(entries: &BTreeMap<u64, Entry>) -> Vec<u8> {
        let mut packed = Vec::new();
        entries.values().for_each(|entry| entry.pack(&mut packed));
        packed
    }

    proptest! {
        #[test]
        fn changes_are_merged_in_place(
            old in collection::vec(entry(), 0..12), new in collection::vec((entry(), any::<bool>()), 0..12),
        ) {
            let mut model: BTreeMap<u64, Entry> = old.into_iter().map(|entry| (entry.facts.inode, entry)).collect();
            let packed = pack(&model);
            let changes: BTreeMap<u64, Option<Entry>> =
                new.into_iter().map(|(entry, stays)| (entry.facts.inode, stays.then_some(entry))).collect();
            let merged = merge(&packed, &changes.clone().into_iter().collect::<Vec<_>>());
            for (inode, change) in changes {
                match change {
                    Some(entry) => model.insert(inode, entry),
                    None => model.remove(&inode),
                };
            }
            prop_assert_eq!(&merged, &pack(&model));
            for inode in 0..20 {
                let found = find(&merged, inode).map(|place| Entry::unpack(&entries(&merged)[place]));
                prop_assert_eq!(found, model.get(&inode).copied());
            }
        }

        #[test]
        fn no_flipped_bit_and_no_cut_is_taken_for_sound(
            old in collection::btree_map(0..20_u64, entry(), 1..6), at in any::<proptest::sample::Index>(), bit in 0..8,
        ) {
            let dir = DirKey { volume: 7, inode: 9 };
            let packed = pack(&old);
            let crc = checksum(dir, 0, &packed);
            prop_assert!(is_sound(dir, 0, crc, &packed));
            let mut flipped = packed.clone();
            let at = at.index(packed.len());
            flipped[at] ^= 1_u8 << bit;
            prop_assert!(!is_sound(dir, 0, crc, &flipped));
            prop_assert!(!is_sound(dir, 0, crc, &packed[..at]));
            prop_assert!(!is_sound(DirKey { inode: 8, ..dir }, 0, crc, &packed), "another directory's row");
            prop_assert!(!is_sound(dir, 1, crc, &packed), "another part of it");
        }
    }
}
