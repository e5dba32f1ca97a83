//! The walk by directory descriptors: getdents64 into a large buffer, and statx relative to the directory.
use super::{Followed, Hint, Look, OpenRoot, path_of};
use crate::entry::Entry;
use core_model::RootIdentity;
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxFlags},
    io::Errno,
};
use std::{
    ffi::CStr,
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// An open directory.
pub(crate) type Handle = OwnedFd;
/// A file or directory that was found but not opened for reading.
pub(crate) type Place = OwnedFd;

const OPEN_DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// As many bytes of path as the kernel takes at once, with room to spare.
const PIECE: usize = 4000;

/// Where directories are read into.
pub(crate) struct Buffer(Vec<MaybeUninit<u8>>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![MaybeUninit::uninit(); 64 * 1024])
    }
}

/// Opens a root, whose path may lead through links: the administrator wrote it.
pub(crate) fn open_root(path: &Path) -> io::Result<OpenRoot> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    let look = look_at(&handle)?;
    let kind = rustix::fs::fstatfs(&handle)?.f_type;
    let identity = RootIdentity {
        device: look.device,
        fs_id: rustix::fs::fstatvfs(&handle)?.f_fsid,
        fs_type: kind as u64,
        inode: look.entry.inode,
        birth_ns: look.entry.btime_ns,
    };
    Ok(OpenRoot { handle, identity })
}

/// The root's path with every link resolved.
pub(crate) fn canonical(handle: &Handle) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// Opens the directory that `names` lead to from `base`, through no link. Long paths go in pieces.
pub(crate) fn open_beneath(base: &Handle, names: &[&[u8]]) -> io::Result<Handle> {
    if let [name] = names {
        return Ok(rustix::fs::openat(base, *name, OPEN_DIR, Mode::empty())?);
    }
    let mut held: Option<OwnedFd> = None;
    let mut rest = names;
    while !rest.is_empty() {
        let mut piece = Vec::with_capacity(PIECE);
        let mut taken = 0;
        for name in rest {
            if taken > 0 && piece.len() + name.len() >= PIECE {
                break;
            }
            if taken > 0 {
                piece.push(b'/');
            }
            piece.extend_from_slice(name);
            taken += 1;
        }
        let from = held.as_ref().unwrap_or(base);
        let next = open_piece(from, &piece, &rest[..taken])?;
        held = Some(next);
        rest = &rest[taken..];
    }
    held.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn open_piece(from: &OwnedFd, piece: &[u8], names: &[&[u8]]) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(from, piece, OPEN_DIR, Mode::empty(), resolve) {
        // Old kernels and some sandboxes have no openat2: go name by name.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {}
        other => return Ok(other?),
    }
    let mut held: Option<OwnedFd> = None;
    for name in names {
        let from = held.as_ref().unwrap_or(from);
        held = Some(rustix::fs::openat(from, *name, OPEN_DIR, Mode::empty())?);
    }
    held.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Opens what a link leads to if that lies inside `inside`, which is canonical. `None` when it does not, or leads
/// nowhere.
pub(crate) fn follow(base: &Handle, name: &[u8], inside: &Path) -> io::Result<Option<Followed>> {
    let target = match rustix::fs::openat(base, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let path = std::fs::read_link(format!("/proc/self/fd/{}", target.as_raw_fd()))?;
    if !path.starts_with(inside) {
        return Ok(None);
    }
    let look = look_at(&target)?;
    Ok(Some(Followed { target, look }))
}

/// Opens a place that is a directory.
pub(crate) fn open_place(place: &Place) -> io::Result<Handle> {
    Ok(rustix::fs::openat(place, ".", OPEN_DIR, Mode::empty())?)
}

/// Calls `each` with name, hint and inode for everything in a directory but `.` and `..`.
pub(crate) fn list(dir: &Handle, buffer: &mut Buffer, each: &mut dyn FnMut(&[u8], Hint, u64)) -> io::Result<()> {
    let mut entries = RawDir::new(dir, &mut buffer.0);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let hint = match entry.file_type() {
            FileType::Directory => Hint::Directory,
            FileType::Symlink => Hint::Symlink,
            FileType::Unknown => Hint::Unknown,
            _ => Hint::Other,
        };
        each(name, hint, entry.ino());
    }
    Ok(())
}

/// Whether a directory holds nothing.
pub(crate) fn is_empty(dir: &Handle) -> io::Result<bool> {
    // A descriptor of its own, since the position in the directory belongs to the open file.
    let dir = rustix::fs::openat(dir, ".", OPEN_DIR, Mode::empty())?;
    let mut empty = true;
    list(&dir, &mut Buffer::default(), &mut |_, _, _| empty = false)?;
    Ok(empty)
}

const WANTED: StatxFlags = StatxFlags::TYPE
    .union(StatxFlags::MODE)
    .union(StatxFlags::NLINK)
    .union(StatxFlags::UID)
    .union(StatxFlags::GID)
    .union(StatxFlags::INO)
    .union(StatxFlags::SIZE)
    .union(StatxFlags::BLOCKS)
    .union(StatxFlags::MTIME)
    .union(StatxFlags::CTIME)
    .union(StatxFlags::BTIME);

/// Looks at a file by its name, which ends with a zero byte. Links are not followed, and a network file system is not
/// asked anew for what it told with the listing.
pub(crate) fn look(dir: &Handle, zero_ended: &[u8]) -> io::Result<Look> {
    let name = CStr::from_bytes_with_nul(zero_ended).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    Ok(look_of(&rustix::fs::statx(dir, name, flags, WANTED)?))
}

/// Looks at a path, whose last name is followed nowhere.
#[cfg(feature = "watch")]
pub(crate) fn look_by_path(path: &Path) -> io::Result<Look> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    Ok(look_of(&rustix::fs::statx(CWD, path, flags, WANTED)?))
}

