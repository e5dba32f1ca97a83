//! Walks of trees that change meanwhile, and what may not be read.
use crate::{
    errors::{is_in_namespace, is_unprivileged, mount_at, unmount_at},
    walk::Lab,
};
use fsscan::{
    Directory, ErrorKind, FileStat, KeptDir, OpenFileError, Reason, RootOutcome, RootRequest, Visitor, WalkedFile, walk,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind as IoError, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// Does something to a file between its listing and its opening, and says how the opening went.
pub(crate) fn opened_after(lab: &Lab, change: impl Fn(&Path) + Send) -> Result<String, OpenFileError> {
    struct Opens<F>(F, Option<Result<String, OpenFileError>>);
    impl<F: Fn(&Path) + Send> Visitor for Opens<F> {
        fn directory(&mut self, dir: &Directory<'_>) {
            let file = dir.files().find(|file| file.name == b"file").unwrap();
            (self.0)(Path::new(OsStr::from_bytes(&dir.path_of(file.name))));
            self.1 = Some(dir.open(&file).map(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            }));
        }
    }
    let visitors = vec![Opens(change, None)];
    let (_, mut visitors) = walk(&lab.request, visitors, &AtomicBool::new(false)).unwrap();
    visitors.remove(0).1.unwrap()
}

#[test]
fn a_file_opens_as_it_was_listed_or_says_what_became_of_it() {
    let lab = Lab::new();
    let fresh = || {
        let _ = fs::remove_file(lab.at("file"));
        lab.write("file", "as listed");
    };
    fresh();
    assert_eq!(opened_after(&lab, |_| {}).unwrap(), "as listed");
    let is_changed = |done: Result<String, _>| matches!(done, Err(OpenFileError::Changed));
    assert!(is_changed(opened_after(&lab, |path| {
        let mut file = File::options().append(true).open(path).unwrap();
        file.write_all(b"more").unwrap();
    })));
    assert!(is_changed(opened_after(&lab, |path| {
        fs::write(path.with_file_name("other"), "as listed").unwrap();
        fs::rename(path.with_file_name("other"), path).unwrap();
    })));
    let gone = opened_after(&lab, |path| fs::remove_file(path).unwrap());
    assert!(matches!(gone, Err(OpenFileError::Vanished)));
    let is_no_file = |done: Result<String, _>| matches!(done, Err(OpenFileError::NotRegular));
    fresh();
    assert!(is_no_file(opened_after(&lab, |path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    })));
    fresh();
    // A pipe that nobody writes to would be waited for by an ordinary open.
    assert!(is_no_file(opened_after(&lab, |path| {
        fs::remove_file(path).unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    })));
    fs::remove_file(lab.at("file")).unwrap();
    fresh();
    assert!(is_no_file(opened_after(&lab, |path| {
        fs::remove_file(path).unwrap();
        drop(UnixListener::bind(path).unwrap());
    })));
    fresh();
    assert!(is_no_file(opened_after(&lab, |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    })));
}

#[test]
fn a_kept_directory_is_the_same_wherever_it_is_moved() {
    struct Keeps(Option<(KeptDir, FileStat)>);
    impl Visitor for Keeps {
        fn directory(&mut self, dir: &Directory<'_>) {
            if let Some(WalkedFile { stat, .. }) = dir.files().next() {
                self.0 = Some((dir.keep().unwrap(), stat));
            }
        }
    }
    let lab = Lab::new();
    lab.write("dir/file", "inside");
    let (_, mut visitors) = walk(&lab.request, vec![Keeps(None)], &AtomicBool::new(false)).unwrap();
    let (kept, stat) = visitors.remove(0).0.unwrap();
    fs::rename(lab.at("dir"), lab.at("moved")).unwrap();
    lab.write("dir/file", "a trap");
    let mut text = String::new();
    kept.open(b"file", &stat).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "inside");
    // The same directory by its path is the same one.
    let by_path = KeptDir::at(&lab.at("moved")).unwrap();
    let same = |dir: &KeptDir| (dir.file_system(), dir.device(), dir.inode());
    assert_eq!(same(&by_path), same(&kept));
    assert_eq!(by_path.look(b"file").unwrap(), stat);
    assert_eq!(by_path.look(b"none").unwrap_err().kind(), IoError::NotFound);
    assert!(KeptDir::at(&lab.at("moved/file")).is_err());
    // Moved within its directory, as a quarantine does it: through the descriptor.
    rustix::fs::renameat(&kept, "file", &kept, "set-aside").unwrap();
    assert!(lab.at("moved/set-aside").exists() && lab.at("dir/file").exists());
}

