//! Claims: opened by agents, accepted by operators, used up by the first use of the key.
use super::{
    registry::{self, NewRow},
    value::{from_json, id, micros, optional_time, time, to_json, unfit},
};
use crate::{
    agent::Registration,
    claim::{
        AcceptClaim, AcceptRefusal, Claim, ClaimCode, ClaimLimits, ClaimPoll, ClaimRefusal, ClaimSecret, NewClaim,
    },
    page::{Page, PageRequest},
    token::TokenHash,
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, ClaimId, Secret};
use fleet_wire::EnrollResponse;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params, types::Type};

const CLAIM: &str = "SELECT claim.*, user_account.name AS accepted_by_name, agent.uuid AS agent_uuid
                     FROM claim LEFT JOIN user_account ON user_account.id = claim.accepted_by
                                LEFT JOIN agent ON agent.id = claim.agent";

pub(super) fn open(
    connection: &Connection,
    new: &NewClaim,
    limits: ClaimLimits,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<Claim, ClaimRefusal>> {
    if let Some(claim) = one(connection, "token_hash", new.token.as_bytes())? {
        match () {
            () if claim.used_at.is_some() => return Ok(Err(ClaimRefusal::Used)),
            () if claim.accepted_at.is_some() || claim.expires_at > now => return Ok(Ok(claim)),
            // The same agent begins anew.
            () => connection.execute("DELETE FROM claim WHERE id = ?1", [claim.id.as_uuid().as_bytes()])?,
        };
    }
    let (open, of_network): (u32, u32) = connection.query_row(
        "SELECT COUNT(*), COUNT(*) FILTER (WHERE network = ?2) FROM claim WHERE accepted_at IS NULL AND expires_at > ?1",
        params![micros(now), new.network],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if open >= limits.open || of_network >= limits.of_network {
        return Ok(Err(ClaimRefusal::TooMany));
    }
    if one(connection, "code", new.code.as_str())?.is_some() {
        return Ok(Err(ClaimRefusal::CodeTaken));
    }
    connection.execute(
        "INSERT INTO claim (id, code, token_hash, network, name, kind, hostname, version, capabilities, created_at,
                            expires_at)
         VALUES (:id, :code, :token, :network, :name, :kind, :hostname, :version, :capabilities, :now, :expires_at)",
        named_params! {
            ":id": new.id.as_uuid().as_bytes(),
            ":code": new.code.as_str(),
            ":token": new.token.as_bytes(),
            ":network": new.network,
            ":name": new.name,
            ":kind": new.kind,
            ":hostname": new.registration.hostname,
            ":version": new.registration.version,
            ":capabilities": to_json(&new.registration.capabilities)?,
            ":now": micros(now),
            ":expires_at": micros(new.expires_at),
        },
    )?;
    let opened = one(connection, "id", new.id.as_uuid().as_bytes())?;
    opened.map(Ok).ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Where the claim stands, for whoever holds its token.
pub(super) fn poll(
    connection: &Connection,
    claim: ClaimId,
    token: TokenHash,
    now: DateTime<Utc>,
) -> rusqlite::Result<ClaimPoll> {
    let sql = "SELECT token_hash = ?2 FROM claim WHERE id = ?1";
    let is_his: Option<bool> = connection
        .prepare_cached(sql)?
        .query_row(params![claim.as_uuid().as_bytes(), token.as_bytes()], |row| row.get(0))
        .optional()?;
    if is_his != Some(true) {
        return Ok(ClaimPoll::Unknown);
    }
    Ok(match one(connection, "id", claim.as_uuid().as_bytes())? {
        None => ClaimPoll::Unknown,
        Some(claim) if claim.used_at.is_some() => ClaimPoll::Used,
        Some(claim) if claim.accepted_at.is_some() => ClaimPoll::Accepted,
        Some(claim) if claim.expires_at <= now => ClaimPoll::Expired,
        Some(claim) => ClaimPoll::Open(Box::new(claim)),
    })
}

/// Makes the key of an accepted claim, the same each time, and lets it open.
pub(super) fn hand_out(
    connection: &Connection,
    claim: ClaimId,
    token: &Secret,
) -> rusqlite::Result<Option<EnrollResponse>> {
    let hash = TokenHash::of(token.reveal());
    let mut statement = connection.prepare_cached(
        "SELECT claim.secret, claim.agent, agent.uuid FROM claim JOIN agent ON agent.id = claim.agent
         WHERE claim.id = ?1 AND claim.token_hash = ?2 AND claim.secret IS NOT NULL AND claim.used_at IS NULL",
    )?;
    let found = statement
        .query_row(params![claim.as_uuid().as_bytes(), hash.as_bytes()], |row| {
            let secret: [u8; 32] = row.get(0)?;
            Ok((ClaimSecret::from_bytes(secret), row.get::<_, i64>(1)?, id(row, "uuid")?))
        })
        .optional()?;
    let Some((secret, agent, uuid)) = found else {
        return Ok(None);
    };
    let api_key = secret.key(token.reveal());
    connection.execute(
        "UPDATE agent SET key_hash = ?2 WHERE id = ?1",
        params![agent, TokenHash::of(api_key.reveal()).as_bytes()],
    )?;
    Ok(Some(EnrollResponse {
        agent_id: AgentId::from_uuid(uuid),
        api_key: Some(api_key),
    }))
}

/// The agent has used its key: it is never handed out again.
pub(super) fn used(connection: &Connection, agent: AgentId, now: DateTime<Utc>) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE claim SET secret = NULL, used_at = COALESCE(used_at, ?2)
         WHERE agent = (SELECT id FROM agent WHERE uuid = ?1)",
        params![agent.as_uuid().as_bytes(), micros(now)],
    )?;
    Ok(())
}

