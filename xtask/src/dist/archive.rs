//! A `tar.gz` that is the same bytes for the same files: entries sorted, one time, owner 0, no names of users.
use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use std::{collections::BTreeSet, path::Path};

/// A file of an archive.
#[derive(Debug)]
pub(super) struct Entry {
    path: String,
    bytes: Vec<u8>,
    mode: u32,
}

impl Entry {
    /// A file that everybody may read; `path` is relative, with slashes.
    pub(super) fn file(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            path: path.into(),
            bytes,
            mode: 0o644,
        }
    }

    /// A file that everybody may run.
    pub(super) fn program(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            mode: 0o755,
            ..Self::file(path, bytes)
        }
    }
}

/// Packs files below the folder `top`; `epoch` is the time of every entry, in seconds since 1970.
pub(super) fn pack(top: &str, mut entries: Vec<Entry>, epoch: u64) -> Result<Vec<u8>> {
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let mut all: Vec<(String, Option<&Entry>)> = folders(top, &entries)
        .into_iter()
        .map(|folder| (folder, None))
        .collect();
    all.extend(
        entries
            .iter()
            .map(|entry| (format!("{top}/{}", entry.path), Some(entry))),
    );
    // A folder ends in a slash and so stands right before what lies in it.
    all.sort_by(|(one, _), (other, _)| one.cmp(other));

    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for (path, entry) in all {
        let is_inside = Path::new(&path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        ensure!(is_inside, "`{path}` leaves the archive's folder");
        let mut header = tar::Header::new_ustar();
        header
            .set_path(&path)
            .with_context(|| format!("`{path}` fits no archive"))?;
        header.set_mtime(epoch);
        header.set_uid(0);
        header.set_gid(0);
        let bytes: &[u8] = match entry {
            Some(entry) => {
                header.set_mode(entry.mode);
                header.set_entry_type(tar::EntryType::Regular);
                &entry.bytes
            }
            None => {
                header.set_mode(0o755);
                header.set_entry_type(tar::EntryType::Directory);
                &[]
            }
        };
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes)
            .with_context(|| format!("could not pack `{path}`"))?;
    }
    let gzip = tar.into_inner().context("could not end the archive")?;
    gzip.finish().context("could not compress the archive")
}

/// Every folder above an entry, each with a slash at its end.
fn folders(top: &str, entries: &[Entry]) -> BTreeSet<String> {
    let mut folders = BTreeSet::from([format!("{top}/")]);
    for entry in entries {
        let slashes = entry.path.match_indices('/');
        folders.extend(slashes.map(|(at, _)| format!("{top}/{}", &entry.path[..=at])));
    }
    folders
}
