//! Which programs run.
use std::{fs, path::Path};

/// A running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    /// Its arguments, with the program's own name.
    pub(super) arguments: Vec<String>,
}

/// The running programs of this name, as the system below `root` tells; none where it does not.
pub(super) fn named(root: &Path, name: &str) -> Vec<Process> {
    let Ok(entries) = fs::read_dir(root.join("proc")) else {
        return Vec::new();
    };
    let found = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let id = entry.file_name().to_str()?.parse().ok()?;
        let own_name = fs::read_to_string(entry.path().join("comm")).ok()?;
        if own_name.trim_end() != name {
            return None;
        }
        // It may have ended since, or be another user's whose arguments are not shown.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        Some(Process {
            id,
            arguments: arguments
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect(),
        })
    });
    found.collect()
}
