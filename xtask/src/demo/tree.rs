//! A small tree, what is done to it, and what must be told of that.
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How many files the tree has at first.
pub(super) const PLANTED: usize = 200;

/// Folders with files of their own; the last is renamed as a whole.
const FOLDERS: [&str; 4] = ["reports", "images", "archive", "archive/old"];
/// Files in the folder that is renamed.
const OLD: usize = 3;

/// What must be told of [`Planted::change`], sorted.
const EXPECTED: [&str; 12] = [
    "created images/new-2.txt",
    "created reports/new-1.txt",
    "deleted archive/file-005.txt",
    "deleted images/file-004.txt",
    "moved   archive/file-002.txt -> reports/renamed.txt",
    "moved   archive/old/0.log -> archive/older/0.log",
    "moved   archive/old/1.log -> archive/older/1.log",
    "moved   archive/old/2.log -> archive/older/2.log",
    "moved   reports/file-003.txt -> reports/file-003.bak",
    "updated images/file-001.txt",
    "updated reports/file-000.txt",
    "updated reports/file-006.txt",
];

/// The tree.
pub(super) struct Planted {
    root: PathBuf,
}

impl Planted {
    /// Makes it in `root`.
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        let tree = Self { root };
        for folder in FOLDERS {
            fs::create_dir_all(tree.root.join(folder)).context("could not make a folder")?;
        }
        for number in 0..PLANTED - OLD {
            tree.write(
                &format!("{}/file-{number:03}.txt", FOLDERS[number % 3]),
                &format!("number {number}\n"),
            )?;
        }
        for number in 0..OLD {
            tree.write(&format!("archive/old/{number}.log"), "old\n")?;
        }
        Ok(tree)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where it is, as text.
    pub(super) fn text(&self) -> String {
        self.root.display().to_string()
    }

    /// Creates two files, edits two, renames two and a folder of three, deletes two, and makes one read-only. Gives what
    /// must be told, sorted.
    pub(super) fn change(&self) -> Result<&'static [&'static str]> {
        self.write("reports/new-1.txt", "new\n")?;
        self.write("images/new-2.txt", "new\n")?;
        self.write("reports/file-000.txt", "edited, and longer than before\n")?;
        self.write("images/file-001.txt", "edited, and longer than before\n")?;
        self.rename("archive/file-002.txt", "reports/renamed.txt")?;
        self.rename("reports/file-003.txt", "reports/file-003.bak")?;
        self.rename("archive/old", "archive/older")?;
        self.remove("images/file-004.txt")?;
        self.remove("archive/file-005.txt")?;
        let path = self.root.join("reports/file-006.txt");
        let mut permissions = fs::metadata(&path).context("could not look at a file")?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).context("could not make a file read-only")?;
        Ok(&EXPECTED)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.root.join(name), text).with_context(|| format!("could not write {name}"))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.root.join(from), self.root.join(to)).with_context(|| format!("could not rename {from}"))
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.root.join(name)).with_context(|| format!("could not remove {name}"))
    }
}

/// How what is told differs from what must be; both are sorted. A line that comes twice is a difference too.
pub(super) fn differences(expected: &[&str], seen: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut expected, mut seen) = (expected.iter().peekable(), seen.iter().peekable());
    loop {
        match (expected.peek(), seen.peek()) {
            (Some(wanted), Some(told)) if **wanted == told.as_str() => {
                expected.next();
                seen.next();
            }
            (Some(wanted), told) if told.is_none_or(|told| **wanted < told.as_str()) => {
                wrong.push(format!("not told: {wanted}"));
                expected.next();
            }
            (_, Some(told)) => {
                wrong.push(format!("told, but not so: {told}"));
                seen.next();
            }
            (_, None) => return wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_as_many_files_as_it_says_and_all_changes_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Planted::new(folder.path().join("tree")).unwrap();
        let files = |folder: &str| {
            fs::read_dir(tree.root().join(folder))
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().path().is_file())
                .count()
        };
        assert_eq!(FOLDERS.map(files).iter().sum::<usize>(), PLANTED);
        let expected = tree.change().unwrap();
        assert!(expected.is_sorted());
        let now = ["reports", "images", "archive", "archive/older"]
            .map(files)
            .iter()
            .sum::<usize>();
        assert_eq!(now, PLANTED + 2 - 2);
    }

    #[test]
    fn every_difference_is_told_once() {
        let seen = ["created a", "deleted c", "deleted c", "updated z"].map(str::to_owned);
        let wrong = differences(&["created a", "created b", "deleted c"], &seen);
        assert_eq!(
            wrong,
            [
                "not told: created b",
                "told, but not so: deleted c",
                "told, but not so: updated z"
            ]
        );
        assert_eq!(
            differences(&EXPECTED, &EXPECTED.map(str::to_owned)),
            Vec::<String>::new()
        );
    }
}
