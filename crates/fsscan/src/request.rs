//! What a scan is asked to do.
use crate::hashes::Algorithm;
use std::{collections::HashMap, num::NonZeroUsize, path::PathBuf, sync::Arc, thread};

/// How it is decided that a file changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mode {
    /// By metadata: size, times, mode, owner and identity. No content is read.
    #[default]
    Metadata,
    /// By metadata, and by the content of every regular file, read at each scan.
    Hash {
        /// What contents are hashed with.
        algorithm: Algorithm,
    },
    /// By metadata, and by content where size or mtime moved, where the file is new, where its last hash was made
    /// within two seconds of its mtime, and for a share of all files that rotates from scan to scan.
    Hybrid {
        /// What contents are hashed with.
        algorithm: Algorithm,
        /// The share hashed by each scan, from 0 to 1: after `1/share` scans every file was hashed.
        share: f64,
        /// The number of this scan; the next one passes the next number.
        rotation: u64,
    },
}

impl Mode {
    pub(crate) fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::Metadata => None,
            Self::Hash { algorithm } | Self::Hybrid { algorithm, .. } => Some(algorithm),
        }
    }
}

/// When deletions are held until an operator accepts them: when too large a share of a root is gone, or when more files
/// than `min_files` are gone of a volume that was mounted inside the root and of which nothing was met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// Hold when more than this share, from 0 to 1, of the files known in a root is gone …
    pub share: f64,
    /// … and more files than this.
    pub min_files: u64,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            share: 0.5,
            min_files: 100,
        }
    }
}

/// How MIME types are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MimeOptions {
    /// Types of extensions (without the dot, lower case) that go before the built-in ones.
    pub extensions: HashMap<String, String>,
    /// Whether the first 8 KB of a new or updated regular file are looked at; what they say goes before the extension.
    pub content: bool,
}

/// A path to scan, and its own rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootRequest {
    /// An absolute path without `..`. A symbolic link here is followed.
    pub path: PathBuf,
    /// Ignore patterns of this root, which go after those of all roots and so win over them.
    pub ignore: Vec<String>,
    /// Whether files and directories whose names begin with a dot are scanned.
    pub hidden: bool,
    /// Larger regular files are skipped and counted as ignored, in bytes.
    pub max_file_size: Option<u64>,
    /// Whether links to files and directories inside the root are followed.
    pub follow_symlinks: bool,
    /// Whether directories on other file systems are skipped.
    pub one_file_system: bool,
}

impl RootRequest {
    /// Everything under `path`, links not followed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ignore: Vec::new(),
            hidden: true,
            max_file_size: None,
            follow_symlinks: false,
            one_file_system: false,
        }
    }
}

/// What a scan is asked to do.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// The paths; none may lie in another.
    pub roots: Vec<RootRequest>,
    /// Ignore patterns of all roots, in the syntax of `.gitignore`, except that a pattern with an inner slash such as
    /// `.git/*` matches at any depth unless it begins with a slash.
    pub ignore: Vec<String>,
    /// Names of files, such as `.gitignore`, whose patterns hold below the directory they are found in.
    pub ignore_files: Vec<String>,
    /// How it is decided that a file changed.
    pub mode: Mode,
    /// When deletions are held.
    pub hold: Hold,
    /// How MIME types are found.
    pub mime: MimeOptions,
    /// Walking threads, from 1 to 50. More than cores only help where storage is slow to answer.
    pub threads: usize,
    /// The most records in one run of the outbox.
    pub run_records: u32,
    /// About how many bytes of changes and records are stored in one step: more takes fewer steps, and more memory.
    pub commit_bytes: usize,
    /// How many errors the summary keeps whole; all are counted.
    pub first_errors: usize,
    /// Whether every file is told of, also those that are as they were: for a server that has to learn everything anew.
    /// Each is a [`Change::Present`](crate::Change::Present), and so is a file that is gone, before it is told to be:
    /// while its deletion is held, the server must not take it for one that was left out.
    pub name_all: bool,
    /// Counters to look at while the scan runs.
    pub progress: Arc<crate::Progress>,
}

impl ScanRequest {
    /// The most bytes of a run of records, by which it is closed even if it holds few.
    pub(crate) const RUN_BYTES: usize = 256 * 1024;

    /// A scan of `roots` by metadata with the defaults.
    pub fn new(roots: Vec<RootRequest>) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            roots,
            ignore: Vec::new(),
            ignore_files: Vec::new(),
            mode: Mode::default(),
            hold: Hold::default(),
            mime: MimeOptions::default(),
            threads: cores.min(4),
            run_records: 500,
            commit_bytes: 4 * 1024 * 1024,
            first_errors: 1000,
            name_all: false,
            progress: Arc::default(),
        }
    }
}
