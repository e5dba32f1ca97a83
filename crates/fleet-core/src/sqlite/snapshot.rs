//! Full snapshots: what a stream frames, and the dropping of what it did not name.
//!
//! The end takes effect when every record from the beginning through it has arrived. Then the agent's files are looked
//! through by path, a step at a time, so that others write in between; how far it got is kept, so that a restart goes
//! on from there. A file that a record after the end named meanwhile has a newer version and stays.
use super::{
    apply::Applier,
    stream::{self, Stream},
    unseen::Unseen,
    value::{from_json, micros, optional_time, signed, time, to_json},
};
use crate::agent::{SnapshotState, SnapshotStatus};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Files looked at in one step: some 50 ms.
const STEP: i64 = 5_000;

/// Notes that a snapshot begins, and that those of older streams will never be whole. A repeat changes nothing.
pub(super) fn begin(
    connection: &Connection,
    agent: i64,
    stream: &Stream,
    seq: u64,
    (reason, detail): (&str, &str),
    at: DateTime<Utc>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO snapshot (stream, begin_seq, reason, detail, begun_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (stream) DO UPDATE SET begin_seq = ?2, reason = ?3, detail = ?4, begun_at = ?5
             WHERE begin_seq IS NULL",
        )?
        .execute(params![stream.id, signed(seq), reason, detail, micros(at)])?;
    connection
        .prepare_cached(
            "UPDATE snapshot SET superseded_at = ?3 WHERE done_at IS NULL AND superseded_at IS NULL
               AND stream IN (SELECT id FROM stream WHERE agent = ?1 AND ordinal < ?2)",
        )?
        .execute(params![agent, stream.ordinal, micros(at)])?;
    Ok(())
}

/// Notes that everything was named. A repeat changes nothing.
pub(super) fn end(
    connection: &Connection,
    stream: &Stream,
    seq: u64,
    unseen: &[Vec<u8>],
    at: DateTime<Utc>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO snapshot (stream, end_seq, ended_at, unseen) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (stream) DO UPDATE SET end_seq = ?2, ended_at = ?3, unseen = ?4 WHERE end_seq IS NULL",
        )?
        .execute(params![stream.id, signed(seq), micros(at), to_json(&unseen)?])?;
    Ok(())
}

/// Whether a snapshot has begun in any newer stream of the agent: then this one says nothing any more.
pub(super) fn is_superseded(connection: &Connection, agent: i64, stream: &Stream) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM stream JOIN snapshot ON snapshot.stream = stream.id
                            WHERE agent = ?1 AND ordinal > ?2 AND begin_seq IS NOT NULL)",
        )?
        .query_row(params![agent, stream.ordinal], |row| row.get(0))
}

/// What of a snapshot the agent's page shows.
pub(super) fn status(connection: &Connection, stream: &Stream) -> rusqlite::Result<Option<SnapshotStatus>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM snapshot WHERE stream = ?1 AND begin_seq IS NOT NULL")?;
    let row = |row: &Row<'_>| {
        let complete_at = optional_time(row, "done_at")?;
        let is_dropping = row.get::<_, Option<Vec<u8>>>("swept_to")?.is_some();
        let state = match (complete_at, optional_time(row, "superseded_at")?) {
            (Some(_), _) => SnapshotState::Complete,
            (None, Some(_)) => SnapshotState::Superseded,
            (None, None) if is_dropping => SnapshotState::Dropping,
            (None, None) => SnapshotState::Open,
        };
        Ok(SnapshotStatus {
            state,
            reason: row.get("reason")?,
            detail: row.get("detail")?,
            begun_at: time(row, "begun_at")?,
            complete_at,
            dropped: row.get::<_, i64>("dropped")?.unsigned_abs(),
        })
    };
    statement.query_row([stream.id], row).optional()
}

struct Due {
    stream: Stream,
    agent: i64,
    end_seq: i64,
    ended_at: DateTime<Utc>,
    unseen: Unseen,
    swept_to: Option<Vec<u8>>,
}

impl Due {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let unseen: Vec<Vec<u8>> = from_json(&row.get::<_, String>("unseen")?)?;
        Ok(Self {
            stream: stream::from_row(row)?,
            agent: row.get("agent")?,
            end_seq: row.get("end_seq")?,
            ended_at: time(row, "ended_at")?,
            unseen: Unseen::new(unseen),
            swept_to: row.get("swept_to")?,
        })
    }
}

/// Snapshots that are whole and of which not all is dropped yet.
const DUE: &str = "SELECT stream.*, end_seq, ended_at, unseen, swept_to FROM snapshot
     JOIN stream ON stream.id = snapshot.stream
     WHERE done_at IS NULL AND superseded_at IS NULL AND end_seq IS NOT NULL AND begin_seq IS NOT NULL
       AND end_seq > begin_seq
       AND EXISTS (SELECT 1 FROM stream_range WHERE stream_range.stream = snapshot.stream
                   AND first <= begin_seq AND last >= end_seq)";

/// Drops the first step of what the snapshot of this stream did not name, if it is whole now; whether there is more.
/// Small ones are done by this, before the agent is answered.
pub(super) fn first_step(
    connection: &Connection,
    stream: &Stream,
    kept_changes: u32,
    now: DateTime<Utc>,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(&format!("{DUE} AND snapshot.stream = ?1 AND swept_to IS NULL"))?;
    match statement.query_row([stream.id], Due::from_row).optional()? {
        Some(due) => step(connection, &due, kept_changes, now),
        None => Ok(false),
    }
}

/// Drops a step of what the snapshot that ended first did not name; whether there may be more to do, for any agent.
pub(super) fn next_step(connection: &Connection, kept_changes: u32, now: DateTime<Utc>) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(&format!("{DUE} ORDER BY ended_at LIMIT 1"))?;
    match statement.query_row([], Due::from_row).optional()? {
        Some(due) => step(connection, &due, kept_changes, now).map(|_| true),
        None => Ok(false),
    }
}

fn step(connection: &Connection, due: &Due, kept_changes: u32, now: DateTime<Utc>) -> rusqlite::Result<bool> {
    let from = due.swept_to.as_deref().unwrap_or_default();
    let mut statement = connection.prepare_cached(
        "SELECT path, stream_ordinal, kind IS NOT NULL FROM file WHERE agent = ?1 AND path > ?2 ORDER BY path LIMIT ?3",
    )?;
    let looked_at = statement
        .query_map(params![due.agent, from, STEP], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
        })?
        .collect::<rusqlite::Result<Vec<(Vec<u8>, i64, bool)>>>()?;
    let mut applier = Applier::new(connection, due.agent, due.stream.ordinal)?;
    let mut dropped = 0_i64;
    for (path, ordinal, is_there) in &looked_at {
        if *is_there && *ordinal < due.stream.ordinal && !due.unseen.covers(path) {
            applier.drop_file(due.end_seq, due.ended_at, path)?;
            dropped += 1;
        }
    }
    applier.finish(kept_changes)?;
    let is_more = looked_at.len() == STEP as usize;
    connection
        .prepare_cached(
            "UPDATE snapshot SET swept_to = coalesce(?2, swept_to), dropped = dropped + ?3, done_at = ?4
             WHERE stream = ?1",
        )?
        .execute(params![
            due.stream.id,
            looked_at.last().map(|(path, ..)| path),
            dropped,
            (!is_more).then(|| micros(now)),
        ])?;
    Ok(is_more)
}
