//! Commands as operators send, list and cancel them.
use super::{
    amend, registry,
    value::{from_json, id, micros, optional_time, time, to_json, unfit, unsigned},
};
use crate::{
    agent::AgentRef,
    command::{
        CommandDetail, CommandFilter, CommandRecord, Delivery, DeliveryCounts, DeliveryState, NewCommand, SendRefusal,
        SentCommand,
    },
    page::{Page, PageRequest},
    verb::{self, VerbError},
};
use chrono::{DateTime, Utc};
use core_model::{AgentId, CommandId};
use fleet_wire::link::Priority;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params, types::Type};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Deliveries shown of one command at most.
const SHOWN: i64 = 1_000;

/// An agent that a command may be for.
struct Candidate {
    row: i64,
    id: AgentId,
    name: String,
    kind: String,
    /// What it said it takes; `None` where it never connected.
    verbs: Option<Vec<String>>,
}

pub(super) fn send(
    connection: &Connection,
    new: &NewCommand,
    now: DateTime<Utc>,
) -> rusqlite::Result<Result<SentCommand, SendRefusal>> {
    if let Some((key, fingerprint)) = &new.key
        && let Some((row, earlier, same)) = by_key(connection, new, key, fingerprint)?
    {
        if !same {
            return Ok(Err(SendRefusal::KeyReused));
        }
        return Ok(Ok(SentCommand {
            id: earlier,
            is_repeat: true,
            agents: agents_of(connection, row)?,
        }));
    }
    let agents = match targets(connection, new)? {
        Ok(agents) => agents,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let row: i64 = connection.query_row(
        "INSERT INTO command (uuid, verb, args, priority, target, issued_at, issued_by, deadline, idempotency_key,
                              fingerprint)
         VALUES (:uuid, :verb, :args, :priority, :target, :now, :by, :deadline, :key, :fingerprint) RETURNING id",
        named_params! {
            ":uuid": new.id.as_uuid().as_bytes(),
            ":verb": new.verb,
            ":args": to_json(&new.args)?,
            ":priority": priority_code(new.priority),
            ":target": to_json(&new.target)?,
            ":now": micros(now),
            ":by": new.by.as_uuid().as_bytes(),
            ":deadline": micros(new.deadline),
            ":key": new.key.as_ref().map(|(key, _)| key),
            ":fingerprint": new.key.as_ref().map(|(_, fingerprint)| fingerprint),
        },
        |row| row.get(0),
    )?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO delivery (command, agent, state, priority, deadline, queued_at) VALUES (?1, ?2, 0, ?3, ?4, ?5)",
    )?;
    for agent in agents.values() {
        let priority = priority_code(new.priority);
        statement.execute(params![row, agent.row, priority, micros(new.deadline), micros(now)])?;
    }
    Ok(Ok(SentCommand {
        id: new.id,
        is_repeat: false,
        agents: agents.values().map(|agent| agent.id).collect(),
    }))
}

fn by_key(
    connection: &Connection,
    new: &NewCommand,
    key: &str,
    fingerprint: &[u8; 32],
) -> rusqlite::Result<Option<(i64, CommandId, bool)>> {
    let sql = "SELECT id, uuid, fingerprint = ?3 AS same FROM command WHERE issued_by = ?1 AND idempotency_key = ?2";
    let found = connection.query_row(sql, params![new.by.as_uuid().as_bytes(), key, fingerprint], |row| {
        Ok((row.get("id")?, CommandId::from_uuid(id(row, "uuid")?), row.get("same")?))
    });
    found.optional()
}

/// Whom the command is for, by their rows: each once, however often it was named.
fn targets(
    connection: &Connection,
    new: &NewCommand,
) -> rusqlite::Result<Result<BTreeMap<i64, Candidate>, SendRefusal>> {
    let mut agents = BTreeMap::new();
    for named in &new.target.agents {
        let Some(agent) = candidate(connection, named)? else {
            return Ok(Err(SendRefusal::NoAgent(named.clone())));
        };
        if let Err(refusal) = takes(&agent, new) {
            return Ok(Err(refusal));
        }
        agents.insert(agent.row, agent);
    }
    let mut refusal = SendRefusal::Nobody;
    if new.target.selects() {
        let mut selectors = vec![new.target.selector()];
        if let Some(name) = &new.target.group {
            let Some(group) = amend::group(connection, name)? else {
                return Ok(Err(SendRefusal::NoGroup(name.clone())));
            };
            selectors.push(group.selector);
        }
        let sql = format!("{} WHERE removed_at IS NULL AND revoked_at IS NULL", registry::AGENT);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let record = registry::record(row)?;
            if !selectors.iter().all(|selector| selector.fits(&record)) {
                continue;
            }
            let agent = candidate_of(row)?;
            match takes(&agent, new) {
                Ok(()) => drop(agents.insert(agent.row, agent)),
                // Of many agents those that do not take it are left out; wrong arguments are wrong for all.
                Err(wrong @ SendRefusal::Args(_)) => refusal = wrong,
                Err(_) => {}
            }
        }
    }
    Ok(if agents.is_empty() { Err(refusal) } else { Ok(agents) })
}

