//! Trees of files as file servers have them, made again from a seed.
use crate::random::Random;
use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Files in a directory, on average.
const PER_DIRECTORY: u64 = 20;
/// Directories above a file, at most, the root included.
const DEEPEST: u8 = 9;
const FOLDERS: [&str; 6] = ["reports", "images", "archive", "projects", "sources", "invoices"];
const ENDINGS: [&str; 10] = ["txt", "pdf", "doc", "jpg", "png", "log", "xml", "svg", "csv", "bin"];

/// What a tree shall be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreePlan {
    /// How many files.
    pub files: u64,
    /// Equal seeds give equal trees.
    pub seed: u64,
}

/// A tree on disk: about 20 files in a directory, at most 9 deep, names of 30 bytes, one file in ten not empty.
///
/// It does not hold the names of its files, so that a million cost little memory, and it removes nothing when dropped.
#[derive(Clone, Debug)]
pub struct Tree {
    plan: TreePlan,
    directories: Vec<Directory>,
}

#[derive(Clone, Debug)]
struct Directory {
    path: PathBuf,
    parent: usize,
    depth: u8,
    files: Range<u64>,
}

impl TreePlan {
    /// Makes the tree in `root`, which is created where it is not there.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(self, root: &Path) -> Result<Tree> {
        let directories = self.directories(root);
        for directory in &directories {
            fs::create_dir_all(&directory.path)
                .with_context(|| format!("could not create `{}`", directory.path.display()))?;
        }
        let tree = Tree {
            plan: self,
            directories,
        };
        for directory in &tree.directories {
            for number in directory.files.clone() {
                let path = directory.path.join(tree.name(number));
                let mut file = File::create(&path).with_context(|| format!("could not create `{}`", path.display()))?;
                let content = tree.content(number);
                if !content.is_empty() {
                    file.write_all(&content)
                        .with_context(|| format!("could not write `{}`", path.display()))?;
                }
            }
        }
        Ok(tree)
    }

    fn directories(self, root: &Path) -> Vec<Directory> {
        let mut random = Random::new(self.seed);
        let mut directories = vec![Directory {
            path: root.to_owned(),
            parent: 0,
            depth: 0,
            files: 0..0,
        }];
        let mut placed = 0;
        while placed < self.files {
            let many = (PER_DIRECTORY / 2 + random.below(PER_DIRECTORY + 1)).min(self.files - placed);
            let mut parent = random.below(directories.len() as u64) as usize;
            while directories[parent].depth + 1 >= DEEPEST {
                parent = directories[parent].parent;
            }
            let name = format!("d{:05}_{}", directories.len(), random.pick(&FOLDERS));
            directories.push(Directory {
                path: directories[parent].path.join(name),
                parent,
                depth: directories[parent].depth + 1,
                files: placed..placed + many,
            });
            placed += many;
        }
        directories
    }
}

impl Tree {
    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.directories[0].path
    }

    /// How many files it was made with.
    pub const fn files(&self) -> u64 {
        self.plan.files
    }

    /// How many directories it has, the root included.
    pub const fn directories(&self) -> usize {
        self.directories.len()
    }

    /// The path of file `number`, from 0; `None` past the last.
    pub fn path(&self, number: u64) -> Option<PathBuf> {
        if number >= self.plan.files {
            return None;
        }
        let index = self
            .directories
            .partition_point(|directory| directory.files.end <= number);
        Some(self.directories[index].path.join(self.name(number)))
    }

    /// Appends to `share` of the files (0.01 is one in a hundred), spread evenly; each `round` takes others. Returns how
    /// many were changed.
    ///
    /// # Errors
    /// When the file system refuses, or a chosen file is gone.
    pub fn edit(&self, share: f64, round: u64) -> Result<u64> {
        let many = ((self.plan.files as f64 * share.clamp(0.0, 1.0)).round() as u64).min(self.plan.files);
        for nth in 0..many {
            // The nth of equal stretches, so that no file is chosen twice in a round.
            let from = nth * self.plan.files / many;
            let until = (nth + 1) * self.plan.files / many;
            let number = from + Random::new(self.plan.seed ^ round.rotate_left(32) ^ nth).below(until - from);
            let path = self.path(number).context("a chosen file has a number")?;
            let file = OpenOptions::new().append(true).open(&path);
            let mut file = file.with_context(|| format!("could not open `{}`", path.display()))?;
            writeln!(file, "round {round}").with_context(|| format!("could not write `{}`", path.display()))?;
        }
        Ok(many)
    }

    /// 30 bytes: a number, a word of 15 letters, an ending.
    fn name(&self, number: u64) -> String {
        let mut random = Random::new(self.plan.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let mut word = [0; 15];
        for letter in &mut word {
            *letter = b'a' + random.below(26) as u8;
        }
        format!(
            "f{number:09}_{}.{}",
            String::from_utf8_lossy(&word),
            random.pick(&ENDINGS)
        )
    }

    fn content(&self, number: u64) -> Vec<u8> {
        if !number.is_multiple_of(10) {
            return Vec::new();
        }
        let length = 1 + Random::new(self.plan.seed ^ number).below(400) as usize;
        let line = format!("content of file {number}\n");
        line.bytes().cycle().take(length).collect()
    }
}
