//! Ways in which malware comes into a directory.
use super::super::reef::{harmless, infected};
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};
use testkit::{MARKER, Random, hostile_names};

/// How a file comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Write,
    WriteSlowly,
    Append,
    Overwrite,
    RenameInto,
    RenameOver,
    Link,
    NewDirectory,
    MoveDirectory,
}

impl Way {
    pub(super) const ALL: [Self; 9] = [
        Self::Write,
        Self::WriteSlowly,
        Self::Append,
        Self::Overwrite,
        Self::RenameInto,
        Self::RenameOver,
        Self::Link,
        Self::NewDirectory,
        Self::MoveDirectory,
    ];

    /// Whether it changes a file that was clean and known.
    const fn wants_clean(self) -> bool {
        matches!(self, Self::Append | Self::Overwrite | Self::RenameOver)
    }
}

/// Malware that was dropped.
#[derive(Debug)]
pub(super) struct Dropped {
    pub(super) path: PathBuf,
    pub(super) way: Way,
    /// When it was there.
    pub(super) at: DateTime<Utc>,
}

/// Drops infected files into a tree, and clean ones among them.
pub(super) struct Dropper {
    tree: PathBuf,
    outside: PathBuf,
    names: Vec<std::ffi::OsString>,
    next: u64,
    /// Clean files by number.
    clean: Vec<(u64, PathBuf)>,
}

impl Dropper {
    /// Makes the tree, with clean files that are to change.
    pub(super) fn new(tree: &Path, outside: &Path, count: u64, random: &mut Random) -> Result<Self> {
        let mut dropper = Self {
            tree: tree.to_owned(),
            outside: outside.to_owned(),
            names: hostile_names(200, random.next_u64()),
            next: 0,
            clean: Vec::new(),
        };
        for _ in 0..10 + count / 2 {
            dropper.drop_clean(random)?;
        }
        Ok(dropper)
    }

    fn place(&mut self, random: &mut Random) -> Result<(u64, PathBuf)> {
        let number = self.next;
        self.next += 1;
        let folder = self.tree.join(format!("d{}", random.below(30)));
        fs::create_dir_all(&folder)?;
        let path = match random.below(8) {
            0 => self.names.pop().map(|name| folder.join(name)),
            _ => None,
        };
        Ok((number, path.unwrap_or_else(|| folder.join(format!("f{number}")))))
    }

    fn drop_clean(&mut self, random: &mut Random) -> Result<()> {
        let (number, path) = self.place(random)?;
        fs::write(&path, harmless(number, 200))?;
        self.clean.push((number, path));
        Ok(())
    }

    /// One infected file, and now and then a clean one before it.
    pub(super) fn drop_one(&mut self, random: &mut Random) -> Result<Dropped> {
        if random.below(4) == 0 {
            self.drop_clean(random)?;
        }
        let mut way = Way::ALL[(self.next % Way::ALL.len() as u64) as usize];
        let (number, mut path) = self.place(random)?;
        let content = infected(number);
        let new = self.outside.join(format!("new{number}"));
        if way.wants_clean() {
            match self.clean.len() {
                0 => way = Way::Write,
                many => path = self.clean.swap_remove(random.below(many as u64) as usize).1,
            }
        }
        match way {
            Way::Write => fs::write(&path, &content)?,
            Way::WriteSlowly => {
                let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
                let (one, two) = content.split_at(content.len() / 2);
                file.write_all(one)?;
                file.sync_data()?;
                file.write_all(two)?;
            }
            Way::Append => OpenOptions::new().append(true).open(&path)?.write_all(MARKER)?,
            Way::Overwrite => {
                let file = OpenOptions::new().write(true).open(&path)?;
                file.write_all_at(MARKER, random.below(50))?;
            }
            Way::RenameInto | Way::RenameOver => {
                fs::write(&new, &content)?;
                fs::rename(&new, &path)?;
            }
            Way::Link => {
                fs::write(&new, &content)?;
                fs::hard_link(&new, &path)?;
            }
            Way::NewDirectory => {
                let folder = self.tree.join(format!("new{number}/below"));
                fs::create_dir_all(&folder)?;
                path = folder.join("file");
                fs::write(&path, &content)?;
            }
            Way::MoveDirectory => {
                fs::create_dir_all(new.join("below"))?;
                fs::write(new.join("below/file"), &content)?;
                let to = self.tree.join(format!("moved{number}"));
                fs::rename(&new, &to)?;
                path = to.join("below/file");
            }
        }
        Ok(Dropped {
            path,
            way,
            at: Utc::now(),
        })
    }

    /// How many clean files there are.
    pub(super) fn clean(&self) -> u64 {
        self.clean.len() as u64
    }

    /// That each clean file is there, as it was written.
    pub(super) fn check_clean(&self) -> Result<()> {
        for (number, path) in &self.clean {
            let found = fs::read(path).with_context(|| format!("{} is clean, and gone", path.display()))?;
            ensure!(found == harmless(*number, 200), "{} is not as it was", path.display());
        }
        Ok(())
    }
}
