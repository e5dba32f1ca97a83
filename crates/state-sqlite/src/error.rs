//! What can go wrong with a state file.
use rusqlite::ErrorCode;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a state file could not be opened. Each says which file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory of the file could not be made.
    #[error("could not make the directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path names something that is no file.
    #[error("`{}` is not a file: name a file for the state", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// There is no such file, and it was not to be made.
    #[error("there is no state at `{}` yet", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("could not open the state file `{}`{}", path.display(), closed_to_us(source.kind() == io::ErrorKind::PermissionDenied))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("could not {doing} the state file `{}`{}", path.display(), closed_to_us(cannot_open(source)))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file is something else.
    #[error("`{}` is no state file: it holds something other than an SQLite database; move it away", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("`{}` is a database of another program: name another file for the state", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "the state file `{}` is damaged: {detail}",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// The system gave no random bits for a new stream or key.
    #[error("the system gave no random bits for the state file `{}`", path.display())]
    Random {
        /// The file.
        path: PathBuf,
        /// Why.
        source: getrandom::Error,
    },
    /// A file beside the state could not be moved, copied or removed.
    #[error("could not {doing} `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No backup could be taken before the file was to be brought up to date, so it was left as it is.
    #[error(
        "the state file `{}` is of an older version, and no backup of it could be taken before changing it",
        path.display()
    )]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<BackupError>,
    },
    /// A backup, or the directory of them, cannot be used.
    #[error("the backup `{}` cannot be used", path.display())]
    Backup {
        /// The backup or the directory.
        path: PathBuf,
        /// Why.
        source: Box<BackupError>,
    },
    /// The file was written by a newer version.
    #[error(
        "the state file `{}` has version {found} of `{component}`, and this program knows up to {known}: use the newer \
         program, or another file",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The part of the schema.
        component: String,
        /// Its version in the file.
        found: usize,
        /// The newest that this program knows.
        known: usize,
    },
    /// The file was written by an older version and is only to be read.
    #[error(
        "the state file `{}` has version {found} of `{component}`, and this program needs {known}: start the agent once, \
         which brings it up to date",
        path.display()
    )]
    Outdated {
        /// The file.
        path: PathBuf,
        /// The part of the schema.
        component: String,
        /// Its version in the file; 0 where it has none.
        found: usize,
        /// The version that this program needs.
        known: usize,
    },
}

/// SQLite says no more than that it could not open the file: mostly whoever asks has no right to it.
fn cannot_open(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
    )
}

/// The remedy where it is one.
const fn closed_to_us(is_closed: bool) -> &'static str {
    if is_closed {
        "; if this user has no right to it, run this as the user of the service, or as root"
    } else {
        ""
    }
}

impl OpenError {
    /// Whether it says that the file is damaged, rather than wrong, locked, forbidden or too new.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::NotADatabase { .. } => true,
            Self::Sqlite { source, .. } => is_damage(source),
            // Copying reads every table through, and so finds what the check before did not.
            Self::NoBackup { source, .. } => match &**source {
                BackupError::Copy { source, .. } => is_damage(source),
                BackupError::NotSound { .. } => true,
                BackupError::Open(error) => error.is_damage(),
                BackupError::File { .. } => false,
            },
            _ => false,
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Why a backup could not be taken, listed or used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory of the backups, or a file in it, could not be made, read, moved or removed.
    #[error("could not {doing} `{}`", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// SQLite could not copy the state.
    #[error("could not copy the state to `{}`", path.display())]
    Copy {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The state could not be opened for copying.
    #[error("could not open the state for a backup")]
    Open(#[source] Box<OpenError>),
    /// What was copied is damaged; it was thrown away.
    #[error("the copy of the state is not sound ({detail}): check the state and the disk")]
    NotSound {
        /// What the check found.
        detail: String,
    },
}

/// What failed while the state was in use.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk is full.
    #[error(
        "could not {doing}: the disk of `{}` is full, and nothing of it was stored; free some space there",
        path.display()
    )]
    DiskFull {
        /// What was being done.
        doing: &'static str,
        /// The state file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The outbox is full, and who waited for room was told to stop. Nothing of it was stored.
    #[error("the outbox is full: {waiting} bytes wait for the server, and it may hold {max}; nothing more was stored")]
    OutboxFull {
        /// Bytes that wait.
        waiting: u64,
        /// The bound.
        max: u64,
    },
    /// The system gave no random bits for a new stream.
    #[error("the system gave no random bits for a new stream")]
    Random(#[source] getrandom::Error),
    /// SQLite failed.
    #[error("could not {doing}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// What was to be stored is against the contract; nothing of it was stored.
    #[error("refused to store {0}")]
    Refused(&'static str),
    /// The state holds something that it never writes.
    #[error("the state holds a wrong value: {0}")]
    Invalid(String),
}

impl StateError {
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { doing, source }
    }

    /// The same, with more to say where the disk is full.
    pub(crate) fn with_path(self, path: &Path) -> Self {
        match self {
            Self::Sqlite { doing, source } if source.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                Self::DiskFull {
                    doing,
                    path: path.to_owned(),
                    source,
                }
            }
            other => other,
        }
    }
}

/// Why a state could not be locked for a run.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("another run{} is using `{}`: wait for it or end it", pid.map_or(String::new(), |pid| format!(" (process {pid})")), path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process, where it could be read.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("could not lock `{}`", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
