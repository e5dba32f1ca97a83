//! Streams: which there are, their order, and the ranges of records seen of each.
use super::{
    snapshot,
    value::{id, micros, optional_time, signed, time, unsigned},
};
use crate::{
    agent::{StreamFace, StreamStatus},
    ranges::{gaps, merge},
};
use chrono::{DateTime, Utc};
use core_model::{SeqRange, StreamId};
use fleet_wire::Delivered;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A stream within the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) id: i64,
    pub(super) ordinal: i64,
    pub(super) face: StreamFace,
    /// Whether records that it brings are refused until its agent has sent a snapshot in a newer one.
    pub(super) is_closed: bool,
    /// The latest time that a record of it bears, by the agent's clock; `None` where that is not known.
    pub(super) latest: Option<DateTime<Utc>>,
}

/// The stream of this id.
pub(super) fn find(connection: &Connection, agent: i64, stream: StreamId) -> rusqlite::Result<Option<Stream>> {
    let mut statement = connection.prepare_cached("SELECT * FROM stream WHERE agent = ?1 AND uuid = ?2")?;
    statement
        .query_row(params![agent, stream.as_uuid().as_bytes()], from_row)
        .optional()
}

/// The agent's newest stream.
pub(super) fn newest(connection: &Connection, agent: i64) -> rusqlite::Result<Option<Stream>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM stream WHERE agent = ?1 ORDER BY ordinal DESC LIMIT 1")?;
    statement.query_row([agent], from_row).optional()
}

/// Adds a stream, the newest from now on. Its place is that of its first arrival here, not the time in its id: an agent
/// restored on a host whose clock stands wrong must not be ignored for ever.
pub(super) fn add(
    connection: &Connection,
    agent: i64,
    stream: StreamId,
    face: StreamFace,
    now: DateTime<Utc>,
) -> rusqlite::Result<Stream> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO stream (agent, uuid, ordinal, face, first_seen, last_seen)
         VALUES (?1, ?2, 1 + (SELECT COALESCE(MAX(ordinal), 0) FROM stream WHERE agent = ?1), ?3, ?4, ?4)
         RETURNING *",
    )?;
    let face = match face {
        StreamFace::Ingest => 0,
        StreamFace::FilesV1 => 1,
    };
    statement.query_row(params![agent, stream.as_uuid().as_bytes(), face, micros(now)], from_row)
}

/// Marks `new` as seen; the parts of it that were not before.
pub(super) fn mark_seen(
    connection: &Connection,
    stream: &Stream,
    new: SeqRange,
    now: DateTime<Utc>,
) -> rusqlite::Result<Vec<SeqRange>> {
    let mut touching = Vec::new();
    {
        // Ranges do not touch one another, so going down from the right the first that lies clear of `new` ends it.
        let mut statement = connection.prepare_cached(
            "SELECT first, last FROM stream_range WHERE stream = ?1 AND first <= ?2 + 1 ORDER BY first DESC",
        )?;
        let mut rows = statement.query(params![stream.id, signed(new.last)])?;
        while let Some(row) = rows.next()? {
            let seen = range(row)?;
            if seen.last + 1 < new.first {
                break;
            }
            touching.push(seen);
        }
    }
    touching.reverse();
    let merged = merge(new, &touching);
    let mut remove = connection.prepare_cached("DELETE FROM stream_range WHERE stream = ?1 AND first = ?2")?;
    for seen in &touching {
        remove.execute(params![stream.id, signed(seen.first)])?;
    }
    connection
        .prepare_cached("INSERT INTO stream_range (stream, first, last) VALUES (?1, ?2, ?3)")?
        .execute(params![
            stream.id,
            signed(merged.whole.first),
            signed(merged.whole.last)
        ])?;
    connection
        .prepare_cached("UPDATE stream SET last_seen = MAX(last_seen, ?2) WHERE id = ?1")?
        .execute(params![stream.id, micros(now)])?;
    Ok(merged.fresh)
}

/// Notes the latest time that a record bears.
pub(super) fn reach(connection: &Connection, stream: &Stream, latest: DateTime<Utc>) -> rusqlite::Result<()> {
    if stream.latest.is_some_and(|known| known >= latest) {
        return Ok(());
    }
    let mut statement = connection.prepare_cached("UPDATE stream SET latest = ?2 WHERE id = ?1")?;
    statement.execute(params![stream.id, micros(latest)]).map(drop)
}

/// Closes one stream: its agent is asked for a snapshot.
pub(super) fn close(connection: &Connection, stream: &Stream, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE stream SET closed_at = ?2 WHERE id = ?1")?;
    statement.execute(params![stream.id, micros(now)]).map(drop)
}

