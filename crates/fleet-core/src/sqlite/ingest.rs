//! Batches of records onto the tables.
use super::{
    apply::Applier,
    malware::Events,
    registry, snapshot, stream,
    value::{from_json, micros, to_json},
};
use crate::{
    agent::StreamFace,
    batch::{Batch, Effect, Entry},
    files_v1::{FilesV1Batch, FilesV1Receipt},
    store::{FilesRefusal, IngestRefusal, Taken},
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{AgentId, SeqRange, StreamId};
use rusqlite::{Connection, OptionalExtension, params};

/// So long a key of the file-scanner document is remembered.
const KEY_LIFE: TimeDelta = TimeDelta::hours(24);

pub(super) fn ingest(
    connection: &Connection,
    agent: AgentId,
    batch: &Batch,
    kept_changes: u32,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<Taken, IngestRefusal>> {
    let agent = registry::row_id(connection, agent)?;
    let known = stream::find(connection, agent, batch.stream)?;
    let newest = stream::newest(connection, agent)?;
    let stream = match (known, newest) {
        (None, _) if batch.seqs.first != 1 => return Ok(Err(IngestRefusal::SnapshotWanted)),
        (None, _) => stream::add(connection, agent, batch.stream, StreamFace::Ingest, now)?,
        // The agent spoke the file-scanner document's face since: whatever this stream says would be taken as older.
        (Some(_), Some(newest)) if newest.face == StreamFace::FilesV1 => {
            return Ok(Err(IngestRefusal::SnapshotWanted));
        }
        // What was taken of it may be lost here.
        (Some(stream), _) if stream.is_closed => return Ok(Err(IngestRefusal::SnapshotWanted)),
        (Some(stream), _) => stream,
    };
    let fresh = stream::mark_seen(connection, &stream, batch.seqs, now)?;
    let is_repeat = |seq: u64| !fresh.iter().any(|range| (range.first..=range.last).contains(&seq));
    // The store keeps microseconds.
    let is_later = |entry: &Entry| stream.latest.is_some_and(|latest| micros(entry.time) > micros(latest));
    let is_other = |entry: &&Entry| is_later(entry) && is_repeat(entry.seq);
    if let Some(entry) = batch.entries.iter().find(is_other) {
        // An agent whose state was put back, as with a machine's snapshot, gives numbers again for other records.
        tracing::warn!(
            stream = %batch.stream,
            number = entry.seq,
            "an agent's state went back in time: it is asked for a full snapshot"
        );
        stream::close(connection, &stream, now)?;
        return Ok(Err(IngestRefusal::SnapshotWanted));
    }
    if let Some(latest) = batch.entries.iter().map(|entry| entry.time).max() {
        stream::reach(connection, &stream, latest)?;
    }
    let of_range = |range: &SeqRange| {
        let from = batch.entries.partition_point(|entry| entry.seq < range.first);
        let to = batch.entries.partition_point(|entry| entry.seq <= range.last);
        &batch.entries[from..to]
    };
    // Events are told once, by whichever stream: no snapshot names them anew, so none supersedes them either.
    let mut events = Events::new(connection, agent, now);
    for entry in fresh.iter().flat_map(of_range) {
        if let Effect::Malware(event) = &entry.effect {
            events.take(entry.time, event)?;
        }
    }
    let detected = events.settle()?;
    // What an older stream says of files is superseded from the instant at which a newer one begins to name everything.
    let has_newer = newest.is_some_and(|newest| newest.ordinal > stream.ordinal);
    if has_newer && snapshot::is_superseded(connection, agent, &stream)? {
        registry::seen(connection, agent, now)?;
        return Ok(Ok(Taken {
            has_more_to_drop: false,
            detected,
        }));
    }
    let mut applier = Applier::new(connection, agent, stream.ordinal)?;
    for entry in fresh.iter().flat_map(of_range) {
        match &entry.effect {
            Effect::SnapshotBegin { reason, detail } => {
                snapshot::begin(connection, agent, &stream, entry.seq, (reason, detail), entry.time)?;
            }
            Effect::SnapshotEnd { unseen } => {
                snapshot::end(connection, &stream, entry.seq, unseen, entry.time)?;
            }
            effect => applier.apply(entry.seq, entry.time, effect)?,
        }
    }
    applier.finish(kept_changes)?;
    registry::seen(connection, agent, now)?;
    let has_more_to_drop = snapshot::first_step(connection, &stream, kept_changes, now)?;
    Ok(Ok(Taken {
        has_more_to_drop,
        detected,
    }))
}

pub(super) fn ingest_files(
    connection: &Connection,
    agent: AgentId,
    key: Option<&str>,
    fingerprint: [u8; 32],
    batch: &FilesV1Batch,
    kept_changes: u32,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<FilesV1Receipt, FilesRefusal>> {
    let agent = registry::row_id(connection, agent)?;
    if let Some(key) = key
        && let Some(earlier) = earlier(connection, agent, key, now)?
    {
        return Ok(match earlier {
            (same, receipt) if same == fingerprint => Ok(receipt),
            _ => Err(FilesRefusal::KeyReused),
        });
    }
    let receipt = apply_files(connection, agent, batch, kept_changes, now)?;
    if let Some(key) = key {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO idempotency (agent, key, fingerprint, response, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![agent, key, fingerprint, to_json(&receipt)?, micros(now)])?;
    }
    registry::seen(connection, agent, now)?;
    Ok(Ok(receipt))
}

fn earlier(
    connection: &Connection,
    agent: i64,
    key: &str,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<([u8; 32], FilesV1Receipt)>> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, response FROM idempotency WHERE agent = ?1 AND key = ?2 AND created_at > ?3",
    )?;
    let row = statement
        .query_row(params![agent, key, micros(now - KEY_LIFE)], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    row.map(|(fingerprint, response)| Ok((fingerprint, from_json(&response)?)))
        .transpose()
}

fn apply_files(
    connection: &Connection,
    agent: i64,
    batch: &FilesV1Batch,
    kept_changes: u32,
    now: DateTime<Utc>,
) -> rusqlite::Result<FilesV1Receipt> {
    let mut receipt = FilesV1Receipt {
        accepted: batch.effects.len() as u64,
        unknown_sources: 0,
    };
    if batch.effects.is_empty() {
        return Ok(receipt);
    }
    let stream = match stream::newest(connection, agent)? {
        Some(newest) if newest.face == StreamFace::FilesV1 => newest,
        // What an agent says by this face now is newer than whatever it said by the other before.
        newest => {
            let place = newest.map_or(0, |stream| stream.ordinal);
            stream::add(
                connection,
                agent,
                made_by_the_controller(place, now),
                StreamFace::FilesV1,
                now,
            )?
        }
    };
    let first = stream::last_seq(connection, &stream)? + 1;
    let last = first + receipt.accepted - 1;
    stream::mark_seen(connection, &stream, SeqRange { first, last }, now)?;
    let mut applier = Applier::new(connection, agent, stream.ordinal)?;
    for (seq, (time, effect)) in (first..).zip(&batch.effects) {
        applier.apply(seq, *time, effect)?;
    }
    receipt.unknown_sources = applier.unknown_sources();
    applier.finish(kept_changes)?;
    Ok(receipt)
}

/// An id for a stream that no agent knows. It need be unique among the streams of one agent only, and the place of the
/// stream before it is.
fn made_by_the_controller(place: i64, now: DateTime<Utc>) -> StreamId {
    let mut tail = [0; 10];
    tail[2..].copy_from_slice(&place.to_be_bytes());
    StreamId::new(now, tail)
}
