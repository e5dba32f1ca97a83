//! Opening the store: as it was left, or whatever became of it; and what has to be done when it went back in time.
use super::{
    COMPONENT, Readers, SqliteStore, Writer,
    mark::{Mark, Told},
    registry, sessions, stream,
    writes::Writes,
};
use crate::Statistics;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, TransactionBehavior};
use state_sqlite::{Backups, Database, OpenOptions, Story};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Statements that a connection keeps prepared; there are fewer than this.
const STATEMENTS: usize = 192;
/// Page cache of the connection that writes, in KiB: paths arrive in any order, so it should hold much of the file
/// table's inner pages.
const WRITER_CACHE_KIB: i64 = 65_536;
/// Pages of 8 KiB in the write-ahead log before they go into the file: a page that many batches touch is then written
/// there once for all of them.
const CHECKPOINT_PAGES: u32 = 8_000;

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be opened, or belongs to something else.
    #[error(transparent)]
    Database(#[from] state_sqlite::OpenError),
    /// A connection could not be set up.
    #[error("could not set up a connection to the store")]
    Connection(#[from] rusqlite::Error),
    /// The thread that writes could not be started.
    #[error("could not start the thread that writes to the store")]
    Thread(#[source] io::Error),
}

/// The store was not looked after; what is in it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// No backup was taken.
    #[error(transparent)]
    Backup(state_sqlite::BackupError),
    /// No room was given back.
    #[error(transparent)]
    Tidy(state_sqlite::StateError),
    /// It met a bug.
    #[error("looking after the store met a bug")]
    Panicked,
}

/// How the store works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// How many may read at the same time, at least one.
    pub readers: usize,
    /// Whether to read every page for damage as it opens: about 0.6 s a gigabyte.
    pub check: bool,
    /// So many changes of each agent are kept for people to look at; the oldest go first.
    pub kept_changes: u32,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            readers: 4,
            check: true,
            kept_changes: 100_000,
        }
    }
}

/// How a store came to be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What was found.
    pub story: Story,
    /// Agents that are asked for a full snapshot because of it: their next records are answered by
    /// [`IngestRefusal::SnapshotWanted`](crate::IngestRefusal::SnapshotWanted).
    pub agents_asked: u64,
}

impl SqliteStore {
    /// Opens the file, makes it if there is none, and brings its schema up to date. A store that went back in time asks
    /// every agent for a snapshot.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, belongs to a later version, or cannot be brought up to date.
    pub fn open(path: &Path, settings: StoreSettings) -> Result<Self, OpenError> {
        // A file that is not there yet cannot have gone back, whatever lies beside it.
        let story = if path.exists() { Story::Sound } else { Story::New };
        let database = Database::open(
            path,
            OpenOptions {
                check: settings.check,
                ..OpenOptions::default()
            },
        )?;
        database.migrate(&[COMPONENT])?;
        let (store, _) = Self::over(database, settings, story, Utc::now())?;
        Ok(store)
    }

    /// Opens the file whatever became of it. A damaged one is moved aside, and the newest sound one of `backups` takes
    /// its place, or else an empty store; one of an older version is backed up before it is brought up to date.
    ///
    /// A store that went back in time (a backup was restored, by this or by hand; the write-ahead log was lost) lacks
    /// records that agents were told are taken, so every agent is asked for a full snapshot. What operators did since is
    /// lost: who was revoked then has to be revoked again, and who joined then has to join again.
    ///
    /// # Errors
    /// When the file belongs to another program or a later version, or the system refuses.
    pub fn open_or_recover(
        path: &Path,
        settings: StoreSettings,
        backups: &Backups,
        now: DateTime<Utc>,
    ) -> Result<(Self, Opened), OpenError> {
        let (database, story) = state_sqlite::open_or_recover(path, backups, &[COMPONENT], now)?;
        Self::over(database, settings, story, now)
    }

