//! What is told of single changes.
use crate::lab::Lab;
use fsscan::testing::Event;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::{Arc, atomic::AtomicBool},
};

#[test]
fn nothing_is_told_or_read_when_nothing_changed() {
    let mut lab = Lab::new();
    lab.write_many("a", 30);
    lab.write_many("a/b", 30);
    assert_eq!(lab.scan().summary.created, 60);
    let (reads, commits) = (lab.tree.reads(), lab.tree.commits());
    let told = lab.scan();
    assert_eq!((told.events, told.summary.unchanged), (vec![], 60));
    assert_eq!(lab.tree.reads(), reads, "an equal digest is enough");
    assert_eq!(lab.tree.commits(), commits + 1, "only the end of the scan is stored");
    lab.assert_true();
}

#[test]
fn changes_are_told_apart() {
    let mut lab = Lab::new();
    for name in [
        "edited",
        "mode",
        "link-target",
        "moved",
        "gone",
        "over",
        "dir/x",
        "dir/y",
    ] {
        lab.write(name, name);
    }
    symlink("here", lab.at("link")).unwrap();
    lab.scan();
    lab.write("edited", "longer than before");
    fs::set_permissions(lab.at("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(lab.at("link-target"), lab.at("second-link")).unwrap();
    fs::create_dir(lab.at("new")).unwrap();
    fs::rename(lab.at("moved"), lab.at("new/name")).unwrap();
    fs::remove_file(lab.at("gone")).unwrap();
    fs::rename(lab.at("dir"), lab.at("renamed")).unwrap();
    fs::remove_file(lab.at("link")).unwrap();
    symlink("there", lab.at("link")).unwrap();
    let told = lab.scan();
    let updated = |name: &str| {
        let path = lab.path(name);
        let changed = told.events.iter().find_map(|event| match event {
            Event::Updated(other, changed) if *other == path => Some(changed.names().collect::<Vec<_>>().join(" ")),
            _ => None,
        });
        changed.unwrap_or_else(|| panic!("{name} is not updated: {:?}", told.events))
    };
    assert_eq!(updated("edited"), "size mtime ctime");
    assert_eq!(updated("mode"), "ctime mode");
    assert_eq!(updated("link-target"), "ctime", "its number of links moved");
    assert!(updated("link").contains("mtime"));
    let others: Vec<_> = told
        .events
        .iter()
        .filter(|event| !matches!(event, Event::Updated(..)))
        .cloned()
        .collect();
    let moved = |from: &str, to: &str| Event::Moved(lab.path(from), lab.path(to));
    let mut expected = vec![
        Event::Created(lab.path("second-link")),
        moved("moved", "new/name"),
        moved("dir/x", "renamed/x"),
        moved("dir/y", "renamed/y"),
        Event::Deleted(lab.path("gone")),
    ];
    expected.sort();
    assert_eq!(others, expected);
    lab.assert_true();
}

#[test]
fn a_move_that_was_stored_but_not_told_is_told_by_the_next_scan() {
    let mut lab = Lab::new();
    lab.write("a/file", "x");
    lab.write("b/other", "y");
    lab.scan();
    fs::rename(lab.at("a/file"), lab.at("b/file")).unwrap();
    // Each directory is a commit of its own, and the scan ends before anything is settled.
    lab.request.commit_bytes = 0;
    let stop = Arc::new(AtomicBool::new(false));
    lab.tree.stop_after(2, Arc::clone(&stop));
    let told = lab.scan_until(&stop);
    assert!(told.summary.stopped && told.events.is_empty(), "{:?}", told.events);
    assert_eq!(lab.tree.undecided().len(), 2, "both sides wait");
    let told = lab.scan();
    assert_eq!(told.events, [Event::Moved(lab.path("a/file"), lab.path("b/file"))]);
    lab.assert_true();
}

#[test]
fn a_file_that_came_and_went_between_interruptions_is_never_told() {
    let mut lab = Lab::new();
    lab.write("a/known", "x");
    lab.scan();
    lab.write("a/brief", "y");
    lab.request.commit_bytes = 0;
    let stop = Arc::new(AtomicBool::new(false));
    lab.tree.stop_after(1, Arc::clone(&stop));
    lab.scan_until(&stop);
    assert_eq!(lab.tree.undecided().len(), 1);
    fs::remove_file(lab.at("a/brief")).unwrap();
    assert_eq!(lab.scan().events, []);
    lab.assert_true();
}

#[test]
fn a_first_scan_that_is_stopped_goes_on() {
    let mut lab = Lab::new();
    // More directories than may be on their way from the walk to the writer.
    for dir in 0..200 {
        lab.write_many(&format!("{dir}"), 2);
    }
    lab.request.commit_bytes = 0;
    lab.request.threads = 1;
    let stop = Arc::new(AtomicBool::new(false));
    lab.tree.stop_after(10, Arc::clone(&stop));
    let first = lab.scan_until(&stop).summary;
    assert!(first.stopped && first.created < 400);
    assert_eq!(first.roots[0].outcome, fsscan::RootOutcome::Stopped);
    let second = lab.scan().summary;
    assert_eq!(first.created + second.created, 400);
    lab.assert_true();
}

#[test]
fn damage_of_what_is_stored_is_survived_and_reported() {
    let mut lab = Lab::new();
    lab.write("a/x", "x");
    lab.scan();
    lab.tree.damage(|stored| stored.entries = vec![1, 200]);
    lab.server = Default::default();
    let told = lab.scan();
    assert!(told.errors.iter().all(|error| error.kind == fsscan::ErrorKind::Damaged) && !told.errors.is_empty());
    assert_eq!(told.events, [Event::Created(lab.path("a/x"))]);
}
