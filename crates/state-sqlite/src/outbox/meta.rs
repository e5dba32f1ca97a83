//! The one row that says where the outbox stands: its stream, numbering, sums, and what is to be told anew.
use super::{Resync, ResyncReason, SnapshotState, Told};
use crate::StateError;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{DirId, StreamId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

/// Where the outbox stands. Read whole and written whole within a transaction, with a checksum: a flipped bit in the
/// numbering would give numbers twice, and SQLite does not notice one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) stream: StreamId,
    pub(crate) next_seq: u64,
    pub(crate) records: u64,
    pub(crate) runs: u64,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
    pub(crate) damaged: u64,
    /// Counts the changes that must not be forgotten, in all streams.
    pub(crate) generation: u64,
    pub(crate) resync: Option<Resync>,
    pub(crate) snapshot: SnapshotState,
}

/// Why the row cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// There is none.
    Missing,
    /// It is not as it was written.
    Damaged,
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl Meta {
    /// A stream that nothing was ever put into.
    pub(crate) fn fresh(stream: StreamId, resync: Resync) -> Self {
        Self {
            stream,
            next_seq: 1,
            records: 0,
            runs: 0,
            bytes: 0,
            dropped: 0,
            damaged: 0,
            generation: 0,
            resync: Some(resync),
            snapshot: SnapshotState::None,
        }
    }

    pub(crate) fn read(connection: &Connection) -> Result<Self, Unusable> {
        let sql =
            "SELECT stream, next_seq, records, runs, bytes, dropped, damaged, generation, resync_ms, snapshot, told,
                   resync, resync_detail, crc FROM outbox_meta WHERE id = 1";
        let found = connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([], |row| Ok(Self::of_row(row))).optional());
        match found {
            Ok(None) => Err(Unusable::Missing),
            // What SQLite read is not of the type that was written, or does not match its checksum.
            Ok(Some(None)) => Err(Unusable::Damaged),
            Ok(Some(Some(meta))) => Ok(meta),
            Err(error) => Err(Unusable::Sqlite(error)),
        }
    }

    /// The same in the course of the work, where both are a failure.
    pub(crate) fn load(connection: &Connection) -> Result<Self, StateError> {
        Self::read(connection).map_err(|unusable| match unusable {
            Unusable::Missing => StateError::Invalid("the outbox has no numbering".to_owned()),
            Unusable::Damaged => StateError::Invalid(
                "the numbering of the outbox does not match its checksum: restart the agent, which restores a backup"
                    .to_owned(),
            ),
            Unusable::Sqlite(source) => StateError::doing("read the numbering of the outbox")(source),
        })
    }

    fn of_row(row: &Row<'_>) -> Option<Self> {
        let number = |column| {
            row.get::<_, i64>(column)
                .ok()
                .and_then(|number| u64::try_from(number).ok())
        };
        let reason: String = row.get(11).ok()?;
        let since_ms: i64 = row.get(8).ok()?;
        let detail: String = row.get(12).ok()?;
        let resync = if reason.is_empty() {
            None
        } else {
            Some(Resync {
                reason: ResyncReason::of_name(&reason),
                detail,
                since: DateTime::from_timestamp_millis(since_ms)?,
            })
        };
        let told: i64 = row.get(10).ok()?;
        let meta = Self {
            stream: StreamId::from_uuid(Uuid::from_bytes(row.get(0).ok()?)),
            next_seq: number(1)?,
            records: number(2)?,
            runs: number(3)?,
            bytes: number(4)?,
            dropped: number(5)?,
            damaged: number(6)?,
            generation: number(7)?,
            resync,
            snapshot: snapshot_of(row.get(9).ok()?, told)?,
        };
        let crc: Option<i64> = row.get(13).ok()?;
        crc.is_none_or(|crc| crc == meta.checksum()).then_some(meta)
    }

    /// Writes it; makes the row where there is none.
    pub(crate) fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (snapshot, told) = self.snapshot_columns();
        let (reason, detail, since_ms) = self.resync_columns();
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO outbox_meta (id, stream, next_seq, records, runs, bytes, dropped, damaged,
                 generation, resync_ms, snapshot, told, resync, resync_detail, crc)
                 VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                self.stream.as_uuid().as_bytes().as_slice(),
                self.next_seq.cast_signed(),
                self.records.cast_signed(),
                self.runs.cast_signed(),
                self.bytes.cast_signed(),
                self.dropped.cast_signed(),
                self.damaged.cast_signed(),
                self.generation.cast_signed(),
                since_ms,
                snapshot,
                told,
                reason,
                detail,
                self.checksum(),
            ])?;
        Ok(())
    }

    /// A resync is wanted; the first reason stays.
    pub(crate) fn want(&mut self, reason: ResyncReason, detail: &str, now: DateTime<Utc>) {
        if self.resync.is_none() {
            let since = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or_default();
            self.resync = Some(Resync {
                reason,
                detail: detail.to_owned(),
                since,
            });
        }
    }

    /// Takes runs off the sums. A damaged row may have been taken off with other counts than it was added with: the sums
    /// never go below zero for it, and an empty queue makes them right again.
    pub(crate) fn take_off(&mut self, runs: u64, records: u64, bytes: u64) {
        self.runs = self.runs.saturating_sub(runs);
        if self.runs == 0 {
            (self.records, self.bytes) = (0, 0);
        } else {
            self.records = self.records.saturating_sub(records);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// A later stream, empty, from 1. What was waiting is for the caller to delete.
    pub(crate) fn begin_stream(&mut self, now: DateTime<Utc>) -> Result<(), StateError> {
        self.stream = new_stream(Some(self.stream), now).map_err(StateError::Random)?;
        self.next_seq = 1;
        (self.records, self.runs, self.bytes) = (0, 0, 0);
        self.snapshot = SnapshotState::None;
        Ok(())
    }

    fn snapshot_columns(&self) -> (i64, i64) {
        match self.snapshot {
            SnapshotState::None => (0, 0),
            SnapshotState::Open {
                told: Told::Through(None),
            } => (1, 0),
            SnapshotState::Open {
                told: Told::Through(Some(dir)),
            } => (2, dir.0.cast_signed()),
            SnapshotState::Open { told: Told::All } => (3, 0),
        }
    }

    fn resync_columns(&self) -> (&'static str, &str, i64) {
        self.resync.as_ref().map_or(("", "", 0), |resync| {
            (resync.reason.name(), &resync.detail, resync.since.timestamp_millis())
        })
    }

    fn checksum(&self) -> i64 {
        let (snapshot, told) = self.snapshot_columns();
        let (reason, detail, since_ms) = self.resync_columns();
        let numbers = [
            self.next_seq,
            self.records,
            self.runs,
            self.bytes,
            self.dropped,
            self.damaged,
            self.generation,
            since_ms.cast_unsigned(),
            snapshot.cast_unsigned(),
            told.cast_unsigned(),
            reason.len() as u64,
        ];
        let sum = numbers
            .iter()
            .fold(crc32c::crc32c(self.stream.as_uuid().as_bytes()), |crc, number| {
                crc32c::crc32c_append(crc, &number.to_le_bytes())
            });
        let sum = crc32c::crc32c_append(sum, reason.as_bytes());
        i64::from(crc32c::crc32c_append(sum, detail.as_bytes()))
    }
}

fn snapshot_of(kind: i64, told: i64) -> Option<SnapshotState> {
    let told = match kind {
        0 => return Some(SnapshotState::None),
        1 => Told::Through(None),
        2 => Told::Through(Some(DirId(told.cast_unsigned()))),
        3 => Told::All,
        _ => return None,
    };
    Some(SnapshotState::Open { told })
}

/// A stream that sorts after `before`, also where the clock was set back.
pub(crate) fn new_stream(before: Option<StreamId>, now: DateTime<Utc>) -> Result<StreamId, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    let after = before.and_then(|before| {
        let [a, b, c, d, e, f, ..] = *before.as_uuid().as_bytes();
        let millis = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Some(DateTime::from_timestamp_millis(millis)? + TimeDelta::milliseconds(1))
    });
    Ok(StreamId::new(after.map_or(now, |after| after.max(now)), random))
}
