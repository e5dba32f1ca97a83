//! Rules that lie in the tree: the patterns of ignore files.
use crate::{explain::Rule, sys};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder, Glob},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The patterns of ignore files found on the way down to a directory, the deepest first.
#[derive(Debug)]
pub(crate) struct FoundRules {
    above: Option<Arc<FoundRules>>,
    patterns: Gitignore,
    /// Where they were found.
    file: PathBuf,
    text: Box<str>,
    /// How many bytes of a path relative to the root lie above what the patterns see.
    skip: usize,
}

impl FoundRules {
    /// Those of `text`, which was found in `file`, for what lies in the directory whose path relative to the root has
    /// `depth_bytes` bytes, and a message for each line that is none.
    pub(crate) fn new(
        above: Option<Arc<Self>>,
        file: PathBuf,
        text: String,
        depth_bytes: usize,
    ) -> (Self, Vec<String>) {
        let mut builder = GitignoreBuilder::new("");
        let mut faults = Vec::new();
        for line in text.lines() {
            if let Err(fault) = builder.add_line(None, line) {
                faults.push(fault.to_string());
            }
        }
        let patterns = builder.build().unwrap_or_else(|fault| {
            faults.push(fault.to_string());
            Gitignore::empty()
        });
        let skip = if depth_bytes == 0 { 0 } else { depth_bytes + 1 };
        let rules = Self {
            above,
            patterns,
            file,
            text: text.into(),
            skip,
        };
        (rules, faults)
    }

    /// Whether a path relative to the root is left out (`true`), kept (`false`), or not spoken of.
    pub(crate) fn check(&self, relative: &[u8], is_dir: bool) -> Option<bool> {
        self.find(relative, is_dir).map(|(left_out, ..)| left_out)
    }

    /// The line that decides, where one does.
    pub(crate) fn rule(&self, relative: &[u8], is_dir: bool) -> Option<Rule> {
        let (_, here, glob) = self.find(relative, is_dir)?;
        Some(of_file(&here.file, &here.text, glob))
    }

    fn find(&self, relative: &[u8], is_dir: bool) -> Option<(bool, &Self, &Glob)> {
        let mut rules = Some(self);
        while let Some(here) = rules {
            let below = relative.get(here.skip..).unwrap_or_default();
            match here.patterns.matched(sys::path_of(below), is_dir) {
                Match::Ignore(glob) => return Some((true, here, glob)),
                Match::Whitelist(glob) => return Some((false, here, glob)),
                Match::None => rules = here.above.as_deref(),
            }
        }
        None
    }
}

/// The line of an ignore file that a pattern came from. Of equal ones the last decides.
pub(crate) fn of_file(file: &Path, text: &str, glob: &Glob) -> Rule {
    let lines: Vec<&str> = text.lines().collect();
    let line = lines
        .iter()
        .rposition(|line| line.trim_end() == glob.original().trim_end());
    Rule::OfFile {
        pattern: glob.original().to_owned(),
        file: file.to_owned(),
        line: line.map_or(0, |line| line + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_ignore_file_decides() {
        let (top, faults) = FoundRules::new(None, "/r/.x".into(), "*.o\n/only-top\n[z-a]\n".to_owned(), 0);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let (deep, _) = FoundRules::new(
            Some(Arc::new(top)),
            "/r/a/b/.x".into(),
            "!keep.o\nsub/x\n".to_owned(),
            3,
        );
        assert_eq!(deep.check(b"a/b/x.o", false), Some(true));
        assert_eq!(deep.check(b"a/b/keep.o", false), Some(false));
        assert_eq!(
            deep.check(b"a/b/sub/x", false),
            Some(true),
            "relative to its own directory"
        );
        assert_eq!(deep.check(b"a/b/only-top", false), None);
        let rule = |pattern: &str, file: &str, line| Rule::OfFile {
            pattern: pattern.to_owned(),
            file: file.into(),
            line,
        };
        assert_eq!(deep.rule(b"a/b/x.o", false), Some(rule("*.o", "/r/.x", 1)));
        assert_eq!(deep.rule(b"a/b/sub/x", false), Some(rule("sub/x", "/r/a/b/.x", 2)));
    }
}
