//! The outbox: what a server is still to be told, in the state file itself.
mod bounds;
pub(crate) mod change;
mod meta;
mod open;
mod resync;
mod rows;
mod schema;
mod shared;
mod stream;

pub use bounds::{Bounds, ParseWhenFullError, WhenFull};
pub(crate) use bounds::{Leave, plan};
pub(crate) use meta::{Meta, Unusable};
pub(crate) use open::restart;
pub use resync::{Resync, ResyncReason, SnapshotState, Told};
pub(crate) use rows::{Packed, Stored};
pub(crate) use schema::COMPONENT;
pub(crate) use shared::Shared;

use crate::{Database, StateError};
use chrono::{DateTime, Utc};
use core_model::{Queue, QueueStats, QueuedRun, Run, SeqRange, StreamId};
use rusqlite::Connection;
use uuid::Uuid;

/// The durable queue of one agent's records. Clones are the same queue.
///
/// ```
/// use core_model::{Queue, Run};
/// use state_sqlite::{Database, OpenOptions, Outbox};
/// # let dir = tempfile::tempdir().unwrap();
/// let database = Database::open(&dir.path().join("state.db"), OpenOptions::default()).unwrap();
/// let outbox = Outbox::open(&database).unwrap();
/// let now = chrono::DateTime::UNIX_EPOCH;
/// let seqs = outbox.enqueue(&[Run { records: 2, body: b"one\ntwo\n".to_vec() }], now).unwrap().unwrap();
/// assert_eq!((seqs.first, seqs.last), (1, 2));
/// assert_eq!(outbox.peek(outbox.stream(), 0, 10).unwrap()[0].body.as_deref().unwrap(), b"one\ntwo\n");
/// outbox.ack(outbox.stream(), &[1]).unwrap();
/// assert_eq!(outbox.stats().unwrap().records, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    database: Database,
    /// The stream at the opening, for a queue that is only read.
    opened: StreamId,
}

impl Outbox {
    /// Bounds what may wait, for every handle of this state, [`SqliteTree`](crate::SqliteTree) included.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.database.shared().set_bounds(bounds);
    }

    /// Whether a writer waits for room because the outbox is full.
    pub fn is_blocked(&self) -> bool {
        self.database.shared().is_blocked()
    }

    /// What waits in the outbox of a state that is only read; nothing where it has none.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn stats_of(database: &Database) -> Result<QueueStats, StateError> {
        database.with_writer(|connection| {
            if crate::database::has_table(connection, "outbox_meta")
                .map_err(StateError::doing("look for the outbox"))?
            {
                stats(connection)
            } else {
                Ok(QueueStats::default())
            }
        })
    }

    fn meta(&self) -> Result<Meta, StateError> {
        self.database.with_writer(|connection| Meta::load(connection))
    }

    fn try_ack(&self, stream: StreamId, first_seqs: &[u64]) -> Result<(), StateError> {
        let damaged = self.database.shared().pending().damaged.clone();
        change::change(&self.database, change::REMOVING, |transaction, meta| {
            if meta.stream != stream {
                return Ok(());
            }
            for first in first_seqs {
                change::remove(transaction, meta, *first, &damaged).map_err(StateError::doing(change::REMOVING))?;
            }
            Ok(())
        })?;
        let mut pending = self.database.shared().pending();
        pending.damaged.retain(|first, _| !first_seqs.contains(first));
        Ok(())
    }

    /// Remembers what was acknowledged, until the disk has room to forget it.
    fn remember(&self, stream: StreamId, first_seqs: &[u64]) -> Result<(), StateError> {
        let failed = || StateError::doing("read the outbox");
        self.database.with_writer(|connection| {
            if stream_of(connection).map_err(failed())? != stream {
                return Ok(());
            }
            for first in first_seqs {
                let found = connection
                    .prepare_cached("SELECT records, length(body) FROM outbox WHERE first_seq = ?1")
                    .and_then(|mut statement| {
                        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
                        rusqlite::OptionalExtension::optional(statement.query_row([first.cast_signed()], row))
                    })
                    .map_err(failed())?;
                if let Some((records, bytes)) = found {
                    let counts = (records.unsigned_abs(), bytes.unsigned_abs());
                    self.database.shared().pending().acks.insert(*first, counts);
                }
            }
            Ok(())
        })
    }

    /// Notes which runs are damaged, and wants a resync for them; whether any was not known to be. To be called before
    /// another stream can be opened, in which everything is told anyway.
    fn note_damage(&self, runs: &[QueuedRun]) -> bool {
        let mut detail = None;
        for damaged in runs.iter().filter_map(|run| run.body.as_ref().err()) {
            let SeqRange { first, last } = damaged.seqs;
            let records = last.saturating_sub(first).saturating_add(1);
            let known = self.database.shared().pending().damaged.insert(first, records);
            if known.is_none() {
                tracing::error!(first, last, "records in the outbox are damaged on disk");
                detail.get_or_insert_with(|| damaged.to_string());
            }
        }
        let is_any = detail.is_some();
        if let Some(detail) = detail {
            self.database.shared().want_later(ResyncReason::Damaged, detail);
        }
        is_any
    }
}

impl Queue for Outbox {
    type Error = StateError;

    fn stream(&self) -> StreamId {
        self.database.shared().stream().unwrap_or(self.opened)
    }

    fn enqueue(&self, runs: &[Run], now: DateTime<Utc>) -> Result<Option<SeqRange>, StateError> {
        let packed = change::pack(runs)?;
        if packed.is_empty() {
            return Ok(None);
        }
        let doing = "put records into the outbox";
        change::add(&self.database, doing, &packed, None, now, |_, _| Ok(())).map(|((), seqs)| seqs)
    }

