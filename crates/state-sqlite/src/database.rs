//! One SQLite file, opened the way an agent wants it.
use crate::{Component, OpenError, files, migrate};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// `SHOA`, in the header of every state file.
const APPLICATION_ID: i32 = 0x5348_4f41;

/// How a state file is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Read every page for damage first: about 0.6 s a gigabyte from the page cache.
    pub check: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { check: true }
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
    connection: Mutex<Connection>,
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
            create.create(true).append(true);
            files::private(&mut create);
            create.open(path).map_err(io)?;
        } else {
            // SQLite would open a file that cannot be written as read-only and fail much later, with fewer words.
            fs::OpenOptions::new().read(true).append(true).open(path).map_err(io)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sqlite(path, "open"))?;
        if !is_new {
            identify(&connection, path)?;
        }
        configure(&connection, is_new).map_err(|error| damaged_or(path, "set up", error))?;
        let database = Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                connection: Mutex::new(connection),
            }),
        };
        if options.check && !is_new {
            database.check()?;
        }
        Ok(database)
    }

    /// Opens an existing file for reading only, also while another process writes to it.
    ///
    /// # Errors
    /// [`OpenError::Missing`] where there is none; it is not made.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Err(OpenError::NotAFile { path: path.to_owned() }),
            Ok(metadata) if metadata.len() == 0 => return Err(OpenError::Missing { path: path.to_owned() }),
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
        let connection = open_reader(path)?;
        identify(&connection, path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                connection: Mutex::new(connection),
            }),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Bytes on disk, the write-ahead log included.
    pub fn size(&self) -> u64 {
        let wal = PathBuf::from(format!("{}-wal", self.inner.path.display()));
        [&self.inner.path, &wal]
            .into_iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|m| m.len())
            .sum()
    }

    /// Runs `work` on the connection that writes, one caller at a time. Blocks.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with_writer<T, E>(&self, work: impl FnOnce(&mut Connection) -> Result<T, E>) -> Result<T, E> {
        // A panic in another caller's work rolled its transaction back; the connection itself is sound.
        work(&mut self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection of its own that only reads, and sees what was committed.
    ///
    /// # Errors
    /// When SQLite cannot open the file again.
    pub fn read_connection(&self) -> Result<Connection, OpenError> {
        open_reader(&self.inner.path)
    }

    /// Brings the tables of `components` up to date, all or none.
    ///
    /// # Errors
    /// [`OpenError::TooNew`] when a newer program has written them.
    pub fn migrate(&self, components: &[Component]) -> Result<(), OpenError> {
        self.with_writer(|connection| migrate::run(connection, &self.inner.path, components))
    }

    /// Reads every page for damage.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] with what was found.
    pub fn check(&self) -> Result<(), OpenError> {
        let found: Result<String, _> =
            self.with_writer(|connection| connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)));
        match found {
            Ok(found) if found == "ok" => Ok(()),
            Ok(detail) => Err(OpenError::Corrupt {
                path: self.inner.path.clone(),
                detail,
            }),
            Err(error) => Err(damaged_or(&self.inner.path, "check", error)),
        }
    }
}

fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite(path, "open"))?;
    let set = || {
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.execute_batch("PRAGMA cache_size=-2048; PRAGMA mmap_size=0;")
    };
    set().map_err(sqlite(path, "set up"))?;
    Ok(connection)
}

/// Refuses what is no database, and a database of another program.
fn identify(connection: &Connection, path: &Path) -> Result<(), OpenError> {
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

fn configure(connection: &Connection, is_new: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(30))?;
    if is_new {
        // Both hold only if set before the first page is written.
        connection.execute_batch("PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL;")?;
    }
    // A memory map would count as resident memory of the agent: 130 to 520 MB in trials with a million files.
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; PRAGMA mmap_size=0;
         PRAGMA temp_store=FILE; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=1000;
         PRAGMA journal_size_limit=16777216;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}

fn sqlite(path: &Path, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> OpenError {
    move |source| OpenError::Sqlite {
        path: path.to_owned(),
        doing,
        source,
    }
}

fn damaged_or(path: &Path, doing: &'static str, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path: path.to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Corrupt {
            path: path.to_owned(),
            detail: error.to_string(),
        },
        _ => sqlite(path, doing)(error),
    }
}
