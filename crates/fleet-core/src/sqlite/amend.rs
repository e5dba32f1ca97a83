//! What operators say of agents, and the names that they give to many of them.
use super::{
    registry,
    value::{from_json, micros, time, to_json},
};
use crate::{
    agent::AgentRef,
    profile::{AmendRefusal, Amendment, Assigned},
    selector::Group,
};
use core_model::{AgentId, MOST_LABELS};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Changes what is to be changed: all of it or nothing.
pub(super) fn amend(
    connection: &Connection,
    agent: &AgentRef,
    amendment: &Amendment,
) -> rusqlite::Result<Result<AgentId, AmendRefusal>> {
    let Some((row, uuid)) = registry::find(connection, agent)? else {
        return Ok(Err(AmendRefusal::NoAgent));
    };
    let mut assigned = assigned(connection, row)?;
    if let Some(site) = &amendment.site {
        assigned.site.clone_from(site);
    }
    for (key, value) in &amendment.labels {
        match value {
            Some(value) => assigned.labels.insert(key.clone(), value.clone()),
            None => assigned.labels.remove(key),
        };
    }
    if assigned.labels.len() > MOST_LABELS {
        return Ok(Err(AmendRefusal::TooManyLabels));
    }
    if let Some(name) = &amendment.name {
        let sql = "SELECT EXISTS (SELECT 1 FROM agent WHERE name = ?1 AND revoked_at IS NULL AND id <> ?2)";
        if connection.query_row(sql, params![name, row], |row| row.get(0))? {
            return Ok(Err(AmendRefusal::NameTaken));
        }
        connection.execute("UPDATE agent SET name = ?2 WHERE id = ?1", params![row, name])?;
    }
    connection.execute(
        "UPDATE agent SET assigned = ?2 WHERE id = ?1",
        params![row, to_json(&assigned)?],
    )?;
    if let Some(maintenance) = &amendment.maintenance {
        let text = maintenance.as_ref().map(to_json).transpose()?;
        connection.execute("UPDATE agent SET maintenance = ?2 WHERE id = ?1", params![row, text])?;
    }
    Ok(Ok(uuid))
}

fn assigned(connection: &Connection, row: i64) -> rusqlite::Result<Assigned> {
    let sql = "SELECT assigned FROM agent WHERE id = ?1";
    let text: Option<String> = connection.query_row(sql, [row], |row| row.get(0))?;
    text.map_or_else(|| Ok(Assigned::default()), |text| from_json(&text))
}

/// Puts a group in the place of the one of its name; whether there was none.
pub(super) fn put_group(connection: &Connection, group: &Group) -> rusqlite::Result<bool> {
    let is_new = self::group(connection, &group.name)?.is_none();
    connection.execute(
        "INSERT OR REPLACE INTO agent_group (name, selector, comment, changed_at, changed_by) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            group.name,
            to_json(&group.selector)?,
            group.comment,
            micros(group.changed_at),
            group.changed_by
        ],
    )?;
    Ok(is_new)
}

pub(super) fn remove_group(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let removed = connection.execute("DELETE FROM agent_group WHERE name = ?1", [name])?;
    Ok(removed > 0)
}

pub(super) fn group(connection: &Connection, name: &str) -> rusqlite::Result<Option<Group>> {
    let mut statement = connection.prepare_cached("SELECT * FROM agent_group WHERE name = ?1")?;
    statement.query_row([name], read).optional()
}

/// All groups by name.
pub(super) fn groups(connection: &Connection) -> rusqlite::Result<Vec<Group>> {
    let mut statement = connection.prepare_cached("SELECT * FROM agent_group ORDER BY name")?;
    statement.query_map([], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        name: row.get("name")?,
        selector: from_json(&row.get::<_, String>("selector")?)?,
        comment: row.get("comment")?,
        changed_at: time(row, "changed_at")?,
        changed_by: row.get("changed_by")?,
    })
}
