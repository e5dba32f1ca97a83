//! What is told of files that are written while somebody watches.
use crate::errors::{is_in_namespace, is_unprivileged, mount_at, unmount_at};
use fsscan::{
    RootRequest,
    watch::{GoneWhy, Lost, LostWhy, Watch, WatchRequest, WatchStats, Watched, Written},
};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mknodat};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Far longer than anything takes that is waited for.
pub(crate) const GUARD: Duration = Duration::from_secs(60);

pub(crate) struct Lab {
    dir: tempfile::TempDir,
    pub(crate) request: WatchRequest,
    watch: Option<Watch>,
    markers: u32,
}

/// What was told: files by their names in the root, and directories.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) files: BTreeMap<String, u32>,
    pub(crate) lost: Vec<Lost>,
}

impl Told {
    fn names(&self) -> BTreeSet<&str> {
        self.files.keys().map(String::as_str).collect()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let mut request = WatchRequest::new(vec![RootRequest::new(dir.path().join("root"))]);
        request.debounce = Duration::from_millis(20);
        request.latest = Duration::from_millis(100);
        Self {
            dir,
            request,
            watch: None,
            markers: 0,
        }
    }

    /// A path beside the root.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    pub(crate) fn mkdir(&self, name: &str) {
        fs::create_dir_all(self.at(name)).unwrap();
    }

    pub(crate) fn watch(&mut self) -> &mut Watch {
        self.watch.as_mut().unwrap()
    }

    pub(crate) fn stats(&self) -> WatchStats {
        self.watch.as_ref().unwrap().counters().read()
    }

    /// Begins, and waits until the root is watched.
    pub(crate) async fn begin(&mut self) -> Told {
        self.watch = Some(Watch::begin(&self.request).unwrap());
        self.until(|watched| matches!(watched, Watched::Watching { .. })).await
    }

    pub(crate) async fn next(&mut self) -> Watched {
        let next = tokio::time::timeout(GUARD, self.watch().next()).await;
        next.expect("nothing is told").expect("the watch broke down")
    }

    /// What is told until something is that is wanted.
    pub(crate) async fn until(&mut self, mut is_wanted: impl FnMut(&Watched) -> bool) -> Told {
        let mut told = Told::default();
        loop {
            let watched = self.next().await;
            let is_last = is_wanted(&watched);
            match watched {
                Watched::Written(Written { path, .. }) => {
                    let name = path.strip_prefix(self.at("")).unwrap_or(&path);
                    *told.files.entry(name.to_string_lossy().into_owned()).or_default() += 1;
                }
                Watched::Lost(lost) => told.lost.push(lost),
                Watched::Watching { .. } | Watched::Gone { .. } => {}
            }
            if is_last {
                return told;
            }
        }
    }

    /// What is told until all these files were.
    pub(crate) async fn until_files(&mut self, names: &[&str]) -> Told {
        let mut missing: BTreeSet<PathBuf> = names.iter().map(|name| self.at(name)).collect();
        self.until(|watched| {
            if let Watched::Written(written) = watched {
                missing.remove(&written.path);
            }
            missing.is_empty()
        })
        .await
    }

    /// What is told of all that was done so far. Files that are told again soon are not waited for.
    pub(crate) async fn all(&mut self) -> Told {
        let mut all = Told::default();
        // By the second marker, the directories that appeared before the first were looked at.
        for _ in 0..2 {
            self.markers += 1;
            let marker = format!("marker-{}", self.markers);
            self.write(&marker, "x");
            let told = self.until_files(&[&marker]).await;
            for (name, times) in told.files {
                if !name.starts_with("marker-") {
                    *all.files.entry(name).or_default() += times;
                }
            }
            all.lost.extend(told.lost);
        }
        all
    }
}

fn set<'n>(names: &[&'n str]) -> BTreeSet<&'n str> {
    names.iter().copied().collect()
}

