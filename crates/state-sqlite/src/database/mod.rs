//! One SQLite file, opened the way an agent wants it.
mod check;
mod reader;
mod tidy;

pub use check::Deep;

use crate::{
    Component, OpenError, files,
    files::{LOG, beside},
    migrate,
    outbox::Shared,
};
use check::quick_check;
use reader::{Access, open_reader};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// `SHOA`, in the header of every state file.
const APPLICATION_ID: i32 = 0x5348_4f41;

/// How long a connection waits for one of another process that is writing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reader holds so much less in memory than the connection that writes.
const READERS_PART: u32 = 4;

/// How a state file is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Read every page for damage first: about 0.6 s a gigabyte from the page cache.
    pub check: bool,
    /// How much of the file is held in memory by the connection that writes, in KiB; by each reader, a quarter of it.
    pub cache_kib: u32,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            check: true,
            cache_kib: 8192,
        }
    }
}

/// A state file. One connection writes, whoever asks; readers have their own and see what was committed. Clones are the
/// same file.
///
/// Commits survive power loss (`synchronous=FULL`): what was taken into the outbox is never taken back.
#[derive(Clone, Debug)]
pub struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    is_read_only: bool,
    cache_kib: u32,
    connection: Mutex<Connection>,
    shared: Shared,
}

impl Database {
    /// Opens the file for reading and writing, and makes it (0600, in directories of 0700) if it is not there.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed then.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        let io = |source: io::Error| OpenError::Open {
            path: path.to_owned(),
            source,
        };
        let is_new = match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Err(OpenError::NotAFile { path: path.to_owned() }),
            Ok(metadata) => metadata.len() == 0,
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(io(error)),
        };
        if is_new {
            let parent = path.parent().unwrap_or(Path::new(""));
            files::make_private_dir(parent).map_err(|source| OpenError::Directory {
                path: parent.to_owned(),
                source,
            })?;
            let mut create = fs::OpenOptions::new();
            create.create_new(true).write(true);
            files::private(&mut create);
            match create.open(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(io(error)),
                // What is committed to it must not vanish with its name.
                _ => files::sync_dir(parent).map_err(io)?,
            }
        }
        // A file that is there is opened by SQLite alone: closing any other descriptor of it would drop the locks of this
        // process, and another process could then remove the log under it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|error| why_not(path).map_or_else(|| sqlite(path, "open")(error), io))?;
        // A file that turns out to be damaged is to be moved aside as it is, with its log.
        let keep_log = |yes| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, yes);
        keep_log(true).map_err(sqlite(path, "open"))?;
        // SQLite opens a file that cannot be written as read-only and would fail much later, with fewer words.
        if connection.is_readonly("main").map_err(sqlite(path, "open"))? {
            return Err(io(why_not(path).unwrap_or(ErrorKind::PermissionDenied.into())));
        }
        if !is_new {
            identify(&connection, path)?;
        }
        configure(&connection, is_new, options.cache_kib).map_err(|error| damaged_or(path, "set up", error))?;
        if options.check && !is_new {
            quick_check(&connection, path)?;
        }
        keep_log(false).map_err(sqlite(path, "open"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                is_read_only: false,
                cache_kib: options.cache_kib,
                connection: Mutex::new(connection),
                shared: Shared::new(path),
            }),
        })
    }

    /// Opens an existing file for reading only, also while another process writes to it. The file stays as it is. Where
    /// nobody has it open, SQLite's log and its index stand beside it for as long as it is read, and go with the last
    /// reader.
    ///
    /// # Errors
    /// [`OpenError::Missing`] where there is none; it is not made. One without a byte is damaged.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Err(OpenError::NotAFile { path: path.to_owned() }),
            Ok(metadata) if metadata.len() == 0 => {
                return Err(OpenError::Corrupt {
                    path: path.to_owned(),
                    detail: "it is empty".to_owned(),
                });
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(OpenError::Missing { path: path.to_owned() });
            }
            Err(source) => {
                return Err(OpenError::Open {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        let connection = open_reader(path, Access::Look, OpenOptions::default().cache_kib / READERS_PART)?;
        identify(&connection, path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                is_read_only: true,
                cache_kib: OpenOptions::default().cache_kib,
                connection: Mutex::new(connection),
                shared: Shared::new(path),
            }),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Bytes on disk, the write-ahead log included.
    pub fn size(&self) -> u64 {
        [&self.inner.path, &beside(&self.inner.path, LOG)]
            .into_iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|m| m.len())
            .sum()
    }

    /// Asks `stop` whoever waits for room in a full outbox: once it says yes, waiting ends with
    /// [`StateError::OutboxFull`](crate::StateError::OutboxFull) within a tenth of a second. For all clones.
    pub fn stop_when(&self, stop: impl Fn() -> bool + Send + Sync + 'static) {
        self.inner.shared.set_stop(Box::new(stop));
        self.inner.shared.wake();
    }

    /// Whether the disk had no room for the last change of the outbox or the file tables that wanted some.
    pub fn is_disk_short(&self) -> bool {
        self.inner.shared.is_short()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.inner.is_read_only
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Runs `work` on the connection that writes, one caller at a time. Blocks. A transaction that `work` leaves open is
    /// rolled back. Of a state that is only read, this is the connection that reads.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with_writer<T, E>(&self, work: impl FnOnce(&mut Connection) -> Result<T, E>) -> Result<T, E> {
        // After a panic in another caller's work the connection itself is sound; what it left open is not ours.
        let mut connection = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
        roll_back(&connection);
        let done = work(&mut connection);
        roll_back(&connection);
        done
    }

    fn reader(&self, access: Access) -> Result<Connection, OpenError> {
        open_reader(&self.inner.path, access, self.inner.cache_kib / READERS_PART)
    }

    /// A connection of its own that only reads, and sees what was committed.
    ///
    /// # Errors
    /// When SQLite cannot open the file again.
    pub fn read_connection(&self) -> Result<Connection, OpenError> {
        self.reader(Access::Look)
    }

    /// The same, with temporary tables of its own that can be written.
    pub(crate) fn scratch_connection(&self) -> Result<Connection, OpenError> {
        self.reader(Access::Scratch)
    }

    /// The same for copying the file, which a connection that may only query is not allowed to.
    pub(crate) fn copy_connection(&self) -> Result<Connection, OpenError> {
        self.reader(Access::Scratch)
    }

    /// Whether the file has tables of an older version of any of `components`.
    pub(crate) fn is_older(&self, components: &[Component]) -> Result<bool, OpenError> {
        self.with_writer(|connection| migrate::is_older(connection, &self.inner.path, components))
    }

    /// Brings the tables of `components` up to date, all or none. Of a state that is only read, it looks whether they are.
    ///
    /// # Errors
    /// [`OpenError::TooNew`] when a newer program has written them; [`OpenError::Outdated`] when an older one has, and
    /// they are only to be read.
    pub fn migrate(&self, components: &[Component]) -> Result<(), OpenError> {
        self.with_writer(|connection| {
            if self.inner.is_read_only {
                migrate::verify(connection, &self.inner.path, components)
            } else {
                migrate::run(connection, &self.inner.path, components)
            }
        })
    }

    /// Looks whether the tables of `components` are up to date, and changes nothing.
    pub(crate) fn verify(&self, components: &[Component]) -> Result<(), OpenError> {
        self.with_writer(|connection| migrate::verify(connection, &self.inner.path, components))
    }
}