fn takes(agent: &Candidate, new: &NewCommand) -> Result<(), SendRefusal> {
    let refusal = |takes| SendRefusal::Verb {
        agent: agent.name.clone(),
        takes,
    };
    verb::check(&agent.kind, &new.verb, &new.args).map_err(|error| match error {
        VerbError::Unknown => refusal(Vec::new()),
        VerbError::Args(detail) => SendRefusal::Args(detail),
    })?;
    match &agent.verbs {
        Some(verbs) if !verbs.contains(&new.verb) => Err(refusal(verbs.clone())),
        _ => Ok(()),
    }
}

const CANDIDATE: &str = "SELECT id, uuid, name, kind, verbs FROM agent WHERE removed_at IS NULL AND ";

fn candidate(connection: &Connection, named: &str) -> rusqlite::Result<Option<Candidate>> {
    let found = match AgentRef::from(named) {
        AgentRef::Id(id) => connection
            .prepare_cached(&format!("{CANDIDATE} uuid = ?1 AND revoked_at IS NULL"))?
            .query_row([id.as_uuid().as_bytes()], candidate_of),
        AgentRef::Name(name) => connection
            .prepare_cached(&format!("{CANDIDATE} name = ?1 AND revoked_at IS NULL"))?
            .query_row([name], candidate_of),
    };
    found.optional()
}

fn candidate_of(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    let verbs: Option<String> = row.get("verbs")?;
    Ok(Candidate {
        row: row.get("id")?,
        id: AgentId::from_uuid(id(row, "uuid")?),
        name: row.get("name")?,
        kind: row.get("kind")?,
        verbs: verbs.map(|text| from_json(&text)).transpose()?,
    })
}

/// Takes the command back wherever it has not ended; the agents that have it are to be told.
pub(super) fn cancel(
    connection: &Connection,
    command: CommandId,
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<Vec<AgentId>>> {
    let Some(row) = row_id(connection, command)? else {
        return Ok(None);
    };
    connection.execute(
        "UPDATE delivery SET state = 7, cancel_at = ?2, ended_at = ?2, code = 'cancelled',
                             detail = 'cancelled before the agent was given it'
         WHERE command = ?1 AND state = 0",
        params![row, micros(now)],
    )?;
    connection.execute(
        "UPDATE delivery SET cancel_at = COALESCE(cancel_at, ?2) WHERE command = ?1 AND state IN (1, 2, 3)",
        params![row, micros(now)],
    )?;
    agents_of(connection, row).map(Some)
}

fn agents_of(connection: &Connection, command: i64) -> rusqlite::Result<Vec<AgentId>> {
    let mut statement = connection
        .prepare_cached("SELECT uuid FROM delivery JOIN agent ON agent.id = delivery.agent WHERE command = ?1")?;
    let ids = statement.query_map([command], |row| id(row, "uuid").map(AgentId::from_uuid))?;
    ids.collect()
}

pub(super) fn row_id(connection: &Connection, command: CommandId) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM command WHERE uuid = ?1")?;
    statement
        .query_row([command.as_uuid().as_bytes()], |row| row.get(0))
        .optional()
}

const COMMAND: &str = "SELECT command.*, user_account.name AS issuer FROM command
                       JOIN user_account ON user_account.id = command.issued_by";

/// The latest first.
pub(super) fn list(
    connection: &Connection,
    filter: &CommandFilter,
    page: &PageRequest<u64>,
) -> rusqlite::Result<Page<CommandRecord, u64>> {
    let mut statement = connection.prepare_cached(&format!(
        "{COMMAND} WHERE (?1 IS NULL OR command.id < ?1) AND (?2 IS NULL OR verb = ?2)
             AND (?3 IS NULL OR EXISTS (SELECT 1 FROM delivery JOIN agent ON agent.id = delivery.agent
                                        WHERE command = command.id AND agent.uuid = ?3))
             AND (NOT ?4 OR EXISTS (SELECT 1 FROM delivery WHERE command = command.id AND state < 4))
         ORDER BY command.id DESC LIMIT ?5"
    ))?;
    let rows = statement.query_map(
        params![
            page.after.map(super::value::signed),
            filter.verb,
            filter.agent.map(|agent| agent.as_uuid().into_bytes()),
            filter.open,
            i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1),
        ],
        record,
    )?;
    let mut commands = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for command in &mut commands {
        command.counts = counts(connection, command.place)?;
    }
    Ok(Page::from_surplus(commands, page.limit, |command| command.place))
}