#[tokio::test]
async fn what_is_written_is_told_and_what_was_there_is_not() {
    let mut lab = Lab::new();
    lab.mkdir("old/deep");
    for name in ["old/kept", "old/changed", "old/deep/appended", "renamed-over"] {
        lab.write(name, "before");
    }
    assert!(lab.begin().await.files.is_empty());

    lab.write("created", "x");
    lab.write("old/changed", "x");
    let mut file = File::options().append(true).open(lab.at("old/deep/appended")).unwrap();
    file.write_all(b"more").unwrap();
    drop(file);
    lab.write("old/temporary", "x");
    fs::rename(lab.at("old/temporary"), lab.at("renamed-over")).unwrap();
    fs::write(lab.beside("outside"), "x").unwrap();
    fs::rename(lab.beside("outside"), lab.at("old/moved-in")).unwrap();
    lab.write("deleted", "x");
    fs::remove_file(lab.at("deleted")).unwrap();
    File::open(lab.at("old/kept"))
        .unwrap()
        .read_to_end(&mut Vec::new())
        .unwrap();

    let told = lab.all().await;
    let wanted = set(&[
        "created",
        "old/changed",
        "old/deep/appended",
        "renamed-over",
        "old/moved-in",
    ]);
    assert_eq!((told.names(), &told.lost), (wanted, &vec![]));
}

#[tokio::test]
async fn a_file_is_told_with_its_looks_and_opens_as_what_was_told() {
    let mut lab = Lab::new();
    lab.begin().await;
    lab.write("a", "hello");
    let Watched::Written(written) = lab.next().await else {
        panic!("no file")
    };
    assert_eq!((written.root, written.stat.size, &written.path), (0, 5, &lab.at("a")));
    let mut text = String::new();
    written.open().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");

    lab.write("b", "hello");
    let Watched::Written(written) = lab.next().await else {
        panic!("no file")
    };
    fs::remove_file(lab.at("b")).unwrap();
    mknodat(CWD, lab.at("b"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    assert!(matches!(written.open(), Err(fsscan::OpenFileError::NotRegular)));
}

#[tokio::test]
async fn a_file_in_directories_made_at_once_with_it_is_told() {
    let mut lab = Lab::new();
    lab.begin().await;
    for number in 0..50 {
        let name = format!("{number}/b/c/file");
        lab.mkdir(&format!("{number}/b/c"));
        lab.write(&name, "x");
        lab.until_files(&[&name]).await;
        lab.write(format!("{number}/b/later"), "x");
        lab.until_files(&[&format!("{number}/b/later")]).await;
    }
    assert_eq!(lab.stats().watches, 151);
}

#[tokio::test]
async fn files_keep_their_right_paths_when_directories_are_moved() {
    let mut lab = Lab::new();
    lab.mkdir("a/b/c");
    lab.mkdir("elsewhere");
    lab.begin().await;
    // Written a moment before: what waits must not be missed by its old name.
    lab.write("a/b/c/first", "x");
    fs::rename(lab.at("a/b"), lab.at("elsewhere/moved")).unwrap();
    lab.until_files(&["elsewhere/moved/c/first"]).await;
    lab.write("elsewhere/moved/c/second", "x");
    let told = lab.until_files(&["elsewhere/moved/c/second"]).await;
    assert!(
        told.files.keys().all(|name| name.starts_with("elsewhere/moved/c/")),
        "{told:?}"
    );

    // Another takes its old name.
    lab.mkdir("a/b/c");
    lab.write("a/b/c/third", "x");
    lab.until_files(&["a/b/c/third"]).await;
    // Out of the root and back: the same directory at another place.
    fs::rename(lab.at("elsewhere/moved"), lab.beside("out")).unwrap();
    fs::write(lab.beside("out/c/unseen"), "x").unwrap();
    assert!(lab.all().await.names().iter().all(|name| !name.contains("unseen")));
    assert_eq!(lab.stats().watches, 5, "what is outside is not watched any more");
    fs::rename(lab.beside("out"), lab.at("back")).unwrap();
    lab.until_files(&["back/c/first", "back/c/second", "back/c/unseen"])
        .await;
    fs::remove_dir_all(lab.at("back")).unwrap();
    lab.all().await;
    assert_eq!(lab.stats().watches, 5);
}

#[tokio::test]
async fn a_tree_moved_in_from_outside_is_told_whole() {
    let mut lab = Lab::new();
    lab.begin().await;
    fs::create_dir_all(lab.beside("tree/x/y")).unwrap();
    for name in ["tree/1", "tree/x/2", "tree/x/y/3"] {
        fs::write(lab.beside(name), "x").unwrap();
    }
    fs::rename(lab.beside("tree"), lab.at("in")).unwrap();
    let told = lab.until_files(&["in/1", "in/x/2", "in/x/y/3"]).await;
    assert_eq!(told.files.len(), 3);
}

#[tokio::test]
async fn links_are_told_as_names_of_files_and_never_followed() {
    let mut lab = Lab::new();
    fs::write(lab.beside("content"), "x").unwrap();
    fs::write(lab.beside("empty"), "").unwrap();
    fs::create_dir(lab.beside("other")).unwrap();
    lab.begin().await;
    fs::hard_link(lab.beside("content"), lab.at("hard")).unwrap();
    fs::hard_link(lab.beside("empty"), lab.at("hard-and-empty")).unwrap();
    symlink(lab.beside("other"), lab.at("soft")).unwrap();
    symlink(lab.beside("content"), lab.at("soft-file")).unwrap();
    fs::write(lab.at("soft/file"), "x").unwrap();
    let told = lab.all().await;
    assert_eq!(told.names(), set(&["hard"]));
    assert_eq!(lab.stats().watches, 1);

    // A file that had no name until it was whole.
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let Ok(nameless) = rustix::fs::openat(CWD, lab.at(""), flags, Mode::from(0o600)) else {
        return eprintln!("files without a name are not tested: this file system has none");
    };
    let mut nameless = File::from(nameless);
    nameless.write_all(b"x").unwrap();
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&nameless));
    rustix::fs::linkat(CWD, name, CWD, lab.at("named"), AtFlags::SYMLINK_FOLLOW).unwrap();
    lab.until_files(&["named"]).await;
}

