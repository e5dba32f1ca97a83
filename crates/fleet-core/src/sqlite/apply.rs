//! One record onto the file table: only what is newer than the state held is written.
use super::{
    rows,
    value::{micros, nanos, signed, to_json},
};
use crate::{
    batch::Effect,
    file::{ChangeAction, FileFacts},
};
use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

/// Applies the records of one batch with statements prepared once, and sums up what they change.
pub(super) struct Applier<'c> {
    connection: &'c Connection,
    agent: i64,
    ordinal: i64,
    held: CachedStatement<'c>,
    put: CachedStatement<'c>,
    log: CachedStatement<'c>,
    totals: Totals,
    unknown_sources: u64,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    present: i64,
    deleted: i64,
    bytes: i64,
    last_change: i64,
}

/// What the store holds at a path.
#[derive(Clone, Copy)]
struct Held {
    version: (i64, i64),
    /// None for a tombstone.
    size: Option<i64>,
}

impl<'c> Applier<'c> {
    pub(super) fn new(connection: &'c Connection, agent: i64, ordinal: i64) -> rusqlite::Result<Self> {
        let totals = connection
            .prepare_cached("SELECT present, deleted, bytes, last_change FROM file_total WHERE agent = ?1")?
            .query_row([agent], |row| {
                Ok(Totals {
                    present: row.get(0)?,
                    deleted: row.get(1)?,
                    bytes: row.get(2)?,
                    last_change: row.get(3)?,
                })
            })
            .optional()?
            .unwrap_or_default();
        Ok(Self {
            connection,
            agent,
            ordinal,
            held: connection
                .prepare_cached("SELECT stream_ordinal, seq, size FROM file WHERE agent = ?1 AND path = ?2")?,
            put: connection.prepare_cached(rows::PUT)?,
            log: connection.prepare_cached(
                "INSERT INTO file_change (agent, id, time, action, path, from_path, changed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            totals,
            unknown_sources: 0,
        })
    }

    /// Applies a record that was not seen before. It is logged even when a later one about the same file came first:
    /// the change did happen.
    pub(super) fn apply(&mut self, seq: u64, time: DateTime<Utc>, effect: &Effect) -> rusqlite::Result<()> {
        let seq = signed(seq);
        match effect {
            // They frame records, or are of malware, and are none of a file: `ingest` sees to them.
            Effect::SnapshotBegin { .. } | Effect::SnapshotEnd { .. } | Effect::Malware(_) => Ok(()),
            Effect::Present { path, facts } => {
                let before = rows::one(self.connection, self.agent, path)?.and_then(|file| file.facts);
                let held = self.write(path, seq, time, Some(facts))?;
                if held.is_some_and(|held| held.version >= (self.ordinal, seq)) {
                    return Ok(());
                }
                match before {
                    Some(before) if before.is_like(facts) => Ok(()),
                    Some(_) => self.record(time, ChangeAction::Updated, path, None, &[]),
                    None => self.record(time, ChangeAction::Created, path, None, &[]),
                }
            }
            Effect::Put {
                path,
                facts,
                action,
                changed,
            } => {
                let held = self.write(path, seq, time, Some(facts))?;
                let known = held.is_some_and(|held| held.size.is_some());
                let action = action.unwrap_or(if known {
                    ChangeAction::Updated
                } else {
                    ChangeAction::Created
                });
                self.record(time, action, path, None, changed)
            }
            Effect::Delete { path } => {
                self.write(path, seq, time, None)?;
                self.record(time, ChangeAction::Deleted, path, None, &[])
            }
            Effect::Move { from, to, facts } => {
                match facts {
                    Some(facts) => self.write(to, seq, time, Some(facts)).map(drop)?,
                    None => self.carry_over(from, to, seq, time)?,
                }
                self.write(from, seq, time, None)?;
                self.record(time, ChangeAction::Moved, to, Some(from), &[])
            }
        }
    }

    /// Drops a file that a snapshot did not name.
    pub(super) fn drop_file(&mut self, seq: i64, time: DateTime<Utc>, path: &[u8]) -> rusqlite::Result<()> {
        self.write(path, seq, time, None)?;
        self.record(time, ChangeAction::Deleted, path, None, &[])
    }

    /// How many moves came from a path of which nothing is known.
    pub(super) const fn unknown_sources(&self) -> u64 {
        self.unknown_sources
    }

    /// Writes the sums and forgets all but the latest changes.
    pub(super) fn finish(self, kept_changes: u32) -> rusqlite::Result<()> {
        let Totals {
            present,
            deleted,
            bytes,
            last_change,
        } = self.totals;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO file_total (agent, present, deleted, bytes, last_change)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.agent, present, deleted, bytes, last_change])?;
        self.connection
            .prepare_cached("DELETE FROM file_change WHERE agent = ?1 AND id <= ?2")?
            .execute(params![self.agent, last_change - i64::from(kept_changes)])?;
        Ok(())
    }

    /// What is known of `from` becomes known of `to`.
    fn carry_over(&mut self, from: &[u8], to: &[u8], seq: i64, time: DateTime<Utc>) -> rusqlite::Result<()> {
        let known = rows::one(self.connection, self.agent, from)?.and_then(|file| file.facts);
        match known {
            Some(facts) => self.write(to, seq, time, Some(&facts)).map(drop),
            None => {
                self.unknown_sources += 1;
                Ok(())
            }
        }
    }

    /// Writes a state, or a tombstone, unless what is held is newer; returns what was held.
    fn write(
        &mut self,
        path: &[u8],
        seq: i64,
        time: DateTime<Utc>,
        facts: Option<&FileFacts>,
    ) -> rusqlite::Result<Option<Held>> {
        let held = self
            .held
            .query_row(params![self.agent, path], |row| {
                Ok(Held {
                    version: (row.get(0)?, row.get(1)?),
                    size: row.get(2)?,
                })
            })
            .optional()?;
        if held.is_some_and(|held| held.version >= (self.ordinal, seq)) {
            return Ok(held);
        }
        let size = facts.map(|facts| signed(facts.size));
        self.totals.replace(held, size);
        let tags = facts.map(|facts| &facts.tags).filter(|tags| !tags.is_empty());
        self.put.execute(params![
            self.agent,
            path,
            self.ordinal,
            seq,
            micros(time),
            facts.map(|facts| rows::kind_code(facts.kind)),
            size,
            facts.and_then(|facts| facts.allocated).map(signed),
            facts.and_then(|facts| facts.mtime).map(nanos),
            facts.and_then(|facts| facts.ctime).map(nanos),
            facts.and_then(|facts| facts.btime).map(nanos),
            facts.and_then(|facts| facts.mime.as_deref()),
            facts.and_then(|facts| facts.mode),
            facts.and_then(|facts| facts.uid),
            facts.and_then(|facts| facts.gid),
            facts.and_then(|facts| facts.owner.as_deref()),
            facts.and_then(|facts| facts.group.as_deref()),
            facts.and_then(|facts| facts.inode).map(u64::cast_signed),
            facts.and_then(|facts| facts.device).map(u64::cast_signed),
            facts.and_then(|facts| facts.links),
            facts.and_then(|facts| facts.sha256),
            facts.and_then(|facts| facts.blake3),
            tags.map(to_json).transpose()?,
        ])?;
        Ok(held)
    }

    fn record(
        &mut self,
        time: DateTime<Utc>,
        action: ChangeAction,
        path: &[u8],
        from: Option<&[u8]>,
        changed: &[String],
    ) -> rusqlite::Result<()> {
        self.totals.last_change += 1;
        let changed = if changed.is_empty() {
            None
        } else {
            Some(to_json(&changed)?)
        };
        self.log.execute(params![
            self.agent,
            self.totals.last_change,
            micros(time),
            rows::action_code(action),
            path,
            from,
            changed
        ])?;
        Ok(())
    }
}

impl Totals {
    /// One file's old state goes, its new one comes; a size of `None` is a tombstone.
    fn replace(&mut self, old: Option<Held>, new: Option<i64>) {
        match old.map(|held| held.size) {
            None => {}
            Some(None) => self.deleted -= 1,
            Some(Some(size)) => {
                self.present -= 1;
                // Sizes that no disk holds may have been cut off as they were added.
                self.bytes = (self.bytes - size).max(0);
            }
        }
        match new {
            None => self.deleted += 1,
            Some(size) => {
                self.present += 1;
                self.bytes = self.bytes.saturating_add(size);
            }
        }
    }
}
