//! Links, hard and symbolic, and files with holes.
use crate::lab::Lab;
use fsscan::{Change, FileKind, NoRecords, Observer, scan, testing::MemoryTree};
use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    sync::{Mutex, atomic::AtomicBool},
};

#[test]
fn hard_links_count_their_bytes_once() {
    let mut lab = Lab::new();
    lab.write("a/one", "12345");
    fs::create_dir(lab.at("b")).unwrap();
    fs::hard_link(lab.at("a/one"), lab.at("b/two")).unwrap();
    fs::hard_link(lab.at("a/one"), lab.at("a/three")).unwrap();
    lab.write("b/other", "1");
    let summary = lab.scan().summary;
    assert_eq!((summary.files, summary.bytes, summary.created), (4, 6, 4));
}

#[test]
fn holes_show_in_what_is_allocated() {
    #[derive(Default)]
    struct Sizes(Mutex<Vec<(u64, u64)>>);
    impl Observer for Sizes {
        fn change(&self, change: &Change<'_>) {
            if let Change::Created { file } = change {
                self.0.lock().unwrap().push((file.size, file.allocated));
            }
        }
    }
    let lab = Lab::new();
    File::create(lab.at("sparse")).unwrap().set_len(1 << 30).unwrap();
    let sizes = Sizes::default();
    let stop = AtomicBool::new(false);
    let mut tree = MemoryTree::default();
    scan(
        &mut tree,
        &lab.request,
        &mut NoRecords,
        &sizes,
        chrono::Utc::now(),
        &stop,
    )
    .unwrap();
    let sizes = sizes.0.into_inner().unwrap();
    assert!(
        matches!(sizes[..], [(size, allocated)] if size == 1 << 30 && allocated < 1 << 20),
        "{sizes:?}"
    );
}

#[test]
fn links_are_records_of_their_own_and_not_followed() {
    let mut lab = Lab::new();
    lab.write("dir/file", "x");
    symlink(lab.at("dir"), lab.at("to-dir")).unwrap();
    symlink("/etc", lab.at("outside")).unwrap();
    symlink("nowhere", lab.at("dangling")).unwrap();
    lab.scan();
    assert_eq!(lab.server.files.len(), 4);
    assert_eq!(lab.server.files[&lab.path("to-dir")].kind, FileKind::Symlink);
    lab.assert_true();
}

#[test]
fn links_are_followed_inside_the_root_only_and_never_in_circles() {
    let mut lab = Lab::new();
    lab.write("dir/file", "12345");
    fs::write(lab.dir().join("secret"), "x").unwrap();
    fs::create_dir(lab.dir().join("root-twin")).unwrap();
    symlink(lab.at("dir"), lab.at("to-dir")).unwrap();
    symlink("dir/file", lab.at("to-file")).unwrap();
    symlink("..", lab.at("dir/up")).unwrap();
    symlink(".", lab.at("self")).unwrap();
    symlink("../secret", lab.at("escape")).unwrap();
    symlink("../root-twin", lab.at("escape-dir")).unwrap();
    symlink("nowhere", lab.at("dangling")).unwrap();
    lab.request.roots[0].follow_symlinks = true;
    for _ in 0..2 {
        let told = lab.scan();
        assert_eq!(told.errors, []);
        let kind = |name: &str| lab.server.files[&lab.path(name)].kind;
        assert_eq!((kind("to-dir/file"), kind("to-file")), (FileKind::File, FileKind::File));
        assert_eq!(lab.server.files[&lab.path("to-file")].size, 5);
        for name in ["dir/up", "to-dir/up", "self", "escape", "escape-dir", "dangling"] {
            assert_eq!(kind(name), FileKind::Symlink, "{name}");
        }
        assert_eq!(lab.server.files.len(), 9);
    }
    // Followed to a content too, and hashed through the link.
    lab.request.mode = fsscan::Mode::Hash {
        algorithm: fsscan::Algorithm::Blake3,
    };
    lab.scan();
    fs::remove_file(lab.at("to-dir")).unwrap();
    assert_eq!(lab.scan().summary.deleted, 2, "its file and its link");
}

#[test]
fn a_directory_replaced_by_a_link_is_not_entered() {
    let mut lab = Lab::new();
    lab.write("dir/file", "x");
    lab.scan();
    fs::rename(lab.at("dir"), lab.dir().join("outside")).unwrap();
    symlink(lab.dir().join("outside"), lab.at("dir")).unwrap();
    let told = lab.scan();
    assert_eq!((told.summary.created, told.summary.deleted), (1, 1));
    lab.assert_true();
    fs::remove_file(lab.at("dir")).unwrap();
    fs::rename(lab.dir().join("outside"), lab.at("dir")).unwrap();
    lab.scan();
    lab.assert_true();
}
