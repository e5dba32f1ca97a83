//! Random changes to a tree, as people and programs make them.
use anyhow::{Context, Result};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};
use testkit::Random;

/// Changes between one and four percent of the files, and a directory or two; as many files come as go. Equal trees and equal randomness give
/// equal changes. Returns how many were made.
pub(super) fn mutate(root: &Path, random: &mut Random) -> Result<u64> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    list(root, &mut folders, &mut files)?;
    let many = (files.len() as u64 * (1 + random.below(4)) / 100).max(3);
    for nth in 0..many {
        if files.is_empty() {
            break;
        }
        let at = random.below(files.len() as u64) as usize;
        let path = files[at].clone();
        match random.below(8) {
            0..=2 => append(&path, nth)?,
            3 => {
                fs::remove_file(&path).with_context(|| shown("could not remove", &path))?;
                files.swap_remove(at);
            }
            4 => {
                let new = random.pick(&folders).join(format!("new {:016x}", random.next_u64()));
                fs::write(&new, "new\n").with_context(|| shown("could not write", &new))?;
                files.push(new);
            }
            _ => {
                let to = random.pick(&folders).join(format!("moved {:016x}", random.next_u64()));
                fs::rename(&path, &to).with_context(|| shown("could not move", &path))?;
                files[at] = to;
            }
        }
    }
    // A directory goes elsewhere with all that is in it: to the top, so that it cannot get into itself.
    let folder = random.pick(&folders);
    if random.below(2) == 0 && folder != root {
        let to = root.join(format!("folder {:016x}", random.next_u64()));
        fs::rename(folder, &to).with_context(|| shown("could not move", folder))?;
    }
    let empty = root.join(format!("empty {:016x}", random.next_u64()));
    fs::create_dir(&empty).with_context(|| shown("could not make", &empty))?;
    Ok(many)
}

fn append(path: &Path, nth: u64) -> Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .with_context(|| shown("could not open", path))?;
    writeln!(file, "line {nth}").with_context(|| shown("could not write", path))
}

/// Everything below, in the same order each time.
fn list(folder: &Path, folders: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| shown("could not list", folder))?;
    let mut entries = entries
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| shown("could not list", folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry
            .file_type()
            .with_context(|| shown("could not look at", &path))?
            .is_dir()
        {
            folders.push(path.clone());
            list(&path, folders, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn shown(what: &str, path: &Path) -> String {
    format!("{what} {}", path.display())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::soak::files::truth;

    #[test]
    fn equal_trees_change_alike() {
        let folder = tempfile::tempdir().unwrap();
        let names = |name: &str| {
            let root = folder.path().join(name);
            testkit::TreePlan { files: 200, seed: 5 }.create(&root).unwrap();
            for round in 0..3 {
                assert!(mutate(&root, &mut Random::new(round)).unwrap() >= 3);
            }
            let below = |path: &Vec<u8>| String::from_utf8_lossy(path).replace(&*root.to_string_lossy(), "");
            let files = truth(&root).unwrap();
            files
                .iter()
                .map(|(path, file)| (below(path), file.size))
                .collect::<Vec<_>>()
        };
        let one = names("one");
        assert_eq!(one, names("two"));
        assert!(one.iter().any(|(path, _)| path.contains("moved ")));
    }
}
