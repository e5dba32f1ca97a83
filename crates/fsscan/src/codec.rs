//! The packed entries of a directory: a version, a count, then the entries by rising name.
//!
//! Each entry is a byte that says which fields differ from what is expected (the entry before for mode, owner, group
//! and volume; mtime for ctime; ctime for the birth time), the name, and the fields that do, as differences. Names
//! stand whole, so that they can be borrowed. The form is canonical: equal directories pack to equal bytes.
use crate::{entry::Entry, varint};

const VERSION: u8 = 1;
const MODE: u8 = 1;
const UID: u8 = 1 << 1;
const GID: u8 = 1 << 2;
const VOLUME: u8 = 1 << 3;
const CTIME: u8 = 1 << 4;
const BTIME: u8 = 1 << 5;
const KNOWN_FLAGS: u8 = MODE | UID | GID | VOLUME | CTIME | BTIME;

/// What the first entry is compared with.
const BEFORE: Entry = Entry {
    mode: 0o100_644,
    size: 0,
    mtime_ns: 0,
    ctime_ns: 0,
    btime_ns: 0,
    inode: 0,
    uid: 0,
    gid: 0,
    volume: 0,
};

/// Bytes that are no packed entries of a version that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored entries of a directory are damaged")]
pub struct DamagedEntries;

/// Packs entries, which must come by rising name.
pub(crate) struct Packer<'a> {
    out: &'a mut Vec<u8>,
    before: Entry,
}

impl<'a> Packer<'a> {
    /// Starts a directory of `count` entries in `out`, which is emptied.
    pub(crate) fn new(out: &'a mut Vec<u8>, count: usize) -> Self {
        out.clear();
        out.push(VERSION);
        varint::put(out, count as u64);
        Self { out, before: BEFORE }
    }

    pub(crate) fn push(&mut self, name: &[u8], entry: &Entry) {
        let before = &self.before;
        let flag = |differs: bool, bit: u8| if differs { bit } else { 0 };
        let flags = flag(entry.mode != before.mode, MODE)
            | flag(entry.uid != before.uid, UID)
            | flag(entry.gid != before.gid, GID)
            | flag(entry.volume != before.volume, VOLUME)
            | flag(entry.ctime_ns != entry.mtime_ns, CTIME)
            | flag(entry.btime_ns != entry.ctime_ns, BTIME);
        let out = &mut *self.out;
        out.push(flags);
        varint::put(out, name.len() as u64);
        out.extend_from_slice(name);
        varint::put(out, entry.size);
        varint::put_signed(out, entry.mtime_ns.wrapping_sub(before.mtime_ns));
        varint::put_signed(out, entry.inode.wrapping_sub(before.inode) as i64);
        if flags & MODE != 0 {
            varint::put(out, u64::from(entry.mode));
        }
        if flags & UID != 0 {
            varint::put(out, u64::from(entry.uid));
        }
        if flags & GID != 0 {
            varint::put(out, u64::from(entry.gid));
        }
        if flags & VOLUME != 0 {
            varint::put(out, entry.volume);
        }
        if flags & CTIME != 0 {
            varint::put_signed(out, entry.ctime_ns.wrapping_sub(entry.mtime_ns));
        }
        if flags & BTIME != 0 {
            varint::put_signed(out, entry.btime_ns.wrapping_sub(entry.ctime_ns));
        }
        self.before = *entry;
    }
}

/// Reads packed entries, as they stand in [`StoredDir::entries`](core_model::StoredDir). No bytes at all are an empty
/// directory.
///
/// # Errors
///
/// When the bytes do not begin as packed entries do; damage further on is an item of the iterator, its last.
pub fn decode_entries(packed: &[u8]) -> Result<EntryIter<'_>, DamagedEntries> {
    let mut rest = packed;
    let mut left = 0;
    if let Some((version, tail)) = packed.split_first() {
        rest = tail;
        left = varint::take(&mut rest).ok_or(DamagedEntries)?;
        if *version != VERSION || (left == 0 && !rest.is_empty()) {
            return Err(DamagedEntries);
        }
    }
    Ok(EntryIter {
        rest,
        left,
        name: b"",
        before: BEFORE,
    })
}

/// The entries of a directory by rising name: name and metadata.
#[derive(Clone, Debug)]
pub struct EntryIter<'a> {
    rest: &'a [u8],
    left: u64,
    name: &'a [u8],
    before: Entry,
}

