//! Copies of a state that can take its place.
//!
//! A copy is made with `VACUUM INTO` on a connection of its own: it reads one instant of the write-ahead log, so it ends
//! however much is written meanwhile and no writer waits for it, and it reads every table through, so that a damaged page
//! fails the backup instead of going into it. SQLite's backup interface begins anew whenever another connection commits,
//! or holds the writer's own connection between its steps.
use crate::{BackupError, Database, OpenError, OpenOptions, files};
use chrono::{DateTime, NaiveDateTime, Utc};
use rusqlite::{Connection, OpenFlags};
use std::{
    cmp::Reverse,
    fs::{self, File, OpenOptions as FileOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

const PREFIX: &str = "state-";
const SUFFIX: &str = ".db";
const UNFINISHED: &str = ".tmp";
const TIME: &str = "%Y%m%dT%H%M%S%.3fZ";

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// When it was taken, to the millisecond.
    pub taken_at: DateTime<Utc>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The backups of one state, in a directory of their own.
#[derive(Clone, Debug)]
pub struct Backups {
    dir: PathBuf,
    keep: usize,
}

impl Backups {
    /// Backups in `dir`, which is made (0700) with the first; the newest `keep` stay, at least one.
    pub fn new(dir: impl Into<PathBuf>, keep: usize) -> Self {
        Self {
            dir: dir.into(),
            keep: keep.max(1),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes a backup of one instant of the state, checks it, and then removes those beyond the number to keep. Ends
    /// while others write at any rate, and they do not wait for it; blocks for about two seconds a gigabyte.
    ///
    /// # Errors
    /// See [`BackupError`]; the backups that were there stay then.
    pub fn take(&self, database: &Database, now: DateTime<Utc>) -> Result<Backup, BackupError> {
        let at = |path: &Path, doing| {
            let path = path.to_owned();
            move |source| BackupError::File { path, doing, source }
        };
        files::make_private_dir(&self.dir).map_err(at(&self.dir, "make the directory"))?;
        self.sweep()?;
        let taken_at = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or_default();
        let path = self.dir.join(format!("{PREFIX}{}{SUFFIX}", taken_at.format(TIME)));
        let unfinished = with_ending(&path, UNFINISHED);
        let taken = copy(database, &unfinished).and_then(|()| {
            let file = File::open(&unfinished).map_err(at(&unfinished, "read"))?;
            file.sync_all().map_err(at(&unfinished, "write"))?;
            let bytes = file.metadata().map_err(at(&unfinished, "read"))?.len();
            fs::rename(&unfinished, &path).map_err(at(&unfinished, "rename"))?;
            files::sync_dir(&self.dir).map_err(at(&self.dir, "write"))?;
            Ok(Backup { path, taken_at, bytes })
        });
        if taken.is_err() {
            self.sweep()?;
        }
        let taken = taken?;
        for old in self.list()?.into_iter().skip(self.keep) {
            fs::remove_file(&old.path).map_err(at(&old.path, "remove"))?;
        }
        Ok(taken)
    }

    /// The backups there are, the newest first; none where there is no directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Backup>, BackupError> {
        let mut found: Vec<Backup> = self
            .entries()?
            .into_iter()
            .filter_map(|path| backup_at(&path))
            .collect();
        found.sort_by_key(|backup| Reverse(backup.taken_at));
        Ok(found)
    }

    /// The newest backup whose every page is sound. One that is not is passed over, and said so in the log.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn newest_sound(&self) -> Result<Option<Backup>, BackupError> {
        let is_sound = |backup: &Backup| match check(&backup.path) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(backup = %backup.path.display(), error = &error as &dyn std::error::Error, "a backup is not sound");
                false
            }
        };
        Ok(self.list()?.into_iter().find(is_sound))
    }

    /// Every file of the directory.
    fn entries(&self) -> Result<Vec<PathBuf>, BackupError> {
        let read = || match fs::read_dir(&self.dir) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        read().map_err(|source: io::Error| BackupError::File {
            path: self.dir.clone(),
            doing: "read the directory",
            source,
        })
    }

    /// Removes what a backup that never ended left behind.
    fn sweep(&self) -> Result<(), BackupError> {
        let is_left = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(PREFIX) && name.contains(&format!("{SUFFIX}{UNFINISHED}"))
        };
        for path in self.entries()?.iter().filter(|path| is_left(path)) {
            files::remove_if_there(path).map_err(|source| BackupError::File {
                path: path.clone(),
                doing: "remove",
                source,
            })?;
        }
        Ok(())
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The backup of this name, where it is one.
pub(crate) fn backup_at(path: &Path) -> Option<Backup> {
    let name = path.file_name()?.to_str()?;
    let time = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    Some(Backup {
        path: path.to_owned(),
        taken_at: NaiveDateTime::parse_from_str(time, TIME).ok()?.and_utc(),
        bytes: fs::metadata(path).ok()?.len(),
    })
}

/// Copies the state as it is at one instant into a file that only its owner may read, and checks the copy.
fn copy(database: &Database, to: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::Copy {
        path: to.to_owned(),
        source,
    };
    let mut create = FileOptions::new();
    create.write(true).create_new(true);
    files::private(&mut create);
    // SQLite writes into an empty file that is there, and would give one that it makes the mode of the umask.
    create.open(to).map_err(|source| BackupError::File {
        path: to.to_owned(),
        doing: "make",
        source,
    })?;
    let source = database
        .copy_connection()
        .map_err(|error| BackupError::Open(Box::new(error)))?;
    let name = to.to_str().ok_or_else(|| BackupError::File {
        path: to.to_owned(),
        doing: "name to SQLite",
        source: io::Error::new(
            ErrorKind::InvalidInput,
            "the name of the directory of backups is not UTF-8",
        ),
    })?;
    source.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    check(to)
}

/// Whether a backup is a state file, and each of its pages sound. It stays as it is.
pub(crate) fn check(path: &Path) -> Result<(), BackupError> {
    let open = |error: OpenError| BackupError::Open(Box::new(error));
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(crate::database::sqlite(path, "open"))
            .map_err(open)?;
    crate::database::identify(&connection, path).map_err(open)?;
    if crate::database::is_blank(&connection).map_err(|source| BackupError::Copy {
        path: path.to_owned(),
        source,
    })? {
        return Err(BackupError::NotSound {
            detail: "it is empty".to_owned(),
        });
    }
    match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(found) if found == "ok" => Ok(()),
        Ok(detail) => Err(BackupError::NotSound { detail }),
        Err(error) => Err(BackupError::NotSound {
            detail: error.to_string(),
        }),
    }
}

/// Opens what was just copied, for what is to be changed in it before it takes the place of a state.
pub(crate) fn open_copy(path: &Path) -> Result<Database, OpenError> {
    Database::open(path, OpenOptions::default())
}
