//! Directories and files that a process needs: there, its own, with room.

use crate::doctor::Finding;
use core_model::ByteSize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Whether the data directory is there and this user can write in it: a file is made there and removed.
pub fn data_dir(path: &Path) -> Finding {
    const CHECK: &str = "data directory";
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = existing(path);
            return match probe(&parent) {
                Ok(()) => Finding::ok(CHECK, format!("{shown} is not there yet and can be made")),
                Err(error) => Finding::failure(
                    CHECK,
                    format!(
                        "{shown} is not there and cannot be made in {}: {error}",
                        parent.display()
                    ),
                    platform::make_remedy(path),
                ),
            };
        }
        Err(error) => {
            let remedy = format!("see that this user may enter every directory above {shown}");
            return Finding::failure(CHECK, format!("{shown} cannot be looked at: {error}"), remedy);
        }
        Ok(found) if !found.is_dir() => {
            let remedy = format!("move {shown} away, or name another directory with --data-dir");
            return Finding::failure(CHECK, format!("{shown} is no directory"), remedy);
        }
        Ok(_) => {}
    }
    if let Err(error) = probe(path) {
        let found = format!("{shown} cannot be written in: {error}{}", platform::owner(path));
        return Finding::failure(CHECK, found, platform::own_remedy(path));
    }
    match platform::exposed(path, 0o077) {
        Some(mode) => Finding::warning(
            CHECK,
            format!("{shown} can be written in, and has mode {mode:04o}: other users may look into it"),
            format!("run `chmod 0700 {shown}`"),
        ),
        // Root can write anywhere; whose directory it is tells whether the service can.
        None => Finding::ok(
            CHECK,
            format!("{shown} can be written in{}", platform::other_owner(path)),
        ),
    }
}

/// Whether the file system of `path`, or of the nearest directory above it that is there, has at least `least` bytes
/// and `least_files` files left for this user.
pub fn disk(check: &str, path: &Path, least: ByteSize, least_files: u64) -> Finding {
    let at = existing(path);
    let (bytes, files) = match platform::free(&at) {
        Ok(Some(free)) => free,
        Ok(None) => return Finding::skipped(check, "free space is not looked at on this system"),
        Err(error) => {
            let remedy = format!("see that the file system of {} is mounted and well", at.display());
            return Finding::failure(check, format!("{}: {error}", at.display()), remedy);
        }
    };
    let free = ByteSize::new(bytes).human();
    let found = match files {
        Some(files) => format!("{free} and {files} files free at {}", at.display()),
        None => format!("{free} free at {}", at.display()),
    };
    let remedy = format!("free space on the file system of {} (`df -h`, `df -i`)", at.display());
    // Work stops at nothing left; below the limit there is still time.
    if bytes == 0 || files == Some(0) {
        Finding::failure(check, found, remedy)
    } else if bytes < least.bytes() || files.is_some_and(|files| files < least_files) {
        let limits = format!("{found}; {} and {least_files} files are wanted", least.human());
        Finding::warning(check, limits, remedy)
    } else {
        Finding::ok(check, found)
    }
}

/// Whether a file of credentials is readable by its owner alone, and that owner is this user (or root). One that is not
/// there is no finding: `absent` says what that means.
pub fn credentials(path: &Path, absent: &str) -> Finding {
    const CHECK: &str = "credentials";
    let shown = path.display();
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::skipped(CHECK, absent),
        Err(error) => {
            let found = format!("{shown} cannot be read: {error}{}", platform::owner(path));
            Finding::failure(CHECK, found, platform::own_remedy(path))
        }
        Ok(_) => match platform::exposed(path, 0o077) {
            Some(mode) => Finding::failure(
                CHECK,
                format!("{shown} has mode {mode:04o}: other users may read the key"),
                format!("run `chmod 0600 {shown}`, revoke this agent's key at the server and enrol again"),
            ),
            None if platform::is_foreign(path) => Finding::failure(
                CHECK,
                format!("{shown} belongs to another user{}", platform::owner(path)),
                platform::own_remedy(path),
            ),
            None => Finding::ok(CHECK, format!("{shown} can be read by its owner alone")),
        },
    }
}

