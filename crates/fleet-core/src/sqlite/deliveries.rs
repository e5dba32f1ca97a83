//! Commands on their way: handed to sessions, answered by agents, ended by time.
use super::{
    commands::{self, priority_of, state_code},
    sessions::{self, Held},
    value::{from_json, id, micros, time, to_json},
};
use crate::{
    command::DeliveryState,
    link::{Outgoing, ResultTaken, SessionKey, Standing},
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, CommandId};
use fleet_wire::link::{Command, CommandReport, JournalEntry, JournalState, Progress};
use rusqlite::{Connection, params};

/// Commands handed to a session at once.
const AT_ONCE: usize = 50;

/// What the agent's journal says of commands that have not ended here. One that was handed over and is in no journal
/// goes again; one that the agent had taken and knows no more may or may not have run.
pub(super) fn reconcile(
    connection: &Connection,
    agent: i64,
    epoch: i64,
    journal: &[JournalEntry],
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT command, uuid, state FROM delivery JOIN command ON command.id = delivery.command
         WHERE agent = ?1 AND state BETWEEN 1 AND 3",
    )?;
    let open = statement
        .query_map([agent], |row| {
            Ok((row.get(0)?, CommandId::from_uuid(id(row, "uuid")?), row.get(2)?))
        })?
        .collect::<rusqlite::Result<Vec<(i64, CommandId, i64)>>>()?;
    for (command, uuid, state) in open {
        let entry = journal.iter().find(|entry| entry.command == uuid);
        match entry.map(|entry| entry.state) {
            None if state == 1 => connection.execute(
                "UPDATE delivery SET state = 0, cancel_sent = NULL WHERE command = ?1 AND agent = ?2",
                params![command, agent],
            )?,
            None => connection.execute(
                "UPDATE delivery SET state = 8, ended_at = ?3, epoch = ?4, code = 'journal_lost',
                        detail = 'the agent had taken it and no longer knows of it: it may or may not have run'
                 WHERE command = ?1 AND agent = ?2",
                params![command, agent, micros(now), epoch],
            )?,
            Some(found) => connection.execute(
                "UPDATE delivery SET state = ?3, epoch = ?4, acked_at = COALESCE(acked_at, ?5), cancel_sent = NULL
                 WHERE command = ?1 AND agent = ?2",
                params![
                    command,
                    agent,
                    match found {
                        JournalState::Started => 3,
                        JournalState::Accepted | JournalState::Ended => state.max(2),
                    },
                    epoch,
                    micros(now)
                ],
            )?,
        };
    }
    // One taken back while it was queued anew ends here.
    connection.execute(
        "UPDATE delivery SET state = 7, ended_at = ?2, code = 'cancelled',
                             detail = 'cancelled before the agent had taken it'
         WHERE agent = ?1 AND state = 0 AND cancel_at IS NOT NULL",
        params![agent, micros(now)],
    )?;
    Ok(())
}

/// What goes down the session now, marked as sent. What was sent before `resend_before` and not answered goes again.
pub(super) fn outgoing(
    connection: &Connection,
    session: SessionKey,
    now: DateTime<Utc>,
    resend_before: DateTime<Utc>,
) -> rusqlite::Result<Outgoing> {
    let Held { agent, epoch } = match sessions::held(connection, session)? {
        Ok(held) => held,
        Err(standing) => return Ok(Outgoing::nothing(standing)),
    };
    let mut due = waiting(connection, agent, now, resend_before)?;
    let has_more = due.len() > AT_ONCE;
    due.truncate(AT_ONCE);
    let mut sent = connection.prepare_cached(
        "UPDATE delivery SET state = 1, sent_at = ?3, epoch = ?4, attempt = attempt + 1
         WHERE command = ?1 AND agent = ?2",
    )?;
    for (command, _) in &due {
        sent.execute(params![command, agent, micros(now), epoch])?;
    }
    Ok(Outgoing {
        standing: Standing::Current,
        commands: due.into_iter().map(|(_, command)| command).collect(),
        cancels: cancels(connection, agent, now, resend_before)?,
        config: sessions::config_due(connection, agent, now, resend_before)?,
        has_more,
    })
}

