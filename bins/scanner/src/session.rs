//! Past scans, in a table that is the scanner's alone.
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use fsscan::Summary;
use serde::Serialize;
use state_sqlite::{Component, Database, rusqlite};
use std::path::PathBuf;

/// Scans are kept so long, as the history of changes is elsewhere.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);

pub(crate) const COMPONENT: Component = Component {
    name: "scanner",
    migrations: &[
        "CREATE TABLE scan_session (
         id INTEGER PRIMARY KEY,
         started_ms INTEGER NOT NULL,
         completed_ms INTEGER,
         status TEXT NOT NULL,
         paths TEXT NOT NULL,
         files INTEGER NOT NULL DEFAULT 0,
         created INTEGER NOT NULL DEFAULT 0,
         updated INTEGER NOT NULL DEFAULT 0,
         moved INTEGER NOT NULL DEFAULT 0,
         deleted INTEGER NOT NULL DEFAULT 0,
         held INTEGER NOT NULL DEFAULT 0,
         errors INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE TABLE refusal (
         path BLOB PRIMARY KEY NOT NULL,
         seq INTEGER NOT NULL,
         refused_ms INTEGER NOT NULL,
         code TEXT NOT NULL,
         detail TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;",
        "CREATE TABLE server_answer (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         at_ms INTEGER NOT NULL,
         is_good INTEGER NOT NULL,
         text TEXT NOT NULL
     ) STRICT;
     CREATE TABLE request (
         id INTEGER PRIMARY KEY,
         what TEXT NOT NULL,
         path BLOB,
         asked_ms INTEGER NOT NULL,
         done_ms INTEGER,
         result TEXT
     ) STRICT;",
    ],
};

/// A scan that was.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) completed_at: Option<DateTime<Utc>>,
    /// `running`, `completed`, `partial`, `failed` or `interrupted`.
    pub(crate) status: String,
    pub(crate) paths: Vec<String>,
    pub(crate) files: u64,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) moved: u64,
    pub(crate) deleted: u64,
    pub(crate) held: u64,
    pub(crate) errors: u64,
}

/// Writes down that a scan began; gives its number. Sessions that were never ended were interrupted.
pub(crate) fn begin(database: &Database, paths: &[PathBuf], now: DateTime<Utc>) -> anyhow::Result<i64> {
    let paths: Vec<String> = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let json = serde_json::to_string(&paths)?;
    let insert = |connection: &mut rusqlite::Connection| -> rusqlite::Result<i64> {
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE scan_session SET status = 'interrupted' WHERE status = 'running'",
            [],
        )?;
        transaction.execute(
            "DELETE FROM scan_session WHERE started_ms < ?1",
            [(now - KEPT).timestamp_millis()],
        )?;
        transaction.execute(
            "INSERT INTO scan_session (started_ms, status, paths) VALUES (?1, 'running', ?2)",
            (now.timestamp_millis(), json),
        )?;
        let id = transaction.last_insert_rowid();
        transaction.commit()?;
        Ok(id)
    };
    database.with_writer(insert).context("could not write down the scan")
}

/// Writes down how it ended.
pub(crate) fn end(
    database: &Database,
    id: i64,
    status: &str,
    summary: &Summary,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "UPDATE scan_session SET completed_ms = ?2, status = ?3, files = ?4, created = ?5, updated = ?6,
               moved = ?7, deleted = ?8, held = ?9, errors = ?10 WHERE id = ?1";
    let values = (
        id,
        now.timestamp_millis(),
        status,
        number(summary.files),
        number(summary.created),
        number(summary.updated),
        number(summary.moved),
        number(summary.deleted),
        number(summary.held),
        number(summary.error_count()),
    );
    database
        .with_writer(|connection| connection.execute(sql, values))
        .context("could not write down the scan")?;
    Ok(())
}

/// The newest scans first; none where the state has never been scanned.
pub(crate) fn history(database: &Database, limit: u32) -> anyhow::Result<Vec<Session>> {
    let read = |connection: &mut rusqlite::Connection| -> rusqlite::Result<Vec<Session>> {
        let mut statement = connection.prepare(
            "SELECT id, started_ms, completed_ms, status, paths, files, created, updated, moved, deleted, held, errors
             FROM scan_session ORDER BY id DESC LIMIT ?1",
        )?;
        let number = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let rows = statement.query_map([limit], |row| {
            Ok(Session {
                id: row.get(0)?,
                started_at: DateTime::from_timestamp_millis(row.get(1)?).unwrap_or_default(),
                completed_at: row.get::<_, Option<i64>>(2)?.and_then(DateTime::from_timestamp_millis),
                status: row.get(3)?,
                paths: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
                files: number(row, 5)?,
                created: number(row, 6)?,
                updated: number(row, 7)?,
                moved: number(row, 8)?,
                deleted: number(row, 9)?,
                held: number(row, 10)?,
                errors: number(row, 11)?,
            })
        })?;
        rows.collect()
    };
    let mut sessions = database
        .with_writer(read)
        .context("could not read the history of scans")?;
    // A process that was killed could not write down its end.
    for session in sessions.iter_mut().filter(|session| session.status == "running") {
        if !state_sqlite::RunLock::is_held(database.path()) {
            "interrupted".clone_into(&mut session.status);
        }
    }
    Ok(sessions)
}