/// Closes every stream whose records agents number: some that were taken may be lost here, and an agent sends none of
/// them again unless it is asked for a snapshot. How many agents that concerns.
pub(super) fn close_all(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<u64> {
    connection.execute(
        "UPDATE stream SET closed_at = ?1 WHERE closed_at IS NULL AND face = 0",
        [micros(now)],
    )?;
    owing_snapshot(connection)
}

/// How many agents were asked for a snapshot and have opened no new stream yet.
pub(super) fn owing_snapshot(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT COUNT(*) AS agents FROM stream JOIN agent ON agent.id = stream.agent AND agent.revoked_at IS NULL
         WHERE closed_at IS NOT NULL
           AND ordinal = (SELECT MAX(ordinal) FROM stream AS other WHERE other.agent = stream.agent)",
    )?;
    statement.query_row([], |row| unsigned(row, "agents"))
}

/// Whether records are missing here that the agent was told are taken: then the store went back in time since.
pub(super) fn lacks(connection: &Connection, agent: i64, told: Delivered) -> rusqlite::Result<bool> {
    let Some(stream) = find(connection, agent, told.stream)? else {
        // One whose first record still waits was opened a moment ago.
        return Ok(told.through > 0);
    };
    if stream.is_closed {
        return Ok(true);
    }
    let mut statement = connection.prepare_cached("SELECT last FROM stream_range WHERE stream = ?1 AND first <= 1")?;
    let unbroken = statement
        .query_row([stream.id], |row| unsigned(row, "last"))
        .optional()?;
    Ok(unbroken.unwrap_or(0) < told.through)
}

/// The highest number seen of a stream, if it is known.
pub(super) fn seen(connection: &Connection, agent: i64, stream: StreamId) -> rusqlite::Result<Option<Delivered>> {
    let Some(known) = find(connection, agent, stream)? else {
        return Ok(None);
    };
    let through = last_seq(connection, &known)?;
    Ok(Some(Delivered { stream, through }))
}

/// The highest number seen, 0 for none.
pub(super) fn last_seq(connection: &Connection, stream: &Stream) -> rusqlite::Result<u64> {
    let mut statement =
        connection.prepare_cached("SELECT COALESCE(MAX(last), 0) AS last FROM stream_range WHERE stream = ?1")?;
    statement.query_row([stream.id], |row| unsigned(row, "last"))
}

/// The agent's last ten streams, the newest first.
pub(super) fn statuses(connection: &Connection, agent: i64) -> rusqlite::Result<Vec<StreamStatus>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM stream WHERE agent = ?1 ORDER BY ordinal DESC LIMIT 10")?;
    let mut rows = statement.query([agent])?;
    let mut statuses = Vec::new();
    while let Some(row) = rows.next()? {
        let stream = from_row(row)?;
        // 100 gaps lie between 101 ranges, one more if the first is missing.
        let mut ranges = connection
            .prepare_cached("SELECT first, last FROM stream_range WHERE stream = ?1 ORDER BY first LIMIT 101")?;
        let seen = ranges
            .query_map([stream.id], range)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let mut missing = gaps(&seen);
        missing.truncate(100);
        statuses.push(StreamStatus {
            stream: StreamId::from_uuid(id(row, "uuid")?),
            ordinal: unsigned(row, "ordinal")?,
            face: stream.face,
            first_seen: time(row, "first_seen")?,
            last_seen: time(row, "last_seen")?,
            last_seq: last_seq(connection, &stream)?,
            gaps: missing,
            closed_at: optional_time(row, "closed_at")?,
            snapshot: snapshot::status(connection, &stream)?,
        });
    }
    Ok(statuses)
}

/// How many streams miss a record; those of revoked agents and superseded streams will never be whole and do not count.
pub(super) fn with_gaps(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT COUNT(*) AS streams FROM stream
         JOIN agent ON agent.id = stream.agent AND agent.revoked_at IS NULL
         WHERE ordinal = (SELECT MAX(ordinal) FROM stream AS other WHERE other.agent = stream.agent)
           AND EXISTS (SELECT 1 FROM stream_range WHERE stream_range.stream = stream.id
                       GROUP BY stream HAVING COUNT(*) > 1 OR MIN(first) > 1)",
    )?;
    statement.query_row([], |row| unsigned(row, "streams"))
}

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Stream> {
    let face: i64 = row.get("face")?;
    Ok(Stream {
        id: row.get("id")?,
        ordinal: row.get("ordinal")?,
        face: if face == 0 {
            StreamFace::Ingest
        } else {
            StreamFace::FilesV1
        },
        is_closed: row.get::<_, Option<i64>>("closed_at")?.is_some(),
        latest: Some(time(row, "latest")?).filter(|latest| *latest > DateTime::UNIX_EPOCH),
    })
}

fn range(row: &Row<'_>) -> rusqlite::Result<SeqRange> {
    Ok(SeqRange {
        first: unsigned(row, "first")?,
        last: unsigned(row, "last")?,
    })
}
