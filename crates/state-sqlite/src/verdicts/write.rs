//! Verdicts on their way into the file: gathered, then stored many at a time.
use super::{
    DirKey,
    row::{self, Entry},
};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;

/// About what a row takes beside its entries.
pub(super) const ROW_BYTES: u64 = 64;

/// A change that waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// The verdict of an inode is now this one, or none.
    File(u64, Option<Entry>),
    /// The directory is there still.
    Seen,
}

impl Op {
    pub(super) fn forget(inode: u64) -> Self {
        Self::File(inode, None)
    }

    pub(super) fn put(entry: Entry) -> Self {
        Self::File(entry.facts.inode, Some(entry))
    }
}

/// Changes that wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    dirs: HashMap<DirKey, Vec<Op>>,
    count: usize,
}

impl Pending {
    /// As many as are stored together at the latest: some 300 KB of them.
    const MOST: usize = 4096;

    pub(super) fn add(&mut self, dir: DirKey, ops: Vec<Op>) {
        self.count += ops.len();
        self.dirs.entry(dir).or_default().extend(ops);
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= Self::MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Stores all, within a transaction of the caller's. Gives back the directories of which a row was damaged.
    pub(super) fn store(self, connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Vec<DirKey>> {
        let mut dirs: Vec<_> = self.dirs.into_iter().collect();
        // In the order of the table, so that neighbours are written together.
        dirs.sort_unstable_by_key(|(dir, _)| *dir);
        let mut damaged = Vec::new();
        let mut grown = 0_i64;
        for (dir, ops) in dirs {
            grown += store_dir(connection, dir, ops, now, &mut damaged)?;
        }
        connection
            .prepare_cached("UPDATE verdict_total SET bytes = max(bytes + ?1, 0)")?
            .execute([grown])?;
        Ok(damaged)
    }
}

/// Stores the changes of one directory, and says by how many bytes its rows grew.
fn store_dir(
    connection: &Connection,
    dir: DirKey,
    ops: Vec<Op>,
    now: DateTime<Utc>,
    damaged: &mut Vec<DirKey>,
) -> rusqlite::Result<i64> {
    let (volume, inode) = (dir.volume.cast_signed(), dir.inode.cast_signed());
    connection
        .prepare_cached("UPDATE verdict SET seen_s = ?3 WHERE volume = ?1 AND inode = ?2")?
        .execute((volume, inode, now.timestamp()))?;
    let mut files: Vec<_> = ops
        .into_iter()
        .filter_map(|op| match op {
            Op::File(inode, change) => Some((inode, change)),
            Op::Seen => None,
        })
        .collect();
    // The order of equal inodes stays, and the last of them counts.
    files.sort_by_key(|(inode, _)| *inode);
    files.reverse();
    files.dedup_by_key(|(inode, _)| *inode);
    files.reverse();
    let mut grown = 0;
    for files in files.chunk_by(|(one, _), (other, _)| row::part_of(*one) == row::part_of(*other)) {
        let part = files.first().map_or(0, |(inode, _)| row::part_of(*inode));
        grown += store_part(connection, dir, part, files, now, damaged)?;
    }
    Ok(grown)
}

fn store_part(
    connection: &Connection,
    dir: DirKey,
    part: i64,
    files: &[(u64, Option<Entry>)],
    now: DateTime<Utc>,
    damaged: &mut Vec<DirKey>,
) -> rusqlite::Result<i64> {
    let (volume, inode) = (dir.volume.cast_signed(), dir.inode.cast_signed());
    let select = "SELECT crc, entries FROM verdict WHERE volume = ?1 AND inode = ?2 AND part = ?3";
    let old = connection
        .prepare_cached(select)?
        .query_row((volume, inode, part), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let bytes = |packed: &[u8]| (packed.len() as u64 + ROW_BYTES).cast_signed();
    let before = old.as_ref().map_or(0, |(_, packed)| bytes(packed));
    let packed = match old {
        Some((crc, packed)) if row::is_sound(dir, part, crc, &packed) => packed,
        Some(_) => {
            damaged.push(dir);
            Vec::new()
        }
        None => Vec::new(),
    };
    let merged = row::merge(&packed, files);
    if merged.is_empty() {
        connection
            .prepare_cached("DELETE FROM verdict WHERE volume = ?1 AND inode = ?2 AND part = ?3")?
            .execute((volume, inode, part))?;
        return Ok(-before);
    }
    let crc = row::checksum(dir, part, &merged);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO verdict (volume, inode, part, seen_s, crc, entries) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((volume, inode, part, now.timestamp(), crc, &merged))?;
    Ok(bytes(&merged) - before)
}
