//! Files that hold a secret: readable by the agent alone, never half written.
use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// What such a file holds.
pub(crate) enum Content {
    /// There is none.
    Missing,
    /// Others than the owner can read or write it.
    Exposed {
        /// Its permission bits.
        mode: u32,
    },
    /// Its text.
    Text(String),
}

pub(crate) fn read(path: &Path) -> io::Result<Content> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Missing),
        Err(error) => return Err(error),
    };
    // Of the open file, so that it cannot be exchanged between the look and the read.
    let mode = platform::mode(&file.metadata()?);
    if mode & 0o077 != 0 {
        return Ok(Content::Exposed { mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Content::Text(text))
}

/// Writes it, 0600, in one step: after a crash there is the old one or the new one. Makes the directory (0700) if it is
/// missing.
pub(crate) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let (mut file, unfinished) = begin(path)?;
    file.write_all(text)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&unfinished, path)?;
    platform::sync_dir(dir(path))
}

/// Whether [`write`] could write now. Makes the directory; leaves nothing else.
pub(crate) fn check_writable(path: &Path) -> io::Result<()> {
    begin(path).and_then(|(_, unfinished)| fs::remove_file(unfinished))
}

/// Removes it; one that is not there is none to remove.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => platform::sync_dir(dir(path)),
    }
}

/// A new and empty file beside the one to replace.
fn begin(path: &Path) -> io::Result<(fs::File, PathBuf)> {
    platform::create_dir(dir(path))?;
    let unfinished = path.with_extension("json.tmp");
    // What a crash left there may have been made by somebody else, with another mode.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok((platform::create_private(&unfinished)?, unfinished))
}

fn dir(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(unix)]
mod platform {
    use std::{
        fs, io,
        os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
        path::Path,
    };

    pub(super) fn mode(metadata: &fs::Metadata) -> u32 {
        metadata.mode() & 0o7777
    }

    pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    pub(super) fn create_private(path: &Path) -> io::Result<fs::File> {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    }

    pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}

// Other systems have access lists, which a data directory inherits closed, and no directory to flush.
#[cfg(not(unix))]
mod platform {
    use std::{fs, io, path::Path};

    pub(super) fn mode(_: &fs::Metadata) -> u32 {
        0o600
    }

    pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    pub(super) fn create_private(path: &Path) -> io::Result<fs::File> {
        fs::OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(super) fn sync_dir(_: &Path) -> io::Result<()> {
        Ok(())
    }
}
