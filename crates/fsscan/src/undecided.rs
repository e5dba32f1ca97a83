//! How a file that may have moved waits for its counterpart.
use crate::{
    codec::{Packer, decode_entries},
    context::Facts,
    entry::{Changed, Entry},
    hashes::ContentHash,
    varint,
};
use core_model::{Identity, RootId, Side, Undecided};

/// What a file is known by, wherever its name moves: volume, inode and birth.
fn identity(entry: &Entry) -> Identity {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&entry.volume.to_be_bytes());
    bytes[8..16].copy_from_slice(&entry.inode.to_be_bytes());
    bytes[16..].copy_from_slice(&entry.btime_ns.to_be_bytes());
    Identity(bytes)
}

/// The volume that a waiting file is or was on; 0 where it is not known.
pub(crate) fn volume(row: &Undecided) -> u64 {
    row.identity
        .0
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Packs a file, whose volume is absolute.
pub(crate) fn pack(path: Vec<u8>, root: RootId, side: Side, facts: &Facts) -> Undecided {
    let mut entry = Vec::new();
    let mut packer = Packer::new(&mut entry, 1);
    packer.push(b"-", &facts.entry);
    let mut packed = Vec::with_capacity(entry.len() + 16);
    varint::put(&mut packed, u64::from(facts.links));
    varint::put(&mut packed, facts.allocated);
    let mime = facts.mime.unwrap_or_default();
    varint::put(&mut packed, mime.len() as u64);
    packed.extend_from_slice(mime.as_bytes());
    packed.extend_from_slice(&entry);
    Undecided {
        path,
        root,
        side,
        identity: identity(&facts.entry),
        entry: packed,
        hash: facts.hash.map(|hash| hash.pack()).unwrap_or_default(),
    }
}

/// Reads what `pack` made, and the type by content apart; `None` when it is damaged.
pub(crate) fn unpack(row: &Undecided) -> Option<(Facts, Option<&str>)> {
    let mut rest = row.entry.as_slice();
    let links = u32::try_from(varint::take(&mut rest)?).ok()?;
    let allocated = varint::take(&mut rest)?;
    let length = varint::take(&mut rest)?;
    let mime = std::str::from_utf8(varint::take_bytes(&mut rest, length)?).ok()?;
    let (_, entry) = decode_entries(rest).ok()?.next()?.ok()?;
    let facts = Facts {
        entry,
        links,
        allocated,
        hash: ContentHash::unpack(&row.hash),
        mime: None,
    };
    Some((facts, Some(mime).filter(|mime| !mime.is_empty())))
}

/// What differs between a file that was gone and the one now at its path, both with absolute volumes.
pub(crate) fn changed(gone: &Facts, now: &Facts) -> Changed {
    let mut changed = gone.entry.changed(&now.entry);
    // The number of a volume can be made from that of its device, which a restart deals anew. A birth to the
    // nanosecond under the same inode and path is the same file all the same.
    let is_same = gone.entry.inode == now.entry.inode
        && gone.entry.btime_ns == now.entry.btime_ns
        && (gone.entry.btime_ns != 0 || gone.entry.volume == 0);
    if is_same {
        changed = changed.without(Changed::IDENTITY);
    }
    let content = match (gone.hash, now.hash) {
        (Some(old), Some(new)) => old.algorithm == new.algorithm && old != new,
        _ => false,
    };
    changed.set(Changed::CONTENT, content);
    changed
}

/// The files of one identity, sorted out.
#[derive(Default)]
pub(crate) struct Paired {
    pub(crate) moved: Vec<(Undecided, Undecided)>,
    pub(crate) gone: Vec<Undecided>,
    pub(crate) new: Vec<Undecided>,
}

/// Pairs those that vanished with those that appeared, of equal identity and size, in the order of their paths.
pub(crate) fn pair(group: Vec<Undecided>) -> Paired {
    let mut paired = Paired::default();
    // Some file systems number no inodes: there is nothing to know a file by.
    let has_identity = group.first().is_some_and(|row| row.identity.0[8..16] != [0; 8]);
    let mut rows: Vec<_> = group
        .into_iter()
        .map(|row| (unpack(&row).map(|(facts, _)| facts.entry.size), row))
        .collect();
    rows.sort_by(|(a_size, a), (b_size, b)| (a_size, a.side, &a.path).cmp(&(b_size, b.side, &b.path)));
    let mut rows = rows.into_iter().peekable();
    while let Some((size, _)) = rows.peek() {
        let size = *size;
        let mut gone = Vec::new();
        let mut new = Vec::new();
        while let Some((_, row)) = rows.next_if(|(other, _)| *other == size) {
            match row.side {
                Side::Gone => gone.push(row),
                Side::New => new.push(row),
            }
        }
        let pairs = if has_identity && size.is_some() {
            gone.len().min(new.len())
        } else {
            0
        };
        let unpaired = (gone.split_off(pairs), new.split_off(pairs));
        paired.moved.extend(gone.into_iter().zip(new));
        paired.gone.extend(unpaired.0);
        paired.new.extend(unpaired.1);
    }
    paired
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, side: Side, inode: u64, size: u64) -> Undecided {
        let entry = Entry {
            inode,
            size,
            volume: 3,
            btime_ns: 7,
            ..Entry::default()
        };
        let facts = Facts {
            entry,
            links: 2,
            allocated: 4096,
            mime: Some("text/plain"),
            hash: Some(ContentHash {
                algorithm: crate::Algorithm::Sha256,
                bytes: [9; 32],
            }),
        };
        pack(path.into(), RootId(1), side, &facts)
    }

    fn shown(row: &Undecided) -> String {
        String::from_utf8_lossy(&row.path).into_owned()
    }

    fn paths(rows: &[Undecided]) -> Vec<String> {
        rows.iter().map(shown).collect()
    }

    #[test]
    fn a_file_waits_with_all_that_its_record_needs() {
        let row = row("/a", Side::New, 5, 10);
        let (facts, mime) = unpack(&row).unwrap();
        assert_eq!(
            (facts.entry.size, facts.entry.volume, facts.links, facts.allocated),
            (10, 3, 2, 4096)
        );
        assert_eq!((mime, volume(&row)), (Some("text/plain"), 3));
        assert_eq!(facts.hash.unwrap().bytes, [9; 32]);
        for length in 0..row.entry.len() {
            let cut = Undecided {
                entry: row.entry[..length].to_vec(),
                ..row.clone()
            };
            assert!(unpack(&cut).is_none(), "cut at {length}");
        }
    }

    #[test]
    fn links_pair_in_path_order_and_sizes_do_not_mix() {
        let group = vec![
            row("/b", Side::Gone, 5, 10),
            row("/a", Side::Gone, 5, 10),
            row("/c", Side::Gone, 5, 11),
            row("/z", Side::New, 5, 10),
            row("/y", Side::New, 5, 12),
        ];
        let paired = pair(group);
        let moved: Vec<_> = paired.moved.iter().map(|(from, to)| (shown(from), shown(to))).collect();
        assert_eq!(moved, [("/a".to_owned(), "/z".to_owned())]);
        assert_eq!(paths(&paired.gone), ["/b", "/c"]);
        assert_eq!(paths(&paired.new), ["/y"]);
    }

    #[test]
    fn without_inodes_nothing_moves() {
        let paired = pair(vec![row("/a", Side::Gone, 0, 1), row("/b", Side::New, 0, 1)]);
        assert!(paired.moved.is_empty());
    }
}