#[tokio::test]
async fn what_is_left_out_is_silent_and_costs_no_watch() {
    let mut lab = Lab::new();
    lab.request.ignore = vec!["*.tmp".to_owned(), "node_modules".to_owned(), "/top/only".to_owned()];
    lab.request.roots[0].hidden = false;
    lab.request.roots[0].max_file_size = Some(10);
    lab.mkdir("node_modules/x");
    lab.mkdir("top/only");
    lab.mkdir("deep/top/only");
    lab.begin().await;
    assert_eq!(lab.stats().watches, 5, "the root, top, and deep with its two");
    lab.mkdir("later/node_modules/y");
    lab.mkdir(".git");
    for name in [
        "a.tmp",
        ".hidden",
        ".git/x",
        "node_modules/x/a",
        "later/node_modules/y/a",
        "top/only/x",
    ] {
        lab.write(name, "x");
    }
    lab.write("large", "more than ten bytes");
    for name in ["later/told", "deep/top/only/told", "tmp"] {
        lab.write(name, "x");
    }
    let told = lab.all().await;
    assert_eq!(told.names(), set(&["later/told", "deep/top/only/told", "tmp"]));
    assert_eq!((lab.stats().watches, lab.stats().too_large), (6, 1));
    // By a rename they become names that are told, and the other way round.
    fs::rename(lab.at("a.tmp"), lab.at("a")).unwrap();
    fs::rename(lab.at("later/node_modules"), lab.at("later/modules")).unwrap();
    fs::rename(lab.at("deep/top"), lab.at("deep/node_modules")).unwrap();
    let told = lab.all().await;
    assert_eq!(told.names(), set(&["a", "later/modules/y/a"]));
    assert_eq!(lab.stats().watches, 6);
}

#[tokio::test]
async fn any_name_is_told() {
    let mut lab = Lab::new();
    lab.begin().await;
    let odd = OsStr::from_bytes(b"\xff\xfe new\nline");
    fs::create_dir(lab.at(odd)).unwrap();
    let path = lab.at(odd).join(OsStr::from_bytes(b"\x80"));
    fs::write(&path, "x").unwrap();
    lab.until(|watched| matches!(watched, Watched::Written(written) if written.path == path))
        .await;
    let long = "n".repeat(255);
    lab.write(&long, "x");
    lab.until_files(&[&long]).await;
}

