//! Changes of the outbox: one transaction each, in which its numbering is read and written as a whole.
use super::{Leave, Meta, Packed, ResyncReason, WhenFull, plan};
use crate::{Database, StateError, mark::Position};
use chrono::{DateTime, Utc};
use core_model::{Run, SeqRange};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::BTreeMap;

/// A row that stands where a number is to go is one whose number was damaged on disk.
const INSERT: &str =
    "INSERT OR REPLACE INTO outbox (first_seq, records, enqueued_ms, codec, crc, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// What an acknowledgement does, for its errors.
pub(crate) const REMOVING: &str = "take records out of the outbox";
/// Runs that leave in one transaction where room is short: their log is to fit into the ballast.
const SETTLED_AT_ONCE: usize = 32;

/// All of `work`, or nothing. `work` may change the numbering it is handed.
pub(crate) fn change<T>(
    database: &Database,
    doing: &'static str,
    work: impl FnOnce(&Transaction<'_>, &mut Meta) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let shared = database.shared();
    let mut has_grown = false;
    let done: Result<T, StateError> = database.with_writer(|connection| {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StateError::doing(doing))?;
        let before = Meta::load(&transaction)?;
        let mut meta = before.clone();
        shared.set_stream(before.stream);
        let wish = shared.pending().resync.clone();
        if let Some((reason, detail)) = &wish {
            meta.want(*reason, detail, Utc::now());
        }
        let done = work(&transaction, &mut meta)?;
        if is_news(&before, &meta) {
            meta.generation += 1;
        }
        if meta != before {
            meta.store(&transaction).map_err(StateError::doing(doing))?;
        }
        transaction.commit().map_err(StateError::doing(doing))?;
        has_grown = meta.runs > before.runs;
        if wish.is_some() {
            shared.pending().resync = None;
        }
        shared.set_stream(meta.stream);
        if meta.generation != before.generation {
            // Still under the lock, so that marks are written in the order of the commits.
            shared.mark.write(&position(&meta));
        }
        Ok(done)
    });
    match done {
        Ok(done) => {
            if has_grown {
                shared.may_have_room();
            }
            Ok(done)
        }
        Err(error) => {
            let error = error.with_path(database.path());
            if matches!(error, StateError::DiskFull { .. }) {
                shared.was_short();
            }
            Err(error)
        }
    }
}

