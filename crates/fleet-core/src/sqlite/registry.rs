//! Agents: joining, calling, being listed.
use super::{
    commands,
    identity::use_join_token,
    keys, malware, sessions, stream,
    value::{from_json, id, micros, optional_time, time, to_json, unsigned},
};
use crate::{
    agent::{
        AgentDetail, AgentFilter, AgentRecord, AgentRef, AgentStatus, FileTotals, NewAgent, NewHeartbeat, Registration,
    },
    page::{Page, PageRequest},
    store::{CertifiedRefusal, EnrollRefusal, Statistics},
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::AgentId;
use fleet_wire::Delivered;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use serde::de::DeserializeOwned;
use std::time::Duration;

pub(super) fn enroll(
    connection: &Connection,
    token: TokenHash,
    agent: &NewAgent,
    key: TokenHash,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<(), EnrollRefusal>> {
    let taken = is_taken(connection, &agent.name)?;
    // Whoever has no valid token must not learn which names there are, so the token is looked at first; and a name that
    // is taken must not use the token up.
    if taken && token_opens(connection, token, now)? {
        return Ok(Err(EnrollRefusal::NameTaken));
    }
    let Some(join_token) = use_join_token(connection, token, now)? else {
        return Ok(Err(EnrollRefusal::Token));
    };
    let row = NewRow {
        id: agent.id,
        name: &agent.name,
        kind: &agent.kind,
        registration: &agent.registration,
        key,
        has_key: true,
        join_token: Some(join_token),
    };
    insert(connection, &row, now)?;
    Ok(Ok(()))
}

/// Adds an agent that its certificate proves, or finds the one that it proves already. One that was revoked stays so:
/// the certificate still says what it said.
pub(super) fn enroll_certified(
    connection: &Connection,
    agent: &NewAgent,
    no_key: TokenHash,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<AgentId, CertifiedRefusal>> {
    let sql = "SELECT uuid, kind, revoked_at IS NOT NULL AS revoked FROM agent WHERE name = ?1 AND removed_at IS NULL
               ORDER BY revoked_at IS NOT NULL LIMIT 1";
    let known = connection
        .query_row(sql, [&agent.name], |row| {
            Ok((
                AgentId::from_uuid(id(row, "uuid")?),
                row.get::<_, String>("kind")?,
                row.get::<_, bool>("revoked")?,
            ))
        })
        .optional()?;
    match known {
        Some((_, _, true)) => Ok(Err(CertifiedRefusal::Revoked)),
        Some((_, kind, false)) if kind != agent.kind => Ok(Err(CertifiedRefusal::NameTaken)),
        Some((id, _, false)) => Ok(Ok(id)),
        None => {
            let row = NewRow {
                id: agent.id,
                name: &agent.name,
                kind: &agent.kind,
                registration: &agent.registration,
                key: no_key,
                has_key: false,
                join_token: None,
            };
            insert(connection, &row, now)?;
            Ok(Ok(agent.id))
        }
    }
}

/// Whether an agent has the name.
pub(super) fn is_taken(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM agent WHERE name = ?1 AND revoked_at IS NULL)";
    connection.query_row(sql, [name], |row| row.get(0))
}

/// An agent about to be known.
pub(super) struct NewRow<'a> {
    pub(super) id: AgentId,
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) registration: &'a Registration,
    /// What its key is known by.
    pub(super) key: TokenHash,
    /// Whether there is such a key; else its certificate proves it, and `key` is of nothing.
    pub(super) has_key: bool,
    /// The token it joined by; none where an operator accepted its claim, or its certificate proves it.
    pub(super) join_token: Option<[u8; 16]>,
}

/// The small number by which the store knows it from now on.
pub(super) fn insert(connection: &Connection, agent: &NewRow<'_>, now: DateTime<Utc>) -> rusqlite::Result<i64> {
    connection.query_row(
        "INSERT INTO agent (uuid, name, kind, hostname, version, capabilities, scan_paths, key_hash, join_token_id,
                            enrolled_at, last_seen, has_key, key_made_at)
         VALUES (:uuid, :name, :kind, :hostname, :version, :capabilities, :scan_paths, :key_hash, :join_token_id,
                 :now, :now, :has_key, :now) RETURNING id",
        named_params! {
            ":uuid": agent.id.as_uuid().as_bytes(),
            ":name": agent.name,
            ":kind": agent.kind,
            ":hostname": agent.registration.hostname,
            ":version": agent.registration.version,
            ":capabilities": to_json(&agent.registration.capabilities)?,
            ":scan_paths": to_json(&agent.registration.scan_paths)?,
            ":key_hash": agent.key.as_bytes(),
            ":has_key": agent.has_key,
            ":join_token_id": agent.join_token,
            ":now": micros(now),
        },
        |row| row.get(0),
    )
}

