//! What was found, and what became of it: written down before anybody is told, and told again where nobody was.
use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::EventId;
use fleet_wire::{Detection, Handled, MalwareRecord, malware_kind};
use state_sqlite::{Database, rusqlite};
use std::collections::HashSet;

/// So long they are kept.
const KEPT: TimeDelta = TimeDelta::days(400);

/// The number under which something is written down here.
pub(crate) type EventNumber = i64;

/// Something about malware, as it is written down.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) number: EventNumber,
    pub(crate) at: DateTime<Utc>,
    pub(crate) kind: &'static str,
    /// The record's body.
    pub(crate) body: String,
}

impl Event {
    /// What it says; `None` where this version cannot read what another wrote.
    pub(crate) fn record(&self) -> Option<MalwareRecord> {
        MalwareRecord::from_record(self.kind, &self.body)?.ok()
    }
}

/// Something about malware that is to be written down.
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    id: EventId,
    pub(crate) at: DateTime<Utc>,
    /// The record's body.
    pub(crate) body: String,
}

impl Entry {
    /// A record; none for a scan, which has a table of its own.
    pub(crate) fn of(at: DateTime<Utc>, record: &MalwareRecord) -> anyhow::Result<Option<Self>> {
        let (kind, id, body) = match record {
            MalwareRecord::Detected(found) => (malware_kind::DETECTED, found.id, serde_json::to_string(found)?),
            MalwareRecord::Handled(handled) => (malware_kind::HANDLED, id(handled), serde_json::to_string(handled)?),
            MalwareRecord::ScanEnded(_) => return Ok(None),
        };
        Ok(Some(Self { kind, id, at, body }))
    }
}

/// That of the detection; where nobody knows it, the item's own tells it from others of the same instant.
fn id(handled: &Handled) -> EventId {
    let item = || EventId::from_uuid(handled.quarantine_id.parse().unwrap_or_default());
    handled.detection.unwrap_or_else(item)
}

/// Writes all of it down, in one transaction.
pub(crate) fn put(database: &Database, entries: &[Entry]) -> anyhow::Result<Vec<EventNumber>> {
    database
        .with_writer(|connection| -> rusqlite::Result<Vec<EventNumber>> {
            let transaction = connection.transaction()?;
            if let Some(newest) = entries.iter().map(|entry| entry.at).max() {
                transaction.execute(
                    "DELETE FROM event WHERE at_ms < ?1",
                    [(newest - KEPT).timestamp_millis()],
                )?;
            }
            let numbers = entries
                .iter()
                .map(|entry| {
                    transaction
                        .prepare_cached(
                            "INSERT INTO event (detection, kind, at_ms, body) VALUES (?1, ?2, ?3, ?4)
                             ON CONFLICT (kind, detection, at_ms) DO UPDATE SET body = excluded.body, is_told = 0
                             RETURNING id",
                        )?
                        .query_row(
                            (
                                entry.id.to_string(),
                                entry.kind,
                                entry.at.timestamp_millis(),
                                &entry.body,
                            ),
                            |row| row.get(0),
                        )
                })
                .collect::<rusqlite::Result<Vec<_>>>()?;
            transaction.commit()?;
            Ok(numbers)
        })
        .context("could not write down what was found")
}

/// It lies in the outbox, or there is nobody who is to be told.
pub(crate) fn told(database: &Database, numbers: &[EventNumber]) -> anyhow::Result<()> {
    database
        .with_writer(|connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for number in numbers {
                transaction.execute("UPDATE event SET is_told = 1 WHERE id = ?1", [number])?;
            }
            transaction.commit()
        })
        .context("could not write down what was told")
}

/// The oldest that nobody was told of: a process ended in between.
pub(crate) fn untold(database: &Database, limit: u32) -> anyhow::Result<Vec<Event>> {
    read(database, "WHERE is_told = 0 ORDER BY id LIMIT ?1", [limit])
}

/// Nobody is to be told.
pub(crate) fn all_told(database: &Database) -> anyhow::Result<()> {
    database
        .with_writer(|connection| connection.execute("UPDATE event SET is_told = 1 WHERE is_told = 0", []))
        .context("could not write down what was told")?;
    Ok(())
}

/// All are to be told anew.
pub(crate) fn forget_told(database: &Database) -> anyhow::Result<()> {
    database
        .with_writer(|connection| connection.execute("UPDATE event SET is_told = 0", []))
        .context("could not write down what was told")?;
    Ok(())
}

/// The newest first, no older than `since`: at most `limit`, 0 for all.
pub(crate) fn history(database: &Database, since: DateTime<Utc>, limit: u32) -> anyhow::Result<Vec<Event>> {
    read(
        database,
        "WHERE at_ms >= ?1 ORDER BY at_ms DESC, id DESC LIMIT ?2",
        // SQLite takes -1 for all.
        (since.timestamp_millis(), if limit == 0 { -1 } else { i64::from(limit) }),
    )
}

/// What was put into quarantine, by its ids, as far as it is written down.
pub(crate) fn items(database: &Database) -> anyhow::Result<HashSet<String>> {
    let sql = "SELECT json_extract(body, '$.quarantine_id') FROM event WHERE kind = ?1";
    database
        .with_writer(|connection| -> rusqlite::Result<HashSet<String>> {
            let mut statement = connection.prepare(sql)?;
            let ids = statement.query_map([malware_kind::DETECTED], |row| row.get::<_, Option<String>>(0))?;
            ids.filter_map(Result::transpose).collect()
        })
        .context("could not read what was found")
}

/// The detection whose file lies in quarantine under this id.
pub(crate) fn of_item(database: &Database, quarantine_id: &str) -> anyhow::Result<Option<Detection>> {
    let events = read(
        database,
        "WHERE kind = 'malware.detected' AND json_extract(body, '$.quarantine_id') = ?1 ORDER BY id DESC LIMIT 1",
        [quarantine_id],
    )?;
    Ok(events.first().and_then(|event| match event.record() {
        Some(MalwareRecord::Detected(detection)) => Some(detection),
        _ => None,
    }))
}

fn read(database: &Database, which: &str, values: impl rusqlite::Params) -> anyhow::Result<Vec<Event>> {
    let sql = format!("SELECT id, kind, at_ms, body FROM event {which}");
    database
        .with_writer(|connection| -> rusqlite::Result<Vec<Event>> {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(values, |row| {
                let kind: String = row.get(1)?;
                Ok(Event {
                    number: row.get(0)?,
                    kind: if kind == malware_kind::HANDLED {
                        malware_kind::HANDLED
                    } else {
                        malware_kind::DETECTED
                    },
                    at: DateTime::from_timestamp_millis(row.get(2)?).unwrap_or_default(),
                    body: row.get(3)?,
                })
            })?;
            rows.collect()
        })
        .context("could not read what was found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_wire::{Outcome, WirePath};

    #[test]
    fn what_was_done_to_two_items_at_once_is_two_things_also_where_nobody_knows_their_detections() {
        let handled = |item: uuid::Uuid, detection| Handled {
            detection,
            quarantine_id: item.to_string(),
            path: WirePath::from_bytes(b"/a"),
            outcome: Outcome::Restored,
            detail: None,
        };
        let (one, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        assert_eq!(id(&handled(one, None)), EventId::from_uuid(one));
        assert_ne!(id(&handled(one, None)), id(&handled(other, None)));
        let known = EventId::from_uuid(other);
        assert_eq!(id(&handled(one, Some(known))), known);
    }
}
