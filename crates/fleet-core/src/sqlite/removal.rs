//! Agents that are removed with all that they told, a step at a time.
use super::{
    registry,
    value::{from_json, id, micros},
};
use crate::{agent::AgentRef, profile::Maintenance};
use chrono::{DateTime, Utc};
use core_model::AgentId;
use rusqlite::{Connection, OptionalExtension, params};

/// Silent agents looked at in one go.
const MOST_SILENT: i64 = 1_000;
/// Rows deleted in one step: some tens of milliseconds, so that others get their turn in between.
const STEP: i64 = 5_000;

/// What hangs on an agent, in an order in which it can go. Those with many rows go in steps.
const TABLES: [(&str, &str); 13] = [
    (
        "file",
        "agent = ?1 AND path IN (SELECT path FROM file WHERE agent = ?1 LIMIT ?2)",
    ),
    (
        "file_change",
        "agent = ?1 AND id IN (SELECT id FROM file_change WHERE agent = ?1 LIMIT ?2)",
    ),
    (
        "stream_range",
        "(stream, first) IN (SELECT stream, first FROM stream_range
                             WHERE stream IN (SELECT id FROM stream WHERE agent = ?1) LIMIT ?2)",
    ),
    (
        "idempotency",
        "agent = ?1 AND key IN (SELECT key FROM idempotency WHERE agent = ?1 LIMIT ?2)",
    ),
    (
        "delivery",
        "agent = ?1 AND command IN (SELECT command FROM delivery WHERE agent = ?1 LIMIT ?2)",
    ),
    (
        "agent_config",
        "agent = ?1 AND version IN (SELECT version FROM agent_config WHERE agent = ?1 LIMIT ?2)",
    ),
    (
        "detection",
        "id IN (SELECT id FROM detection WHERE agent = ?1 LIMIT ?2)",
    ),
    (
        "malware_handling",
        "id IN (SELECT id FROM malware_handling WHERE agent = ?1 LIMIT ?2)",
    ),
    (
        "malware_scan",
        "id IN (SELECT id FROM malware_scan WHERE agent = ?1 LIMIT ?2)",
    ),
    ("snapshot", "stream IN (SELECT id FROM stream WHERE agent = ?1) AND ?2"),
    ("stream", "agent = ?1 AND ?2"),
    ("file_total", "agent = ?1 AND ?2"),
    ("agent_config_report", "agent = ?1 AND ?2"),
];

/// Takes the agent's key away and begins to remove it: from here on nobody sees it. Whether there was one.
pub(super) fn begin(
    connection: &Connection,
    agent: &AgentRef,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<AgentId>> {
    let Some((row, uuid)) = registry::find_whatever(connection, agent)? else {
        return Ok(None);
    };
    connection.execute(
        "UPDATE agent SET removed_at = ?2, revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1",
        params![row, micros(now)],
    )?;
    // What waits for it is over.
    connection.execute(
        "UPDATE delivery SET state = 7, ended_at = ?2, code = 'agent_removed', detail = 'the agent was removed'
         WHERE agent = ?1 AND state < 4",
        params![row, micros(now)],
    )?;
    Ok(Some(uuid))
}

/// Begins to remove agents that were not heard of since `before`, and that nobody works on; who they were.
pub(super) fn begin_silent(
    connection: &Connection,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> rusqlite::Result<Vec<(AgentId, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT uuid, name, maintenance FROM agent WHERE removed_at IS NULL AND last_seen < ?1
         ORDER BY maintenance IS NOT NULL LIMIT ?2",
    )?;
    let rows = statement.query_map(params![micros(before), MOST_SILENT], |row| {
        let maintenance: Option<String> = row.get("maintenance")?;
        let maintenance: Option<Maintenance> = maintenance.map(|text| from_json(&text)).transpose()?;
        let agent = (AgentId::from_uuid(id(row, "uuid")?), row.get::<_, String>("name")?);
        Ok((agent, maintenance.is_some_and(|maintenance| maintenance.lasts(now))))
    })?;
    let silent = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut gone = Vec::new();
    for ((agent, name), is_worked_on) in silent {
        if !is_worked_on && begin(connection, &AgentRef::Id(agent), now)?.is_some() {
            gone.push((agent, name));
        }
    }
    Ok(gone)
}

/// Deletes a step of what removed agents left; whether there may be more.
pub(super) fn step(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT id FROM agent WHERE removed_at IS NOT NULL ORDER BY id LIMIT 1";
    let Some(agent) = connection.query_row(sql, [], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(false);
    };
    for (table, which) in TABLES {
        let deleted = connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE {which}"))?
            .execute(params![agent, STEP])?;
        if deleted >= STEP.unsigned_abs() as usize {
            return Ok(true);
        }
    }
    for sql in [
        "DELETE FROM agent_session WHERE agent = ?1",
        "DELETE FROM agent_clone WHERE agent = ?1",
        "DELETE FROM claim WHERE agent = ?1",
        "DELETE FROM agent WHERE id = ?1",
    ] {
        connection.execute(sql, [agent])?;
    }
    Ok(true)
}