pub(super) fn accept(
    connection: &Connection,
    accept: &AcceptClaim,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<Claim, AcceptRefusal>> {
    let Some(claim) = one(connection, "code", accept.code.as_str())? else {
        return Ok(Err(AcceptRefusal::Unknown));
    };
    if claim.accepted_at.is_some() {
        return Ok(Err(AcceptRefusal::Accepted));
    }
    if claim.expires_at <= now {
        return Ok(Err(AcceptRefusal::Expired));
    }
    let name = accept.name.as_ref().unwrap_or(&claim.name);
    if registry::is_taken(connection, name)? {
        return Ok(Err(AcceptRefusal::NameTaken(name.clone())));
    }
    let capabilities: String = connection.query_row(
        "SELECT capabilities FROM claim WHERE id = ?1",
        [claim.id.as_uuid().as_bytes()],
        |row| row.get(0),
    )?;
    let agent = registry::insert(
        connection,
        &NewRow {
            id: accept.agent,
            name,
            kind: &claim.kind,
            registration: &Registration {
                hostname: claim.hostname.clone(),
                version: claim.version.clone(),
                capabilities: from_json(&capabilities)?,
                scan_paths: Vec::new(),
            },
            // Handed out and made to open when the agent fetches it.
            key: accept.no_key,
            has_key: true,
            join_token: None,
        },
        now,
    )?;
    connection.execute(
        "UPDATE claim SET accepted_at = ?2, accepted_by = ?3, agent = ?4, secret = ?5, name = ?6 WHERE id = ?1",
        params![
            claim.id.as_uuid().as_bytes(),
            micros(now),
            accept.by.as_uuid().as_bytes(),
            agent,
            accept.secret.as_bytes(),
            name,
        ],
    )?;
    let accepted = one(connection, "id", claim.id.as_uuid().as_bytes())?;
    accepted.map(Ok).ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// The newest first.
pub(super) fn list(connection: &Connection, page: &PageRequest<ClaimId>) -> rusqlite::Result<Page<Claim, ClaimId>> {
    let after = page.after.map(|claim| claim.as_uuid().into_bytes());
    let mut statement = connection.prepare_cached(&format!(
        "{CLAIM} WHERE ?1 IS NULL OR claim.id < ?1 ORDER BY claim.id DESC LIMIT ?2"
    ))?;
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = statement.query_map(params![after, limit], row_of)?;
    let claims = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_surplus(claims, page.limit, |claim| claim.id))
}

/// Forgets claims that were over before `before`.
pub(super) fn sweep(connection: &Connection, before: DateTime<Utc>) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM claim WHERE expires_at < ?1 AND (accepted_at IS NULL OR used_at < ?1)",
        [micros(before)],
    )?;
    Ok(())
}

fn one(connection: &Connection, column: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<Option<Claim>> {
    let mut statement = connection.prepare_cached(&format!("{CLAIM} WHERE claim.{column} = ?1"))?;
    statement.query_row([value], row_of).optional()
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<Claim> {
    let code: String = row.get("code")?;
    let agent: Option<[u8; 16]> = row.get("agent_uuid")?;
    Ok(Claim {
        id: ClaimId::from_uuid(id(row, "id")?),
        code: ClaimCode::parse(&code).ok_or_else(|| unfit(Type::Text, "no claim code".into()))?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        hostname: row.get("hostname")?,
        version: row.get("version")?,
        network: row.get("network")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        accepted_at: optional_time(row, "accepted_at")?,
        accepted_by: row.get("accepted_by_name")?,
        agent: agent.map(|bytes| AgentId::from_uuid(uuid::Uuid::from_bytes(bytes))),
        used_at: optional_time(row, "used_at")?,
    })
}
