//! What can go wrong with a state file.
use std::{io, path::PathBuf};

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
    #[error("could not open the state file `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("could not {doing} the state file `{}`", path.display())]
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
        "the state file `{}` is damaged: {detail}; move it away (with its -wal and -shm): a new scan builds another",
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

/// What failed while the state was in use.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
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
