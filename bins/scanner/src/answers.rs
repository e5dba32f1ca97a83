//! The records that the server refused, by path.
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use fleet_link::Refusal;
use fleet_wire::{FileChange, WirePath};
use rusqlite::OptionalExtension;
use serde::Serialize;
use state_sqlite::{Database, rusqlite};
use std::collections::HashMap;

/// A record that the server refused.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refused {
    #[serde(flatten)]
    pub(crate) path: WirePath,
    pub(crate) refused_at: DateTime<Utc>,
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// Keeps refusals by path, the newest of each.
pub(crate) fn keep_refusals(database: &Database, refusals: &[Refusal], now: DateTime<Utc>) -> rusqlite::Result<()> {
    database.with_writer(|connection| {
        let transaction = connection.transaction()?;
        for refusal in refusals {
            let path = path_of(&refusal.record).unwrap_or_default();
            transaction.execute(
                "INSERT OR REPLACE INTO refusal (path, seq, refused_ms, code, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    path,
                    i64::try_from(refusal.rejected.seq).unwrap_or(i64::MAX),
                    now.timestamp_millis(),
                    &refusal.rejected.code,
                    &refusal.rejected.detail,
                ),
            )?;
        }
        transaction.commit()
    })
}

/// The path that a record of the outbox is about.
fn path_of(record: &[u8]) -> Option<Vec<u8>> {
    paths_of(record)?.1.pop()
}

/// A record's kind and the paths that it is about, that of the file as it is now last.
pub(crate) fn paths_of(record: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        kind: String,
        #[serde(borrow)]
        body: &'a serde_json::value::RawValue,
    }
    let line: Line<'_> = serde_json::from_slice(record).ok()?;
    let change = FileChange::from_record(&line.kind, line.body).ok()?;
    let paths = match change {
        FileChange::Present(file) | FileChange::Created(file) | FileChange::Updated(file) => {
            vec![file.path.into_bytes()]
        }
        FileChange::Moved { from, file } => vec![from.into_bytes(), file.path.into_bytes()],
        FileChange::Deleted { path } => vec![path.into_bytes()],
    };
    Some((line.kind, paths))
}

/// The refusals kept, and how many there are.
pub(crate) fn refusals(database: &Database, limit: u32) -> anyhow::Result<(u64, Vec<Refused>)> {
    let read = |connection: &mut rusqlite::Connection| -> rusqlite::Result<(u64, Vec<Refused>)> {
        let count: i64 = connection.query_row("SELECT count(*) FROM refusal", [], |row| row.get(0))?;
        let mut statement = connection
            .prepare("SELECT path, refused_ms, code, detail FROM refusal ORDER BY refused_ms DESC LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| {
            Ok(Refused {
                path: WirePath::from_bytes(row.get::<_, Vec<u8>>(0)?),
                refused_at: DateTime::from_timestamp_millis(row.get(1)?).unwrap_or_default(),
                code: row.get(2)?,
                detail: row.get(3)?,
            })
        })?;
        Ok((count.unsigned_abs(), rows.collect::<Result<_, _>>()?))
    };
    database
        .with_writer(read)
        .context("could not read what the server refused")
}

/// The refusal of a path, if its newest record was refused.
pub(crate) fn refusal_of(database: &Database, path: &[u8]) -> anyhow::Result<Option<Refused>> {
    let sql = "SELECT refused_ms, code, detail FROM refusal WHERE path = ?1";
    let read = |connection: &mut rusqlite::Connection| {
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Refused {
                path: WirePath::from_bytes(path.to_vec()),
                refused_at: DateTime::from_timestamp_millis(row.get(0)?).unwrap_or_default(),
                code: row.get(1)?,
                detail: row.get(2)?,
            })
        };
        connection.query_row(sql, [path], row).optional()
    };
    database
        .with_writer(read)
        .context("could not read what the server refused")
}

/// The paths that were refused, with the number of the record.
pub(crate) fn refused_paths(database: &Database) -> anyhow::Result<HashMap<Vec<u8>, i64>> {
    let read = |connection: &mut rusqlite::Connection| -> rusqlite::Result<_> {
        let mut statement = connection.prepare("SELECT path, seq FROM refusal")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    database
        .with_writer(read)
        .context("could not read what the server refused")
}

/// Forgets the refusals of these paths, unless they were refused anew since `known` was read.
pub(crate) fn forget(database: &Database, paths: &[Vec<u8>], known: &HashMap<Vec<u8>, i64>) -> anyhow::Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let forget = |connection: &mut rusqlite::Connection| -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        for path in paths {
            if let Some(seq) = known.get(path) {
                transaction.execute("DELETE FROM refusal WHERE path = ?1 AND seq = ?2", (path, seq))?;
            }
        }
        transaction.commit()
    };
    database
        .with_writer(forget)
        .context("could not forget what the server refused")
}

/// Forgets all refusals: everything is told anew.
pub(crate) fn forget_refusals(database: &Database) -> anyhow::Result<()> {
    database
        .with_writer(|connection| connection.execute("DELETE FROM refusal", []))
        .context("could not forget what the server refused")?;
    Ok(())
}
