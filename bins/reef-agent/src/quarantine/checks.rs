//! What must hold before a file is touched.
use super::{
    Failed,
    error::{Change, TakeError},
    place, seal,
    stamp::Stamp,
    take::Taking,
};
use rustix::fs::Mode;
use std::{io, os::fd::OwnedFd, path::Path};

impl Taking<'_> {
    /// That the descriptor and the name are both still that of what was scanned, and that nothing happened to it.
    pub(super) fn check_unchanged(&self) -> Result<(), TakeError> {
        let open = Stamp::of(self.taken.file).map_err(|error| self.path_failed("look at", error))?;
        let named = match Stamp::look(&self.dir, self.name) {
            Ok(named) => named,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.taken.changed(Change::Gone)),
            Err(error) => return Err(self.path_failed("look at", error)),
        };
        if !named.is_same_file(self.taken.scanned) {
            return Err(self.taken.changed(Change::Replaced));
        }
        if !named.is_unchanged(self.taken.scanned) || !open.is_unchanged(self.taken.scanned) {
            return Err(self.taken.changed(Change::Altered));
        }
        Ok(())
    }

    /// That neither the file nor its directory is marked as not to be changed: the directory would not let go of what is
    /// made there to remove the file.
    pub(super) fn check_guards(&self) -> Result<(), TakeError> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::IFlags;
            let of_file = rustix::fs::ioctl_getflags(self.taken.file);
            let of_dir = rustix::fs::ioctl_getflags(&self.dir);
            for (flags, guarded) in [(of_file, self.taken.path), (of_dir, self.directory.as_path())] {
                // Most file systems have no such attributes.
                let Ok(flags) = flags else { continue };
                for (flag, attribute, letter) in [
                    (IFlags::IMMUTABLE, "immutable", 'i'),
                    (IFlags::APPEND, "append-only", 'a'),
                ] {
                    if flags.contains(flag) {
                        return Err(TakeError::Guarded {
                            path: self.taken.path.to_owned(),
                            guarded: guarded.to_owned(),
                            attribute,
                            letter,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// That the content fits, so that a full disk is not made fuller. What is kept back for root is left alone.
    pub(super) fn check_room(&self) -> Result<(), TakeError> {
        let Ok(disk) = rustix::fs::fstatvfs(&self.store.dir) else {
            // Writing will tell.
            return Ok(());
        };
        let room = disk.f_bavail.saturating_mul(disk.f_frsize);
        // Some say nothing by zeros.
        if disk.f_blocks > 0 && seal::sealed_length(self.taken.scanned.size) > room {
            return Err(self.failed(Failed::to("copy it to", &self.store.path)(io::Error::from(
                io::ErrorKind::StorageFull,
            ))));
        }
        Ok(())
    }
}

/// Whether an open directory belongs to who runs this, and nobody else may change what is in it.
pub(super) fn is_ours(dir: &OwnedFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(dir)?;
    let others = Mode::WGRP | Mode::WOTH;
    let is_open = Mode::from_raw_mode(stat.st_mode).intersects(others);
    Ok(stat.st_uid == rustix::process::geteuid().as_raw() && !is_open)
}

/// Opens the directory of a file: through the handle above it, if there is one.
pub(super) fn open_parent(root: Option<(&OwnedFd, &Path)>, parent: &Path) -> io::Result<OwnedFd> {
    match root {
        Some((handle, path)) => {
            let rest = parent.strip_prefix(path).map_err(|_| io::ErrorKind::InvalidInput)?;
            place::open_beneath(handle, rest)
        }
        None => place::open_absolute(parent),
    }
}

/// Whether this is what the system says of a directory that is a link or a file now.
pub(super) fn is_elsewhere(code: i32) -> bool {
    use rustix::io::Errno;
    [Errno::LOOP, Errno::NOTDIR, Errno::XDEV]
        .iter()
        .any(|errno| errno.raw_os_error() == code)
}