pub(super) fn detail(connection: &Connection, command: CommandId) -> rusqlite::Result<Option<CommandDetail>> {
    let mut statement = connection.prepare_cached(&format!("{COMMAND} WHERE uuid = ?1"))?;
    let found = statement.query_row([command.as_uuid().as_bytes()], record).optional()?;
    let Some(mut command) = found else { return Ok(None) };
    command.counts = counts(connection, command.place)?;
    let mut statement = connection.prepare_cached(
        "SELECT delivery.*, agent.uuid, agent.name FROM delivery JOIN agent ON agent.id = delivery.agent
         WHERE command = ?1 ORDER BY state = 4, agent.name, agent.uuid LIMIT ?2",
    )?;
    let rows = statement.query_map(params![super::value::signed(command.place), SHOWN], delivery)?;
    let deliveries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Some(CommandDetail { command, deliveries }))
}

fn counts(connection: &Connection, command: u64) -> rusqlite::Result<DeliveryCounts> {
    let mut statement =
        connection.prepare_cached("SELECT state, COUNT(*) AS count FROM delivery WHERE command = ?1 GROUP BY state")?;
    sum(&mut statement.query([super::value::signed(command)])?)
}

/// All deliveries by state.
pub(super) fn all_counts(connection: &Connection) -> rusqlite::Result<DeliveryCounts> {
    let mut statement = connection.prepare_cached("SELECT state, COUNT(*) AS count FROM delivery GROUP BY state")?;
    sum(&mut statement.query([])?)
}

fn sum(rows: &mut rusqlite::Rows<'_>) -> rusqlite::Result<DeliveryCounts> {
    let mut counts = DeliveryCounts::default();
    while let Some(row) = rows.next()? {
        counts.add(state_of(row.get("state")?)?, unsigned(row, "count")?);
    }
    Ok(counts)
}

fn record(row: &Row<'_>) -> rusqlite::Result<CommandRecord> {
    let text = |column: &str| row.get::<_, String>(column);
    Ok(CommandRecord {
        place: unsigned(row, "id")?,
        id: CommandId::from_uuid(id(row, "uuid")?),
        verb: text("verb")?,
        args: from_json(&text("args")?)?,
        priority: priority_of(row.get("priority")?)?,
        target: from_json(&text("target")?)?,
        issued_at: time(row, "issued_at")?,
        issued_by: text("issuer")?,
        deadline: time(row, "deadline")?,
        counts: DeliveryCounts::default(),
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let json = |column: &str| row.get::<_, Option<String>>(column);
    Ok(Delivery {
        agent: AgentId::from_uuid(Uuid::from_bytes(row.get("uuid")?)),
        name: row.get("name")?,
        state: state_of(row.get("state")?)?,
        attempt: row.get("attempt")?,
        epoch: unsigned(row, "epoch")?,
        queued_at: time(row, "queued_at")?,
        sent_at: optional_time(row, "sent_at")?,
        acked_at: optional_time(row, "acked_at")?,
        started_at: optional_time(row, "started_at")?,
        ended_at: optional_time(row, "ended_at")?,
        cancel_at: optional_time(row, "cancel_at")?,
        progress: json("progress")?.map(|text| from_json(&text)).transpose()?,
        code: row.get("code")?,
        detail: json("detail")?.unwrap_or_default(),
        result: json("result")?.map(|text| from_json(&text)).transpose()?,
    })
}

pub(super) const fn state_code(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Queued => 0,
        DeliveryState::Sent => 1,
        DeliveryState::Acked => 2,
        DeliveryState::Running => 3,
        DeliveryState::Done => 4,
        DeliveryState::Failed => 5,
        DeliveryState::Expired => 6,
        DeliveryState::Cancelled => 7,
        DeliveryState::Unknown => 8,
    }
}

pub(super) fn state_of(code: i64) -> rusqlite::Result<DeliveryState> {
    let known = DeliveryState::ALL.into_iter().find(|state| state_code(*state) == code);
    known.ok_or_else(|| unfit(Type::Integer, format!("{code} is no state of a delivery").into()))
}

const fn priority_code(priority: Priority) -> i64 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

pub(super) fn priority_of(code: i64) -> rusqlite::Result<Priority> {
    Ok(match code {
        0 => Priority::Low,
        1 => Priority::Normal,
        2 => Priority::High,
        3 => Priority::Critical,
        _ => return Err(unfit(Type::Integer, format!("{code} is no priority").into())),
    })
}
