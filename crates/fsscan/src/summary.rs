//! What a scan found, and what it could not read.
use std::{collections::BTreeMap, fmt, io, path::PathBuf, sync::atomic::AtomicU64, time::Duration};

/// Counters of a running scan. Read them whenever; they only rise.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files seen.
    pub files: AtomicU64,
    /// Directories listed.
    pub dirs: AtomicU64,
    /// Bytes in regular files, hard links once.
    pub bytes: AtomicU64,
    /// Changes decided.
    pub changes: AtomicU64,
    /// Paths left out by rules.
    pub ignored: AtomicU64,
}

/// Why a path could not be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Not permitted.
    Permission,
    /// The file system failed.
    Io,
    /// Deeper than 4,096 levels or 32 KiB of path.
    TooDeep,
    /// An ignore file could not be read or holds a pattern that is none.
    IgnoreFile,
    /// What was stored of a directory is damaged; its files are told again as new.
    Damaged,
}

impl ErrorKind {
    /// A stable name: `permission`, `io`, `too_deep`, `ignore_file`, `damaged`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Io => "io",
            Self::TooDeep => "too_deep",
            Self::IgnoreFile => "ignore_file",
            Self::Damaged => "damaged",
        }
    }

    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission,
            _ => Self::Io,
        }
    }
}

/// A path that could not be scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The path, as raw bytes.
    pub path: Vec<u8>,
    /// Why.
    pub kind: ErrorKind,
    /// What was being done and what the system said.
    pub detail: String,
}

impl PathError {
    pub(crate) fn io(path: Vec<u8>, doing: &str, error: &io::Error) -> Self {
        Self {
            path,
            kind: ErrorKind::of(error),
            detail: format!("{doing}: {error}"),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.escape_ascii(), self.detail)
    }
}

/// How the scan of a root ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootOutcome {
    /// All of it that is readable was scanned.
    Scanned,
    /// The scan was stopped before its end.
    Stopped,
    /// The path is not there. Nothing of it was touched.
    Missing,
    /// The path is no directory. Nothing of it was touched.
    NotADirectory,
    /// The path cannot be listed. Nothing of it was touched.
    Unreadable {
        /// What the system said.
        detail: String,
    },
    /// Another volume or directory is there than at the last scan. Nothing was touched.
    Foreign,
    /// Files are known but the directory is empty. Nothing was touched.
    TurnedUpEmpty,
}

impl RootOutcome {
    /// Whether the scan of it went to its end.
    pub fn is_scanned(&self) -> bool {
        *self == Self::Scanned
    }
}

impl fmt::Display for RootOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scanned => f.write_str("scanned"),
            Self::Stopped => f.write_str("stopped before its end"),
            Self::Missing => f.write_str("not there"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::Unreadable { detail } => write!(f, "cannot be listed: {detail}"),
            Self::Foreign => f.write_str("another volume or directory than at the last scan"),
            Self::TurnedUpEmpty => f.write_str("empty, though files are known in it"),
        }
    }
}

/// What a scan found in one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootSummary {
    /// Its path.
    pub path: PathBuf,
    /// How its scan ended.
    pub outcome: RootOutcome,
    /// Files seen.
    pub files: u64,
    /// Bytes in regular files, hard links once.
    pub bytes: u64,
    /// Deletions held until they are accepted.
    pub held: u64,
}

/// A root that the state knows and the request does not name. Its files stay known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfigured {
    /// Its path, as raw bytes.
    pub path: Vec<u8>,
    /// Files known in it, those held included.
    pub files: u64,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Each root of the request.
    pub roots: Vec<RootSummary>,
    /// Files seen.
    pub files: u64,
    /// Directories listed.
    pub dirs: u64,
    /// Bytes in regular files, hard links once.
    pub bytes: u64,
    /// Files told as created.
    pub created: u64,
    /// Files told as updated.
    pub updated: u64,
    /// Files told as moved.
    pub moved: u64,
    /// Files told as deleted.
    pub deleted: u64,
    /// Files seen that are as they were at the last scan.
    pub unchanged: u64,
    /// Paths left out by rules; what lies under a directory left out is not counted.
    pub ignored: u64,
    /// Deletions held until they are accepted, in all roots.
    pub held: u64,
    /// How many paths could not be scanned, by reason.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// The first of them.
    pub first_errors: Vec<PathError>,
    /// Roots known and no longer asked for.
    pub unconfigured: Vec<Unconfigured>,
    /// Whether the scan was stopped; the next one goes on from here.
    pub stopped: bool,
    /// How long it took.
    pub duration: Duration,
}

impl Summary {
    /// Paths of which this scan says nothing, itself or what lies below: roots that were not scanned or are no longer
    /// asked for, and paths that could not be read. Where more could not be read than the summary names, these are the
    /// roots as a whole.
    pub fn unseen(&self) -> Vec<Vec<u8>> {
        let are_all_named = self.first_errors.len() as u64 == self.error_count();
        let is_unseen = |root: &&RootSummary| !are_all_named || !root.outcome.is_scanned();
        let roots = self.roots.iter().filter(is_unseen);
        let mut unseen: Vec<Vec<u8>> = roots
            .map(|root| root.path.as_os_str().as_encoded_bytes().to_vec())
            .chain(self.unconfigured.iter().map(|root| root.path.clone()))
            .collect();
        if are_all_named {
            unseen.extend(self.first_errors.iter().map(|error| error.path.clone()));
        }
        unseen.sort();
        unseen.dedup();
        unseen
    }

    /// How many paths could not be scanned.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}
