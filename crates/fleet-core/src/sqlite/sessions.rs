//! Sessions of agents: who holds the link, and who is refused it.
use super::{
    configs, deliveries, keys, registry, stream,
    value::{from_json, id, micros, optional_time, signed, time, to_json, unfit, unsigned},
};
use crate::link::{
    CloneStatus, HelloOutcome, LinkStatus, NewSessionOfAgent, SessionKey, SessionStatus, Standing, Transport,
};
use crate::profile::AgentProfile;
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{AgentId, InstanceId};
use fleet_wire::link::{Config, Hello, HostSample};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

/// The rows of a session that may speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) agent: i64,
    pub(super) epoch: i64,
}

/// Whether the session is its agent's latest, and the agent is one of the fleet.
pub(super) fn held(connection: &Connection, session: SessionKey) -> rusqlite::Result<Result<Held, Standing>> {
    let mut statement = connection.prepare_cached(
        "SELECT agent.id, epoch, revoked_at IS NOT NULL OR removed_at IS NOT NULL AS gone
         FROM agent LEFT JOIN agent_session ON agent_session.agent = agent.id WHERE uuid = ?1",
    )?;
    let found = statement
        .query_row([session.agent.as_uuid().as_bytes()], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Option<i64>>(1)?,
                row.get::<_, bool>(2)?,
            ))
        })
        .optional()?;
    Ok(match found {
        None | Some((_, _, true)) => Err(Standing::Revoked),
        Some((agent, Some(epoch), false)) if epoch.unsigned_abs() == session.epoch => Ok(Held { agent, epoch }),
        Some(_) => Err(Standing::Superseded),
    })
}

/// The same, and notes that the agent was heard of.
pub(super) fn heard(
    connection: &Connection,
    session: SessionKey,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<Held, Standing>> {
    let held = held(connection, session)?;
    if let Ok(held) = &held {
        let mut statement =
            connection.prepare_cached("UPDATE agent_session SET last_seen = MAX(last_seen, ?2) WHERE agent = ?1")?;
        statement.execute(params![held.agent, micros(now)])?;
        registry::seen(connection, held.agent, now)?;
    }
    Ok(held)
}

/// What is known of the agent when it says HELLO.
struct Before {
    agent: i64,
    name: String,
    hostname: String,
    kind: String,
    machine: Option<String>,
    /// The session was begun with a key that has ended since.
    is_void: bool,
    session: Option<(i64, InstanceId, Option<InstanceId>, DateTime<Utc>)>,
}

pub(super) fn hello(
    connection: &Connection,
    new: &NewSessionOfAgent,
    now: DateTime<Utc>,
) -> rusqlite::Result<HelloOutcome> {
    let Some(before) = before(connection, new.agent)? else {
        return Ok(HelloOutcome::Gone);
    };
    if is_clone(&before, new, now) {
        note_clone(connection, before.agent, new, now)?;
        return Ok(HelloOutcome::Cloned {
            hostname: before.hostname,
            kind: before.kind,
        });
    }
    let epoch = before.session.as_ref().map_or(0, |session| session.0) + 1;
    put(connection, before.agent, epoch, &before, new, now)?;
    tell_registry(connection, before.agent, &new.hello, now)?;
    deliveries::reconcile(connection, before.agent, epoch, &new.hello.journal, now)?;
    configs::runs_with(connection, before.agent, new.hello.config.as_ref(), now)?;
    let snapshot_wanted = match new.hello.delivered {
        Some(delivered) => stream::lacks(connection, before.agent, delivered)?,
        None => false,
    };
    Ok(HelloOutcome::Welcome {
        epoch: epoch.unsigned_abs(),
        name: before.name,
        snapshot_wanted,
        config: configs::wanted(connection, before.agent)?,
        // A key that was handed out and is not used by one who begins anew was lost on its way.
        new_key_wanted: keys::is_wanted(connection, new.agent, new.keys_before)?
            || keys::is_pending(connection, new.agent)?,
    })
}

fn before(connection: &Connection, agent: AgentId) -> rusqlite::Result<Option<Before>> {
    let mut statement = connection.prepare_cached(
        "SELECT agent.id, name, hostname, kind, machine, epoch, instance, previous_instance, agent_session.last_seen,
                COALESCE(is_void, FALSE) AS is_void
         FROM agent LEFT JOIN agent_session ON agent_session.agent = agent.id
         WHERE uuid = ?1 AND revoked_at IS NULL AND removed_at IS NULL",
    )?;
    let read = |row: &Row<'_>| {
        let instance = |column| -> rusqlite::Result<Option<InstanceId>> {
            let bytes: Option<[u8; 16]> = row.get(column)?;
            Ok(bytes.map(|bytes| InstanceId::from_uuid(uuid::Uuid::from_bytes(bytes))))
        };
        let session = match (row.get("epoch")?, instance("instance")?) {
            (Some(epoch), Some(current)) => {
                Some((epoch, current, instance("previous_instance")?, time(row, "last_seen")?))
            }
            _ => None,
        };
        Ok(Before {
            agent: row.get("id")?,
            name: row.get("name")?,
            hostname: row.get("hostname")?,
            kind: row.get("kind")?,
            machine: row.get("machine")?,
            is_void: row.get("is_void")?,
            session,
        })
    };
    statement.query_row([agent.as_uuid().as_bytes()], read).optional()
}

