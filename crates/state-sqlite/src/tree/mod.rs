//! What is remembered of file systems between scans.
//!
//! A directory is two rows: a small one with its name and digest, and one with its blobs. A scan loads all the small
//! ones at its start and reads a blob only where a digest differs. `cargo bench -p state-sqlite` compares that with one
//! row for both; 50,000 directories of 1.4 KB, inserted in batches of 2,500, on two busy cores with all pages in the
//! cache of the system:
//!
//! | | two tables | one table, blobs last |
//! | --- | --- | --- |
//! | load all digests | 26 ms | 42 ms |
//! | insert all | 0.54 s | 0.68 s |
//! | read one directory | 6.2 µs | 5.9 µs |
//! | size | 80 MB | 78 MB |
//!
//! The one table is read whole for its digests, since a blob of this length lies in the same page as its row. What that
//! costs when the pages come from a disk was not measured.
mod commit;
mod mend;
mod read;
mod row;
mod schema;

pub(crate) use mend::{count_damaged, mend};
pub use read::SqliteTreeReader;
pub(crate) use schema::COMPONENT;

use crate::{
    Database, OpenError, StateError, journal,
    outbox::{Packed, change},
};
use chrono::{DateTime, Utc};
use core_model::{Batch, DirId, KnownDir, KnownRoot, KnownTree, RootId, Run, Side, StoredDir, Undecided};
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::sync::{Mutex, PoisonError};

/// Where the records of a commit go, in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Into the outbox, for a server.
    pub outbox: bool,
    /// Into the [`Journal`](crate::Journal), for whoever asks on this machine.
    pub journal: bool,
}

impl Default for Targets {
    /// The outbox only.
    fn default() -> Self {
        Self {
            outbox: true,
            journal: false,
        }
    }
}

/// The file tables of a state file. One scan at a time owns them (see [`RunLock`](crate::RunLock)).
pub struct SqliteTree {
    database: Database,
    key: [u8; 32],
    targets: Targets,
    /// Where a look keeps what it must not store.
    overlay: Option<Mutex<Connection>>,
}

impl SqliteTree {
    /// The file tables, made if they are not there, together with the outbox that commits put records into.
    ///
    /// # Errors
    /// When the file's tables are newer than this program, or SQLite fails.
    pub fn open(database: &Database) -> Result<Self, OpenError> {
        database.migrate(&[COMPONENT])?;
        crate::Outbox::open(database)?;
        let failed = |source| OpenError::Sqlite {
            path: database.path().to_owned(),
            doing: "read",
            source,
        };
        let read = || database.with_writer(|connection| read::key(connection)).map_err(failed);
        let key = if let Some(key) = read()? {
            key
        } else {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|source| OpenError::Random {
                path: database.path().to_owned(),
                source,
            })?;
            let insert = "INSERT OR IGNORE INTO tree_meta (id, key) VALUES (1, ?1)";
            database
                .with_writer(|connection| connection.execute(insert, [key.as_slice()]))
                .map_err(failed)?;
            // Read again: another process may have been quicker.
            read()?.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))?
        };
        Ok(Self {
            database: database.clone(),
            key,
            targets: Targets::default(),
            overlay: None,
        })
    }

    /// The same tables for a look at what would change: commits keep undecided entries in a temporary table of their
    /// own and drop all else, so that the file stays as it is. Works on a file that is only read.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when no scan has made the tables yet; [`OpenError::Outdated`] when an older program has.
    pub fn overlay(database: &Database) -> Result<Self, OpenError> {
        let path = || database.path().to_owned();
        let failed = |source| OpenError::Sqlite {
            path: path(),
            doing: "read",
            source,
        };
        let connection = database.scratch_connection()?;
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'tree_meta'";
        if !connection
            .query_row(tables, [], |row| row.get::<_, bool>(0))
            .map_err(failed)?
        {
            return Err(OpenError::Missing { path: path() });
        }
        database.verify(&[COMPONENT])?;
        let key = read::key(&connection)
            .map_err(failed)?
            .ok_or_else(|| OpenError::Missing { path: path() })?;
        // A table in `temp` hides the one of the same name in the file, so every statement below finds it.
        let copy = format!(
            "{}; INSERT INTO temp.undecided SELECT * FROM main.undecided;",
            schema::UNDECIDED
                .replace("CREATE TABLE ", "CREATE TEMP TABLE ")
                .replace("INDEX undecided_by_identity", "INDEX temp.undecided_by_identity")
        );
        connection.execute_batch(&copy).map_err(failed)?;
        Ok(Self {
            database: database.clone(),
            key,
            targets: Targets::default(),
            overlay: Some(Mutex::new(connection)),
        })
    }

    /// Says where the records of later commits go.
    ///
    /// # Errors
    /// When the journal is wanted and its tables are newer than this program, or SQLite fails.
    pub fn set_targets(&mut self, targets: Targets) -> Result<(), OpenError> {
        if targets.journal {
            self.database.migrate(&[journal::COMPONENT])?;
        }
        self.targets = targets;
        Ok(())
    }

    /// Calls `each` for every directory with its blobs, by number: for queries and exports. Blobs are read one at a
    /// time.
    ///
    /// # Errors
    /// When SQLite fails, or when `each` does.
    pub fn for_each_directory<E: From<StateError>>(
        &self,
        each: &mut dyn FnMut(KnownDir<'_>, StoredDir) -> Result<(), E>,
    ) -> Result<(), E> {
        read::with_blobs(&self.database, &self.database.reading()?, each)
    }

    /// How many entries of each root and side are undecided.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn undecided_counts(&self) -> Result<Vec<(RootId, Side, u64)>, StateError> {
        self.with(read::undecided_counts)
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StateError> {
        let done = match &self.overlay {
            Some(connection) => work(&connection.lock().unwrap_or_else(PoisonError::into_inner)),
            None => self.database.with_writer(|connection| work(connection)),
        };
        done.map_err(StateError::doing("read the file tables"))
    }
}