/// What the system says to opening a file for reading and writing. Only for files that SQLite could not open so.
fn why_not(path: &Path) -> Option<io::Error> {
    fs::OpenOptions::new().read(true).append(true).open(path).err()
}

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "could not roll back what was left open in the state file");
    }
}

/// Refuses what is no database, and a database of another program.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let ask = || -> rusqlite::Result<(i32, i64)> {
        let id = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((id, tables))
    };
    match ask().map_err(|error| damaged_or(path, "read", error))? {
        (APPLICATION_ID, _) | (0, 0) => Ok(()),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

fn configure(connection: &Connection, is_new: bool, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    if is_new {
        // Both hold only if set before the first page is written.
        connection.execute_batch("PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL;")?;
    }
    // A log of 256 pages is 2 MiB, which a disk that runs full can spare; with 1000, the directories and records of a
    // million files were stored in the same time (0.64 to 0.71 s on an idle machine, either way).
    // A memory map would count as resident memory of the agent: 130 to 520 MB in trials with a million files.
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=0;
         PRAGMA temp_store=FILE; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=256;
         PRAGMA journal_size_limit=16777216;",
    )?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Setting it, even to what it is, writes a page and waits for whoever is writing.
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}

pub(crate) fn sqlite(path: &Path, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> OpenError {
    move |source| OpenError::Sqlite {
        path: path.to_owned(),
        doing,
        source,
    }
}

/// What an error in reading a file that is there says about the file.
pub(crate) fn damaged_or(path: &Path, doing: &'static str, error: rusqlite::Error) -> OpenError {
    let corrupt = |error: rusqlite::Error| OpenError::Corrupt {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    match &error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::NotADatabase => OpenError::NotADatabase { path: path.to_owned() },
            ErrorCode::DatabaseCorrupt => corrupt(error),
            // Our own statements do not fit the tables: a flipped bit in a name of the schema, or in a version.
            ErrorCode::Unknown if failure.extended_code == 1 => corrupt(error),
            _ => sqlite(path, doing)(error),
        },
        // A value that is not of the type that was written.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => corrupt(error),
        _ => sqlite(path, doing)(error),
    }
}

/// Whether the file has a table of this name.
pub(crate) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    connection.query_row(sql, [name], |row| row.get(0))
}

/// Whether the file was never set up.
pub(crate) fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA application_id", [], |row| {
        Ok(row.get::<_, i32>(0)? != APPLICATION_ID)
    })
}
