//! The walk by paths, for systems without directory descriptors, and the quick walk's oracle in tests.
use super::{Followed, Hint, Look, OpenRoot, path_of};
use crate::entry::{Entry, KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK};
use core_model::RootIdentity;
use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use walkdir::WalkDir;

/// A directory's path.
pub(crate) type Handle = PathBuf;
/// A file's or directory's path.
pub(crate) type Place = PathBuf;

/// Nothing is needed to list.
#[derive(Default)]
pub(crate) struct Buffer;

/// Opens a root.
pub(crate) fn open_root(path: &Path) -> io::Result<OpenRoot<Handle>> {
    let found = fs::metadata(path)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    fs::read_dir(path)?;
    let look = look_of(&found);
    let identity = RootIdentity {
        device: look.device,
        fs_id: look.device,
        fs_type: 0,
        inode: look.entry.inode,
        birth_ns: look.entry.btime_ns,
    };
    Ok(OpenRoot {
        handle: path.to_owned(),
        identity,
    })
}

/// The root's path with every link resolved.
pub(crate) fn canonical(handle: &Handle) -> io::Result<PathBuf> {
    fs::canonicalize(handle)
}

/// The directory that `names` lead to. A link in the place of the last is refused.
pub(crate) fn open_beneath(base: &Handle, names: &[&[u8]]) -> io::Result<Handle> {
    let path = names.iter().fold(base.clone(), |path, name| path.join(path_of(name)));
    if !fs::symlink_metadata(&path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(path)
}

/// What a link leads to if that lies inside `inside`, which is canonical.
pub(crate) fn follow(base: &Handle, name: &[u8], inside: &Path) -> io::Result<Option<Followed<Place>>> {
    let target = match fs::canonicalize(base.join(path_of(name))) {
        Ok(target) if target.starts_with(inside) => target,
        _ => return Ok(None),
    };
    let look = look_of(&fs::metadata(&target)?);
    Ok(Some(Followed { target, look }))
}

/// Opens a place that is a directory.
pub(crate) fn open_place(place: &Place) -> io::Result<Handle> {
    Ok(place.clone())
}

/// Calls `each` with name, hint and inode (0: not known) for everything in a directory.
pub(crate) fn list(dir: &Handle, _buffer: &mut Buffer, each: &mut dyn FnMut(&[u8], Hint, u64)) -> io::Result<()> {
    for entry in WalkDir::new(dir).min_depth(1).max_depth(1) {
        let entry = entry?;
        let kind = entry.file_type();
        let hint = if kind.is_dir() {
            Hint::Directory
        } else if kind.is_symlink() {
            Hint::Symlink
        } else {
            Hint::Other
        };
        each(&super::bytes_of(Path::new(entry.file_name())), hint, 0);
    }
    Ok(())
}

/// Whether a directory holds nothing.
pub(crate) fn is_empty(dir: &Handle) -> io::Result<bool> {
    Ok(fs::read_dir(dir)?.next().is_none())
}

/// Looks at a file by its name, which ends with a zero byte.
pub(crate) fn look(dir: &Handle, zero_ended: &[u8]) -> io::Result<Look> {
    let name = zero_ended.strip_suffix(b"\0").unwrap_or(zero_ended);
    Ok(look_of(&fs::symlink_metadata(dir.join(path_of(name)))?))
}

/// Looks at a path, whose last name is followed nowhere.
#[cfg(feature = "watch")]
pub(crate) fn look_by_path(path: &Path) -> io::Result<Look> {
    Ok(look_of(&fs::symlink_metadata(path)?))
}

/// Looks at a directory, or at what an open file is.
pub(crate) fn look_at(open: &impl Openness) -> io::Result<Look> {
    Ok(look_of(&open.metadata()?))
}

/// What [`look_at`] takes.
pub(crate) trait Openness {
    fn metadata(&self) -> io::Result<Metadata>;
}

impl Openness for PathBuf {
    fn metadata(&self) -> io::Result<Metadata> {
        fs::metadata(self)
    }
}

impl Openness for File {
    fn metadata(&self) -> io::Result<Metadata> {
        File::metadata(self)
    }
}

fn look_of(found: &Metadata) -> Look {
    let entry = Entry {
        mode: if found.is_dir() {
            KIND_DIRECTORY | 0o755
        } else if found.is_symlink() {
            KIND_SYMLINK | 0o777
        } else if found.permissions().readonly() {
            KIND_FILE | 0o444
        } else {
            KIND_FILE | 0o644
        },
        size: found.len(),
        mtime_ns: found.modified().map_or(0, nanos),
        ctime_ns: found.modified().map_or(0, nanos),
        btime_ns: found.created().map_or(0, nanos),
        ..Entry::default()
    };
    with_unix(
        found,
        Look {
            entry,
            device: 0,
            links: 1,
            allocated: found.len(),
        },
    )
}

#[cfg(unix)]
fn with_unix(found: &Metadata, look: Look) -> Look {
    use std::os::unix::fs::MetadataExt;
    let nanos = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Look {
        entry: Entry {
            mode: found.mode(),
            inode: found.ino(),
            uid: found.uid(),
            gid: found.gid(),
            mtime_ns: nanos(found.mtime(), found.mtime_nsec()),
            ctime_ns: nanos(found.ctime(), found.ctime_nsec()),
            ..look.entry
        },
        device: found.dev(),
        links: u32::try_from(found.nlink()).unwrap_or(u32::MAX),
        allocated: found.blocks().saturating_mul(512),
    }
}

#[cfg(not(unix))]
fn with_unix(_found: &Metadata, look: Look) -> Look {
    look
}

fn nanos(time: SystemTime) -> i64 {
    let whole = |length: std::time::Duration| i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

/// A number of the volume that `dir` lies on.
pub(crate) fn volume(dir: &Handle) -> io::Result<u64> {
    Ok(look_at(dir)?.device)
}

/// The type of the file system that `dir` lies on; not known here.
pub(crate) fn file_system_type(_dir: &Handle) -> io::Result<u64> {
    Ok(0)
}

/// Another handle of the same directory.
pub(crate) fn duplicate(dir: &Handle) -> io::Result<Handle> {
    Ok(dir.clone())
}

/// Whether an error of opening a file says that there is no regular file.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::IsADirectory
}

/// Opens a file for reading.
pub(crate) fn open_file(dir: &Handle, name: &[u8], _inside: Option<&Path>) -> io::Result<File> {
    File::open(dir.join(path_of(name)))
}

/// Whether an error says that there is a link where none is followed: paths say so by other means.
pub(crate) fn is_link(_error: &io::Error) -> bool {
    false
}
