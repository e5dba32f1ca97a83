//! Walks of real trees: every name ends in one place, and files are opened as they were listed.
use crate::walk_races::opened_after;
use fsscan::{
    Coverage, Directory, Enter, Entering, FileKind, NotWalked, PathError, Reason, RootOutcome, RootRequest, Rule,
    Tally, Visitor, WalkError, WalkRequest, WalkSummary, walk,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// A directory with a root in it, and the request to walk it.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) request: WalkRequest,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let request = WalkRequest::new(vec![RootRequest::new(dir.path().join("root"))]);
        Self { dir, request }
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn walk(&self) -> Met {
        let stop = AtomicBool::new(false);
        let visitors = vec![Met::default(), Met::default(), Met::default()];
        let (summary, visitors) = walk(&self.request, visitors, &stop).unwrap();
        let mut met = Met::default();
        for visitor in visitors {
            met.merge(visitor);
        }
        assert_eq!(
            (summary.files, summary.bytes),
            (met.coverage.visited.files, met.coverage.visited.bytes)
        );
        assert_eq!(summary.dirs, met.coverage.dirs);
        met.summary = summary;
        met
    }
}

/// What a walk met, by paths relative to the root.
#[derive(Default)]
pub(crate) struct Met {
    pub(crate) files: BTreeSet<String>,
    pub(crate) left_out: BTreeMap<String, Reason>,
    pub(crate) not_walked: BTreeMap<PathBuf, Reason>,
    pub(crate) errors: Vec<PathError>,
    pub(crate) coverage: Coverage,
    pub(crate) summary: WalkSummary,
    pub(crate) prune: Option<fn(&Entering<'_>) -> Enter>,
}

impl Met {
    fn merge(&mut self, other: Self) {
        for file in other.files {
            assert!(self.files.insert(file.clone()), "{file} was visited twice");
        }
        for (name, reason) in other.left_out {
            assert!(!self.files.contains(&name), "{name} is in two places");
            assert_eq!(self.left_out.insert(name, reason), None);
        }
        self.not_walked.extend(other.not_walked);
        self.errors.extend(other.errors);
        self.coverage.merge(other.coverage);
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.files.iter().map(String::as_str).collect()
    }
}

fn relative(dir: &Directory<'_>, name: &[u8]) -> String {
    let path = match dir.relative() {
        b"" => name.to_vec(),
        above => [above, b"/", name].concat(),
    };
    path.escape_ascii().to_string()
}

impl Visitor for Met {
    fn enter(&mut self, dir: &Entering<'_>) -> Enter {
        self.prune.map_or(Enter::Visit, |prune| prune(dir))
    }

    fn directory(&mut self, dir: &Directory<'_>) {
        for file in dir.files() {
            assert_eq!(file.stat.kind(), FileKind::File);
            assert!(self.files.insert(relative(dir, file.name)));
        }
        for left in dir.left_out() {
            let before = self.left_out.insert(relative(dir, left.name()), left.reason());
            assert_eq!(before, None);
        }
        self.coverage.add(dir);
    }

    fn not_walked(&mut self, dir: &NotWalked<'_>) {
        let path = PathBuf::from(OsStr::from_bytes(dir.path));
        self.not_walked.insert(path, dir.reason.clone());
        self.coverage.add_not_walked(dir);
    }

