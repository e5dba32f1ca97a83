//! The changes that scans found, kept on this machine for whoever asks what happened since.
use crate::{
    Component, Database, OpenError, StateError,
    outbox::{Packed, Stored},
};
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use std::ops::ControlFlow;

pub(crate) const COMPONENT: Component = Component {
    name: "journal",
    migrations: &["CREATE TABLE journal (
         id INTEGER PRIMARY KEY,
         at_ms INTEGER NOT NULL,
         records INTEGER NOT NULL,
         codec INTEGER NOT NULL,
         crc INTEGER NOT NULL,
         body BLOB NOT NULL
     ) STRICT;
     CREATE INDEX journal_by_time ON journal (at_ms);"],
};

const INSERT: &str = "INSERT INTO journal (id, records, at_ms, codec, crc, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// What is called with the time and the body of a run.
type Each<'a> = dyn FnMut(DateTime<Utc>, &[u8]) -> ControlFlow<()> + 'a;

/// The journal of a state: bodies of records with the time of their commit, as
/// [`SqliteTree::set_targets`](crate::SqliteTree::set_targets) has them kept.
#[derive(Clone, Debug)]
pub struct Journal {
    database: Database,
    /// A state that is only read, and was never asked to keep one.
    is_missing: bool,
}

impl Journal {
    /// The journal of a state. Of a state that is only read and has none, it is empty.
    ///
    /// # Errors
    /// When its tables are newer than this program, or SQLite fails.
    pub fn open(database: &Database) -> Result<Self, OpenError> {
        let has_table = || {
            database
                .with_writer(|connection| crate::database::has_table(connection, "journal"))
                .map_err(crate::database::sqlite(database.path(), "read"))
        };
        let is_missing = database.is_read_only() && !has_table()?;
        if !is_missing {
            database.migrate(&[COMPONENT])?;
        }
        Ok(Self {
            database: database.clone(),
            is_missing,
        })
    }

    /// Calls `each` with the time and the body of every commit's runs from `at` on, the earliest first, until it breaks.
    /// Says how many runs were left out because they are damaged on disk.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn since(&self, at: DateTime<Utc>, each: &mut Each<'_>) -> Result<u64, StateError> {
        if self.is_missing {
            return Ok(0);
        }
        let failed = || StateError::doing("read the journal");
        let connection = self.database.reading()?;
        let mut statement = connection
            .prepare("SELECT id, records, at_ms, codec, crc, body FROM journal WHERE at_ms >= ?1 ORDER BY at_ms, id")
            .map_err(failed())?;
        let mut rows = statement.query([at.timestamp_millis()]).map_err(failed())?;
        let mut damaged = 0;
        while let Some(row) = rows.next().map_err(failed())? {
            let stored = Stored::read(row).map_err(failed())?;
            match stored.body() {
                Some(body) => {
                    if each(stored.at(), &body).is_break() {
                        break;
                    }
                }
                None => damaged += 1,
            }
        }
        Ok(damaged)
    }

    /// Forgets what is older than `older_than`, and the oldest of what is more than `max_bytes` of bodies as they are
    /// stored. Says how many runs that were.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn trim(&self, older_than: DateTime<Utc>, max_bytes: u64) -> Result<u64, StateError> {
        if self.is_missing {
            return Ok(0);
        }
        let done = self.database.with_writer(|connection| -> rusqlite::Result<usize> {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let old = transaction.execute("DELETE FROM journal WHERE at_ms < ?1", [older_than.timestamp_millis()])?;
            let over = match last_over(&transaction, max_bytes)? {
                Some(last) => transaction.execute("DELETE FROM journal WHERE id <= ?1", [last])?,
                None => 0,
            };
            transaction.commit()?;
            Ok(old + over)
        });
        done.map(|gone| gone as u64)
            .map_err(|error| StateError::doing("trim the journal")(error).with_path(self.database.path()))
    }
}

/// The newest run that is one too many.
fn last_over(connection: &Connection, max_bytes: u64) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare("SELECT id, length(body) FROM journal ORDER BY id DESC")?;
    let mut rows = statement.query([])?;
    let mut bytes = 0_u64;
    while let Some(row) = rows.next()? {
        bytes = bytes.saturating_add(row.get::<_, i64>(1)?.unsigned_abs());
        if bytes > max_bytes {
            return row.get(0).map(Some);
        }
    }
    Ok(None)
}

/// Puts runs into the journal, within a transaction of the caller's.
pub(crate) fn keep(connection: &Connection, runs: &[Packed], now: DateTime<Utc>) -> rusqlite::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let last: i64 = connection
        .prepare_cached("SELECT coalesce(max(id), 0) FROM journal")?
        .query_row([], |row| row.get(0))?;
    for (number, run) in (last.unsigned_abs() + 1..).zip(runs) {
        run.insert(connection, INSERT, number, now)?;
    }
    Ok(())
}