/// Whether this is another than the one who is there. While that one is alive, another machine is a clone; and so is a
/// start of the process that a later one had taken over from: starts that have ended do not come back. Whoever came with
/// a key that has ended since stands in nobody's way.
fn is_clone(before: &Before, new: &NewSessionOfAgent, now: DateTime<Utc>) -> bool {
    let Some((_, current, previous, last_seen)) = &before.session else {
        return false;
    };
    let live_for = TimeDelta::from_std(new.live_for).unwrap_or(TimeDelta::MAX);
    if before.is_void || *current == new.hello.instance || now - *last_seen > live_for {
        return false;
    }
    let is_other_machine = matches!((&before.machine, &new.hello.machine), (Some(known), Some(told)) if known != told);
    is_other_machine || *previous == Some(new.hello.instance)
}

fn note_clone(
    connection: &Connection,
    agent: i64,
    new: &NewSessionOfAgent,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO agent_clone (agent, instance, hostname, machine, remote, first_at, last_at, refusals)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1)
         ON CONFLICT (agent) DO UPDATE SET instance = excluded.instance, hostname = excluded.hostname,
             machine = excluded.machine, remote = excluded.remote, last_at = excluded.last_at, refusals = refusals + 1",
        params![
            agent,
            new.hello.instance.as_uuid().as_bytes(),
            new.hello.hostname,
            new.hello.machine,
            new.remote,
            micros(now)
        ],
    )?;
    Ok(())
}

fn put(
    connection: &Connection,
    agent: i64,
    epoch: i64,
    before: &Before,
    new: &NewSessionOfAgent,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    // A session of the same start of the process leaves the one before it remembered.
    let previous = match &before.session {
        Some((_, current, previous, _)) if *current == new.hello.instance => *previous,
        Some((_, current, ..)) => Some(*current),
        None => None,
    };
    connection.execute(
        "INSERT OR REPLACE INTO agent_session (agent, epoch, instance, previous_instance, transport, remote,
                                               connected_at, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        params![
            agent,
            epoch,
            new.hello.instance.as_uuid().as_bytes(),
            previous.map(|instance| instance.as_uuid().into_bytes()),
            transport_code(new.transport),
            new.remote,
            micros(now)
        ],
    )?;
    Ok(())
}

fn tell_registry(connection: &Connection, agent: i64, hello: &Hello, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let profile = hello.profile.clone().map(AgentProfile::from);
    connection.execute(
        "UPDATE agent SET hostname = ?2, version = ?3, capabilities = ?4, machine = COALESCE(?5, machine), verbs = ?6,
                          last_seen = MAX(last_seen, ?7), profile = COALESCE(?8, profile) WHERE id = ?1",
        params![
            agent,
            hello.hostname,
            hello.version,
            to_json(&hello.capabilities)?,
            hello.machine,
            to_json(&hello.verbs)?,
            micros(now),
            profile.as_ref().map(to_json).transpose()?
        ],
    )?;
    Ok(())
}

/// The session of an agent that asks by polling, where it has one: its epoch.
pub(super) fn polling(connection: &Connection, agent: AgentId) -> rusqlite::Result<Option<u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT epoch FROM agent_session WHERE agent = (SELECT id FROM agent WHERE uuid = ?1) AND transport = 1",
    )?;
    statement
        .query_row([agent.as_uuid().as_bytes()], |row| unsigned(row, "epoch"))
        .optional()
}

