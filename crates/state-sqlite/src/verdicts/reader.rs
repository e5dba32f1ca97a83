//! Reading verdicts, a directory at a time.
use super::{
    BasisId, DirKey, FileFacts, Judgement, Verdicts,
    row::{self, Entry},
    write::Op,
};
use crate::StateError;
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use std::sync::atomic::Ordering;

/// What is remembered of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// Nothing: it was never judged here, or its verdict was not one to be remembered.
    Unknown,
    /// It was judged, and is not as it was then.
    Changed,
    /// It is as it was when it was judged by another basis than the one in use.
    Aged(Found),
    /// It is as it was when it was judged by the basis in use.
    Holds(Found),
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub judgement: Judgement,
    /// What it was judged by.
    pub basis: BasisId,
    /// When, to the second.
    pub checked_at: DateTime<Utc>,
}

impl From<Entry> for Found {
    fn from(entry: Entry) -> Self {
        Self {
            judgement: entry.judgement,
            basis: entry.basis,
            checked_at: DateTime::from_timestamp(i64::from(entry.checked_s), 0).unwrap_or_default(),
        }
    }
}

/// Reads verdicts beside the writer, through a connection of its own: one for each walking thread. What was not flushed
/// is not seen.
#[derive(Debug)]
pub struct VerdictReader {
    verdicts: Verdicts,
    connection: Connection,
    /// The packed entries of the directory, and which of them were asked for.
    packed: Vec<u8>,
    met: Vec<bool>,
    oldest_seen_s: i64,
}

const SELECT: &str = "SELECT part, crc, entries, seen_s FROM verdict WHERE volume = ?1 AND inode = ?2 ORDER BY part";

impl VerdictReader {
    pub(super) fn new(verdicts: Verdicts, connection: Connection) -> Self {
        Self {
            verdicts,
            connection,
            packed: Vec::new(),
            met: Vec::new(),
            oldest_seen_s: 0,
        }
    }

    /// What is remembered of the files in a directory. A row that is damaged is nothing, and counted.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn directory(&mut self, dir: DirKey) -> Result<KnownVerdicts<'_>, StateError> {
        self.packed.clear();
        self.oldest_seen_s = i64::MAX;
        // A directory of millions is rare: what it took is given back.
        self.packed.shrink_to(1 << 20);
        self.met.shrink_to(1 << 16);
        self.read(dir).map_err(StateError::doing("read verdicts"))?;
        self.met.clear();
        self.met.resize(row::entries(&self.packed).len(), false);
        Ok(KnownVerdicts { reader: self, dir })
    }

    fn read(&mut self, dir: DirKey) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(SELECT)?;
        let mut rows = statement.query((dir.volume.cast_signed(), dir.inode.cast_signed()))?;
        while let Some(found) = rows.next()? {
            let (part, crc) = (found.get(0)?, found.get(1)?);
            let entries = found.get_ref(2)?.as_blob()?;
            if row::is_sound(dir, part, crc, entries) {
                self.packed.extend_from_slice(entries);
                self.oldest_seen_s = self.oldest_seen_s.min(found.get(3)?);
            } else {
                self.verdicts.found_damaged(dir);
            }
        }
        Ok(())
    }
}

/// What is remembered of the files in one directory.
#[derive(Debug)]
pub struct KnownVerdicts<'r> {
    reader: &'r mut VerdictReader,
    dir: DirKey,
}

impl KnownVerdicts<'_> {
    /// How many verdicts there are.
    pub fn len(&self) -> usize {
        self.reader.met.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.reader.met.is_empty()
    }

    /// What is remembered of a file that looks like this now.
    pub fn recall(&mut self, file: &FileFacts) -> Recalled {
        let Some(entry) = self.meet(file.inode) else {
            return Recalled::Unknown;
        };
        if entry.facts != *file {
            return Recalled::Changed;
        }
        if self.reader.verdicts.shared.basis.load(Ordering::Relaxed) == entry.basis.0 {
            Recalled::Holds(entry.into())
        } else {
            Recalled::Aged(entry.into())
        }
    }

    /// A file of this inode is there too, though nobody wants its verdict now: what is remembered of it stays.
    pub fn is_there(&mut self, inode: u64) {
        self.meet(inode);
    }

    fn meet(&mut self, inode: u64) -> Option<Entry> {
        let place = row::find(&self.reader.packed, inode)?;
        self.reader.met[place] = true;
        Some(Entry::unpack(&row::entries(&self.reader.packed)[place]))
    }

    /// The directory was seen as a whole, at `now`: files that were neither asked for nor said to be there are gone.
    /// Their verdicts are dropped once they are many; a directory that is not seen for long is forgotten. Without this
    /// call, as after a walk that was stopped, everything stays.
    ///
    /// # Errors
    /// Those of [`Verdicts::flush`].
    pub fn seen(self, now: DateTime<Utc>) -> Result<(), StateError> {
        let VerdictReader {
            verdicts, packed, met, ..
        } = &*self.reader;
        let gone = met.iter().filter(|met| !**met).count();
        let mut ops = Vec::new();
        if gone * 4 > met.len() {
            let entries = row::entries(packed).iter().zip(met);
            let gone = entries.filter(|(_, met)| !**met);
            ops.extend(gone.map(|(entry, _)| Op::forget(Entry::unpack(entry).facts.inode)));
        }
        let stale = now.timestamp().saturating_sub(verdicts.shared.seen_every_s);
        if !met.is_empty() && self.reader.oldest_seen_s < stale {
            ops.push(Op::Seen);
        }
        if ops.is_empty() {
            return Ok(());
        }
        verdicts.change(self.dir, ops, now)
    }
}
