//! Looking for damage.
use super::{Database, damaged_or, has_table};
use crate::{OpenError, StateError, outbox, tree};
use rusqlite::Connection;
use std::path::Path;

/// What a deep check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deep {
    /// Directories that were read.
    pub directories: u64,
    /// Those of them that are not as they were written.
    pub damaged_directories: u64,
    /// Runs in the outbox that were read.
    pub runs: u64,
    /// Those of them that are not as they were written.
    pub damaged_runs: u64,
}

impl Deep {
    /// Whether nothing is damaged.
    pub const fn is_sound(&self) -> bool {
        self.damaged_directories == 0 && self.damaged_runs == 0
    }
}

impl Database {
    /// Reads every page for damage.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] with what was found.
    pub fn check(&self) -> Result<(), OpenError> {
        self.with_writer(|connection| quick_check(connection, self.path()))
    }

    /// Reads every directory and every run and holds each against its checksum, which finds what [`check`](Self::check)
    /// cannot: a flipped bit within a value. Reads on a connection of its own, about a second a gigabyte from the page
    /// cache, and changes nothing.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn check_deep(&self) -> Result<Deep, StateError> {
        let connection = self.reading()?;
        let has = |table| has_table(&connection, table).map_err(StateError::doing("look for a table"));
        let mut deep = Deep::default();
        if has("dir_blob")? {
            (deep.directories, deep.damaged_directories) =
                tree::count_damaged(&connection).map_err(StateError::doing("check the directories"))?;
        }
        if has("outbox")? {
            (deep.runs, deep.damaged_runs) =
                outbox::count_damaged(&connection).map_err(StateError::doing("check the outbox"))?;
        }
        Ok(deep)
    }

    /// A connection that only reads, with the error of the work that it is for.
    pub(crate) fn reading(&self) -> Result<Connection, StateError> {
        self.read_connection().map_err(|error| match error {
            OpenError::Sqlite { source, .. } => StateError::Sqlite {
                doing: "open the state again",
                source,
            },
            other => StateError::Invalid(other.to_string()),
        })
    }
}

pub(super) fn quick_check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(OpenError::Corrupt {
            path: path.to_owned(),
            // It begins with a line that names the database, which the path does better.
            detail: found
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with("***"))
                .collect::<Vec<_>>()
                .join("; "),
        }),
        Err(error) => Err(damaged_or(path, "check", error)),
    }
}
