//! Directories reached through no link, and what is done with names in them.
use rustix::{
    fs::{AtFlags, Mode, OFlags, RenameFlags},
    io::Errno,
};
use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Component, Path, PathBuf},
};

const OPEN_DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// As many bytes of path as the kernel takes at once, with room to spare.
const PIECE: usize = 4000;

/// Opens the directory that `path` leads to from `base`, through no link and never out of it. `path` is relative.
pub(super) fn open_beneath(base: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut held = rustix::fs::openat(base, ".", OPEN_DIR, Mode::empty())?;
    let mut piece = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => continue,
            Component::Normal(name) => {
                if !piece.as_os_str().is_empty() && piece.as_os_str().len() + name.len() >= PIECE {
                    held = open_piece(&held, &piece)?;
                    piece.clear();
                }
                piece.push(name);
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    if piece.as_os_str().is_empty() {
        return Ok(held);
    }
    open_piece(&held, &piece)
}

/// Opens the directory at the absolute `path`, through no link.
pub(super) fn open_absolute(path: &Path) -> io::Result<OwnedFd> {
    let root = rustix::fs::open("/", OPEN_DIR, Mode::empty())?;
    let rest = path.strip_prefix("/").map_err(|_| io::ErrorKind::InvalidInput)?;
    open_beneath(&root, rest)
}

/// Opens a directory that somebody with the right to do so named: links are followed.
pub(super) fn open_named(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn open_piece(from: &OwnedFd, piece: &Path) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(from, piece, OPEN_DIR, Mode::empty(), resolve) {
            // Old kernels and some sandboxes have no openat2, and a rename elsewhere may have it ask for another try: go
            // name by name.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
    let mut held = rustix::fs::openat(from, ".", OPEN_DIR, Mode::empty())?;
    for name in piece {
        held = rustix::fs::openat(&held, name, OPEN_DIR, Mode::empty())?;
    }
    Ok(held)
}

/// Where an open directory lies, every link resolved, if the system can tell.
pub(super) fn whereabouts(dir: &OwnedFd) -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    let path = std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).ok()?;
    #[cfg(target_vendor = "apple")]
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(rustix::fs::getpath(dir).ok()?.to_bytes()));
    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    let path = { return None };
    path.is_absolute().then_some(path)
}

/// Moves a name, never over another.
pub(super) fn move_to_free_name(from: &OwnedFd, name: &[u8], to: &OwnedFd, as_name: &[u8]) -> io::Result<()> {
    match rustix::fs::renameat_with(from, name, to, as_name, RenameFlags::NOREPLACE) {
        // Some file systems have no such thing. A second name fails where there is one already just as well.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::linkat(from, name, to, as_name, AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(from, name, AtFlags::empty())?)
        }
        other => Ok(other?),
    }
}

/// Removes a name; that there is none is no failure.
pub(super) fn remove(dir: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Makes a file that was not there, for its owner alone.
pub(super) fn create_new(dir: &OwnedFd, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Opens a regular file for reading.
pub(super) fn open_file(dir: &OwnedFd, name: &[u8]) -> io::Result<File> {
    // A pipe in its place would hold up whoever opens it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"))
    }
}

/// Has what was done with the names of a directory outlive a loss of power.
pub(super) fn sync(dir: &OwnedFd) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        // Some network and FUSE file systems know nothing of it.
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        other => Ok(other?),
    }
}

/// The path of `name` in `dir`.
pub(super) fn join(dir: &Path, name: &[u8]) -> PathBuf {
    let mut path = dir.as_os_str().as_bytes().to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    PathBuf::from(std::ffi::OsString::from_vec(path))
}
