//! Which paths are left out.
use crate::{
    explain::Rule,
    quick_rules::Quick,
    request::{RootRequest, ScanRequest},
};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder, Glob},
};
use std::{collections::HashMap, path::Path};

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

/// What the patterns say of a path, each named by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    /// None speaks of it.
    Nothing,
    LeftOut(u32),
    Kept(u32),
    /// Its name begins with a dot, and hidden files are left out.
    Hidden,
}

impl Decided {
    /// Whether the path is left out.
    #[cfg(test)]
    fn is_left_out(self) -> bool {
        matches!(self, Self::LeftOut(_) | Self::Hidden)
    }
}

/// The patterns of a request that hold in one root.
#[derive(Clone, Debug)]
pub struct Rules {
    patterns: Gitignore,
    quick: Quick,
    /// As written: those of all roots, then the root's own.
    written: Vec<String>,
    /// How many of them hold in all roots.
    common: usize,
    /// The place of each among them, by what the matcher of paths knows it by. Of equal ones the last decides.
    places: HashMap<String, u32>,
    hidden: bool,
}

impl Rules {
    /// Those of all roots, then those of `root`: the last that matches decides.
    ///
    /// # Errors
    ///
    /// When a pattern is none.
    pub fn new(request: &ScanRequest, root: &RootRequest) -> Result<Self, PatternError> {
        Self::of(&request.ignore, root)
    }

    /// Those of `common`, then those of `root`: the last that matches decides.
    pub(crate) fn of(common: &[String], root: &RootRequest) -> Result<Self, PatternError> {
        let mut builder = GitignoreBuilder::new("");
        let mut quick = Quick::default();
        let mut places = HashMap::new();
        let written: Vec<String> = common.iter().chain(&root.ignore).cloned().collect();
        for (place, pattern) in (0..).zip(&written) {
            let fault = |source| PatternError {
                pattern: pattern.clone(),
                source,
            };
            let widened = at_any_depth(pattern);
            builder.add_line(None, &widened).map_err(fault)?;
            quick.add(&widened, place);
            places.insert(as_matched(&widened).to_owned(), place);
        }
        let patterns = builder.build().map_err(|source| PatternError {
            pattern: String::new(),
            source,
        })?;
        Ok(Self {
            patterns,
            quick,
            written,
            common: common.len(),
            places,
            hidden: root.hidden,
        })
    }

    /// Whether some rule can only be decided by whole paths in this directory, whose path is relative to the root.
    /// Where none is, `decide_name` decides by names alone, at a tenth of the cost.
    pub(crate) fn needs_paths(&self, directory: &[u8]) -> bool {
        self.quick.needs_paths(directory)
    }

    /// What the rules say of a name in a directory for which `needs_paths` does not hold.
    pub(crate) fn decide_name(&self, name: &[u8], is_dir: bool) -> Decided {
        match self.quick.decide(name, is_dir) {
            Decided::Nothing if !self.hidden && name.starts_with(b".") => Decided::Hidden,
            decided => decided,
        }
    }

    /// What the rules say of a path relative to the root, whose parents are not left out.
    pub(crate) fn decide(&self, relative: &Path, is_dir: bool) -> Decided {
        let hidden = || {
            relative
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        };
        let place = |glob: &Glob| self.places.get(glob.original()).copied().unwrap_or(u32::MAX);
        match self.patterns.matched(relative, is_dir) {
            Match::Ignore(glob) => Decided::LeftOut(place(glob)),
            Match::Whitelist(glob) => Decided::Kept(place(glob)),
            Match::None if !self.hidden && hidden() => Decided::Hidden,
            Match::None => Decided::Nothing,
        }
    }

    /// What the rules say of a path relative to the root, whose parents are not left out.
    pub fn check(&self, relative: &Path, is_dir: bool) -> RuleMatch<'_> {
        let pattern = |place: u32| self.written.get(place as usize).map_or("", String::as_str);
        match self.decide(relative, is_dir) {
            Decided::LeftOut(place) => RuleMatch::Ignored {
                pattern: pattern(place),
            },
            Decided::Kept(place) => RuleMatch::Kept {
                pattern: pattern(place),
            },
            Decided::Hidden => RuleMatch::Hidden,
            Decided::Nothing => RuleMatch::None,
        }
    }

    /// The pattern at `place`, and where it stands.
    pub(crate) fn rule(&self, place: u32) -> Rule {
        let place = place as usize;
        let pattern = self.written.get(place).cloned().unwrap_or_default();
        match place.checked_sub(self.common) {
            Some(index) => Rule::OfRoot { pattern, index },
            None => Rule::OfAllRoots { pattern, index: place },
        }
    }
}

/// A line as the matcher of paths names it: without blanks at its end, unless they are meant.
fn as_matched(line: &str) -> &str {
    if line.ends_with("\\ ") { line } else { line.trim_end() }
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
                let whole = rules.decide(Path::new(&path), is_dir);
                prop_assert_eq!(rules.decide_name(name.as_bytes(), is_dir), whole, "{:?} {}", patterns, path);
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
            let by_name = rules.decide_name(name.as_bytes(), false).is_left_out();
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
}