/// Looks at what is open.
pub(crate) fn look_at(open: &impl AsFd) -> io::Result<Look> {
    Ok(look_of(&rustix::fs::statx(open, c"", AtFlags::EMPTY_PATH, WANTED)?))
}

fn look_of(stat: &Statx) -> Look {
    let btime_ns = if stat.stx_mask & StatxFlags::BTIME.bits() == 0 {
        0
    } else {
        nanos(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)
    };
    Look {
        entry: Entry {
            mode: u32::from(stat.stx_mode),
            size: stat.stx_size,
            mtime_ns: nanos(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            ctime_ns: nanos(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
            btime_ns,
            inode: stat.stx_ino,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            volume: 0,
        },
        device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        links: stat.stx_nlink,
        allocated: stat.stx_blocks.saturating_mul(512),
    }
}

fn nanos(seconds: i64, nanoseconds: u32) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(nanoseconds))
}

/// A number of the volume that `dir` lies on: made from its UUID where the file system does so, else from the device.
pub(crate) fn volume(dir: &Handle) -> io::Result<u64> {
    match rustix::fs::fstatvfs(dir)?.f_fsid {
        0 => Ok(look_at(dir)?.device),
        number => Ok(number),
    }
}

/// The type of the file system that `dir` lies on.
pub(crate) fn file_system_type(dir: &Handle) -> io::Result<u64> {
    Ok(rustix::fs::fstatfs(dir)?.f_type as u64)
}

/// Another handle of the same directory.
pub(crate) fn duplicate(dir: &Handle) -> io::Result<Handle> {
    dir.try_clone()
}

/// Whether an error of opening a file says that there is no regular file: a link, a socket, a device without a driver.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::ISDIR)
    )
}

/// Whether an error says that there is a link where none is followed.
pub(crate) fn is_link(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Whether files may be opened without touching their access times; only their owner and root may ask for it.
static QUIET: AtomicBool = AtomicBool::new(true);

/// Opens a file for reading without waiting for a writer of a pipe. A link is followed only if it stays inside.
pub(crate) fn open_file(dir: &Handle, name: &[u8], inside: Option<&Path>) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if QUIET.load(Ordering::Relaxed) {
        match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
            Ok(file) => return Ok(file.into()),
            Err(Errno::PERM) => QUIET.store(false, Ordering::Relaxed),
            Err(Errno::LOOP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match (rustix::fs::openat(dir, name, flags, Mode::empty()), inside) {
        (Ok(file), _) => Ok(file.into()),
        (Err(Errno::LOOP), Some(inside)) => {
            let found = follow(dir, name, inside)?.ok_or(io::ErrorKind::NotFound)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let place = format!("/proc/self/fd/{}", found.target.as_raw_fd());
            Ok(rustix::fs::openat(CWD, path_of(place.as_bytes()), flags, Mode::empty())?.into())
        }
        (Err(error), _) => Err(error.into()),
    }
}
