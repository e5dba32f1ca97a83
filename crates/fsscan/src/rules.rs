//! Which paths are left out.
use crate::{
    quick_rules::Quick,
    request::{RootRequest, ScanRequest},
};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder, Glob},
};
use std::{collections::HashMap, path::Path, sync::Arc};

/// A pattern that is none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{pattern}` is not an ignore pattern")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub source: ignore::Error,
}

/// Why a path is left out, or kept against a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleMatch<'a> {
    /// No rule speaks of it.
    None,
    /// It is left out by this pattern.
    Ignored {
        /// The pattern as written.
        pattern: &'a str,
    },
    /// It is kept by this pattern, which begins with `!`.
    Kept {
        /// The pattern as written.
        pattern: &'a str,
    },
    /// Its name begins with a dot, and hidden files are left out.
    Hidden,
}

impl RuleMatch<'_> {
    /// Whether the path is left out.
    pub fn is_left_out(&self) -> bool {
        matches!(self, Self::Ignored { .. } | Self::Hidden)
    }
}

/// The patterns of a request that hold in one root.
#[derive(Clone, Debug)]
pub struct Rules {
    patterns: Gitignore,
    quick: Quick,
    /// How patterns were written that were widened to any depth.
    written: HashMap<String, String>,
    hidden: bool,
}

impl Rules {
    /// Those of all roots, then those of `root`: the last that matches decides.
    ///
    /// # Errors
    ///
    /// When a pattern is none.
    pub fn new(request: &ScanRequest, root: &RootRequest) -> Result<Self, PatternError> {
        let mut builder = GitignoreBuilder::new("");
        let mut quick = Quick::default();
        let mut written = HashMap::new();
        for pattern in request.ignore.iter().chain(&root.ignore) {
            let fault = |source| PatternError {
                pattern: pattern.clone(),
                source,
            };
            let widened = at_any_depth(pattern);
            builder.add_line(None, &widened).map_err(fault)?;
            quick.add(&widened);
            if widened != *pattern {
                written.insert(widened, pattern.clone());
            }
        }
        let patterns = builder.build().map_err(|source| PatternError {
            pattern: String::new(),
            source,
        })?;
        Ok(Self {
            patterns,
            quick,
            written,
            hidden: root.hidden,
        })
    }

    /// Whether some rule can only be decided by whole paths in this directory, whose path is relative to the root.
    /// Where none is, `leaves_out_name` decides by names alone, at a tenth of the cost.
    pub(crate) fn needs_paths(&self, directory: &[u8]) -> bool {
        self.quick.needs_paths(directory)
    }

    /// Whether a name is left out of a directory for which `needs_paths` does not hold.
    pub(crate) fn leaves_out_name(&self, name: &[u8], is_dir: bool) -> bool {
        let decided = self.quick.check(name, is_dir);
        decided.unwrap_or_else(|| !self.hidden && name.starts_with(b"."))
    }

    /// What the rules say of a path relative to the root, whose parents are not left out.
    pub fn check(&self, relative: &Path, is_dir: bool) -> RuleMatch<'_> {
        let hidden = || {
            relative
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        };
        let written = |glob: &'_ Glob| self.written.get(glob.original()).map(String::as_str);
        match self.patterns.matched(relative, is_dir) {
            Match::Ignore(glob) => RuleMatch::Ignored {
                pattern: written(glob).unwrap_or(glob.original()),
            },
            Match::Whitelist(glob) => RuleMatch::Kept {
                pattern: written(glob).unwrap_or(glob.original()),
            },
            Match::None if !self.hidden && hidden() => RuleMatch::Hidden,
            Match::None => RuleMatch::None,
        }
    }
}

/// `.git/*` is written by people who mean every `.git`, not only the one at the top.
fn at_any_depth(pattern: &str) -> String {
    let (negation, body) = match pattern.strip_prefix('!') {
        Some(body) => ("!", body),
        None => ("", pattern),
    };
    let inner = body.trim_end().trim_end_matches('/').contains('/');
    if inner && !body.starts_with('/') && !body.starts_with("**/") && !body.starts_with('#') {
        format!("{negation}**/{body}")
    } else {
        pattern.to_owned()
    }
}

/// The patterns of ignore files found on the way down to a directory, the deepest first.
#[derive(Debug)]
pub(crate) struct FoundRules {
    above: Option<Arc<FoundRules>>,
    patterns: Gitignore,
    /// How many bytes of a path relative to the root lie above what the patterns see.
    skip: usize,
}

impl FoundRules {
    /// Those of `text` for what lies in the directory whose path relative to the root has `depth_bytes` bytes, and a
    /// message for each line that is none.
    pub(crate) fn new(above: Option<Arc<Self>>, text: &str, depth_bytes: usize) -> (Self, Vec<String>) {
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
        (Self { above, patterns, skip }, faults)
    }