/// The agent that is meant, unless it is being removed: the small number by which the store knows it, and its id.
pub(super) fn find(connection: &Connection, agent: &AgentRef) -> rusqlite::Result<Option<(i64, AgentId)>> {
    let found = |row: &Row<'_>| Ok((row.get("id")?, AgentId::from_uuid(id(row, "uuid")?)));
    let sql = "SELECT id, uuid FROM agent WHERE removed_at IS NULL AND ";
    match agent {
        AgentRef::Id(id) => connection
            .prepare_cached(&format!("{sql} uuid = ?1"))?
            .query_row([id.as_uuid().as_bytes()], found),
        AgentRef::Name(name) => connection
            .prepare_cached(&format!("{sql} name = ?1 AND revoked_at IS NULL"))?
            .query_row([name], found),
    }
    .optional()
}

/// The same, and where nobody has the name, the last revoked one that had it.
pub(super) fn find_whatever(connection: &Connection, agent: &AgentRef) -> rusqlite::Result<Option<(i64, AgentId)>> {
    let name = match (find(connection, agent)?, agent) {
        (None, AgentRef::Name(name)) => name,
        (found, _) => return Ok(found),
    };
    let sql = "SELECT id, uuid FROM agent WHERE removed_at IS NULL AND name = ?1 ORDER BY revoked_at DESC LIMIT 1";
    let row = |row: &Row<'_>| Ok((row.get("id")?, AgentId::from_uuid(id(row, "uuid")?)));
    connection.prepare_cached(sql)?.query_row([name], row).optional()
}

fn token_opens(connection: &Connection, token: TokenHash, now: DateTime<Utc>) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM join_token
                        WHERE token_hash = ?1 AND revoked_at IS NULL AND expires_at > ?2 AND uses_left > 0)",
        params![token.as_bytes(), micros(now)],
        |row| row.get(0),
    )
}

pub(super) fn register(
    connection: &Connection,
    agent: AgentId,
    registration: &Registration,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE agent SET hostname = ?2, version = ?3, capabilities = ?4, scan_paths = ?5, last_seen = MAX(last_seen, ?6)
         WHERE uuid = ?1",
    )?;
    statement.execute(params![
        agent.as_uuid().as_bytes(),
        registration.hostname,
        registration.version,
        to_json(&registration.capabilities)?,
        to_json(&registration.scan_paths)?,
        micros(now),
    ])?;
    Ok(())
}

pub(super) fn heartbeat(
    connection: &Connection,
    agent: AgentId,
    heartbeat: &NewHeartbeat,
    now: DateTime<Utc>,
) -> rusqlite::Result<(bool, Option<Delivered>)> {
    let mut statement = connection.prepare_cached(
        "UPDATE agent SET version = COALESCE(?2, version), health = ?3, last_seen = MAX(last_seen, ?4),
                          profile = COALESCE(?5, profile) WHERE uuid = ?1",
    )?;
    statement.execute(params![
        agent.as_uuid().as_bytes(),
        heartbeat.version,
        to_json(&heartbeat.health)?,
        micros(now),
        heartbeat.profile.as_ref().map(to_json).transpose()?,
    ])?;
    let Some(delivered) = heartbeat.delivered else {
        return Ok((false, None));
    };
    let agent = row_id(connection, agent)?;
    let seen = stream::seen(connection, agent, delivered.stream)?;
    Ok((stream::lacks(connection, agent, delivered)?, seen))
}

