//! Whom a key or a name belongs to, and keys that take the place of others.
//!
//! A key that is handed out is pending: the one before opens as long as it is not used. The first use of the new one makes
//! it the key, in one transaction, so that whatever is lost on the way exactly one key is left that the agent holds.
use super::{
    registry::find,
    value::{id, micros, optional_time, time},
};
use crate::{
    agent::{AgentIdentity, AgentRef, KeyStatus},
    store::KeyWishRefusal,
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::AgentId;
use rusqlite::{Connection, OptionalExtension, Row, params};

const IDENTITY: &str = "SELECT uuid, name, revoked_at IS NOT NULL AS revoked,
            EXISTS (SELECT 1 FROM claim WHERE claim.agent = agent.id AND used_at IS NULL) AS is_new";

pub(super) fn agent_by_key(connection: &Connection, key: TokenHash) -> rusqlite::Result<Option<AgentIdentity>> {
    let mut statement = connection.prepare_cached(&format!(
        "{IDENTITY}, COALESCE(pending_key = ?1, FALSE) AS is_pending FROM agent
         WHERE (key_hash = ?1 AND has_key) OR pending_key = ?1"
    ))?;
    let identity = |row: &Row<'_>| {
        Ok(AgentIdentity {
            key: Some(key),
            is_key_pending: row.get("is_pending")?,
            ..identity(row)?
        })
    };
    statement.query_row([key.as_bytes()], identity).optional()
}

/// The agent that has the name, or the last that had it and was revoked.
pub(super) fn agent_by_name(connection: &Connection, name: &str) -> rusqlite::Result<Option<AgentIdentity>> {
    let mut statement = connection.prepare_cached(&format!(
        "{IDENTITY} FROM agent WHERE name = ?1 AND removed_at IS NULL
         ORDER BY revoked_at IS NOT NULL, revoked_at DESC LIMIT 1"
    ))?;
    statement.query_row([name], identity).optional()
}

fn identity(row: &Row<'_>) -> rusqlite::Result<AgentIdentity> {
    Ok(AgentIdentity {
        id: AgentId::from_uuid(id(row, "uuid")?),
        name: row.get("name")?,
        revoked: row.get("revoked")?,
        key: None,
        is_key_new: row.get("is_new")?,
        is_key_pending: false,
    })
}

/// Makes `new` the pending key, in the place of one that is pending already; whether `current` still is the agent's key.
pub(super) fn renew(
    connection: &Connection,
    agent: AgentId,
    current: TokenHash,
    new: TokenHash,
) -> rusqlite::Result<bool> {
    let changed = connection.execute(
        "UPDATE agent SET pending_key = ?3 WHERE uuid = ?1 AND key_hash = ?2 AND has_key AND revoked_at IS NULL",
        params![agent.as_uuid().as_bytes(), current.as_bytes(), new.as_bytes()],
    )?;
    Ok(changed > 0)
}

/// Makes the pending key the key: the one before opens nothing from here on, and the session that was begun with it is
/// over. The agent whose key it is, if it was pending.
pub(super) fn take_up(
    connection: &Connection,
    pending: TokenHash,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<AgentId>> {
    let taken_up = connection
        .query_row(
            "UPDATE agent SET key_hash = pending_key, pending_key = NULL, rotate_asked_at = NULL, key_made_at = ?2
             WHERE pending_key = ?1 AND revoked_at IS NULL RETURNING id, uuid",
            params![pending.as_bytes(), micros(now)],
            |row| Ok((row.get::<_, i64>("id")?, AgentId::from_uuid(id(row, "uuid")?))),
        )
        .optional()?;
    let Some((row, agent)) = taken_up else {
        return Ok(None);
    };
    connection.execute(
        "UPDATE agent_session SET epoch = epoch + 1, is_void = 1, ended_at = COALESCE(ended_at, ?2) WHERE agent = ?1",
        params![row, micros(now)],
    )?;
    Ok(Some(agent))
}

/// An operator wants the agent to have another key.
pub(super) fn want(
    connection: &Connection,
    agent: &AgentRef,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<AgentId, KeyWishRefusal>> {
    let Some((row, uuid)) = find(connection, agent)? else {
        return Ok(Err(KeyWishRefusal::NoAgent));
    };
    let (has_key, is_revoked) = connection.query_row(
        "SELECT has_key, revoked_at IS NOT NULL FROM agent WHERE id = ?1",
        [row],
        |row| Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?)),
    )?;
    if is_revoked {
        return Ok(Err(KeyWishRefusal::Revoked));
    }
    if !has_key {
        return Ok(Err(KeyWishRefusal::NoKey));
    }
    connection.execute(
        "UPDATE agent SET rotate_asked_at = COALESCE(rotate_asked_at, ?2) WHERE id = ?1",
        params![row, micros(now)],
    )?;
    Ok(Ok(uuid))
}

/// Whether the agent should have another key: an operator asked for it, or its own was made before `keys_before`.
pub(super) fn is_wanted(
    connection: &Connection,
    agent: AgentId,
    keys_before: Option<DateTime<Utc>>,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT has_key AND (rotate_asked_at IS NOT NULL OR COALESCE(key_made_at < ?2, FALSE)) FROM agent WHERE uuid = ?1",
    )?;
    let before = keys_before.map(micros);
    let wanted = statement.query_row(params![agent.as_uuid().as_bytes(), before], |row| row.get(0));
    Ok(wanted.optional()?.unwrap_or(false))
}

/// Whether the agent was given a key that it has not used yet.
pub(super) fn is_pending(connection: &Connection, agent: AgentId) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT pending_key IS NOT NULL FROM agent WHERE uuid = ?1")?;
    let pending = statement.query_row([agent.as_uuid().as_bytes()], |row| row.get(0));
    Ok(pending.optional()?.unwrap_or(false))
}

/// How the agent's key stands, for operators; `None` where it has none.
pub(super) fn status(connection: &Connection, agent: i64) -> rusqlite::Result<Option<KeyStatus>> {
    let mut statement = connection.prepare_cached(
        "SELECT key_made_at, pending_key IS NOT NULL AS is_pending, rotate_asked_at FROM agent WHERE id = ?1 AND has_key",
    )?;
    let read = |row: &Row<'_>| {
        Ok(KeyStatus {
            made_at: time(row, "key_made_at")?,
            is_renewal_pending: row.get("is_pending")?,
            renewal_asked_at: optional_time(row, "rotate_asked_at")?,
        })
    };
    statement.query_row([agent], read).optional()
}