    fn error(&mut self, error: &PathError) {
        self.errors.push(error.clone());
    }
}

#[test]
fn every_name_ends_in_one_place_with_its_reason() {
    let mut lab = Lab::new();
    for name in [
        "a",
        "b.tmp",
        "sub/c",
        "sub/keep.tmp",
        "node_modules/x/y",
        ".hidden",
        ".dir/z",
        "big",
    ] {
        lab.write(name, "12345");
    }
    lab.write("big", "12345678");
    lab.write("sub/.scanignore", "d\nout/\n");
    lab.write("sub/d", "dd");
    lab.write("sub/out/e", "e");
    symlink("a", lab.at("link")).unwrap();
    mknodat(CWD, lab.at("pipe"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let _socket = UnixListener::bind(lab.at("socket")).unwrap();
    lab.request.ignore = vec!["*.tmp".into(), "node_modules".into()];
    lab.request.ignore_files = vec![".scanignore".into()];
    lab.request.roots[0].ignore = vec!["!keep.tmp".into(), "!.scanignore".into()];
    lab.request.roots[0].hidden = false;
    lab.request.roots[0].max_file_size = Some(7);

    let met = lab.walk();
    assert_eq!(met.names(), ["a", "sub/.scanignore", "sub/c", "sub/keep.tmp"]);
    let common = |pattern: &str, index| {
        Reason::Excluded(Rule::OfAllRoots {
            pattern: pattern.to_owned(),
            index,
        })
    };
    let of_file = |pattern: &str, line| {
        Reason::Excluded(Rule::OfFile {
            pattern: pattern.to_owned(),
            file: lab.at("sub/.scanignore"),
            line,
        })
    };
    let hidden = || Reason::Excluded(Rule::Hidden);
    let wanted = [
        (".dir", hidden()),
        (".hidden", hidden()),
        ("b.tmp", common("*.tmp", 0)),
        ("big", Reason::TooLarge),
        ("link", Reason::Symlink),
        ("node_modules", common("node_modules", 1)),
        ("pipe", Reason::Special(FileKind::Fifo)),
        ("socket", Reason::Special(FileKind::Socket)),
        ("sub/d", of_file("d", 1)),
        ("sub/out", of_file("out/", 2)),
    ];
    assert_eq!(
        met.left_out,
        wanted.map(|(name, reason)| (name.to_owned(), reason)).into()
    );
    let tally = |reason| met.coverage.left_out.get(&reason);
    assert_eq!(tally(common("*.tmp", 0)), Tally { files: 1, bytes: 5 });
    assert_eq!(tally(of_file("d", 1)), Tally { files: 1, bytes: 2 });
    assert_eq!(tally(hidden()), Tally { files: 1, bytes: 5 });
    assert_eq!(tally(Reason::TooLarge), Tally { files: 1, bytes: 8 });
    assert_eq!(tally(Reason::Symlink), Tally { files: 1, bytes: 0 });
    assert_eq!(met.coverage.dirs_left_out.get(&common("node_modules", 1)), Some(&1));
    assert_eq!((met.coverage.met().files, met.coverage.dirs), (4 + 7, 2));
}

#[test]
fn odd_names_are_visited_as_they_are() {
    let lab = Lab::new();
    let longest = "n".repeat(255);
    let names: [&[u8]; 7] = [
        b"new\nline",
        b"\xff\xfe",
        b" ",
        b"-rf",
        b"\x01",
        b"*?[",
        longest.as_bytes(),
    ];
    for name in names {
        let name = Path::new(OsStr::from_bytes(name));
        lab.write(name.join(name), "x");
    }
    let met = lab.walk();
    let wanted = names.map(|name| [name, b"/", name].concat().escape_ascii().to_string());
    assert_eq!(met.files, wanted.into());
}

#[test]
fn links_are_followed_inside_the_root_only_and_never_in_circles() {
    let mut lab = Lab::new();
    lab.write("dir/file", "12345");
    lab.write("../secret/s", "x");
    for (to, name) in [
        ("dir", "to-dir"),
        ("dir/file", "to-file"),
        ("..", "dir/up"),
        (".", "self"),
        ("../secret", "escape-dir"),
        ("../secret/s", "escape"),
        ("nowhere", "dangling"),
    ] {
        symlink(to, lab.at(name)).unwrap();
    }
    let met = lab.walk();
    assert_eq!((met.names(), met.left_out.len()), (vec!["dir/file"], 7));
    lab.request.roots[0].follow_symlinks = true;
    let met = lab.walk();
    assert_eq!(met.names(), ["dir/file", "to-dir/file", "to-file"]);
    let links: Vec<_> = met.left_out.keys().map(String::as_str).collect();
    assert_eq!(
        links,
        ["dangling", "dir/up", "escape", "escape-dir", "self", "to-dir/up"]
    );
    assert!(met.left_out.values().all(|reason| *reason == Reason::Symlink));
    // What a link leads to is opened as it was listed, and the link itself is not taken for it.
    lab.write("file", "through the link");
    fs::remove_file(lab.at("file")).unwrap();
    symlink("dir/file", lab.at("file")).unwrap();
    assert_eq!(opened_after(&lab, |_| {}).unwrap(), "12345");
}

#[test]
fn a_walk_goes_through_what_was_done_before_and_skips_what_it_is_told_to() {
    let lab = Lab::new();
    for name in ["a", "done/b", "done/below/c", "skipped/d", "skipped/below/e"] {
        lab.write(name, "x");
    }
    let visitor = || Met {
        prune: Some(|dir| match dir.relative {
            b"done" => Enter::Through,
            b"skipped" => Enter::Skip,
            _ => Enter::Visit,
        }),
        ..Met::default()
    };
    let visitors = vec![visitor(), visitor()];
    let (summary, visitors) = walk(&lab.request, visitors, &AtomicBool::new(false)).unwrap();
    let files: BTreeSet<_> = visitors.into_iter().flat_map(|visitor| visitor.files).collect();
    assert_eq!(files.iter().collect::<Vec<_>>(), ["a", "done/below/c"]);
    assert_eq!((summary.files, summary.dirs), (2, 2));
}

#[test]
fn a_walk_that_is_stopped_ends_and_says_so() {
    struct Stops<'s>(&'s AtomicBool);
    impl Visitor for Stops<'_> {
        fn directory(&mut self, _dir: &Directory<'_>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let lab = Lab::new();
    for number in 0..20 {
        lab.write(format!("{number}/file"), "x");
    }
    let stop = AtomicBool::new(false);
    let (summary, _) = walk(&lab.request, vec![Stops(&stop)], &stop).unwrap();
    assert_eq!((summary.stopped, summary.dirs), (true, 1));
    assert_eq!(summary.roots[0].outcome, RootOutcome::Stopped);
}

#[test]
#[should_panic(expected = "as a visitor may")]
fn a_visitor_that_panics_takes_the_walk_down_and_leaves_no_thread_waiting() {
    struct Panics;
    impl Visitor for Panics {
        fn directory(&mut self, dir: &Directory<'_>) {
            assert!(dir.relative().is_empty(), "as a visitor may");
        }
    }
    let lab = Lab::new();
    lab.write("a/b/c", "x");
    let _ = walk(&lab.request, vec![Panics, Panics], &AtomicBool::new(false));
}

#[test]
fn roots_that_cannot_be_walked_are_told_apart() {
    let mut lab = Lab::new();
    lab.write("a", "x");
    lab.write("../file", "x");
    let at = |name: &str| RootRequest::new(lab.dir.path().join(name));
    lab.request.roots = vec![at("missing"), at("file"), at("root"), at("./root/")];
    let summary = lab.walk().summary;
    let outcomes: Vec<_> = summary.roots.iter().map(|root| &root.outcome).collect();
    assert_eq!(
        outcomes,
        [
            &RootOutcome::Missing,
            &RootOutcome::NotADirectory,
            &RootOutcome::Scanned
        ]
    );
    assert_eq!((summary.roots[2].files, summary.roots[2].bytes), (1, 1));

    let refused = |roots: Vec<RootRequest>| {
        let request = WalkRequest::new(roots);
        walk(&request, vec![Met::default()], &AtomicBool::new(false)).map(drop)
    };
    let nested = refused(vec![at("root"), at("root/a")]);
    assert!(matches!(nested, Err(WalkError::Nested { inner, .. }) if inner.ends_with("root/a")));
    assert!(matches!(
        refused(vec![RootRequest::new("etc")]),
        Err(WalkError::Path { .. })
    ));
    let mut bad = at("root");
    bad.ignore = vec!["[z-a]".into()];
    assert!(matches!(
        WalkRequest::new(vec![bad.clone()]).check(),
        Err(WalkError::Pattern(_))
    ));
    assert!(matches!(refused(vec![bad]), Err(WalkError::Pattern(_))));
    let nobody = walk::<Met>(&lab.request, Vec::new(), &AtomicBool::new(false));
    assert!(matches!(nobody, Err(WalkError::NoVisitor)));
    assert!(
        lab.request.check().is_ok(),
        "whether a root is there shows when it is walked"
    );
}
