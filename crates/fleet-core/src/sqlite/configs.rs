//! The configuration that the controller keeps for each agent: versions that are never written anew.
use super::{
    registry, sessions,
    value::{from_json, micros, signed, time, to_json, unsigned},
};
use crate::{
    agent::AgentRef,
    link::{AgentConfig, ConfigState, NewConfig, SessionKey, SetConfigRefusal, Standing},
    page::{Page, PageRequest},
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, UserId};
use fleet_wire::link::{Config, ConfigReport, ConfigVersion};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

/// What stands for "the agent runs with something that is not what we know by that number".
const FOREIGN: i64 = -1;

const CONFIG: &str = "SELECT agent_config.*, user_account.name AS setter FROM agent_config
                      JOIN user_account ON user_account.id = agent_config.set_by";

pub(super) fn set(
    connection: &Connection,
    agent: &AgentRef,
    new: &NewConfig,
    comment: &str,
    follows: Option<u64>,
    by: UserId,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<(AgentId, AgentConfig), SetConfigRefusal>> {
    let Some((row, uuid)) = registry::find(connection, agent)? else {
        return Ok(Err(SetConfigRefusal::NoAgent));
    };
    let newest = newest(connection, row)?;
    if let Some(follows) = follows
        && signed(follows) != newest
    {
        let latest = newest.unsigned_abs();
        return Ok(Err(SetConfigRefusal::Changed { latest }));
    }
    let text = match new {
        NewConfig::Text(text) => Some(text.clone()),
        NewConfig::Withdrawn => None,
        NewConfig::Version(version) => match one(connection, row, signed(*version))?.and_then(|config| config.text) {
            Some(text) => Some(text),
            None => return Ok(Err(SetConfigRefusal::NoVersion)),
        },
    };
    connection.execute(
        "INSERT INTO agent_config (agent, version, text, sha256, comment, set_at, set_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row,
            newest + 1,
            text,
            sha256(text.as_deref().unwrap_or("")),
            comment,
            micros(now),
            by.as_uuid().as_bytes()
        ],
    )?;
    let set = one(connection, row, newest + 1)?;
    set.map(|set| Ok((uuid, set)))
        .ok_or(rusqlite::Error::QueryReturnedNoRows)
}

fn sha256(text: &str) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to memory cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// What the agent should run with, and what it says about that.
pub(super) fn state(connection: &Connection, agent: &AgentRef) -> rusqlite::Result<Option<ConfigState>> {
    let Some((row, _)) = registry::find(connection, agent)? else {
        return Ok(None);
    };
    let latest = one(connection, row, newest(connection, row)?)?;
    let mut statement = connection.prepare_cached(
        "SELECT report, reported_at FROM agent_config_report WHERE agent = ?1 AND report IS NOT NULL",
    )?;
    let report = statement
        .query_row([row], |row| {
            Ok((row.get::<_, String>("report")?, time(row, "reported_at")?))
        })
        .optional()?;
    let report = report
        .map(|(text, at)| from_json::<ConfigReport>(&text).map(|report| (report, at)))
        .transpose()?;
    Ok(Some(ConfigState { latest, report }))
}

/// The latest first.
pub(super) fn history(
    connection: &Connection,
    agent: &AgentRef,
    page: &PageRequest<u64>,
) -> rusqlite::Result<Option<Page<AgentConfig, u64>>> {
    let Some((row, _)) = registry::find(connection, agent)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(&format!(
        "{CONFIG} WHERE agent = ?1 AND (?2 IS NULL OR version < ?2) ORDER BY version DESC LIMIT ?3"
    ))?;
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = statement.query_map(params![row, page.after.map(signed), limit], config)?;
    let configs = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Some(Page::from_surplus(configs, page.limit, |config| config.version)))
}