fn waiting(
    connection: &Connection,
    agent: i64,
    now: DateTime<Utc>,
    resend_before: DateTime<Utc>,
) -> rusqlite::Result<Vec<(i64, Command)>> {
    let mut statement = connection.prepare_cached(
        "SELECT command.* FROM delivery INDEXED BY delivery_open JOIN command ON command.id = delivery.command
         WHERE agent = ?1 AND state < 4 AND (state = 0 OR (state = 1 AND sent_at <= ?2)) AND delivery.deadline > ?3
             AND cancel_at IS NULL
         ORDER BY delivery.priority DESC, delivery.command LIMIT ?4",
    )?;
    let limit = i64::try_from(AT_ONCE + 1).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![agent, micros(resend_before), micros(now), limit], |row| {
        let args: String = row.get("args")?;
        let command = Command {
            command: CommandId::from_uuid(id(row, "uuid")?),
            verb: row.get("verb")?,
            args: from_json(&args)?,
            priority: priority_of(row.get("priority")?)?,
            deadline: time(row, "deadline")?,
            issued_at: time(row, "issued_at")?,
        };
        Ok((row.get("id")?, command))
    })?;
    rows.collect()
}

fn cancels(
    connection: &Connection,
    agent: i64,
    now: DateTime<Utc>,
    resend_before: DateTime<Utc>,
) -> rusqlite::Result<Vec<CommandId>> {
    let mut statement = connection.prepare_cached(
        "SELECT command.id, uuid FROM delivery JOIN command ON command.id = delivery.command
         WHERE agent = ?1 AND state BETWEEN 1 AND 3 AND cancel_at IS NOT NULL
             AND (cancel_sent IS NULL OR cancel_sent <= ?2)",
    )?;
    let due = statement
        .query_map(params![agent, micros(resend_before)], |row| {
            Ok((row.get::<_, i64>(0)?, CommandId::from_uuid(id(row, "uuid")?)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (command, _) in &due {
        connection.execute(
            "UPDATE delivery SET cancel_sent = ?3 WHERE command = ?1 AND agent = ?2",
            params![command, agent, micros(now)],
        )?;
    }
    Ok(due.into_iter().map(|(_, uuid)| uuid).collect())
}

/// The agent has the command in its journal.
pub(super) fn acked(
    connection: &Connection,
    session: SessionKey,
    command: CommandId,
    now: DateTime<Utc>,
) -> rusqlite::Result<Standing> {
    let held = match sessions::heard(connection, session, now)? {
        Ok(held) => held,
        Err(standing) => return Ok(standing),
    };
    // One that was taken for expired was on its way then: the agent has it.
    connection.execute(
        "UPDATE delivery SET state = 2, ended_at = NULL, code = NULL, detail = NULL, epoch = ?4,
                             acked_at = COALESCE(acked_at, ?3)
         WHERE agent = ?2 AND command = (SELECT id FROM command WHERE uuid = ?1)
             AND (state IN (0, 1) OR (state IN (6, 8) AND reported_at IS NULL))",
        params![command.as_uuid().as_bytes(), held.agent, micros(now), held.epoch],
    )?;
    Ok(Standing::Current)
}

/// The agent is at it.
pub(super) fn progressed(
    connection: &Connection,
    session: SessionKey,
    progress: &Progress,
    now: DateTime<Utc>,
) -> rusqlite::Result<Standing> {
    let held = match sessions::heard(connection, session, now)? {
        Ok(held) => held,
        Err(standing) => return Ok(standing),
    };
    connection.execute(
        "UPDATE delivery SET state = 3, ended_at = NULL, code = NULL, detail = NULL, epoch = ?4, progress = ?5,
                             acked_at = COALESCE(acked_at, ?3), started_at = COALESCE(started_at, ?3)
         WHERE agent = ?2 AND command = (SELECT id FROM command WHERE uuid = ?1)
             AND (state < 4 OR (state IN (6, 8) AND reported_at IS NULL))",
        params![
            progress.command.as_uuid().as_bytes(),
            held.agent,
            micros(now),
            held.epoch,
            to_json(progress)?
        ],
    )?;
    Ok(Standing::Current)
}

/// The agent's own word on how it ended. It holds over what was concluded here without it, and is stored once.
pub(super) fn reported(
    connection: &Connection,
    session: SessionKey,
    report: &CommandReport,
    now: DateTime<Utc>,
) -> rusqlite::Result<ResultTaken> {
    let held = match sessions::heard(connection, session, now)? {
        Ok(held) => held,
        Err(standing) => return Ok(ResultTaken::Fenced(standing)),
    };
    // One that is not known, because it was forgotten here, is confirmed as well: the agent would bring it for ever.
    let Some(command) = commands::row_id(connection, report.command)? else {
        return Ok(ResultTaken::Stored);
    };
    let body = (!report.body.is_null()).then(|| to_json(&report.body)).transpose()?;
    connection.execute(
        "UPDATE delivery SET state = ?3, epoch = ?4, acked_at = COALESCE(acked_at, ?5),
                             started_at = COALESCE(?6, started_at), ended_at = ?7, reported_at = ?5, code = ?8,
                             detail = ?9, result = ?10
         WHERE command = ?1 AND agent = ?2 AND reported_at IS NULL",
        params![
            command,
            held.agent,
            state_code(DeliveryState::from(report.outcome)),
            held.epoch,
            micros(now),
            report.started_at.map(micros),
            micros(report.ended_at),
            report.code,
            report.detail,
            body,
        ],
    )?;
    Ok(ResultTaken::Stored)
}

/// Ends what time has ended: what no agent had taken by its deadline, what was listed for an agent of the file-scanner
/// document, which tells the end of nothing, until its deadline, and what an agent had taken and told no end of
/// although its deadline passed before `overdue`, where the agent was not heard of since `silent_since` or after as long
/// again. How many.
pub(super) fn expire(
    connection: &Connection,
    now: DateTime<Utc>,
    overdue: DateTime<Utc>,
    silent_since: DateTime<Utc>,
) -> rusqlite::Result<u64> {
    let expired = connection.execute(
        "UPDATE delivery SET state = 6, ended_at = ?1, code = 'expired',
                detail = CASE state WHEN 0 THEN 'the agent was not there before the deadline'
                                    ELSE 'the agent was given it and did not answer before the deadline' END
         WHERE state IN (0, 1) AND deadline <= ?1 AND NOT (state = 1 AND epoch = 0)",
        [micros(now)],
    )?;
    let listed = connection.execute(
        "UPDATE delivery SET state = 8, ended_at = ?1, code = 'not_told',
                detail = 'it was listed for the agent, which by the file-scanner document tells the end of no command: '
                         || 'it may or may not have run'
         WHERE state = 1 AND epoch = 0 AND deadline <= ?1",
        [micros(now)],
    )?;
    let lost = connection.execute(
        "UPDATE delivery SET state = 8, ended_at = ?1, code = 'not_heard_of',
                detail = 'the agent had taken it and told no end of it: it may or may not have run'
         WHERE state IN (2, 3) AND deadline <= ?2
             AND (deadline <= ?4 OR NOT EXISTS (
                 SELECT 1 FROM agent_session AS s WHERE s.agent = delivery.agent AND s.last_seen > ?3))",
        params![
            micros(now),
            micros(overdue),
            micros(silent_since),
            micros(overdue - (now - overdue))
        ],
    )?;
    Ok((expired + listed + lost) as u64)
}

/// Whether there may be something for [`expire`] or [`forget`] to do.
pub(super) fn is_any_due(
    connection: &Connection,
    now: DateTime<Utc>,
    overdue: DateTime<Utc>,
    kept_since: DateTime<Utc>,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM delivery WHERE state = 0 AND deadline <= ?1)
             OR EXISTS (SELECT 1 FROM delivery WHERE state = 1 AND deadline <= ?1)
             OR EXISTS (SELECT 1 FROM delivery WHERE state IN (2, 3) AND deadline <= ?2)
             OR EXISTS (SELECT 1 FROM command WHERE issued_at < ?3)",
    )?;
    statement.query_row([micros(now), micros(overdue), micros(kept_since)], |row| row.get(0))
}

/// Forgets commands sent before `before` that have ended everywhere, some at a time.
pub(super) fn forget(connection: &Connection, before: DateTime<Utc>) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM command WHERE id IN (
             SELECT id FROM command WHERE issued_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM delivery WHERE command = command.id AND state < 4)
             ORDER BY issued_at LIMIT 200)",
        [micros(before)],
    )?;
    Ok(())
}

/// Agents with an open socket for whom something waits.
pub(super) fn awaited(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Vec<AgentId>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT uuid FROM delivery JOIN agent_session AS s ON s.agent = delivery.agent AND s.ended_at IS NULL
                                                 AND s.transport = 0
                                            JOIN agent ON agent.id = delivery.agent
         WHERE (state = 0 AND deadline > ?1) OR (state IN (1, 2, 3) AND cancel_at IS NOT NULL AND cancel_sent IS NULL)
         LIMIT 1000",
    )?;
    let ids = statement.query_map([micros(now)], |row| id(row, "uuid").map(AgentId::from_uuid))?;
    ids.collect()
}

/// Commands that have not ended at the agent.
pub(super) fn open_at(connection: &Connection, agent: i64) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT COUNT(*) FROM delivery WHERE agent = ?1 AND state < 4")?;
    statement.query_row([agent], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
}
