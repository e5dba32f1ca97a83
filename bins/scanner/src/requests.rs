//! What an operator asks of a running agent on its own machine: rows in the state, because the agent alone may
//! change what it knows, and a bell that it hears.
use crate::{accept, context::Context};
use anyhow::{Context as _, bail};
use chrono::Utc;
use core_model::Queue as _;
use daemon_kit::{Exit, bell::ring};
use fleet_link::agent::AgentState;
use rusqlite::{Connection, OptionalExtension};
use state_sqlite::{Database, LockError, OpenOptions, Outbox, ResyncReason, RunLock, rusqlite};
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// So long the asking command waits to show the answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Release what is held of a scan path.
    Accept(Vec<u8>),
    /// Tell the server everything anew.
    Snapshot,
}

/// Whether another process holds the state, so that it has to be asked; else the lock itself.
pub(crate) fn lock_or_ask(file: &Path) -> Result<Option<RunLock>, LockError> {
    match RunLock::acquire(file) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks the running agent and waits for its answer.
pub(crate) fn ask(file: &Path, request: &Request) -> anyhow::Result<(Exit, String)> {
    let database = Database::open(
        file,
        OpenOptions {
            check: false,
            ..OpenOptions::default()
        },
    )?;
    let (what, path) = match request {
        Request::Accept(path) => ("accept", Some(path.as_slice())),
        Request::Snapshot => ("snapshot", None),
    };
    let id = database
        .with_writer(|connection| -> rusqlite::Result<i64> {
            connection.execute(
                "INSERT INTO request (what, path, asked_ms) VALUES (?1, ?2, ?3)",
                (what, path, Utc::now().timestamp_millis()),
            )?;
            Ok(connection.last_insert_rowid())
        })
        .context("could not ask the running agent: does it have this version? Restart it first")?;
    // Unheard, it is seen all the same, a little later.
    if let Err(error) = ring(&bell(file)) {
        tracing::debug!(%error, "the agent's bell could not be rung");
    }
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE {
        let sql = "SELECT result FROM request WHERE id = ?1 AND done_ms IS NOT NULL";
        let result: Option<Option<String>> =
            database.with_writer(|connection| connection.query_row(sql, [id], |row| row.get(0)).optional())?;
        if let Some(result) = result {
            let result = result.unwrap_or_default();
            return match result.strip_prefix("error: ") {
                Some(error) => bail!("{error}"),
                None => Ok((Exit::Done, result)),
            };
        }
        thread::sleep(Duration::from_millis(100));
    }
    let text = "the running agent was asked and is busy with a scan: it acts when the scan has ended".to_owned();
    Ok((Exit::Partial, text))
}

/// The bell beside the state.
pub(crate) fn bell(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".bell");
    name.into()
}

/// Does what was asked; gives whether a scan should follow at once.
pub(crate) fn serve(context: &Context, state: &AgentState) -> anyhow::Result<bool> {
    let mut is_scan_wanted = false;
    for (id, request) in open_requests(&state.database)? {
        let done = match request {
            Some(Request::Accept(path)) => accept::release(context, &state.database, &path),
            Some(Request::Snapshot) => snapshot(&state.outbox),
            None => Err(anyhow::anyhow!("this version does not know what was asked")),
        };
        let result = match done {
            Ok(text) => {
                is_scan_wanted = true;
                tracing::info!(result = text, "did what was asked on this machine");
                text
            }
            Err(error) => format!("error: {error:#}"),
        };
        let now = Utc::now();
        state
            .database
            .with_writer(|connection| -> rusqlite::Result<()> {
                connection.execute(
                    "UPDATE request SET done_ms = ?2, result = ?3 WHERE id = ?1",
                    (id, now.timestamp_millis(), &result),
                )?;
                let day_ago = (now - chrono::TimeDelta::days(1)).timestamp_millis();
                connection.execute("DELETE FROM request WHERE done_ms < ?1", [day_ago])?;
                Ok(())
            })
            .context("could not write down that it was done")?;
    }
    Ok(is_scan_wanted)
}

/// Lets the next scan tell everything anew.
pub(crate) fn snapshot(outbox: &Outbox) -> anyhow::Result<String> {
    let stats = outbox.stats()?;
    outbox.want_resync(ResyncReason::Asked, "asked for on this machine", Utc::now())?;
    Ok(format!(
        "the next scan tells the server everything anew; {} records that wait are replaced by it",
        stats.records
    ))
}

fn open_requests(database: &Database) -> anyhow::Result<Vec<(i64, Option<Request>)>> {
    let read = |connection: &mut Connection| -> rusqlite::Result<_> {
        let mut statement =
            connection.prepare_cached("SELECT id, what, path FROM request WHERE done_ms IS NULL ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            let (what, path): (String, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
            let request = match (what.as_str(), path) {
                ("accept", Some(path)) => Some(Request::Accept(path)),
                ("snapshot", _) => Some(Request::Snapshot),
                _ => None,
            };
            Ok((row.get(0)?, request))
        })?;
        rows.collect()
    };
    database.with_writer(read).context("could not read what is asked for")
}
