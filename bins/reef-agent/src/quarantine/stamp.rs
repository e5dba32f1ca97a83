//! What the system says of a file: which one it is, and whether it changed.
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, Metadata},
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
};

/// An instant as file systems keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileTime {
    /// Since 1970, in seconds.
    pub(crate) secs: i64,
    /// Of the second: below 1,000,000,000.
    pub(crate) nanos: u32,
}

/// What the system says of an open file, all at one instant.
///
/// Taken before a file is scanned, and handed to [`Quarantine::take`](super::Quarantine::take): what changed since is
/// not what was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Kind and permissions.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u64,
    pub(super) size: u64,
    pub(super) atime: FileTime,
    pub(super) mtime: FileTime,
    pub(super) ctime: FileTime,
}

impl Stamp {
    /// Of what is open.
    ///
    /// # Errors
    /// When the file system cannot tell.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    /// Of what lies in `dir` under `name`. A link is looked at itself.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be looked at.
    pub(super) fn look(dir: &OwnedFd, name: &[u8]) -> io::Result<Self> {
        // Neither reads nor wakes what is behind the name, be it a device or a pipe.
        #[cfg(target_os = "linux")]
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
        Self::of(&file)
    }

    fn from_metadata(data: &Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
            mode: data.mode(),
            uid: data.uid(),
            gid: data.gid(),
            links: data.nlink(),
            size: data.size(),
            atime: FileTime::new(data.atime(), data.atime_nsec()),
            mtime: FileTime::new(data.mtime(), data.mtime_nsec()),
            ctime: FileTime::new(data.ctime(), data.ctime_nsec()),
        }
    }

    /// Whether it is a regular file.
    pub(super) fn is_file(&self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.mode as rustix::fs::RawMode).is_file()
    }

    /// Whether it is a directory.
    pub(super) fn is_directory(&self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.mode as rustix::fs::RawMode).is_dir()
    }

    /// Whether both are of the same file, changed or not.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether both are of the same file, and nothing happened to it in between: no write, no change of owner or mode,
    /// no rename, no link.
    pub(super) fn is_unchanged(&self, other: &Self) -> bool {
        self.is_same_file(other) && self.has_same_content(other) && self.ctime == other.ctime
    }

    /// Whether the content seems the same, by size and time. Being moved does not count.
    pub(super) fn has_same_content(&self, other: &Self) -> bool {
        (self.size, self.mtime) == (other.size, other.mtime)
    }
}

impl FileTime {
    fn new(secs: i64, nanos: i64) -> Self {
        Self {
            secs,
            nanos: u32::try_from(nanos).unwrap_or(0),
        }
    }
}
