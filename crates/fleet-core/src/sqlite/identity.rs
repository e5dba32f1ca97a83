//! Users, sessions and join tokens.
use super::value::{id, micros, optional_time, time, unfit};
use crate::{
    identity::{JoinToken, NewJoinToken, NewSession, Operator, Role, StoredUser},
    page::{Page, PageRequest},
    store::{ChangePasswordRefusal, NewPassword},
    token::TokenHash,
};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{TokenId, UserId};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params, types::Type};

pub(super) fn has_users(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM user_account)", [], |row| row.get(0))
}

pub(super) fn add_first_user(connection: &Connection, user: &StoredUser, now: DateTime<Utc>) -> rusqlite::Result<bool> {
    if has_users(connection)? {
        return Ok(false);
    }
    connection.execute(
        "INSERT INTO user_account (id, name, password_hash, role, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            user.id.as_uuid().as_bytes(),
            user.name,
            user.password_hash,
            user.role.name(),
            micros(now)
        ],
    )?;
    Ok(true)
}

pub(super) fn user(connection: &Connection, name: &str) -> rusqlite::Result<Option<StoredUser>> {
    let mut statement =
        connection.prepare_cached("SELECT id, name, password_hash, role FROM user_account WHERE name = ?1")?;
    statement
        .query_row([name], |row| {
            Ok(StoredUser {
                id: UserId::from_uuid(id(row, "id")?),
                name: row.get("name")?,
                password_hash: row.get("password_hash")?,
                role: role(row)?,
            })
        })
        .optional()
}

pub(super) fn change_password(
    connection: &Connection,
    change: &NewPassword,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<(), ChangePasswordRefusal>> {
    let user = change.user.as_uuid();
    let changed = connection.execute(
        "UPDATE user_account SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2",
        params![user.as_bytes(), change.old_hash, change.new_hash],
    )?;
    if changed == 0 {
        return Ok(Err(ChangePasswordRefusal::Changed));
    }
    connection.execute(
        "UPDATE session SET revoked_at = ?3 WHERE user_id = ?1 AND id <> ?2 AND revoked_at IS NULL",
        params![user.as_bytes(), change.keep.as_uuid().as_bytes(), micros(now)],
    )?;
    Ok(Ok(()))
}

pub(super) fn open_session(connection: &Connection, session: &NewSession, now: DateTime<Utc>) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO session (id, user_id, token_hash, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            session.id.as_uuid().as_bytes(),
            session.user.as_uuid().as_bytes(),
            session.token.as_bytes(),
            micros(now),
            micros(session.expires_at),
        ],
    )?;
    Ok(())
}

pub(super) fn end_session(connection: &Connection, session: TokenId, now: DateTime<Utc>) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE session SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
        params![session.as_uuid().as_bytes(), micros(now)],
    )?;
    Ok(())
}

pub(super) fn operator(
    connection: &Connection,
    token: TokenHash,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<Operator>> {
    let mut statement = connection.prepare_cached(
        "SELECT session.id AS session_id, user_id, name, role
         FROM session JOIN user_account ON user_account.id = session.user_id
         WHERE token_hash = ?1 AND revoked_at IS NULL AND expires_at > ?2",
    )?;
    statement
        .query_row(params![token.as_bytes(), micros(now)], |row| {
            Ok(Operator {
                user: UserId::from_uuid(id(row, "user_id")?),
                name: row.get("name")?,
                role: role(row)?,
                session: TokenId::from_uuid(id(row, "session_id")?),
            })
        })
        .optional()
}

pub(super) fn add_join_token(
    connection: &Connection,
    token: &NewJoinToken,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO join_token (id, name, token_hash, created_at, created_by, expires_at, max_uses, uses_left)
         VALUES (:id, :name, :token_hash, :created_at, :created_by, :expires_at, :max_uses, :max_uses)",
        named_params! {
            ":id": token.id.as_uuid().as_bytes(),
            ":name": token.name,
            ":token_hash": token.token.as_bytes(),
            ":created_at": micros(now),
            ":created_by": token.created_by.as_uuid().as_bytes(),
            ":expires_at": micros(token.expires_at),
            ":max_uses": token.max_uses,
        },
    )?;
    Ok(())
}

pub(super) fn join_tokens(
    connection: &Connection,
    page: &PageRequest<TokenId>,
) -> rusqlite::Result<Page<JoinToken, TokenId>> {
    // An id holds the time of its making, so the order of ids is the order of time.
    let mut statement = connection.prepare_cached(
        "SELECT join_token.*, user_account.name AS maker
         FROM join_token JOIN user_account ON user_account.id = join_token.created_by
         WHERE ?1 IS NULL OR join_token.id < ?1
         ORDER BY join_token.id DESC LIMIT ?2",
    )?;
    let after = page.after.map(|id| id.as_uuid().into_bytes());
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = statement.query_map(params![after, limit], |row| {
        Ok(JoinToken {
            id: TokenId::from_uuid(id(row, "id")?),
            name: row.get("name")?,
            created_at: time(row, "created_at")?,
            created_by: row.get("maker")?,
            expires_at: time(row, "expires_at")?,
            max_uses: row.get("max_uses")?,
            uses_left: row.get("uses_left")?,
            revoked_at: optional_time(row, "revoked_at")?,
        })
    })?;
    let tokens = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(Page::from_surplus(tokens, page.limit, |token| token.id))
}

pub(super) fn revoke_join_token(connection: &Connection, token: TokenId, now: DateTime<Utc>) -> rusqlite::Result<bool> {
    let found = connection.execute(
        "UPDATE join_token SET revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1",
        params![token.as_uuid().as_bytes(), micros(now)],
    )?;
    Ok(found > 0)
}

/// Takes one use of the token; its id, unless it opens nothing.
pub(super) fn use_join_token(
    connection: &Connection,
    token: TokenHash,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<[u8; 16]>> {
    let mut statement = connection.prepare_cached(
        "UPDATE join_token SET uses_left = uses_left - 1
         WHERE token_hash = ?1 AND revoked_at IS NULL AND expires_at > ?2 AND uses_left > 0
         RETURNING id",
    )?;
    statement
        .query_row(params![token.as_bytes(), micros(now)], |row| row.get(0))
        .optional()
}

pub(super) fn sweep(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let a_day_ago = micros(now - TimeDelta::days(1));
    connection.execute("DELETE FROM session WHERE expires_at < ?1", [a_day_ago])?;
    connection.execute("DELETE FROM idempotency WHERE created_at < ?1", [a_day_ago])?;
    Ok(())
}

fn role(row: &Row<'_>) -> rusqlite::Result<Role> {
    let name: String = row.get("role")?;
    match name.as_str() {
        "admin" => Ok(Role::Admin),
        other => Err(unfit(Type::Text, format!("`{other}` is no role").into())),
    }
}
