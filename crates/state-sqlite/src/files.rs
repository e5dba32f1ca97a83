//! Files and directories that only their owner may read, and what lies beside a state file.
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// SQLite's write-ahead log.
pub(crate) const LOG: &str = "-wal";
/// SQLite's index of the log.
pub(crate) const INDEX: &str = "-shm";
/// See [`crate::mark`].
pub(crate) const MARK: &str = ".mark";
/// See [`crate::ballast`].
pub(crate) const BALLAST: &str = ".ballast";

/// Makes a directory, 0700, with its parents; one that is there stays as it is.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A file that is made by these options gets 0600.
pub(crate) fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// The file of this ending beside a state. It lies beside the file itself, as SQLite's own do, not beside a link to it.
pub(crate) fn beside(path: &Path, ending: impl AsRef<OsStr>) -> PathBuf {
    let mut name = fs::canonicalize(path)
        .or_else(|_| {
            // A file that is not there yet has its directory at least.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")))?;
            Ok::<_, io::Error>(parent.join(path.file_name().unwrap_or_default()))
        })
        .unwrap_or_else(|_| path.to_owned())
        .into_os_string();
    name.push(ending);
    name.into()
}

/// Removes a file; one that is not there is none to remove.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes what was renamed or removed in a directory stay so over a power cut. Systems that cannot sync a directory do it
/// by themselves.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

/// Removes a state with everything that lies beside it: SQLite's log and index, the mark and the ballast. Whoever has it
/// open must be gone. The lock of a run stays.
///
/// # Errors
/// When the system refuses; what could be removed is.
pub fn remove(path: &Path) -> io::Result<()> {
    // The file last: what is cut off in between leaves no log that a later file could take for its own.
    let endings = [LOG, INDEX, MARK, BALLAST, ""];
    let paths = endings.map(|ending| beside(path, ending));
    let mut done = Ok(());
    for path in paths {
        done = done.and(remove_if_there(&path));
    }
    done.and(remove_if_there(path))
}
