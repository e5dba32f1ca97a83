//! What an agent of the file-scanner document asks for: how it is to scan, and what it is to do.
use super::{
    commands::priority_of,
    configs,
    value::{from_json, id, micros, time},
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, CommandId};
use fleet_wire::link::Command;
use rusqlite::{Connection, OptionalExtension, params};

/// Commands listed at once, the most urgent first; the rest follow as these end.
const MOST: i64 = 1_000;

/// The text that an operator set, if one stands, and the paths that the agent registered.
pub(super) fn config(connection: &Connection, agent: AgentId) -> rusqlite::Result<(Option<String>, Vec<String>)> {
    let mut statement = connection.prepare_cached("SELECT id, scan_paths FROM agent WHERE uuid = ?1")?;
    let found: Option<(i64, String)> = statement
        .query_row([agent.as_uuid().as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((row, scan_paths)) = found else {
        return Ok((None, Vec::new()));
    };
    let message = configs::message(connection, row)?;
    Ok((message.version.map(|_| message.text), from_json(&scan_paths)?))
}

/// The commands that the agent may still begin and that no link of it has taken, and whether all of them are marked as
/// listed.
pub(super) fn open(
    connection: &Connection,
    agent: AgentId,
    verbs: &[&str],
    now: DateTime<Utc>,
) -> rusqlite::Result<(Vec<Command>, bool)> {
    let mut statement = connection.prepare_cached(
        "SELECT command.*, state = 1 AND epoch = 0 AS is_listed
         FROM delivery INDEXED BY delivery_open JOIN command ON command.id = delivery.command
         WHERE agent = (SELECT id FROM agent WHERE uuid = ?1) AND state < 4 AND state IN (0, 1) AND delivery.deadline > ?2
             AND cancel_at IS NULL AND verb IN (SELECT value FROM json_each(?3))
         ORDER BY delivery.priority DESC, delivery.command LIMIT ?4",
    )?;
    let verbs = super::value::to_json(&verbs)?;
    let rows = statement.query_map(params![agent.as_uuid().as_bytes(), micros(now), verbs, MOST], |row| {
        let args: String = row.get("args")?;
        let command = Command {
            command: CommandId::from_uuid(id(row, "uuid")?),
            verb: row.get("verb")?,
            args: from_json(&args)?,
            priority: priority_of(row.get("priority")?)?,
            deadline: time(row, "deadline")?,
            issued_at: time(row, "issued_at")?,
        };
        Ok((command, row.get("is_listed")?))
    })?;
    let found = rows.collect::<rusqlite::Result<Vec<(Command, bool)>>>()?;
    let are_listed = found.iter().all(|(_, is_listed)| *is_listed);
    Ok((found.into_iter().map(|(command, _)| command).collect(), are_listed))
}

/// The same, marked as listed: given to the agent, by no session. The mark is what tells at the deadline that nobody can
/// say what became of them.
pub(super) fn list(
    connection: &Connection,
    agent: AgentId,
    verbs: &[&str],
    now: DateTime<Utc>,
) -> rusqlite::Result<Vec<Command>> {
    let (commands, _) = open(connection, agent, verbs, now)?;
    let mut statement = connection.prepare_cached(
        "UPDATE delivery SET state = 1, sent_at = ?3, epoch = 0, attempt = attempt + 1
         WHERE agent = (SELECT id FROM agent WHERE uuid = ?1) AND command = (SELECT id FROM command WHERE uuid = ?2)
             AND NOT (state = 1 AND epoch = 0)",
    )?;
    for command in &commands {
        let uuid = command.command;
        statement.execute(params![
            agent.as_uuid().as_bytes(),
            uuid.as_uuid().as_bytes(),
            micros(now)
        ])?;
    }
    Ok(commands)
}
