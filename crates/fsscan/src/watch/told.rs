//! What a watch tells.
use crate::{
    summary::ErrorKind,
    walk::{FileStat, KeptDir, OpenFileError},
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Instant,
};

/// What a watch tells.
#[derive(Debug)]
pub enum Watched {
    /// A root is watched whole from here on, but for what was told as lost. What was written in it before is told only
    /// where the root appeared while the watch ran.
    Watching {
        /// The place of the root in [`WatchRequest::roots`](super::WatchRequest::roots).
        root: usize,
        /// Its path, as asked for.
        path: PathBuf,
    },
    /// A regular file was written, moved or linked here, or appeared with its directory.
    Written(Written),
    /// What was written below a directory is not known: scan it.
    Lost(Lost),
    /// Nothing can be watched at a root's path. It is looked for again when something happens to a name on its path.
    Gone {
        /// The place of the root in [`WatchRequest::roots`](super::WatchRequest::roots).
        root: usize,
        /// Its path, as asked for.
        path: PathBuf,
        /// What is there instead.
        why: GoneWhy,
    },
}

/// A regular file that was written.
#[derive(Debug)]
pub struct Written {
    /// The place of its root in [`WatchRequest::roots`](super::WatchRequest::roots).
    pub root: usize,
    /// Its path.
    pub path: PathBuf,
    /// How it looked when it was told, a moment ago.
    pub stat: FileStat,
    /// When its last write was noticed.
    pub noticed: Instant,
    /// The very file that was written, open for reading, where [`Method::Fanotify`](super::Method::Fanotify) noticed it
    /// and not too many are held.
    pub file: Option<File>,
}

impl Written {
    /// Opens it for reading, if it still looks as `stat` says. What has become a pipe, a link or a device is not opened.
    ///
    /// # Errors
    /// See [`OpenFileError`]. A file that vanished or changed is told again by its new name, or after its next write.
    pub fn open(self) -> Result<File, OpenFileError> {
        if let Some(file) = self.file {
            return match FileStat::of(&file)? {
                found if found.is_unchanged(&self.stat) => Ok(file),
                _ => Err(OpenFileError::Changed),
            };
        }
        let (Some(dir), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(OpenFileError::NotRegular);
        };
        let dir = KeptDir::at(dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OpenFileError::Vanished,
            _ => OpenFileError::Io(error),
        })?;
        dir.open(&crate::sys::bytes_of(Path::new(name)), &self.stat)
    }
}

/// A directory of which it is not known what was written below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The place of its root in [`WatchRequest::roots`](super::WatchRequest::roots).
    pub root: usize,
    /// The directory.
    pub below: PathBuf,
    /// Why.
    pub why: LostWhy,
}

/// Why it is not known what was written below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LostWhy {
    /// The system's queue ran over (`fs.inotify.max_queued_events`, `fs.fanotify.max_queued_events`). Once the directory is
    /// scanned, all is known again.
    Overflow,
    /// More files waited to be told than [`max_pending`](super::WatchRequest::max_pending). Once the directory is
    /// scanned, all is known again.
    Backlog,
    /// No watch was left for it (the sysctl `fs.inotify.max_user_watches`, or
    /// [`max_watches`](super::WatchRequest::max_watches)). It stays unwatched.
    WatchLimit,
    /// It could not be opened or listed. It stays unwatched.
    Unreadable(ErrorKind),
}

impl LostWhy {
    /// A stable name: `overflow`, `backlog`, `watch_limit`, `unreadable`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Backlog => "backlog",
            Self::WatchLimit => "watch_limit",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Whether what is written below stays unknown after a scan.
    pub const fn is_blind(self) -> bool {
        matches!(self, Self::WatchLimit | Self::Unreadable(_))
    }
}

/// What is at a root's path instead of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GoneWhy {
    /// Nothing.
    Missing,
    /// Something that is no directory.
    NotADirectory,
    /// A directory that may not be looked at.
    Unreadable(ErrorKind),
}
