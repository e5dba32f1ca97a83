//! The files of clamd's database directory: what the version does not tell.
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::SystemTime,
};

/// What every database file begins with, and how long that beginning is.
const MAGIC: &str = "ClamAV-VDB:";
const HEADER: u64 = 512;

/// The files of a database directory as they are now. Two that are equal hold the same signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatabaseFiles {
    files: BTreeMap<OsString, (u64, Option<SystemTime>)>,
    /// The number of the daily database on disk.
    pub(crate) daily: Option<u32>,
}

impl DatabaseFiles {
    /// Reads the directory; what freshclam is just writing lies in directories below and does not count.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            // freshclam's own notes change with each of its runs.
            let is_note = name == "freshclam.dat" || name == "mirrors.dat" || name.to_string_lossy().ends_with(".tmp");
            let metadata = match entry.metadata() {
                Ok(metadata) if metadata.is_file() && !is_note => metadata,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // Not a file of signatures, or replaced just now.
                _ => continue,
            };
            if name.to_string_lossy().starts_with("daily.c") {
                found.daily = found.daily.max(number(&entry.path()));
            }
            found.files.insert(name, (metadata.len(), metadata.modified().ok()));
        }
        Ok(found)
    }

    /// When the newest of them was written.
    pub(crate) fn newest(&self) -> Option<DateTime<Utc>> {
        let newest = self.files.values().filter_map(|(_, modified)| *modified).max()?;
        Some(newest.into())
    }
}

/// The number in a database's header: `ClamAV-VDB:DATE:NUMBER:…`.
fn number(path: &Path) -> Option<u32> {
    let mut header = Vec::new();
    File::open(path).ok()?.take(HEADER).read_to_end(&mut header).ok()?;
    let header = String::from_utf8_lossy(&header);
    header.strip_prefix(MAGIC)?.split(':').nth(1)?.parse().ok()
}