impl KnownTree for SqliteTree {
    type Error = StateError;
    type Reader = SqliteTreeReader;

    fn key(&self) -> [u8; 32] {
        self.key
    }

    fn reader(&self) -> Result<SqliteTreeReader, StateError> {
        let connection = self.database.reading()?;
        Ok(SqliteTreeReader::new(self.database.clone(), connection))
    }

    fn roots(&self) -> Result<Vec<KnownRoot>, StateError> {
        self.with(read::roots)
    }

    fn directories(&self, each: &mut dyn FnMut(KnownDir<'_>)) -> Result<(), StateError> {
        read::directories(&self.database.reading()?, each).map_err(StateError::doing("read the directories"))
    }

    fn undecided_at(&self, path: &[u8]) -> Result<Option<Undecided>, StateError> {
        self.with(|connection| read::undecided_at(connection, path))
    }

    fn undecided_after(&self, after: Option<&Undecided>, limit: usize) -> Result<Vec<Undecided>, StateError> {
        self.with(|connection| read::undecided_after(connection, after, limit))
    }

    fn commit(&mut self, batch: Batch, bodies: Vec<Run>, now: DateTime<Utc>) -> Result<(), StateError> {
        match &mut self.overlay {
            None => {
                let packed = change::pack(&bodies)?;
                let owed: &[Packed] = if self.targets.outbox { &packed } else { &[] };
                let kept: &[Packed] = if self.targets.journal { &packed } else { &[] };
                let work = |transaction: &Transaction<'_>, _: &mut _| {
                    commit::all(transaction, &batch)?;
                    journal::keep(transaction, kept, now).map_err(StateError::doing(commit::DOING))
                };
                change::add(&self.database, commit::DOING, owed, None, now, work).map(|((), _)| ())
            }
            Some(connection) => {
                commit::undecided_only(connection.get_mut().unwrap_or_else(PoisonError::into_inner), &batch)
                    .map_err(StateError::doing("keep what the look found"))
            }
        }
    }
}

/// Finds the number of a directory by its name in another; for single look-ups, since no index serves it.
///
/// # Errors
/// When SQLite fails.
pub fn find_dir(
    connection: &Connection,
    root: RootId,
    parent: Option<DirId>,
    name: &[u8],
) -> Result<Option<DirId>, StateError> {
    let sql = "SELECT id FROM dir WHERE root = ?1 AND parent IS ?2 AND name = ?3";
    connection
        .query_row(sql, (root.0, parent.map(|id| id.0.cast_signed()), name), |row| {
            row.get::<_, i64>(0)
        })
        .optional()
        .map(|id| id.map(|id| DirId(id.cast_unsigned())))
        .map_err(StateError::doing("look for a directory"))
}
