//! Streams, and the snapshot that each begins with.
use super::{Leave, Meta, Outbox, Resync, ResyncReason, SnapshotState, Told, change, change::give_up_oldest};
use crate::StateError;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{Queue, Run, SeqRange, StreamId};
use rusqlite::Connection;

impl Outbox {
    /// Whether a new stream with a full snapshot is wanted, and why. The wish is durable, and ends with
    /// [`Outbox::open_stream`].
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn resync(&self) -> Result<Option<Resync>, StateError> {
        self.meta().map(|meta| meta.resync)
    }

    /// Wants a new stream with a full snapshot. Where one is wanted already, its reason stays.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn want_resync(&self, reason: ResyncReason, detail: &str, now: DateTime<Utc>) -> Result<(), StateError> {
        change::relieve(&self.database, "ask for a new stream", |_, meta| {
            meta.want(reason, detail, now);
            Ok(())
        })
    }

    /// Takes note that a server has seen the numbers of `stream` up to `seen`. Where no such number was given here yet, the
    /// state was put back to an earlier instant with all that lies beside it, and a resync is wanted; whether so.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn was_seen(&self, stream: StreamId, seen: u64, now: DateTime<Utc>) -> Result<bool, StateError> {
        let meta = self.meta()?;
        // Numbers only rise: what was given when the server said it is given still.
        if meta.stream != stream || seen < meta.next_seq {
            return Ok(false);
        }
        let detail = format!(
            "the state stands at number {} of its stream, and the server has seen {seen}",
            meta.next_seq - 1
        );
        self.want_resync(ResyncReason::RolledBack, &detail, now)?;
        Ok(true)
    }

    /// Opens a new stream in place of the one there is: what was waiting leaves, `first` is enqueued as number 1, no
    /// resync is wanted any more, and a snapshot is open of which nothing is told yet. One transaction. Never waits for
    /// room.
    ///
    /// # Errors
    /// When SQLite fails; the stream stays as it was.
    pub fn open_stream(&self, first: &Run, now: DateTime<Utc>) -> Result<StreamId, StateError> {
        let packed = change::pack(std::slice::from_ref(first))?;
        let work = |connection: &rusqlite::Transaction<'_>, meta: &mut Meta| {
            meta.damaged += self
                .known_damaged(connection)
                .map_err(StateError::doing("open a new stream"))?;
            empty(connection, meta, now)?;
            meta.resync = None;
            meta.snapshot = SnapshotState::Open {
                told: Told::Through(None),
            };
            Ok(meta.stream)
        };
        let doing = "open a new stream";
        let stream = change::add_to_empty(&self.database, doing, &packed, now, work)?;
        self.database.shared().wake();
        Ok(stream)
    }

    /// The records of the runs that are known to be damaged and still there.
    fn known_damaged(&self, connection: &Connection) -> rusqlite::Result<u64> {
        let damaged = self.database.shared().pending().damaged.clone();
        let mut exists = connection.prepare_cached("SELECT 1 FROM outbox WHERE first_seq = ?1")?;
        let mut records = 0;
        for (first, lost) in damaged {
            records += if exists.exists([first.cast_signed()])? { lost } else { 0 };
        }
        Ok(records)
    }

    /// How far the snapshot of the stream has come.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn snapshot(&self) -> Result<SnapshotState, StateError> {
        self.meta().map(|meta| meta.snapshot)
    }

    /// Enqueues a part of the snapshot and notes how far it goes, in one transaction. Whatever the policy is, it waits
    /// while the outbox is full: a snapshot with holes is none.
    ///
    /// # Errors
    /// [`StateError::Refused`] when no snapshot is open; [`StateError::OutboxFull`] when it was told to stop while it
    /// waited.
    pub fn tell(&self, runs: &[Run], through: Told, now: DateTime<Utc>) -> Result<Option<SeqRange>, StateError> {
        self.progress(runs, SnapshotState::Open { told: through }, now)
    }

    /// Enqueues the end of the snapshot, which is then no longer open, in one transaction. Waits as
    /// [`tell`](Outbox::tell) does.
    ///
    /// # Errors
    /// As of [`tell`](Outbox::tell).
    pub fn close_snapshot(&self, end: &Run, now: DateTime<Utc>) -> Result<Option<SeqRange>, StateError> {
        self.progress(std::slice::from_ref(end), SnapshotState::None, now)
    }

    fn progress(&self, runs: &[Run], to: SnapshotState, now: DateTime<Utc>) -> Result<Option<SeqRange>, StateError> {
        let packed = change::pack(runs)?;
        let block = Some(super::WhenFull::Block);
        let done = change::add(
            &self.database,
            "put a part of a snapshot into the outbox",
            &packed,
            block,
            now,
            |_, meta| {
                if meta.snapshot == SnapshotState::None {
                    return Err(StateError::Refused("a part of a snapshot while none is open"));
                }
                meta.snapshot = to;
                Ok(())
            },
        );
        done.map(|((), seqs)| seqs)
    }

    /// Gives up the runs that have waited longer than the bound says: from the oldest on, until one is young enough. Says
    /// how many records they held; a resync is wanted where any did.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn expire(&self, now: DateTime<Utc>) -> Result<u64, StateError> {
        let max_age = self.database.shared().bounds().max_age;
        let before = TimeDelta::from_std(max_age)
            .ok()
            .and_then(|age| now.checked_sub_signed(age));
        let Some(before) = before else { return Ok(0) };
        // Most often there is nothing, and that is seen without a change.
        if self.stats()?.oldest.is_none_or(|oldest| oldest >= before) {
            return Ok(0);
        }
        let dropped = change::relieve(
            &self.database,
            "give up what has waited too long",
            |transaction, meta| {
                let dropped = give_up_oldest(transaction, meta, Leave::All, before.timestamp_millis())
                    .map_err(StateError::doing("give up what has waited too long"))?;
                if dropped > 0 {
                    let detail =
                        format!("{dropped} records were given up because they had waited since before {before}");
                    meta.dropped += dropped;
                    meta.want(ResyncReason::Dropped, &detail, now);
                }
                Ok(dropped)
            },
        )?;
        self.database.shared().wake();
        Ok(dropped)
    }
}

/// Empties the outbox and begins another stream.
pub(crate) fn empty(connection: &Connection, meta: &mut Meta, now: DateTime<Utc>) -> Result<(), StateError> {
    connection
        .execute("DELETE FROM outbox", [])
        .map_err(StateError::doing("empty the outbox"))?;
    meta.begin_stream(now)
}
