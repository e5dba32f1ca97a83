//! Moving a state out of the way, with everything that belongs to it.
use crate::{
    OpenError,
    files::{self, INDEX, LOG, MARK, beside},
};
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// What a damaged state is called afterwards.
pub(super) const DAMAGED: &str = ".damaged-";
/// What one is called that an operator replaced.
pub(super) const REPLACED: &str = ".replaced-";
/// How many of each stay.
const KEPT: usize = 2;

/// Moves the state at `path` aside and says where it lies now. SQLite's log goes first: one that stayed beside another
/// file would be taken for that file's.
pub(super) fn move_aside(path: &Path, called: &str, now: DateTime<Utc>) -> Result<PathBuf, OpenError> {
    let state = beside(path, "");
    let stem = format!("{called}{}", now.format("%Y%m%dT%H%M%S%.3fZ"));
    let mut aside = beside(path, &stem);
    // Within one millisecond twice, or with the clock set back: nothing is overwritten.
    for again in 2.. {
        if !aside.exists() {
            break;
        }
        aside = beside(path, format!("{stem}-{again}"));
    }
    for ending in [LOG, INDEX, MARK, ""] {
        let from = beside(&state, ending);
        let mut to = aside.clone().into_os_string();
        to.push(ending);
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(OpenError::File {
                    path: from,
                    doing: "move aside",
                    source,
                });
            }
            Ok(()) => {}
        }
    }
    let parent = state.parent().unwrap_or(Path::new(""));
    files::sync_dir(parent).map_err(|source| OpenError::File {
        path: parent.to_owned(),
        doing: "write the directory",
        source,
    })?;
    prune(&state, called);
    Ok(aside)
}

/// Removes all but the newest. What cannot be removed costs room and nothing else.
fn prune(state: &Path, called: &str) {
    let Some(parent) = state.parent() else { return };
    let prefix = format!("{}{called}", state.file_name().unwrap_or_default().to_string_lossy());
    let names: Vec<PathBuf> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    let time = |path: &Path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let rest = name.strip_prefix(&prefix)?;
        // Up to the Z of the time, and the number of one more in the same millisecond.
        let end = rest.find('Z')? + 1;
        let again: String = rest[end..]
            .strip_prefix('-')
            .unwrap_or("")
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        Some((rest[..end].to_owned(), again))
    };
    let times: BTreeSet<_> = names.iter().filter_map(|path| time(path)).collect();
    let stay: BTreeSet<_> = times.into_iter().rev().take(KEPT).collect();
    for path in names {
        if time(&path).is_some_and(|time| !stay.contains(&time))
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "could not remove what was moved aside earlier");
        }
    }
}
