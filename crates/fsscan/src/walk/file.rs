//! How a file looks, and opening it so that it is the one that was looked at.
use super::FileSystem;
use crate::{
    entry::{Entry, FileKind},
    sys::{self, Look, OpenRoot},
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// How a file looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStat {
    /// Its device number.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// `st_mode`: kind and permission bits.
    pub mode: u32,
    /// How many names it has.
    pub links: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Bytes it takes on disk.
    pub allocated: u64,
    /// Last change of the content, in nanoseconds since the epoch. Anybody who may write the file can set it.
    pub mtime_ns: i64,
    /// Last change of content or metadata, in nanoseconds since the epoch. Nobody can set it but by the clock.
    pub ctime_ns: i64,
    /// Birth, in nanoseconds since the epoch; 0 where the file system does not know it.
    pub btime_ns: i64,
}

impl From<&Look> for FileStat {
    fn from(look: &Look) -> Self {
        let Entry {
            mode,
            size,
            mtime_ns,
            ctime_ns,
            btime_ns,
            inode,
            uid,
            gid,
            volume: _,
        } = look.entry;
        Self {
            device: look.device,
            inode,
            mode,
            links: look.links,
            uid,
            gid,
            size,
            allocated: look.allocated,
            mtime_ns,
            ctime_ns,
            btime_ns,
        }
    }
}

impl FileStat {
    /// How an open file looks now.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn of(file: &File) -> io::Result<Self> {
        sys::look_at(file).map(|look| Self::from(&look))
    }

    /// Its kind.
    pub fn kind(&self) -> FileKind {
        let entry = Entry {
            mode: self.mode,
            ..Entry::default()
        };
        entry.kind()
    }

    /// Its permission bits, with set-user-id, set-group-id and sticky.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether anybody may execute it.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }

    /// Whether both are the same file, of which nothing shows a change of content or metadata.
    pub fn is_unchanged(&self, other: &Self) -> bool {
        let of = |stat: &Self| {
            let identity = (stat.device, stat.inode, stat.mode, stat.btime_ns);
            (identity, stat.size, stat.mtime_ns, stat.ctime_ns)
        };
        of(self) == of(other)
    }
}

/// Why a file that was listed could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFileError {
    /// Its name is gone.
    #[error("it has vanished")]
    Vanished,
    /// Another file has its name, or it changed since it was listed.
    #[error("it changed after it was listed")]
    Changed,
    /// Something that is no regular file has its name.
    #[error("it is no regular file any more")]
    NotRegular,
    /// The system refused.
    #[error("could not open it")]
    Io(#[from] io::Error),
}

/// A directory held open: one that was walked, or one that is wanted alone.
#[derive(Debug)]
pub struct KeptDir {
    handle: sys::Handle,
    inside: Option<PathBuf>,
    place: Place,
}

/// What identifies a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) file_system: FileSystem,
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl KeptDir {
    pub(super) fn new(handle: sys::Handle, inside: Option<PathBuf>, place: Place) -> Self {
        Self { handle, inside, place }
    }

    /// Opens a directory by its path, for whoever is told of single files. Links on the way are followed; those in it are
    /// not.
    ///
    /// # Errors
    /// When it is not there, no directory, or may not be listed.
    pub fn at(path: &Path) -> io::Result<Self> {
        let OpenRoot { handle, identity } = sys::open_root(path)?;
        let place = Place {
            file_system: FileSystem::of(&handle, identity.device),
            device: identity.device,
            inode: identity.inode,
        };
        Ok(Self::new(handle, None, place))
    }

    /// The file system it lies on.
    pub fn file_system(&self) -> FileSystem {
        self.place.file_system
    }

    /// Its device number, which may be dealt anew when the machine restarts.
    pub fn device(&self) -> u64 {
        self.place.device
    }

    /// Its inode, which stays when it is renamed.
    pub fn inode(&self) -> u64 {
        self.place.inode
    }

    /// How a name in it looks now. A link is not followed.
    ///
    /// # Errors
    /// When it is not there or cannot be looked at.
    pub fn look(&self, name: &[u8]) -> io::Result<FileStat> {
        let look = sys::look(&self.handle, &[name, b"\0"].concat())?;
        Ok(FileStat::from(&look))
    }

    /// Opens a file of it for reading, if it still looks as `stat` says. As [`Directory::open`](super::Directory::open).
    ///
    /// # Errors
    /// See [`OpenFileError`].
    pub fn open(&self, name: &[u8], stat: &FileStat) -> Result<File, OpenFileError> {
        open(&self.handle, self.inside.as_deref(), name, stat)
    }
}

/// To act on its files through no path: to rename, remove, or look at them.
#[cfg(target_os = "linux")]
impl std::os::fd::AsFd for KeptDir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

pub(super) fn open(
    dir: &sys::Handle,
    inside: Option<&Path>,
    name: &[u8],
    stat: &FileStat,
) -> Result<File, OpenFileError> {
    let file = sys::open_file(dir, name, inside).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OpenFileError::Vanished,
        _ if sys::is_no_file(&error) => OpenFileError::NotRegular,
        _ => OpenFileError::Io(error),
    })?;
    let found = FileStat::of(&file)?;
    if found.kind() != FileKind::File {
        Err(OpenFileError::NotRegular)
    } else if found.is_unchanged(stat) {
        Ok(file)
    } else {
        Err(OpenFileError::Changed)
    }
}