    /// Whether a path relative to the root is left out (`true`), kept (`false`), or not spoken of.
    pub(crate) fn check(&self, relative: &[u8], is_dir: bool) -> Option<bool> {
        let mut rules = Some(self);
        while let Some(here) = rules {
            let below = relative.get(here.skip..).unwrap_or_default();
            match here.patterns.matched(crate::sys::path_of(below), is_dir) {
                Match::Ignore(_) => return Some(true),
                Match::Whitelist(_) => return Some(false),
                Match::None => rules = here.above.as_deref(),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection, prelude::*};

    fn rules(patterns: &[String]) -> Option<Rules> {
        let mut request = ScanRequest::new(vec![RootRequest::new("/r")]);
        request.ignore = patterns.to_vec();
        Rules::new(&request, &request.roots[0]).ok()
    }

    proptest! {
        #[test]
        fn names_alone_decide_as_whole_paths_do(
            patterns in collection::vec("!?/?([ab.*?\\\\\\[]{1,4}/){0,2}[ab.*~]{1,5}/?[ ]?", 0..6),
            dir in "([ab][ab.]?/){0,3}",
            name in "[ab~][ab.~]{0,4}|[.][ab~]{1,3}",
            is_dir in any::<bool>(),
        ) {
            let Some(rules) = rules(&patterns) else { return Ok(()) };
            let here = dir.trim_end_matches('/');
            if !rules.needs_paths(here.as_bytes()) {
                let path = format!("{dir}{name}");
                let whole = rules.check(Path::new(&path), is_dir).is_left_out();
                prop_assert_eq!(rules.leaves_out_name(name.as_bytes(), is_dir), whole, "{:?} {}", patterns, path);
            }
        }
    }

    #[test]
    fn usual_patterns_need_no_paths() {
        let usual = [
            "**/*.bak",
            "build/**",
            "*.tmp",
            ".git/*",
            "node_modules/*",
            "/proc",
            "cache/",
            "~*",
            "Thumbs.db",
            "!*.keep",
        ];
        let rules = rules(&usual.map(str::to_owned)).unwrap();
        assert!(!rules.needs_paths(b"home/user/src"));
        for dir in ["", "x/.git", "node_modules", "x/build/y"] {
            assert!(rules.needs_paths(dir.as_bytes()), "{dir}");
        }
    }

    #[test]
    fn a_slash_in_a_class_or_a_choice_parts_no_directories() {
        for (pattern, path) in [("[x/b/ a-z][0-9]", "a/x1"), ("{x/b/y,z}", "a/z"), ("[x/b/**]", "a/x")] {
            let rules = rules(&[pattern.to_owned()]).unwrap();
            let (directory, name) = path.rsplit_once('/').unwrap();
            let by_name = rules.leaves_out_name(name.as_bytes(), false);
            let by_path = rules.check(Path::new(path), false).is_left_out();
            assert!(
                rules.needs_paths(directory.as_bytes()) || by_name == by_path,
                "{pattern}"
            );
        }
    }

    #[track_caller]
    fn check(patterns: &[&str], left_out: &[&str], kept: &[&str]) {
        let mut request = ScanRequest::new(vec![RootRequest::new("/r")]);
        request.ignore = patterns.iter().map(ToString::to_string).collect();
        let rules = Rules::new(&request, &request.roots[0]).unwrap();
        let is_out = |path: &&str| {
            let is_dir = path.ends_with('/');
            rules.check(Path::new(path.trim_end_matches('/')), is_dir).is_left_out()
        };
        for path in left_out {
            assert!(is_out(path), "{patterns:?} should leave out {path}");
        }
        for path in kept {
            assert!(!is_out(path), "{patterns:?} should keep {path}");
        }
    }

    #[test]
    fn patterns_mean_what_people_mean() {
        check(&["*.tmp"], &["a.tmp", "x/y/a.tmp", "d.tmp/"], &["a.tmpx", "tmp"]);
        check(
            &[".git/*"],
            &[".git/config", "deep/er/.git/HEAD", ".git/objects/"],
            &[".git/", "git/config"],
        );
        check(&["node_modules/*"], &["a/node_modules/x"], &["a/node_modules/"]);
        check(&["/build"], &["build/", "build"], &["sub/build/"]);
        check(&["/a/b"], &["a/b"], &["x/a/b"]);
        check(&["cache/"], &["cache/", "x/cache/"], &["cache", "x/cache"]);
        check(&["*.log", "!keep.log"], &["a.log"], &["keep.log", "x/keep.log"]);
        check(&["logs/*", "!logs/keep"], &["x/logs/a"], &["logs/keep", "x/logs/keep"]);
        check(&["**/x"], &["x", "a/b/x"], &["ax"]);
        check(&["a/**"], &["a/b", "q/a/b"], &["a/"]);
        check(
            &["# no", "", "?.c", "[ab].h"],
            &["a.c", "b.h"],
            &["aa.c", "c.h", "# no"],
        );
        check(&["\\!odd"], &["!odd"], &["odd"]);
        check(&[], &[], &[".hidden", "x"]);
    }

    #[test]
    fn the_root_s_own_patterns_win_and_hidden_files_can_be_left_out() {
        let mut request = ScanRequest::new(vec![RootRequest::new("/r")]);
        request.ignore = vec!["*.iso".to_owned()];
        request.roots[0].ignore = vec!["!keep.iso".to_owned(), "!.keep".to_owned()];
        request.roots[0].hidden = false;
        let rules = Rules::new(&request, &request.roots[0]).unwrap();
        assert_eq!(
            rules.check(Path::new("x/a.iso"), false),
            RuleMatch::Ignored { pattern: "*.iso" }
        );
        assert_eq!(
            rules.check(Path::new("x/keep.iso"), false),
            RuleMatch::Kept { pattern: "!keep.iso" }
        );
        assert_eq!(rules.check(Path::new("x/.ssh"), true), RuleMatch::Hidden);
        assert!(!rules.check(Path::new(".keep"), false).is_left_out());
    }

    #[test]
    fn the_deepest_ignore_file_decides() {
        let (top, faults) = FoundRules::new(None, "*.o\n/only-top\n[z-a]\n", 0);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let (deep, _) = FoundRules::new(Some(Arc::new(top)), "!keep.o\nsub/x\n", 3);
        assert_eq!(deep.check(b"a/b/x.o", false), Some(true));
        assert_eq!(deep.check(b"a/b/keep.o", false), Some(false));
        assert_eq!(
            deep.check(b"a/b/sub/x", false),
            Some(true),
            "relative to its own directory"
        );
        assert_eq!(deep.check(b"a/b/only-top", false), None);
    }
}