/// The same for a change that makes more room than it takes. On a full disk even that needs some first, and this is what
/// the ballast holds.
pub(crate) fn relieve<T>(
    database: &Database,
    doing: &'static str,
    mut work: impl FnMut(&Transaction<'_>, &mut Meta) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let done = change(database, doing, &mut work);
    if !matches!(done, Err(StateError::DiskFull { .. })) {
        return done;
    }
    if database.shared().ballast.remove() {
        tracing::warn!("the disk of the state is full: gave up the ballast, so that what is done with can leave");
    }
    database.fold_log();
    change(database, doing, work)
}

pub(crate) fn position(meta: &Meta) -> Position {
    Position {
        stream: meta.stream,
        next_seq: meta.next_seq,
        generation: meta.generation,
    }
}

/// Whether a state from before the change would be wrong about something that an acknowledgement cannot repair.
fn is_news(before: &Meta, after: &Meta) -> bool {
    (before.stream, before.next_seq, before.dropped, before.snapshot)
        != (after.stream, after.next_seq, after.dropped, after.snapshot)
        || before.resync != after.resync
}

/// Takes out what was acknowledged while there was no room for it, a little at a time, so that the log stays short.
pub(crate) fn settle(database: &Database) -> Result<(), StateError> {
    let shared = database.shared();
    loop {
        let some: Vec<u64> = shared.pending().acks.keys().take(SETTLED_AT_ONCE).copied().collect();
        if some.is_empty() {
            return Ok(());
        }
        let damaged = shared.pending().damaged.clone();
        relieve(database, REMOVING, |transaction, meta| {
            for first in &some {
                // What was noted of another stream was forgotten when this change began.
                if shared.pending().acks.contains_key(first) {
                    remove(transaction, meta, *first, &damaged).map_err(StateError::doing(REMOVING))?;
                }
            }
            Ok(())
        })?;
        let mut pending = shared.pending();
        for first in &some {
            pending.acks.remove(first);
            pending.damaged.remove(first);
        }
    }
}

/// The same, where that there is still no room is no failure.
pub(crate) fn settle_what_can(database: &Database) -> Result<(), StateError> {
    match settle(database) {
        Err(StateError::DiskFull { .. }) => Ok(()),
        done => done,
    }
}

/// Takes the run that begins with `first` out, where it is there. One that is known to be damaged counts as lost.
pub(crate) fn remove(
    connection: &Connection,
    meta: &mut Meta,
    first: u64,
    damaged: &BTreeMap<u64, u64>,
) -> rusqlite::Result<bool> {
    let gone = connection
        .prepare_cached("DELETE FROM outbox WHERE first_seq = ?1 RETURNING records, length(body)")?
        .query_row([first.cast_signed()], |row| Ok((count(row, 0)?, count(row, 1)?)))
        .optional()?;
    if let Some((records, bytes)) = gone {
        meta.take_off(1, records, bytes);
        meta.damaged += damaged.get(&first).copied().unwrap_or(0);
    }
    Ok(gone.is_some())
}

/// A count of a row; 0 where damage made it something else.
fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count = row.get_ref(column)?.as_i64().unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Refuses what would have no number of its own.
pub(crate) fn pack(runs: &[Run]) -> Result<Vec<Packed>, StateError> {
    if runs.iter().any(|run| run.records == 0) {
        return Err(StateError::Refused("a run without records"));
    }
    Ok(runs.iter().map(Packed::of).collect())
}

/// One change that puts `runs` into the outbox after `work`, within its bounds. Where it is full and the policy is to
/// wait, it waits before anything is done, without holding the file.
pub(crate) fn add<T>(
    database: &Database,
    doing: &'static str,
    runs: &[Packed],
    when_full: Option<WhenFull>,
    now: DateTime<Utc>,
    mut work: impl FnMut(&Transaction<'_>, &mut Meta) -> Result<T, StateError>,
) -> Result<(T, Option<SeqRange>), StateError> {
    let shared = database.shared();
    let lengths: Vec<u64> = runs.iter().map(Packed::bytes).collect();
    loop {
        settle_what_can(database)?;
        let (seen, bounds) = (shared.room(), shared.bounds());
        let when_full = when_full.unwrap_or(bounds.when_full);
        let done = change(database, doing, |transaction, meta| {
            let full = StateError::OutboxFull {
                waiting: meta.bytes,
                max: bounds.max_bytes,
            };
            if !runs.is_empty() && plan(when_full, bounds.max_bytes, meta.runs, meta.bytes, &lengths).is_none() {
                return Err(full);
            }
            let done = work(transaction, meta)?;
            let seqs = put(transaction, meta, runs, &lengths, when_full, bounds.max_bytes, now)?;
            Ok((done, seqs))
        });
        match done {
            Err(StateError::OutboxFull { .. }) if !shared.is_stopped() => shared.wait_for_room(seen),
            done => return done,
        }
    }
}

/// One change that empties the outbox in `work` and then puts `runs` into it, which therefore have room.
pub(crate) fn add_to_empty<T>(
    database: &Database,
    doing: &'static str,
    runs: &[Packed],
    now: DateTime<Utc>,
    mut work: impl FnMut(&Transaction<'_>, &mut Meta) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let lengths: Vec<u64> = runs.iter().map(Packed::bytes).collect();
    relieve(database, doing, |transaction, meta| {
        let done = work(transaction, meta)?;
        put(transaction, meta, runs, &lengths, WhenFull::Block, u64::MAX, now)?;
        Ok(done)
    })
}

/// Gives the records of `runs` the next numbers, and stores those that have room.
fn put(
    connection: &Connection,
    meta: &mut Meta,
    runs: &[Packed],
    lengths: &[u64],
    when_full: WhenFull,
    max: u64,
    now: DateTime<Utc>,
) -> Result<Option<SeqRange>, StateError> {
    if runs.is_empty() {
        return Ok(None);
    }
    let failed = || StateError::doing("put records into the outbox");
    let full = StateError::OutboxFull {
        waiting: meta.bytes,
        max,
    };
    let plan = plan(when_full, max, meta.runs, meta.bytes, lengths).ok_or(full)?;
    let mut dropped = give_up_oldest(connection, meta, plan.leave, i64::MAX).map_err(failed())?;
    let first = meta.next_seq;
    for (run, is_stored) in runs.iter().zip(plan.stored) {
        if is_stored {
            run.insert(connection, INSERT, meta.next_seq, now).map_err(failed())?;
            meta.runs += 1;
            meta.records += run.records();
            meta.bytes += run.bytes();
        } else {
            dropped += run.records();
        }
        meta.next_seq += run.records();
    }
    if dropped > 0 {
        let detail = format!("{dropped} records were given up because the outbox holds at most {max} bytes");
        meta.dropped += dropped;
        meta.want(ResyncReason::Dropped, &detail, now);
    }
    Ok(Some(SeqRange {
        first,
        last: meta.next_seq - 1,
    }))
}

/// Takes the oldest runs out, of those enqueued before `before_ms`, until enough left; says how many records that were.
pub(crate) fn give_up_oldest(
    connection: &Connection,
    meta: &mut Meta,
    leave: Leave,
    before_ms: i64,
) -> rusqlite::Result<u64> {
    if leave == Leave::Bytes(0) {
        return Ok(0);
    }
    let (mut runs, mut records, mut bytes, mut last) = (0, 0, 0, None);
    {
        let mut oldest = connection
            .prepare_cached("SELECT first_seq, records, length(body), enqueued_ms FROM outbox ORDER BY first_seq")?;
        let mut rows = oldest.query([])?;
        while let Some(row) = rows.next()? {
            let is_enough = matches!(leave, Leave::Bytes(wanted) if bytes >= wanted);
            if is_enough || row.get_ref(3)?.as_i64().unwrap_or(i64::MIN) >= before_ms {
                break;
            }
            runs += 1;
            // A count that damage made absurd must not make the sum absurd.
            records += count(row, 1)?.clamp(1, u64::from(u32::MAX));
            bytes += count(row, 2)?;
            last = Some(row.get::<_, i64>(0)?);
        }
    }
    if let Some(last) = last {
        connection
            .prepare_cached("DELETE FROM outbox WHERE first_seq <= ?1")?
            .execute([last])?;
        meta.take_off(runs, records, bytes);
    }
    Ok(records)
}