    fn peek(&self, stream: StreamId, after: u64, max_runs: usize) -> Result<Vec<QueuedRun>, StateError> {
        let failed = || StateError::doing("read the outbox");
        let (runs, is_damage_new) = self.database.with_writer(|connection| {
            let is_stream = stream_of(connection).map_err(failed())?;
            self.database.shared().set_stream(is_stream);
            if is_stream != stream {
                return Ok((Vec::new(), false));
            }
            let gone = self.database.shared().pending().acks.clone();
            let runs = read(connection, after, max_runs, |first| gone.contains_key(&first)).map_err(failed())?;
            let is_damage_new = self.note_damage(&runs);
            Ok((runs, is_damage_new))
        })?;
        if is_damage_new
            && !self.database.is_read_only()
            && let Err(error) = change::change(&self.database, "ask for a new stream", |_, _| Ok(()))
        {
            // It goes with the next change.
            tracing::warn!(%error, "could not note yet that a new stream is wanted");
        }
        Ok(runs)
    }

    fn ack(&self, stream: StreamId, first_seqs: &[u64]) -> Result<(), StateError> {
        let mut done = self.try_ack(stream, first_seqs);
        if matches!(done, Err(StateError::DiskFull { .. })) {
            // They leave a few at a time, or with a later change; whoever acknowledged them has done its part.
            done = self.remember(stream, first_seqs);
        }
        done?;
        change::settle_what_can(&self.database)?;
        self.database.shared().wake();
        Ok(())
    }

    fn stats(&self) -> Result<QueueStats, StateError> {
        let mut stats = self.database.with_writer(|connection| stats(connection))?;
        for (records, bytes) in self.database.shared().pending().acks.values() {
            stats.runs = stats.runs.saturating_sub(1);
            stats.records = stats.records.saturating_sub(*records);
            stats.bytes = stats.bytes.saturating_sub(*bytes);
        }
        if stats.runs == 0 {
            stats.oldest = None;
        }
        Ok(stats)
    }
}

fn stream_of(connection: &Connection) -> rusqlite::Result<StreamId> {
    connection
        .prepare_cached("SELECT stream FROM outbox_meta WHERE id = 1")?
        .query_row([], |row| row.get::<_, [u8; 16]>(0))
        .map(|bytes| StreamId::from_uuid(Uuid::from_bytes(bytes)))
}

fn read(
    connection: &Connection,
    after: u64,
    max_runs: usize,
    is_gone: impl Fn(u64) -> bool,
) -> rusqlite::Result<Vec<QueuedRun>> {
    let mut statement = connection.prepare_cached(
        "SELECT first_seq, records, enqueued_ms, codec, crc, body FROM outbox WHERE first_seq > ?1 ORDER BY first_seq",
    )?;
    // Where the next run begins, or the numbering ends.
    let end = |first: i64| {
        connection
            .prepare_cached(
                "SELECT coalesce((SELECT min(first_seq) FROM outbox WHERE first_seq > ?1), next_seq) FROM outbox_meta
                 WHERE id = 1",
            )?
            .query_row([first], |row| row.get(0))
    };
    let mut rows = statement.query([i64::try_from(after).unwrap_or(i64::MAX)])?;
    let mut runs = Vec::new();
    while runs.len() < max_runs
        && let Some(row) = rows.next()?
    {
        if !is_gone(row.get::<_, i64>(0)?.unsigned_abs()) {
            runs.push(Stored::read(row)?.open(end)?);
        }
    }
    Ok(runs)
}

fn stats(connection: &Connection) -> Result<QueueStats, StateError> {
    // By name, for a state that is only read may be of an older version, which counted less.
    let sql =
        "SELECT *, (SELECT enqueued_ms FROM outbox ORDER BY first_seq LIMIT 1) AS oldest FROM outbox_meta WHERE id = 1";
    let read = connection.query_row(sql, [], |row| {
        let number = |column: &str| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(QueueStats {
            records: number("records")?,
            runs: number("runs")?,
            bytes: number("bytes")?,
            last_seq: number("next_seq")?.saturating_sub(1),
            dropped: number("dropped").unwrap_or(0),
            damaged: number("damaged").unwrap_or(0),
            oldest: row
                .get::<_, Option<i64>>("oldest")?
                .and_then(DateTime::from_timestamp_millis),
        })
    });
    read.map_err(StateError::doing("count the outbox"))
}

/// How many runs there are, and how many of them are not as they were written.
pub(crate) fn count_damaged(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let mut statement = connection
        .prepare("SELECT first_seq, records, enqueued_ms, codec, crc, body FROM outbox ORDER BY first_seq")?;
    let mut rows = statement.query([])?;
    let (mut runs, mut damaged) = (0, 0);
    while let Some(row) = rows.next()? {
        runs += 1;
        damaged += u64::from(!Stored::read(row)?.is_sound());
    }
    Ok((runs, damaged))
}

/// Looks whether every run that should wait does. Where one is lost or damaged, a resync is wanted.
pub(crate) fn recount(database: &Database) -> Result<(), StateError> {
    let doing = "count the outbox";
    let (runs, damaged) = count_damaged(&database.reading()?).map_err(StateError::doing(doing))?;
    let expected = database.with_writer(|connection| Meta::load(connection))?.runs;
    if runs == expected && damaged == 0 {
        return Ok(());
    }
    let detail = format!("of {expected} runs in the outbox, {runs} were found on disk, {damaged} of them damaged");
    tracing::error!("{detail}");
    change::change(database, doing, |_, meta| {
        meta.want(ResyncReason::Damaged, &detail, Utc::now());
        Ok(())
    })
}
