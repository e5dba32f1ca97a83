//! Sets of files, from wherever they are known, and how two of them differ.
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use fleet_wire::WirePath;
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

/// What everybody who knows a file must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) mtime: i64,
}

/// A file of which only the path is known.
pub(super) const NOTHING: File = File { size: 0, mtime: 0 };

/// Files by path.
pub(super) type Files = BTreeMap<Vec<u8>, File>;

/// A line of `scanner export`, and the body of a record about a file.
#[derive(Deserialize)]
struct Row {
    #[serde(flatten)]
    path: WirePath,
    size: u64,
    mtime: DateTime<Utc>,
}

/// Reads a JSON object with path, size and time.
pub(super) fn read(json: &str) -> Result<(Vec<u8>, File)> {
    let row: Row = serde_json::from_str(json).with_context(|| format!("no file: {json}"))?;
    let mtime = row.mtime.timestamp_nanos_opt().context("a time out of range")?;
    Ok((row.path.into_bytes(), File { size: row.size, mtime }))
}

/// The files that are there: a plain walk, which shares nothing with the scanner's.
#[cfg(unix)]
pub(super) fn truth(root: &Path) -> Result<Files> {
    use std::os::unix::{ffi::OsStrExt, fs::MetadataExt};
    let mut files = Files::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("could not list {}", folder.display()))? {
            let path = entry?.path();
            let found = fs::symlink_metadata(&path)?;
            if found.is_dir() {
                folders.push(path);
                continue;
            }
            let mtime = found.mtime() * 1_000_000_000 + found.mtime_nsec();
            files.insert(
                path.as_os_str().as_bytes().to_vec(),
                File {
                    size: found.len(),
                    mtime,
                },
            );
        }
    }
    Ok(files)
}

#[cfg(not(unix))]
pub(super) fn truth(_: &Path) -> Result<Files> {
    anyhow::bail!("this soak is written for Unix")
}

/// An error that names some of the differences, where there are any.
pub(super) fn same(what: &str, found: &Files, wanted: &Files) -> Result<()> {
    let missing = wanted.keys().filter(|path| !found.contains_key(*path));
    let extra = found.keys().filter(|path| !wanted.contains_key(*path));
    let other = wanted
        .iter()
        .filter(|(path, file)| found.get(*path).is_some_and(|found| found != *file));
    let line = |word: &str, path: &[u8]| format!("{word} {}", String::from_utf8_lossy(path));
    let lines: Vec<String> = missing
        .map(|path| line("lacks", path))
        .chain(extra.map(|path| line("still has", path)))
        .chain(other.map(|(path, _)| line("has an old state of", path)))
        .collect();
    let shown = lines.iter().take(10).cloned().collect::<Vec<_>>().join("\n  ");
    ensure!(
        lines.is_empty(),
        "{what} differs from the tree in {} files of {}:\n  {shown}",
        lines.len(),
        wanted.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_told() {
        let file = |size| File { size, mtime: 0 };
        let wanted = Files::from([(b"/a".to_vec(), file(1)), (b"/b".to_vec(), file(1))]);
        assert!(same("it", &wanted, &wanted).is_ok());
        let found = Files::from([(b"/b".to_vec(), file(2)), (b"/c".to_vec(), file(1))]);
        let told = same("it", &found, &wanted).unwrap_err().to_string();
        for part in ["3 files of 2", "lacks /a", "still has /c", "an old state of /b"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_exported_is_read_as_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "abc").unwrap();
        let (path, file) = truth(folder.path()).unwrap().pop_first().unwrap();
        let mtime = DateTime::<Utc>::from_timestamp_nanos(file.mtime).to_rfc3339();
        let wire = serde_json::to_value(WirePath::from_bytes(path.clone())).unwrap();
        let json = serde_json::json!({"path": wire["path"], "type": "file", "size": 3, "mtime": mtime});
        assert_eq!(read(&json.to_string()).unwrap(), (path, file));
    }
}
