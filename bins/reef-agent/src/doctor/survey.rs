//! A look through a tree, bounded in time: how many directories there are, and what of them this process may not use.
use super::rights::{self, CHANGE};
use fsscan::{Directory, Enter, Entering, PathError, RootRequest, Visitor, WalkRequest, walk};
use rustix::fs::Access;
use std::{
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// So many paths are named; the others are counted.
const NAMED: usize = 3;

/// What is wanted to be known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// Whether directories below are looked at, too.
    pub(super) is_recursive: bool,
    /// Whether each file can be read.
    pub(super) reads: bool,
    /// Whether files can be removed from each directory.
    pub(super) removes: bool,
    /// The look ends after so long, whole or not.
    pub(super) within: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) directories: u64,
    pub(super) files: u64,
    /// Files and directories that cannot be read.
    pub(super) unreadable: Paths,
    /// Directories that no file can be removed from.
    pub(super) closed: Paths,
    /// Whether all of the tree was looked at.
    pub(super) is_whole: bool,
}

/// Paths, of which the first are named.
#[derive(Debug, Default)]
pub(super) struct Paths {
    count: u64,
    first: Vec<PathBuf>,
}

impl Paths {
    pub(super) fn add(&mut self, path: &Path) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(path.to_owned());
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, path) in self.first.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { ", " }, path.display())?;
        }
        match self.count.saturating_sub(self.first.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Survey {
    /// Looks through `root` by its rules.
    pub(super) fn of(root: RootRequest, question: Question) -> Self {
        let stop = AtomicBool::new(false);
        let looker = Looker {
            question,
            until: Instant::now() + question.within,
            stop: &stop,
            found: Self::default(),
        };
        // What cannot be walked at all was refused with the configuration.
        let Ok((summary, lookers)) = walk(&WalkRequest::new(vec![root]), vec![looker], &stop) else {
            return Self::default();
        };
        let found = lookers.into_iter().next().map(|looker| looker.found);
        Self {
            directories: summary.dirs,
            files: summary.files,
            is_whole: !summary.stopped,
            ..found.unwrap_or_default()
        }
    }

    /// For the end of a sentence: that not all was looked at.
    pub(super) fn bound(&self) -> String {
        if self.is_whole {
            return String::new();
        }
        format!(" (of the {} files that were looked at; there are more)", self.files)
    }
}

struct Looker<'s> {
    question: Question,
    until: Instant,
    stop: &'s AtomicBool,
    found: Survey,
}

impl Visitor for Looker<'_> {
    fn enter(&mut self, dir: &Entering<'_>) -> Enter {
        if self.question.is_recursive || dir.relative.is_empty() {
            Enter::Visit
        } else {
            Enter::Skip
        }
    }

    fn directory(&mut self, dir: &Directory<'_>) {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        if self.question.reads {
            for file in dir.files() {
                let file = path(&dir.path_of(file.name));
                if rights::may(&file, Access::READ_OK).is_err() {
                    self.found.unreadable.add(&file);
                }
            }
        }
        if self.question.removes {
            let dir = path(dir.path());
            if rights::may(&dir, CHANGE).is_err() {
                self.found.closed.add(&dir);
            }
        }
        if Instant::now() >= self.until {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn error(&mut self, error: &PathError) {
        self.found.unreadable.add(Path::new(OsStr::from_bytes(&error.path)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn question() -> Question {
        Question {
            is_recursive: true,
            reads: true,
            removes: true,
            within: testkit::GUARD,
        }
    }

    #[test]
    fn the_first_paths_are_named_and_the_others_counted() {
        let mut paths = Paths::default();
        assert!(paths.is_empty());
        for name in ["/a", "/b", "/c", "/d", "/e"] {
            paths.add(Path::new(name));
        }
        assert_eq!(paths.to_string(), "/a, /b, /c and 2 more");
    }

    #[test]
    fn a_tree_is_counted_by_its_rules() {
        let top = tempfile::tempdir().unwrap();
        for name in ["a/b/c", "left/out"] {
            fs::create_dir_all(top.path().join(name)).unwrap();
        }
        fs::write(top.path().join("a/file"), "x").unwrap();
        let mut root = RootRequest::new(top.path().canonicalize().unwrap());
        root.ignore = vec!["/left".to_owned()];
        let found = Survey::of(root.clone(), question());
        assert_eq!((found.directories, found.files, found.is_whole), (4, 1, true));
        assert_eq!(found.bound(), "");
        let shallow = Question {
            is_recursive: false,
            ..question()
        };
        assert_eq!(Survey::of(root.clone(), shallow).directories, 1);
        let no_time = Question {
            within: Duration::ZERO,
            ..question()
        };
        let found = Survey::of(root, no_time);
        assert!(!found.is_whole && found.bound().contains("there are more"));
    }
}
