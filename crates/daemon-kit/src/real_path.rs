//! Where a path really leads.
use std::path::{Component, Path, PathBuf};

/// Where a path really leads, as far as it exists: links are followed, and what is not there yet hangs below where it would
/// be made. For comparing a path that somebody else names with directories that are allowed: a link must not lead out of
/// them. A relative path is taken from the working directory.
///
/// ```
/// use daemon_kit::real_path;
/// use std::path::Path;
///
/// let dir = tempfile::tempdir()?;
/// let real = dir.path().canonicalize()?;
/// assert_eq!(real_path(&dir.path().join("a/../not-there-yet")), real.join("not-there-yet"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn real_path(path: &Path) -> PathBuf {
    let absolute = plain(path);
    let mut rest = Vec::new();
    let mut at = absolute.as_path();
    loop {
        if let Ok(found) = at.canonicalize() {
            return rest.iter().rev().fold(found, |path, name| path.join(name));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                at = parent;
            }
            _ => return absolute,
        }
    }
}

/// Absolute, and without `.` and `..` by the text alone: a path that is not there has to stay nameable.
fn plain(path: &Path) -> PathBuf {
    let joined = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