/// The nearest directory above `path` that is there, or `path` itself.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|ancestor| ancestor.exists());
    found
        .filter(|found| !found.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Makes and removes a file in `dir`.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    // Anew, so that nobody's file of that name is touched.
    let made = fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let written = made.and_then(|mut file| io::Write::write_all(&mut file, b"doctor\n"));
    match written {
        // Where it was there before, the directory was once writable, which proves nothing: say so.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        written => {
            let removed = fs::remove_file(&path);
            written.and(removed)
        }
    }
}

#[cfg(unix)]
mod platform {
    use super::{Path, fs, io};
    use std::os::unix::fs::MetadataExt;

    /// Bytes and files that this user may still take; `None` for files where the file system does not count them.
    pub(super) fn free(path: &Path) -> io::Result<Option<(u64, Option<u64>)>> {
        let found = rustix::fs::statvfs(path)?;
        let files = (found.f_files > 0).then_some(found.f_favail);
        Ok(Some((found.f_bavail.saturating_mul(found.f_frsize), files)))
    }

    /// The permission bits, if any of `bits` is among them.
    pub(super) fn exposed(path: &Path, bits: u32) -> Option<u32> {
        let mode = fs::metadata(path).ok()?.mode() & 0o7777;
        (mode & bits != 0).then_some(mode)
    }

    pub(super) fn is_foreign(path: &Path) -> bool {
        let user = rustix::process::geteuid();
        // Root may read what a service's user owns: that is how an administrator runs the doctor.
        !user.is_root() && fs::metadata(path).is_ok_and(|found| found.uid() != user.as_raw() && found.uid() != 0)
    }

    pub(super) fn owner(path: &Path) -> String {
        let Ok(found) = fs::metadata(path) else {
            return String::new();
        };
        let (user, group, mode) = (found.uid(), found.gid(), found.mode() & 0o7777);
        format!(
            " (owner {user}:{group}, mode {mode:04o}; this is user {})",
            rustix::process::geteuid().as_raw()
        )
    }

    /// The owner, where that is not this user.
    pub(super) fn other_owner(path: &Path) -> String {
        let user = rustix::process::geteuid().as_raw();
        let is_other = fs::metadata(path).is_ok_and(|found| found.uid() != user);
        if is_other { owner(path) } else { String::new() }
    }

    pub(super) fn own_remedy(path: &Path) -> String {
        let user = rustix::process::geteuid().as_raw();
        format!(
            "run `chown -R {user} {}`, or run this as the user of the service",
            path.display()
        )
    }

    pub(super) fn make_remedy(path: &Path) -> String {
        let user = rustix::process::geteuid().as_raw();
        format!(
            "run `install -d -m 0700 -o {user} {}` as root, or name another with --data-dir",
            path.display()
        )
    }
}

#[cfg(not(unix))]
mod platform {
    use super::{Path, io};

    pub(super) fn free(_: &Path) -> io::Result<Option<(u64, Option<u64>)>> {
        Ok(None)
    }

    pub(super) fn exposed(_: &Path, _: u32) -> Option<u32> {
        None
    }

    pub(super) fn is_foreign(_: &Path) -> bool {
        false
    }

    pub(super) fn owner(_: &Path) -> String {
        String::new()
    }

    pub(super) fn other_owner(_: &Path) -> String {
        String::new()
    }

    pub(super) fn own_remedy(path: &Path) -> String {
        format!("give the user of the service full access to {}", path.display())
    }

    pub(super) fn make_remedy(path: &Path) -> String {
        format!(
            "make {} and give the user of the service full access to it",
            path.display()
        )
    }
}