impl EntryIter<'_> {
    /// How many entries the directory says it has yet to give.
    pub fn remaining(&self) -> u64 {
        self.left
    }
}

impl<'a> EntryIter<'a> {
    fn read(&mut self) -> Option<(&'a [u8], Entry)> {
        let rest = &mut self.rest;
        let (&flags, tail) = rest.split_first()?;
        *rest = tail;
        let length = varint::take(rest)?;
        let name = varint::take_bytes(rest, length)?;
        if flags & !KNOWN_FLAGS != 0 || name <= self.name {
            return None;
        }
        let before = &self.before;
        let small = |value: u64| u32::try_from(value).ok();
        let size = varint::take(rest)?;
        let mtime_ns = before.mtime_ns.wrapping_add(varint::take_signed(rest)?);
        let inode = before.inode.wrapping_add(varint::take_signed(rest)? as u64);
        let mut entry = Entry {
            size,
            mtime_ns,
            inode,
            ctime_ns: mtime_ns,
            ..*before
        };
        if flags & MODE != 0 {
            entry.mode = small(varint::take(rest)?)?;
        }
        if flags & UID != 0 {
            entry.uid = small(varint::take(rest)?)?;
        }
        if flags & GID != 0 {
            entry.gid = small(varint::take(rest)?)?;
        }
        if flags & VOLUME != 0 {
            entry.volume = varint::take(rest)?;
        }
        if flags & CTIME != 0 {
            entry.ctime_ns = mtime_ns.wrapping_add(varint::take_signed(rest)?);
        }
        entry.btime_ns = entry.ctime_ns;
        if flags & BTIME != 0 {
            entry.btime_ns = entry.ctime_ns.wrapping_add(varint::take_signed(rest)?);
        }
        Some((name, entry))
    }
}

impl<'a> Iterator for EntryIter<'a> {
    type Item = Result<(&'a [u8], Entry), DamagedEntries>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match self.read() {
            Some((name, entry)) if self.left > 0 || self.rest.is_empty() => {
                self.name = name;
                self.before = entry;
                Some(Ok((name, entry)))
            }
            _ => {
                self.left = 0;
                Some(Err(DamagedEntries))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection, prelude::*};
    use std::collections::BTreeMap;

    fn entry() -> impl Strategy<Value = Entry> {
        let times = (any::<i64>(), any::<i64>(), any::<i64>());
        let rest = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
        (times, rest, any::<u64>(), any::<bool>()).prop_map(|(times, rest, volume, plain)| {
            let (mtime_ns, ctime_ns, btime_ns) = times;
            let (mode, size, inode, uid, gid) = rest;
            let whole = Entry {
                mode,
                size,
                mtime_ns,
                ctime_ns,
                btime_ns,
                inode,
                uid,
                gid,
                volume,
            };
            let ctime_ns = mtime_ns;
            if plain {
                Entry {
                    ctime_ns,
                    volume: 0,
                    uid: 0,
                    ..whole
                }
            } else {
                whole
            }
        })
    }

    fn directory() -> impl Strategy<Value = BTreeMap<Vec<u8>, Entry>> {
        collection::btree_map(collection::vec(1u8.., 1..40), entry(), 0..20)
    }

    fn pack(entries: &BTreeMap<Vec<u8>, Entry>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut packer = Packer::new(&mut out, entries.len());
        for (name, entry) in entries {
            packer.push(name, entry);
        }
        out
    }

    proptest! {
        #[test]
        fn what_was_packed_is_read_back(entries in directory()) {
            let packed = pack(&entries);
            let read: Result<BTreeMap<_, _>, _> = decode_entries(&packed)
                .unwrap()
                .map(|item| item.map(|(name, entry)| (name.to_vec(), entry)))
                .collect();
            prop_assert_eq!(read, Ok(entries));
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(entries in directory(), at in any::<usize>(), bits in 1u8.., cut in any::<bool>()) {
            let mut packed = pack(&entries);
            let at = at % packed.len();
            if cut {
                packed.truncate(at);
            } else {
                packed[at] ^= bits;
            }
            if let Ok(items) = decode_entries(&packed) {
                let read = items.count();
                prop_assert!(read <= packed.len());
            }
        }

        #[test]
        fn noise_never_panics(noise in collection::vec(any::<u8>(), 0..200)) {
            if let Ok(items) = decode_entries(&noise) {
                prop_assert!(items.count() <= noise.len().max(1));
            }
        }
    }
}
