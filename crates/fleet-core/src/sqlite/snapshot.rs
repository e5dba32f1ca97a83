//! Full snapshots: what a stream frames, and the dropping of what it did not name.
//!
//! The end takes effect when every record from the beginning through it has arrived. Then the agent's files are looked
//! through by path, a step at a time, so that others write in between; how far it got is kept, so that a restart goes
//! on from there. A file that a record after the end named meanwhile has a newer version and stays.
use super::{
    apply::Applier,
    stream::{self, Stream},
    value::{from_json, micros, signed, time, to_json},
};
use crate::agent::SnapshotStatus;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

/// Files looked at in one step.
const STEP: i64 = 5_000;

/// Notes that a snapshot begins. A repeat changes nothing.
pub(super) fn begin(
    connection: &Connection,
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

/// Whether a snapshot has begun in the stream: then older streams say nothing any more.
pub(super) fn has_begun(connection: &Connection, stream: &Stream) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM snapshot WHERE stream = ?1 AND begin_seq IS NOT NULL)")?
        .query_row([stream.id], |row| row.get(0))
}

/// What of a snapshot the agent's page shows.
pub(super) fn status(connection: &Connection, stream: &Stream) -> rusqlite::Result<Option<SnapshotStatus>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM snapshot WHERE stream = ?1 AND begin_seq IS NOT NULL")?;
    let row = |row: &rusqlite::Row<'_>| {
        let done: Option<i64> = row.get("done_at")?;
        Ok(SnapshotStatus {
            reason: row.get("reason")?,
            detail: row.get("detail")?,
            begun_at: time(row, "begun_at")?,
            complete_at: done.map(|_| time(row, "done_at")).transpose()?,
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
    unseen: Vec<Vec<u8>>,
    swept_to: Vec<u8>,
}

/// The oldest snapshot that is whole and of which not all is dropped yet; of one agent, or of any. One that a newer
/// stream supersedes has nothing to say any more.
fn due(connection: &Connection, agent: Option<i64>) -> rusqlite::Result<Option<Due>> {
    let mut statement = connection.prepare_cached(
        "SELECT stream.*, end_seq, ended_at, unseen, swept_to FROM snapshot
         JOIN stream ON stream.id = snapshot.stream
         WHERE done_at IS NULL AND (?1 IS NULL OR agent = ?1)
           AND ordinal = (SELECT MAX(ordinal) FROM stream AS other WHERE other.agent = stream.agent)
           AND EXISTS (SELECT 1 FROM stream_range WHERE stream_range.stream = snapshot.stream
                       AND first <= begin_seq AND last >= end_seq)
         ORDER BY ended_at LIMIT 1",
    )?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Due {
            stream: stream::from_row(row)?,
            agent: row.get("agent")?,
            end_seq: row.get("end_seq")?,
            ended_at: time(row, "ended_at")?,
            unseen: from_json(&row.get::<_, String>("unseen")?)?,
            swept_to: row.get::<_, Option<Vec<u8>>>("swept_to")?.unwrap_or_default(),
        })
    };
    statement.query_row([agent], row).optional()
}

/// Drops a step of what a whole snapshot did not name; whether there is more to do.
pub(super) fn step(
    connection: &Connection,
    agent: Option<i64>,
    kept_changes: u32,
    now: DateTime<Utc>,
) -> rusqlite::Result<bool> {
    let Some(due) = due(connection, agent)? else {
        return Ok(false);
    };
    let mut statement = connection.prepare_cached(
        "SELECT path, stream_ordinal, kind IS NOT NULL FROM file WHERE agent = ?1 AND path > ?2 ORDER BY path LIMIT ?3",
    )?;
    let looked_at = statement
        .query_map(params![due.agent, due.swept_to, STEP], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
        })?
        .collect::<rusqlite::Result<Vec<(Vec<u8>, i64, bool)>>>()?;
    let mut applier = Applier::new(connection, due.agent, due.stream.ordinal)?;
    let mut dropped = 0_i64;
    for (path, ordinal, is_there) in &looked_at {
        if *is_there && *ordinal < due.stream.ordinal && !due.unseen.iter().any(|unseen| lies_in(unseen, path)) {
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
    Ok(is_more || agent.is_none())
}

/// Whether `path` is `dir` or lies below it.
fn lies_in(dir: &[u8], path: &[u8]) -> bool {
    let rest = path.strip_prefix(dir.strip_suffix(b"/").unwrap_or(dir));
    rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'/' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::lies_in;

    #[test]
    fn below_means_below_by_whole_names() {
        assert!(lies_in(b"/", b"/a") && lies_in(b"/a", b"/a") && lies_in(b"/a", b"/a/b") && lies_in(b"/a/", b"/a/b"));
        assert!(!lies_in(b"/a", b"/ab") && !lies_in(b"/a/b", b"/a"));
        assert!(lies_in(b"C:\\data", b"C:\\data\\x"));
    }
}