#[tokio::test]
async fn pipes_sockets_and_devices_are_neither_told_nor_opened() {
    let mut lab = Lab::new();
    lab.begin().await;
    lab.mkdir("appears");
    for name in ["pipe", "appears/pipe"] {
        mknodat(CWD, lab.at(name), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    }
    let _socket = UnixListener::bind(lab.at("socket")).unwrap();
    // A writer that is closed without any reader: had anybody opened the pipe, he would not wait.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK;
    let told = lab.all().await;
    assert!(told.files.is_empty(), "{told:?}");
    let opened = rustix::fs::openat(CWD, lab.at("pipe"), flags, Mode::empty());
    assert_eq!(opened.unwrap_err(), rustix::io::Errno::NXIO, "nobody reads it");
    let both = rustix::fs::openat(CWD, lab.at("pipe"), OFlags::RDWR, Mode::empty()).unwrap();
    drop(both);
    assert!(lab.all().await.files.is_empty());
}

#[tokio::test]
async fn a_thousand_files_at_once_are_all_told_and_few_twice() {
    let mut lab = Lab::new();
    for dir in 0..10 {
        lab.mkdir(&format!("{dir}"));
    }
    lab.begin().await;
    let names: Vec<String> = (0..1000).map(|file| format!("{}/{file}", file % 10)).collect();
    for name in &names {
        lab.write(name, "x");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let told = lab.until_files(&names).await;
    assert_eq!((told.files.len(), told.lost), (1000, vec![]));
    let stats = lab.stats();
    assert_eq!(
        (stats.written, stats.lost, stats.overflows),
        (u64::from(told.files.values().sum::<u32>()), 0, 0)
    );
    assert!(stats.written < 2000, "{stats:?}");
}

#[tokio::test]
async fn a_file_that_is_always_written_is_told_again_and_again_but_not_each_time() {
    let mut lab = Lab::new();
    lab.begin().await;
    let mut writes = 0;
    let mut told = 0;
    while told < 3 {
        lab.write("log", &format!("{writes}"));
        writes += 1;
        let next = tokio::time::timeout(Duration::from_millis(1), lab.watch().next()).await;
        told += u32::from(matches!(next, Ok(Some(Watched::Written(_)))));
    }
    let stats = lab.stats();
    assert!(stats.coalesced > stats.written, "{stats:?} after {writes} writes");
}

#[tokio::test]
async fn more_files_than_may_wait_are_told_as_a_directory_to_scan() {
    let mut lab = Lab::new();
    lab.request.max_pending = 50;
    lab.mkdir("many");
    lab.begin().await;
    for file in 0..500 {
        lab.write(format!("many/{file}"), "x");
    }
    let below = lab.at("many");
    let told = lab
        .until(|watched| matches!(watched, Watched::Lost(lost) if lost.below == below))
        .await;
    assert_eq!(told.lost[0].why, LostWhy::Backlog);
    assert!(lab.stats().pending <= 50);
    lab.write("many/after", "x");
    lab.until(|watched| match watched {
        Watched::Written(written) => written.path.ends_with("after"),
        Watched::Lost(lost) => lost.why == LostWhy::Backlog,
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn directories_beyond_the_limit_are_lost_and_the_rest_goes_on() {
    let mut lab = Lab::new();
    lab.request.max_watches = 3;
    for dir in ["a/b/c", "d/e", "f"] {
        lab.mkdir(dir);
    }
    let mut lost = lab.begin().await.lost;
    lab.write("told", "x");
    lost.extend(lab.until_files(&["told"]).await.lost);
    if lost.is_empty() {
        lost.extend(lab.until(|watched| matches!(watched, Watched::Lost(_))).await.lost);
    }
    assert!(
        lost.iter()
            .all(|lost| lost.why == LostWhy::WatchLimit && lost.why.is_blind()),
        "{lost:?}"
    );
    let stats = lab.stats();
    assert_eq!(stats.watches, 3);
    assert!(stats.blind >= 2, "{stats:?}");
}

#[tokio::test]
async fn a_root_that_is_not_there_is_told_and_watched_when_it_appears() {
    let mut lab = Lab::new();
    let root = lab.beside("not/yet/there");
    lab.request.roots.push(RootRequest::new(&root));
    lab.begin().await;
    let gone = |watched: &Watched| {
        matches!(
            watched,
            Watched::Gone {
                root: 1,
                why: GoneWhy::Missing,
                ..
            }
        )
    };
    if lab.watch.as_ref().unwrap().counters().read().watches < 1 {
        panic!("the other root is watched");
    }
    // Either order of the two roots' news.
    lab.write("other", "x");
    let mut is_gone = false;
    lab.until(|watched| {
        is_gone |= gone(watched);
        matches!(watched, Watched::Written(_))
    })
    .await;
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("file"), "x").unwrap();
    let file = root.join("file");
    lab.until(|watched| matches!(watched, Watched::Written(written) if written.path == file && written.root == 1))
        .await;
    for _ in 0..3 {
        fs::remove_dir_all(&root).unwrap();
        lab.until(gone).await;
        fs::create_dir(&root).unwrap();
        lab.until(|watched| matches!(watched, Watched::Watching { root: 1, .. }))
            .await;
        fs::write(&file, "x").unwrap();
        lab.until(|watched| matches!(watched, Watched::Written(written) if written.path == file))
            .await;
    }
    // A parent that is moved takes the root with it.
    fs::rename(lab.beside("not"), lab.beside("moved")).unwrap();
    lab.until(gone).await;
    fs::rename(lab.beside("moved"), lab.beside("not")).unwrap();
    lab.until(|watched| matches!(watched, Watched::Watching { root: 1, .. }))
        .await;
    fs::remove_dir_all(&root).unwrap();
    fs::write(&root, "x").unwrap();
    lab.until(|watched| {
        matches!(
            watched,
            Watched::Gone {
                why: GoneWhy::NotADirectory,
                ..
            }
        )
    })
    .await;
}

#[tokio::test]
async fn a_root_behind_a_link_is_told_by_its_own_path_and_follows_the_link() {
    let mut lab = Lab::new();
    for name in ["one/x", "two/x"] {
        fs::create_dir_all(lab.beside(name)).unwrap();
    }
    let link = lab.beside("link");
    symlink("one", &link).unwrap();
    lab.request.roots = vec![RootRequest::new(&link)];
    lab.begin().await;
    let written =
        |path: PathBuf| move |watched: &Watched| matches!(watched, Watched::Written(file) if file.path == path);
    fs::write(lab.beside("one/x/file"), "x").unwrap();
    lab.until(written(link.join("x/file"))).await;
    fs::write(lab.beside("two/x/was-there"), "x").unwrap();
    symlink("two", lab.beside("other")).unwrap();
    fs::rename(lab.beside("other"), &link).unwrap();
    lab.until(written(link.join("x/was-there"))).await;
    fs::write(lab.beside("two/x/later"), "x").unwrap();
    lab.until(written(link.join("x/later"))).await;
    // What the link leads to is moved away, by a name that is on no path asked for.
    fs::rename(lab.beside("two"), lab.beside("three")).unwrap();
    lab.until(|watched| matches!(watched, Watched::Gone { .. })).await;
}

#[tokio::test]
async fn what_may_not_be_read_is_lost_by_name() {
    if !is_unprivileged("watch::what_may_not_be_read_is_lost_by_name") {
        return;
    }
    let mut lab = Lab::new();
    lab.mkdir("closed/deep");
    fs::set_permissions(lab.at("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut lost = lab.begin().await.lost;
    if lost.is_empty() {
        lost = lab.until(|watched| matches!(watched, Watched::Lost(_))).await.lost;
    }
    let why = LostWhy::Unreadable(fsscan::ErrorKind::Permission);
    let below = lab.at("closed");
    assert_eq!(lost, [Lost { root: 0, below, why }]);
    fs::set_permissions(lab.at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn what_is_mounted_later_is_watched() {
    if is_in_namespace("watch::what_is_mounted_later_is_watched") != Some(true) {
        return;
    }
    let mut lab = Lab::new();
    lab.mkdir("a/point");
    lab.begin().await;
    lab.write("a/point/below", "x");
    lab.until_files(&["a/point/below"]).await;
    mount_at(&lab.at("a/point"));
    lab.write("a/point/above", "x");
    lab.until_files(&["a/point/above"]).await;
    lab.mkdir("a/point/dir");
    lab.write("a/point/dir/file", "x");
    lab.until_files(&["a/point/dir/file"]).await;
    // Nothing of it is held open.
    unmount_at(&lab.at("a/point"));
    lab.until_files(&["a/point/below"]).await;
    lab.write("a/point/again", "x");
    lab.until_files(&["a/point/again"]).await;
    // And over the root itself.
    mount_at(&lab.at(""));
    lab.until(|watched| matches!(watched, Watched::Watching { .. })).await;
    lab.write("on-top", "x");
    lab.until_files(&["on-top"]).await;
    unmount_at(&lab.at(""));
}

#[tokio::test]
async fn a_directory_shown_at_two_places_is_told_by_one_of_them() {
    if is_in_namespace("watch::a_directory_shown_at_two_places_is_told_by_one_of_them") != Some(true) {
        return;
    }
    let mut lab = Lab::new();
    lab.mkdir("a/inner");
    lab.mkdir("b");
    let bind = |from: PathBuf, to: PathBuf| {
        let done = std::process::Command::new("mount")
            .arg("--bind")
            .arg(from)
            .arg(to)
            .status();
        assert!(done.unwrap().success());
    };
    bind(lab.at("a"), lab.at("b"));
    lab.mkdir("self");
    bind(lab.at(""), lab.at("self"));
    lab.begin().await;
    lab.write("a/inner/file", "x");
    let told = lab.until(|watched| matches!(watched, Watched::Written(_))).await;
    assert!(told.files.keys().all(|name| name.ends_with("inner/file")), "{told:?}");
    for point in ["self", "b"] {
        unmount_at(&lab.at(point));
    }
}

#[tokio::test]
async fn one_file_system_is_kept_to_if_asked_for() {
    if is_in_namespace("watch::one_file_system_is_kept_to_if_asked_for") != Some(true) {
        return;
    }
    let mut lab = Lab::new();
    lab.request.roots[0].one_file_system = true;
    lab.mkdir("point");
    mount_at(&lab.at("point"));
    lab.mkdir("point/below");
    lab.begin().await;
    lab.write("point/below/file", "x");
    assert!(lab.all().await.files.is_empty());
    assert_eq!(lab.stats().watches, 1);
    unmount_at(&lab.at("point"));
    lab.write("point/file", "x");
    lab.until_files(&["point/file"]).await;
}

#[tokio::test]
async fn a_next_that_is_dropped_loses_nothing() {
    let mut lab = Lab::new();
    lab.begin().await;
    for file in 0..100 {
        lab.write(format!("{file}"), "x");
        let _dropped = tokio::time::timeout(Duration::ZERO, lab.watch().next())
            .await
            .map(|watched| {
                assert!(matches!(watched, Some(Watched::Written(_))));
            });
    }
    let written = lab.stats().written;
    let told = lab.all().await;
    assert!(
        told.files.len() as u64 + written >= 100,
        "{written} before and {}",
        told.files.len()
    );
}

#[test]
fn the_thread_ends_with_the_watch() {
    let lab = Lab::new();
    let watch = Watch::begin(&lab.request).unwrap();
    let counters = watch.counters();
    drop(watch);
    // The thread holds the other reference to what holds the counters.
    let deadline = Instant::now() + GUARD;
    while std::sync::Arc::strong_count(&counters) > 1 {
        assert!(Instant::now() < deadline, "it goes on");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn when_the_system_s_queue_runs_over_the_root_is_lost_and_watched_on() {
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    if queue > 100_000 {
        return eprintln!("an overflow is not tested: the system's queue holds {queue} events");
    }
    let mut lab = Lab::new();
    lab.mkdir("a");
    lab.begin().await;
    lab.watch = None;
    // What is read that seldom is not read in time.
    lab.request.pace = Duration::from_secs(2);
    lab.begin().await;
    let deadline = Instant::now() + GUARD;
    let mut number = 0;
    File::create(lab.at("a/0")).unwrap();
    while lab.stats().overflows == 0 {
        // The cheapest events, and never one equal to the last, since such are one.
        fs::rename(lab.at(format!("a/{number}")), lab.at(format!("a/{}", number + 1))).unwrap();
        number += 1;
        // A new directory, of which the event may be lost.
        if number % 1000 == 0 {
            lab.mkdir(&format!("new/{number}"));
        }
        assert!(Instant::now() < deadline, "{number} renames and no overflow");
    }
    let below = lab.at("");
    let is_lost = |watched: &Watched| matches!(watched, Watched::Lost(lost) if lost.below.join("") == below);
    let told = lab.until(is_lost).await;
    assert_eq!(told.lost.last().unwrap().why, LostWhy::Overflow);
    // All is watched when it is told, also what was made meanwhile.
    let dirs = fs::read_dir(lab.at("new")).map_or(0, Iterator::count);
    assert!(lab.stats().watches >= 2 + dirs as u64, "{:?}", lab.stats());
    if dirs > 0 {
        lab.write("new/1000/after", "x");
        let after = lab.at("new/1000/after");
        lab.until(|watched| {
            matches!(watched, Watched::Written(written) if written.path == after)
                || matches!(watched, Watched::Lost(lost) if after.starts_with(&lost.below))
        })
        .await;
    }
}