#[test]
fn what_goes_while_it_is_walked_is_no_error() {
    /// At the root, takes away what lies below it and puts a link in the place of a directory.
    struct Removes(PathBuf, u64);
    impl Visitor for Removes {
        fn directory(&mut self, dir: &Directory<'_>) {
            self.1 += dir.files().count() as u64;
            if dir.relative().is_empty() {
                fs::remove_dir_all(self.0.join("gone")).unwrap();
                fs::rename(self.0.join("swapped"), self.0.join("../elsewhere")).unwrap();
                symlink("../elsewhere", self.0.join("swapped")).unwrap();
            }
        }
    }
    let lab = Lab::new();
    for name in ["gone/a", "gone/deep/b", "swapped/c", "stays/d"] {
        lab.write(name, "x");
    }
    let visitors = vec![Removes(lab.at(""), 0)];
    let (summary, visitors) = walk(&lab.request, visitors, &AtomicBool::new(false)).unwrap();
    assert_eq!((visitors[0].1, summary.errors.len(), summary.dirs), (1, 0, 2));
    assert_eq!(summary.roots[0].outcome, RootOutcome::Scanned);
}

#[test]
fn files_that_come_and_go_while_they_are_walked_are_met_once_or_not_at_all() {
    let lab = Lab::new();
    for dir in 0..20 {
        for file in 0..20 {
            lab.write(format!("{dir}/stays-{file}"), "x");
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_usize;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let dir = lab.at(format!("{}", number % 20));
                fs::write(dir.join("comes"), "x").unwrap();
                fs::rename(dir.join("comes"), dir.join("is-renamed")).unwrap();
                fs::create_dir(dir.join("below")).unwrap();
                fs::write(dir.join("below/file"), "x").unwrap();
                fs::remove_dir_all(dir.join("below")).unwrap();
                fs::remove_file(dir.join("is-renamed")).unwrap();
            }
        });
        for _ in 0..50 {
            let met = lab.walk();
            let stay = met.files.iter().filter(|name| name.contains("stays")).count();
            assert_eq!((stay, met.errors), (400, vec![]));
            assert!(met.left_out.values().all(|reason| *reason == Reason::Vanished));
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_cannot_be_read_is_told_and_accounted_for() {
    if !is_unprivileged("walk_races::what_cannot_be_read_is_told_and_accounted_for") {
        return;
    }
    let mut lab = Lab::new();
    for name in ["closed/file", "listed/a", "listed/deep/b", "open/c", "open/d"] {
        lab.write(name, "x");
    }
    let chmod = |name: &str, mode| fs::set_permissions(lab.at(name), fs::Permissions::from_mode(mode)).unwrap();
    chmod("closed", 0o000);
    // Readable but not searchable: names are seen, files are not.
    chmod("listed", 0o444);
    chmod("open/d", 0o000);
    let met = lab.walk();
    let unreadable = || Reason::Unreadable(ErrorKind::Permission);
    assert_eq!(
        met.names(),
        ["open/c", "open/d"],
        "a file that cannot be opened can be looked at"
    );
    assert_eq!(met.left_out, BTreeMap::from([("listed/a".to_owned(), unreadable())]));
    let not_walked = [lab.at("closed"), lab.at("listed/deep")].map(|path| (path, unreadable()));
    assert_eq!(met.not_walked, BTreeMap::from(not_walked));
    assert_eq!(
        (met.errors.len(), met.summary.errors.get(&ErrorKind::Permission)),
        (3, Some(&3))
    );
    assert_eq!(met.coverage.dirs_left_out.get(&unreadable()), Some(&2));
    lab.request.first_errors = 1;
    assert_eq!(lab.walk().summary.first_errors.len(), 1);

    fs::create_dir(lab.at("only")).unwrap();
    lab.write("only/file", "x");
    fs::set_permissions(lab.at("only/file"), fs::Permissions::from_mode(0o000)).unwrap();
    lab.request.roots = vec![RootRequest::new(lab.at("only"))];
    assert!(matches!(opened_after(&lab, |_| {}), Err(OpenFileError::Io(_))));
    for name in ["closed", "listed"] {
        fs::set_permissions(lab.at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn other_file_systems_are_left_out_or_told_as_such() {
    if is_in_namespace("walk_races::other_file_systems_are_left_out_or_told_as_such") != Some(true) {
        return;
    }
    struct Volumes(BTreeMap<Vec<u8>, (u64, bool)>);
    impl Visitor for Volumes {
        fn directory(&mut self, dir: &Directory<'_>) {
            let system = dir.file_system();
            self.0
                .insert(dir.relative().to_vec(), (system.volume, system.shows_changes()));
        }
    }
    let mut lab = Lab::new();
    lab.write("here/file", "x");
    fs::create_dir(lab.at("mounted")).unwrap();
    mount_at(&lab.at("mounted"));
    lab.write("mounted/file", "x");
    let (_, visitors) = walk(&lab.request, vec![Volumes(BTreeMap::new())], &AtomicBool::new(false)).unwrap();
    let volumes = &visitors[0].0;
    assert_eq!(volumes[b"here".as_slice()].0, volumes[b"".as_slice()].0);
    assert_ne!(volumes[b"mounted".as_slice()].0, volumes[b"".as_slice()].0);
    assert!(
        !volumes[b"mounted".as_slice()].1,
        "the times of a tmpfs do not show every store"
    );

    lab.request.roots[0].one_file_system = true;
    let met = lab.walk();
    assert_eq!(met.names(), ["here/file"]);
    assert_eq!(
        met.not_walked,
        BTreeMap::from([(lab.at("mounted"), Reason::OtherFileSystem)])
    );
    unmount_at(&lab.at("mounted"));
}
