//! Scans that were made: when each rule was last gone through, and what was cut off.
use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::EventId;
use fleet_wire::{MalwareScan, ScanCause};
use serde::Serialize;
use state_sqlite::{Database, rusqlite};

/// So long scans are kept.
const KEPT: TimeDelta = TimeDelta::days(90);

/// A scan as it is written down.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Written {
    pub(crate) id: EventId,
    pub(crate) rule: String,
    pub(crate) cause: String,
    pub(crate) started_at: DateTime<Utc>,
    /// How it ended; none while it lasts, or where it was cut off.
    pub(crate) ended: Option<MalwareScan>,
}

/// Writes down that a scan begins.
pub(crate) fn begin(
    database: &Database,
    id: EventId,
    rule: &str,
    cause: ScanCause,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    database
        .with_writer(|connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute(
                "DELETE FROM scan WHERE started_ms < ?1",
                [(now - KEPT).timestamp_millis()],
            )?;
            transaction.execute(
                "INSERT INTO scan (id, rule, cause, started_ms) VALUES (?1, ?2, ?3, ?4)",
                (id.to_string(), rule, cause.name(), now.timestamp_millis()),
            )?;
            transaction.commit()
        })
        .context("could not write down the scan")
}

/// Writes down how it ended.
pub(crate) fn end(database: &Database, scan: &MalwareScan) -> anyhow::Result<()> {
    let body = serde_json::to_string(scan)?;
    let values = (
        scan.id.to_string(),
        &scan.rule,
        scan.cause.name(),
        scan.started_at.timestamp_millis(),
        scan.ended_at.timestamp_millis(),
        body,
    );
    // On a full disk its beginning could not be written down.
    let sql = "INSERT INTO scan (id, rule, cause, started_ms, ended_ms, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (id) DO UPDATE SET ended_ms = excluded.ended_ms, body = excluded.body";
    database
        .with_writer(|connection| connection.execute(sql, values))
        .context("could not write down the scan")?;
    Ok(())
}

/// The newest scan of all of a rule, whether or not it came to an end: not one of what was watched, or of what somebody
/// asked for, which may be a part.
pub(crate) fn newest(database: &Database, rule: &str) -> anyhow::Result<Option<Written>> {
    let which =
        "WHERE rule = ?1 AND cause IN ('schedule', 'catch_up', 'resume', 'local') ORDER BY started_ms DESC LIMIT 1";
    read(database, which, [rule]).map(|mut scans| scans.pop())
}

/// The newest scan by a rule, of all of it or of a part.
pub(crate) fn newest_of_any(database: &Database, rule: &str) -> anyhow::Result<Option<Written>> {
    read(database, "WHERE rule = ?1 ORDER BY started_ms DESC LIMIT 1", [rule]).map(|mut scans| scans.pop())
}

/// Since when a rule is known: its schedule counts from then until it was gone through once, over restarts, too.
pub(crate) fn known_since(database: &Database, rule: &str, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    let since: i64 = database
        .with_writer(|connection| -> rusqlite::Result<i64> {
            connection.execute(
                "INSERT INTO rule (name, since_ms) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
                (rule, now.timestamp_millis()),
            )?;
            connection.query_row("SELECT since_ms FROM rule WHERE name = ?1", [rule], |row| row.get(0))
        })
        .context("could not write down since when a rule is known")?;
    Ok(DateTime::from_timestamp_millis(since).unwrap_or(now))
}

/// The newest scans first.
pub(crate) fn history(database: &Database, limit: u32) -> anyhow::Result<Vec<Written>> {
    read(database, "ORDER BY started_ms DESC LIMIT ?1", [limit])
}

/// Those that ended and that nobody was told of: a process ended in between.
pub(crate) fn untold(database: &Database, limit: u32) -> anyhow::Result<Vec<Written>> {
    read(
        database,
        "WHERE is_told = 0 AND body IS NOT NULL ORDER BY started_ms LIMIT ?1",
        [limit],
    )
}

/// Its end lies in the outbox, or there is nobody who is to be told.
pub(crate) fn told(database: &Database, scans: &[EventId]) -> anyhow::Result<()> {
    database
        .with_writer(|connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for id in scans {
                transaction.execute("UPDATE scan SET is_told = 1 WHERE id = ?1", [id.to_string()])?;
            }
            transaction.commit()
        })
        .context("could not write down what was told")
}

/// Nobody is to be told.
pub(crate) fn all_told(database: &Database) -> anyhow::Result<()> {
    let sql = "UPDATE scan SET is_told = 1 WHERE is_told = 0 AND body IS NOT NULL";
    database
        .with_writer(|connection| connection.execute(sql, []))
        .context("could not write down what was told")?;
    Ok(())
}

/// All are to be told anew.
pub(crate) fn forget_told(database: &Database) -> anyhow::Result<()> {
    database
        .with_writer(|connection| connection.execute("UPDATE scan SET is_told = 0", []))
        .context("could not write down what was told")?;
    Ok(())
}

fn read(database: &Database, which: &str, values: impl rusqlite::Params) -> anyhow::Result<Vec<Written>> {
    let sql = format!("SELECT id, rule, cause, started_ms, body FROM scan {which}");
    database
        .with_writer(|connection| -> rusqlite::Result<Vec<Option<Written>>> {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(values, |row| {
                let (id, body): (String, Option<String>) = (row.get(0)?, row.get(4)?);
                let Ok(id) = id.parse() else { return Ok(None) };
                Ok(Some(Written {
                    id,
                    rule: row.get(1)?,
                    cause: row.get(2)?,
                    started_at: DateTime::from_timestamp_millis(row.get(3)?).unwrap_or_default(),
                    ended: body.and_then(|body| serde_json::from_str(&body).ok()),
                }))
            })?;
            rows.collect()
        })
        .map(|scans| scans.into_iter().flatten().collect())
        .context("could not read the scans that were made")
}
