//! How many verdicts there are, and by what they were found.
use super::{
    BasisId, DirKey, Judgement,
    row::{self, Entry},
};
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// All verdicts, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Files with a verdict.
    pub files: u64,
    /// Rows, mostly one for each directory.
    pub rows: u64,
    /// Bytes of all rows.
    pub bytes: u64,
    /// Rows that are damaged on disk. Their verdicts are not counted.
    pub damaged: u64,
    /// Files over the limits of what they were judged by.
    pub over_limit: u64,
    /// By what they were judged.
    pub by_basis: BTreeMap<BasisId, Share>,
}

/// The verdicts found by one basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub files: u64,
    /// When the oldest of them was found, to the second.
    pub oldest: DateTime<Utc>,
}

pub(super) fn take(connection: &Connection) -> rusqlite::Result<Census> {
    let mut census = Census::default();
    let mut statement = connection.prepare("SELECT volume, inode, part, crc, entries FROM verdict")?;
    let mut rows = statement.query([])?;
    let mut oldest: BTreeMap<BasisId, (u64, u32)> = BTreeMap::new();
    while let Some(found) = rows.next()? {
        let dir = DirKey {
            volume: found.get::<_, i64>(0)?.cast_unsigned(),
            inode: found.get::<_, i64>(1)?.cast_unsigned(),
        };
        let packed = found.get_ref(4)?.as_blob()?;
        census.rows += 1;
        census.bytes += packed.len() as u64 + super::write::ROW_BYTES;
        if !row::is_sound(dir, found.get(2)?, found.get(3)?, packed) {
            census.damaged += 1;
            continue;
        }
        for entry in row::entries(packed).iter().map(Entry::unpack) {
            census.files += 1;
            census.over_limit += u64::from(entry.judgement == Judgement::OverLimit);
            let share = oldest.entry(entry.basis).or_insert((0, u32::MAX));
            *share = (share.0 + 1, share.1.min(entry.checked_s));
        }
    }
    let share = |(basis, (files, oldest)): (_, (_, u32))| {
        let oldest = DateTime::from_timestamp(i64::from(oldest), 0).unwrap_or_default();
        (basis, Share { files, oldest })
    };
    census.by_basis = oldest.into_iter().map(share).collect();
    Ok(census)
}