    /// Puts `backup` in the place of the store at `path`, for an operator; says where the present one lies then. The
    /// next start asks every agent for a full snapshot. Whoever calls it holds the
    /// [`RunLock`](state_sqlite::RunLock) of the store.
    ///
    /// # Errors
    /// When the backup is not sound or the system refuses; the store stays in its place then.
    pub fn restore(path: &Path, backup: &Path, now: DateTime<Utc>) -> Result<PathBuf, OpenError> {
        Mark::beside(path).remove().map_err(|(path, source)| {
            OpenError::Database(state_sqlite::OpenError::File {
                path,
                doing: "remove",
                source,
            })
        })?;
        Ok(state_sqlite::restore_from(path, backup, now)?)
    }

    /// The fleet in figures, of a store that may be in use; nothing is changed. For a doctor.
    ///
    /// # Errors
    /// When there is no store, it cannot be read, or it is of another version.
    pub fn statistics_of(path: &Path, now: DateTime<Utc>, offline_after: Duration) -> Result<Statistics, OpenError> {
        let database = Database::open_read_only(path)?;
        database.migrate(&[COMPONENT])?;
        Ok(database.with_writer(|connection| registry::statistics(connection, now, offline_after))?)
    }

    fn over(
        database: Database,
        settings: StoreSettings,
        story: Story,
        now: DateTime<Utc>,
    ) -> Result<(Self, Opened), OpenError> {
        let mut mark = Mark::beside(database.path());
        let opened = settle(&database, &mut mark, story, now)?;
        let readers = (0..settings.readers.max(1))
            .map(|_| {
                let connection = database.read_connection()?;
                connection.set_prepared_statement_cache_capacity(STATEMENTS);
                Ok(connection)
            })
            .collect::<Result<Vec<_>, OpenError>>()?;
        database.with_writer(|connection| {
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            sessions::end_all(connection, now)?;
            connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
        })?;
        let writes = Writes::default();
        let writer = Writer::start(database.clone(), mark, writes.clone()).map_err(OpenError::Thread)?;
        let store = Self {
            writer: Arc::new(writer),
            readers: Arc::new(Readers::new(readers)),
            writes,
            database,
            kept_changes: settings.kept_changes,
        };
        Ok((store, opened))
    }
}

/// Finds out whether the store went back in time, and closes the streams of all agents then. The same transaction puts
/// the store ahead of the mark: whatever cuts this off, the next start sees it again or finds it done.
fn settle(database: &Database, mark: &mut Mark, story: Story, now: DateTime<Utc>) -> rusqlite::Result<Opened> {
    let told = match story {
        // It knows no stream, whatever lies beside it.
        Story::New | Story::Rebuilt { .. } => Told::Nothing,
        _ => mark.read(),
    };
    database.with_writer(|connection| {
        let commits = commits(connection)?;
        let behind = match told {
            Told::Commits(told) if told > commits => {
                Some(format!("it stands at commit {commits}, and {told} were made already"))
            }
            Told::Absent if commits > 0 => Some("it was brought here from elsewhere, without its mark".to_owned()),
            _ => None,
        };
        let story = match (story, behind) {
            (Story::Sound, Some(why)) => Story::RolledBack { why },
            (story, _) => story,
        };
        if !matches!(story, Story::Restored { .. } | Story::RolledBack { .. }) {
            mark.write(commits);
            return Ok(Opened { story, agents_asked: 0 });
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let agents_asked = stream::close_all(&transaction, now)?;
        let ahead = match told {
            Told::Commits(told) => told.max(commits),
            Told::Absent | Told::Nothing => commits,
        };
        let ahead = ahead.saturating_add(1);
        transaction.execute("UPDATE progress SET commits = ?1 WHERE id = 1", [ahead.cast_signed()])?;
        transaction.commit()?;
        mark.write(ahead);
        Ok(Opened { story, agents_asked })
    })
}

fn commits(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT commits FROM progress WHERE id = 1", [], |row| {
        row.get(0).map(i64::unsigned_abs)
    })
}
