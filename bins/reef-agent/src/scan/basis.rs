//! What files are judged by: the engine, the signatures, the limits.
use crate::settings::ClamdSettings;
use clamd_proto::{ClamError, Daemon, Version};
use sha2::{Digest, Sha256};
use state_sqlite::Basis;
use std::{io, os::unix::fs::MetadataExt as _, path::Path};

/// What clamd judges by now. Asked before and after a group of files: what was judged between two that differ was judged
/// by nobody knows what.
pub(crate) async fn now(daemon: &Daemon, settings: &ClamdSettings) -> Result<(Version, Basis), ClamError> {
    let version = daemon.version().await?;
    let basis = of(&version, settings);
    Ok((version, basis))
}

fn of(version: &Version, settings: &ClamdSettings) -> Basis {
    let number = version.database.map(|database| database.number.to_string());
    // Other databases than the daily one do not show in the version.
    let files = settings
        .database_directory
        .as_deref()
        .map(|directory| match digest(directory) {
            Ok(digest) => digest,
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "clamd's database directory cannot be read");
                "unreadable".to_owned()
            }
        });
    let parts = [Some(number.unwrap_or_else(|| "none".to_owned())), files];
    Basis {
        engine: version.engine.clone(),
        signatures: parts.into_iter().flatten().collect::<Vec<_>>().join("/"),
        limits: limits(settings),
    }
}

/// By how much of a file it is judged, as far as is known.
pub(super) fn limits(settings: &ClamdSettings) -> String {
    let (file, stream) = (settings.max_file_size.bytes(), settings.stream_max_length.bytes());
    format!("file {file}, stream {stream}")
}

/// Names, lengths and times of the files in it.
fn digest(directory: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            let stamp = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
            files.push((entry.file_name(), stamp));
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for (name, stamp) in files {
        hash.update(format!("{name:?} {stamp:?}\n"));
    }
    let hash = hash.finalize();
    Ok(hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_database_of_one_s_own_that_changes_is_another_basis() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("own.ndb"), "a").unwrap();
        let before = digest(dir.path()).unwrap();
        assert_eq!(digest(dir.path()).unwrap(), before);
        fs::write(dir.path().join("own.ndb"), "ab").unwrap();
        let after = digest(dir.path()).unwrap();
        assert_ne!(after, before);
        fs::write(dir.path().join("more.ndb"), "").unwrap();
        assert_ne!(digest(dir.path()).unwrap(), after);
    }
}