/// The agent said what became of a configuration.
pub(super) fn reported(
    connection: &Connection,
    session: SessionKey,
    report: &ConfigReport,
    now: DateTime<Utc>,
) -> rusqlite::Result<Standing> {
    let held = match sessions::heard(connection, session, now)? {
        Ok(held) => held,
        Err(standing) => return Ok(standing),
    };
    let known = recognised(
        connection,
        held.agent,
        report.about.as_ref().or(report.running.as_ref()),
    )?;
    // A report about the file on the agent's machine says nothing of ours but what runs.
    put(connection, held.agent, known, Some(&to_json(report)?), now)?;
    Ok(Standing::Current)
}

/// The agent said in its HELLO what it runs with.
pub(super) fn runs_with(
    connection: &Connection,
    agent: i64,
    config: Option<&ConfigVersion>,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let known = recognised(connection, agent, config)?;
    put(connection, agent, known, None, now)
}

fn put(
    connection: &Connection,
    agent: i64,
    known: i64,
    report: Option<&str>,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO agent_config_report (agent, known, report, reported_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (agent) DO UPDATE SET known = excluded.known, report = COALESCE(excluded.report, report),
             reported_at = CASE WHEN excluded.report IS NULL THEN reported_at ELSE excluded.reported_at END",
        params![agent, known, report, micros(now)],
    )?;
    Ok(())
}

/// The number of what the agent speaks of, if that is ours: a store that was restored may have given the number anew.
fn recognised(connection: &Connection, agent: i64, config: Option<&ConfigVersion>) -> rusqlite::Result<i64> {
    let Some(config) = config else { return Ok(0) };
    let version = signed(config.version);
    let ours = one(connection, agent, version)?;
    let is_ours = ours.is_some_and(|ours| ours.text.is_some() && ours.sha256.eq_ignore_ascii_case(&config.sha256));
    Ok(if is_ours { version } else { FOREIGN })
}

pub(super) fn known(connection: &Connection, agent: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT known FROM agent_config_report WHERE agent = ?1")?;
    let known: Option<Option<i64>> = statement.query_row([agent], |row| row.get(0)).optional()?;
    Ok(known.flatten())
}

/// The number of what the agent should run with; 0 for nothing.
pub(super) fn latest_number(connection: &Connection, agent: i64) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT CASE WHEN text IS NULL THEN 0 ELSE version END FROM agent_config WHERE agent = ?1
         ORDER BY version DESC LIMIT 1",
    )?;
    let found = statement.query_row([agent], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

/// What the agent should run with.
pub(super) fn wanted(connection: &Connection, agent: i64) -> rusqlite::Result<Option<ConfigVersion>> {
    message(connection, agent).map(|config| config.version)
}

/// The same with its text.
pub(super) fn message(connection: &Connection, agent: i64) -> rusqlite::Result<Config> {
    let latest = one(connection, agent, latest_number(connection, agent)?)?;
    Ok(match latest {
        Some(AgentConfig {
            version,
            text: Some(text),
            sha256,
            ..
        }) => Config {
            version: Some(ConfigVersion { version, sha256 }),
            text,
        },
        _ => Config {
            version: None,
            text: String::new(),
        },
    })
}

fn newest(connection: &Connection, agent: i64) -> rusqlite::Result<i64> {
    let mut statement =
        connection.prepare_cached("SELECT COALESCE(MAX(version), 0) FROM agent_config WHERE agent = ?1")?;
    statement.query_row([agent], |row| row.get(0))
}

fn one(connection: &Connection, agent: i64, version: i64) -> rusqlite::Result<Option<AgentConfig>> {
    let mut statement = connection.prepare_cached(&format!("{CONFIG} WHERE agent = ?1 AND version = ?2"))?;
    statement.query_row(params![agent, version], config).optional()
}

fn config(row: &Row<'_>) -> rusqlite::Result<AgentConfig> {
    Ok(AgentConfig {
        version: unsigned(row, "version")?,
        text: row.get("text")?,
        sha256: row.get("sha256")?,
        comment: row.get("comment")?,
        set_at: time(row, "set_at")?,
        set_by: row.get("setter")?,
    })
}