/// The session's connection is closed.
pub(super) fn ended(connection: &Connection, session: SessionKey, now: DateTime<Utc>) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE agent_session SET ended_at = ?3
         WHERE agent = (SELECT id FROM agent WHERE uuid = ?1) AND epoch = ?2",
        params![session.agent.as_uuid().as_bytes(), signed(session.epoch), micros(now)],
    )?;
    Ok(())
}

/// No connection outlives the controller that held it.
pub(super) fn end_all(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE agent_session SET ended_at = ?1 WHERE ended_at IS NULL AND transport = 0",
        [micros(now)],
    )?;
    Ok(())
}

/// A sample of the agent's host; the latest is kept.
pub(super) fn sampled(
    connection: &Connection,
    session: SessionKey,
    sample: &HostSample,
    now: DateTime<Utc>,
) -> rusqlite::Result<Standing> {
    let held = match heard(connection, session, now)? {
        Ok(held) => held,
        Err(standing) => return Ok(standing),
    };
    connection.execute(
        "UPDATE agent SET sample = ?2 WHERE id = ?1",
        params![held.agent, to_json(sample)?],
    )?;
    Ok(Standing::Current)
}

/// The configuration, where the agent has to be told of it, marked as sent.
pub(super) fn config_due(
    connection: &Connection,
    agent: i64,
    now: DateTime<Utc>,
    resend_before: DateTime<Utc>,
) -> rusqlite::Result<Option<Config>> {
    let latest = configs::latest_number(connection, agent)?;
    let known = configs::known(connection, agent)?;
    let mut statement =
        connection.prepare_cached("SELECT config_sent, config_sent_at FROM agent_session WHERE agent = ?1")?;
    let (sent, sent_at): (Option<i64>, Option<i64>) =
        statement.query_row([agent], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let is_overdue = sent_at.is_some_and(|at| at <= micros(resend_before));
    if known == Some(latest) || (sent == Some(latest) && !is_overdue) {
        return Ok(None);
    }
    connection.execute(
        "UPDATE agent_session SET config_sent = ?2, config_sent_at = ?3 WHERE agent = ?1",
        params![agent, latest, micros(now)],
    )?;
    configs::message(connection, agent).map(Some)
}

pub(super) fn status(connection: &Connection, agent: i64) -> rusqlite::Result<LinkStatus> {
    let mut statement = connection.prepare_cached("SELECT * FROM agent_session WHERE agent = ?1")?;
    let session = statement.query_row([agent], session_of).optional()?;
    let mut statement = connection.prepare_cached("SELECT * FROM agent_clone WHERE agent = ?1")?;
    let clone = statement
        .query_row([agent], |row| {
            Ok(CloneStatus {
                hostname: row.get("hostname")?,
                remote: row.get("remote")?,
                first_at: time(row, "first_at")?,
                last_at: time(row, "last_at")?,
                refusals: unsigned(row, "refusals")?,
            })
        })
        .optional()?;
    let mut statement = connection.prepare_cached("SELECT verbs, sample FROM agent WHERE id = ?1")?;
    let (verbs, sample): (Option<String>, Option<String>) =
        statement.query_row([agent], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(LinkStatus {
        session,
        clone,
        verbs: verbs.map(|text| from_json(&text)).transpose()?,
        sample: sample.map(|text| from_json(&text)).transpose()?,
        config: configs::latest_number(connection, agent)?.unsigned_abs(),
        open_commands: deliveries::open_at(connection, agent)?,
    })
}

fn session_of(row: &Row<'_>) -> rusqlite::Result<SessionStatus> {
    Ok(SessionStatus {
        epoch: unsigned(row, "epoch")?,
        instance: InstanceId::from_uuid(id(row, "instance")?),
        transport: match row.get::<_, i64>("transport")? {
            0 => Transport::Websocket,
            1 => Transport::Polling,
            other => return Err(unfit(Type::Integer, format!("{other} is no transport").into())),
        },
        remote: row.get("remote")?,
        connected_at: time(row, "connected_at")?,
        last_seen: time(row, "last_seen")?,
        ended_at: optional_time(row, "ended_at")?,
    })
}

const fn transport_code(transport: Transport) -> i64 {
    match transport {
        Transport::Websocket => 0,
        Transport::Polling => 1,
    }
}
