//! Why a scan takes a path or leaves it out, asked for one path: slow and plain where the scan is fast.
use crate::{
    Rules, ScanError, ScanRequest, found_rules,
    request::RootRequest,
    roots::{self, normal_path},
    rules::Decided,
    sys,
};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a scan would do with a path as the disk is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The root it lies in; `None` where it lies in none.
    pub root: Option<PathBuf>,
    /// The path that decides: the asked one, or a directory on the way to it.
    pub decided_at: PathBuf,
    /// What decides.
    pub verdict: Verdict,
    /// The rule that decides, or that keeps a path against others.
    pub rule: Option<Rule>,
}

/// What a scan makes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a record of its own.
    Scanned,
    /// It is a directory, and what lies in it is scanned.
    Walked,
    /// It lies in no root.
    OutsideRoots,
    /// A rule leaves it out.
    LeftOut,
    /// It is larger than `max_file_size`.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It lies on another file system than its root.
    OtherFileSystem,
    /// It lies behind a symbolic link that is not followed.
    BehindLink,
    /// It is not there.
    Missing,
    /// It cannot be looked at.
    Unreadable {
        /// What the system said.
        detail: String,
    },
}

/// A rule and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Its name begins with a dot, and hidden files are left out.
    Hidden,
    /// A pattern of [`ScanRequest::ignore`].
    OfAllRoots {
        /// As written.
        pattern: String,
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A pattern of [`RootRequest::ignore`].
    OfRoot {
        /// As written.
        pattern: String,
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A line of an ignore file.
    OfFile {
        /// As written.
        pattern: String,
        /// The ignore file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// Says what a scan by `request` would do with `path`, which is absolute.
///
/// # Errors
/// When the path or a root is relative or holds `..`, or a pattern is none.
pub fn explain<E: std::error::Error + 'static>(
    request: &ScanRequest,
    path: &Path,
) -> Result<Explanation, ScanError<E>> {
    let asked = normal_path(path)?;
    for root in &request.roots {
        let top = normal_path(&root.path)?;
        if roots::contains(&top, &asked) {
            let below = asked[roots::prefix(&top).len()..]
                .strip_prefix(b"/")
                .unwrap_or_default();
            return Ok(Way::new(request, root)?.down(sys::path_of(below)));
        }
    }
    Ok(Explanation {
        root: None,
        decided_at: path.to_owned(),
        verdict: Verdict::OutsideRoots,
        rule: None,
    })
}

/// The way from a root down to a path.
struct Way<'a> {
    request: &'a ScanRequest,
    root: &'a RootRequest,
    rules: Rules,
    /// The ignore files met, the deepest last: the directory they lie in relative to the root, and their lines.
    files: Vec<IgnoreFile>,
}

struct IgnoreFile {
    path: PathBuf,
    below: PathBuf,
    text: String,
    patterns: Gitignore,
}

impl<'a> Way<'a> {
    fn new<E: std::error::Error + 'static>(
        request: &'a ScanRequest,
        root: &'a RootRequest,
    ) -> Result<Self, ScanError<E>> {
        Ok(Self {
            request,
            root,
            rules: Rules::new(request, root)?,
            files: Vec::new(),
        })
    }

    fn down(mut self, below: &Path) -> Explanation {
        let mut relative = PathBuf::new();
        let mut here = self.root.path.clone();
        let top = match fs::metadata(&here) {
            Ok(top) => top,
            Err(error) => return self.said(here, of_error(&error), None),
        };
        let mut parts = below.components().peekable();
        if parts.peek().is_none() {
            return self.said(here, Verdict::Walked, None);
        }
        let mut kept_by = None;
        while let Some(part) = parts.next() {
            self.read_ignore_files(&here, &relative);
            relative.push(part);
            here.push(part);
            let is_last = parts.peek().is_none();
            let found = match self.look(&here) {
                Ok(found) => found,
                Err(error) => {
                    // Rules speak of names, also of those that are not there.
                    let (left_out, rule) = self.rule(&relative, false);
                    let verdict = if left_out { Verdict::LeftOut } else { of_error(&error) };
                    return self.said(here, verdict, rule);
                }
            };
            let (left_out, rule) = self.rule(&relative, found.is_dir());
            if left_out {
                return self.said(here, Verdict::LeftOut, rule);
            }
            kept_by = rule.or(kept_by);
            if self.root.one_file_system && found.is_dir() && !is_same_device(&top, &found) {
                return self.said(here, Verdict::OtherFileSystem, kept_by);
            }
            match self.root.max_file_size {
                Some(limit) if found.is_file() && found.len() > limit => {
                    let size = found.len();
                    return self.said(here, Verdict::TooLarge { size, limit }, kept_by);
                }
                _ => {}
            }
            if is_last {
                let verdict = if found.is_dir() {
                    self.listed(&here)
                } else {
                    Verdict::Scanned
                };
                return self.said(here, verdict, kept_by);
            }
            if found.is_symlink() {
                return self.said(here, Verdict::BehindLink, kept_by);
            }
        }
        self.said(here, Verdict::Scanned, kept_by)
    }

    fn said(&self, decided_at: PathBuf, verdict: Verdict, rule: Option<Rule>) -> Explanation {
        Explanation {
            root: Some(self.root.path.clone()),
            decided_at,
            verdict,
            rule,
        }
    }

    /// What lies at a path, through a link where links are followed and this one stays inside the root.
    fn look(&self, path: &Path) -> io::Result<fs::Metadata> {
        let own = fs::symlink_metadata(path)?;
        if !own.is_symlink() || !self.root.follow_symlinks {
            return Ok(own);
        }
        let inside = fs::canonicalize(&self.root.path)?;
        match fs::canonicalize(path) {
            Ok(target) if target.starts_with(&inside) => fs::metadata(target),
            _ => Ok(own),
        }
    }

    fn listed(&self, directory: &Path) -> Verdict {
        fs::read_dir(directory).map_or_else(|error| of_error(&error), |_| Verdict::Walked)
    }

    /// Whether a path relative to the root is left out, and the rule that says so or the contrary.
    fn rule(&self, relative: &Path, is_dir: bool) -> (bool, Option<Rule>) {
        for file in self.files.iter().rev() {
            let Ok(below) = relative.strip_prefix(&file.below) else {
                continue;
            };
            let (left_out, glob) = match file.patterns.matched(below, is_dir) {
                Match::Ignore(glob) => (true, glob),
                Match::Whitelist(glob) => (false, glob),
                Match::None => continue,
            };
            let rule = found_rules::of_file(&file.path, &file.text, glob);
            return (left_out, Some(rule));
        }
        match self.rules.decide(relative, is_dir) {
            Decided::Nothing => (false, None),
            Decided::Hidden => (true, Some(Rule::Hidden)),
            Decided::LeftOut(place) => (true, Some(self.rules.rule(place))),
            Decided::Kept(place) => (false, Some(self.rules.rule(place))),
        }
    }

    fn read_ignore_files(&mut self, directory: &Path, below: &Path) {
        for name in &self.request.ignore_files {
            let path = directory.join(name);
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let mut builder = GitignoreBuilder::new("");
            for line in text.lines() {
                // A line that is no pattern is an error of the scan, and no rule.
                let _ = builder.add_line(None, line);
            }
            let Ok(patterns) = builder.build() else { continue };
            self.files.push(IgnoreFile {
                path,
                below: below.to_owned(),
                text,
                patterns,
            });
        }
    }
}

fn of_error(error: &io::Error) -> Verdict {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Verdict::Missing,
        _ => Verdict::Unreadable {
            detail: error.to_string(),
        },
    }
}

#[cfg(unix)]
fn is_same_device(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    one.dev() == other.dev()
}

#[cfg(not(unix))]
fn is_same_device(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