pub(super) fn revoke(
    connection: &Connection,
    agent: &AgentRef,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<AgentId>> {
    let Some((row, uuid)) = find_whatever(connection, agent)? else {
        return Ok(None);
    };
    connection.execute(
        "UPDATE agent SET revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1",
        params![row, micros(now)],
    )?;
    Ok(Some(uuid))
}

pub(super) const AGENT: &str = "SELECT agent.*, COALESCE(present, 0) AS present, COALESCE(deleted, 0) AS deleted,
                            COALESCE(bytes, 0) AS bytes, agent_session.ended_at AS link_ended_at,
                            agent_clone.last_at AS cloned_at
                     FROM agent LEFT JOIN file_total ON file_total.agent = agent.id
                                LEFT JOIN agent_session ON agent_session.agent = agent.id
                                LEFT JOIN agent_clone ON agent_clone.agent = agent.id";

pub(super) fn list(
    connection: &Connection,
    filter: &AgentFilter,
    page: &PageRequest<(String, AgentId)>,
    now: DateTime<Utc>,
    offline_after: Duration,
) -> rusqlite::Result<Page<AgentRecord, (String, AgentId)>> {
    let sql =
        format!("{AGENT} WHERE removed_at IS NULL AND (?1 IS NULL OR (name, uuid) > (?1, ?2)) ORDER BY name, uuid");
    let mut statement = connection.prepare_cached(&sql)?;
    let (name, uuid) = match &page.after {
        Some((name, id)) => (Some(name), Some(id.as_uuid().into_bytes())),
        None => (None, None),
    };
    let mut rows = statement.query(params![name, uuid])?;
    let mut agents = Vec::new();
    while agents.len() <= page.limit
        && let Some(row) = rows.next()?
    {
        let agent = record(row)?;
        if filter.wants(&agent, agent.status(now, offline_after)) {
            agents.push(agent);
        }
    }
    Ok(Page::from_surplus(agents, page.limit, |agent| {
        (agent.name.clone(), agent.id)
    }))
}

pub(super) fn detail(connection: &Connection, agent: &AgentRef) -> rusqlite::Result<Option<AgentDetail>> {
    let with_row = |row: &Row<'_>| Ok((row.get::<_, i64>("id")?, record(row)?));
    let Some((_, id)) = find_whatever(connection, agent)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(&format!("{AGENT} WHERE removed_at IS NULL AND uuid = ?1"))?;
    let found = statement.query_row([id.as_uuid().as_bytes()], with_row);
    let Some((row_id, agent)) = found.optional()? else {
        return Ok(None);
    };
    Ok(Some(AgentDetail {
        agent,
        streams: stream::statuses(connection, row_id)?,
        link: sessions::status(connection, row_id)?,
        key: keys::status(connection, row_id)?,
        malware: malware::status(connection, row_id)?,
    }))
}

/// The small number by which the store knows an agent.
pub(super) fn row_id(connection: &Connection, agent: AgentId) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT id FROM agent WHERE uuid = ?1")?;
    statement.query_row([agent.as_uuid().as_bytes()], |row| row.get(0))
}

/// Something of the agent's came in: it is alive.
pub(super) fn seen(connection: &Connection, agent: i64, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE agent SET last_seen = MAX(last_seen, ?2) WHERE id = ?1")?;
    statement.execute(params![agent, micros(now)])?;
    Ok(())
}

pub(super) fn statistics(
    connection: &Connection,
    now: DateTime<Utc>,
    offline_after: Duration,
) -> rusqlite::Result<Statistics> {
    let mut sums = Statistics::default();
    let mut statement = connection.prepare_cached(&format!("{AGENT} WHERE removed_at IS NULL"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let agent = record(row)?;
        let status = agent.status(now, offline_after);
        *match status {
            AgentStatus::Online => &mut sums.online,
            AgentStatus::Degraded => &mut sums.degraded,
            AgentStatus::Offline => &mut sums.offline,
            AgentStatus::Maintenance => &mut sums.maintenance,
            AgentStatus::Revoked => &mut sums.revoked,
        } += 1;
        if status != AgentStatus::Revoked {
            let site = agent.site().map(ToString::to_string);
            let version = format!("{} {}", agent.kind, agent.registration.version);
            for (sum, found) in [
                (&mut sums.sites, site),
                (&mut sums.versions, Some(version)),
                (&mut sums.systems, agent.profile.os),
            ] {
                found.into_iter().for_each(|found| *sum.entry(found).or_default() += 1);
            }
            for engine in agent.profile.container_engines {
                *sums.container_engines.entry(engine).or_default() += 1;
            }
            *sums.kinds.entry(agent.kind).or_default() += 1;
            sums.files.present += agent.files.present;
            sums.files.deleted += agent.files.deleted;
            sums.files.bytes = sums.files.bytes.saturating_add(agent.files.bytes);
            sums.outbox_records += agent.health.and_then(|health| health.outbox_records).unwrap_or(0);
        }
    }
    sums.streams_with_gaps = stream::with_gaps(connection)?;
    sums.deliveries = commands::all_counts(connection)?;
    sums.agents_owing_snapshot = stream::owing_snapshot(connection)?;
    sums.detections = malware::open(connection)?;
    Ok(sums)
}

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    let text = |column: &str| row.get::<_, String>(column);
    Ok(AgentRecord {
        id: AgentId::from_uuid(id(row, "uuid")?),
        name: text("name")?,
        kind: text("kind")?,
        registration: Registration {
            hostname: text("hostname")?,
            version: text("version")?,
            capabilities: from_json(&text("capabilities")?)?,
            scan_paths: from_json(&text("scan_paths")?)?,
        },
        profile: json(row, "profile")?.unwrap_or_default(),
        assigned: json(row, "assigned")?.unwrap_or_default(),
        maintenance: json(row, "maintenance")?,
        enrolled_at: time(row, "enrolled_at")?,
        last_seen: time(row, "last_seen")?,
        link_ended_at: optional_time(row, "link_ended_at")?,
        cloned_at: optional_time(row, "cloned_at")?,
        health: json(row, "health")?,
        revoked_at: optional_time(row, "revoked_at")?,
        files: FileTotals {
            present: unsigned(row, "present")?,
            deleted: unsigned(row, "deleted")?,
            bytes: unsigned(row, "bytes")?,
        },
    })
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| from_json(&text)).transpose()
}
