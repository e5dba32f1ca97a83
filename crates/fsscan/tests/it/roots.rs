//! Roots that are missing, foreign, empty, nested, or no longer asked for.
use crate::lab::Lab;
use fsscan::{Accepted, NoObserver, NoRecords, RootOutcome, RootRequest, ScanError, scan, testing::Event};
use std::{fs, os::unix::ffi::OsStrExt, sync::atomic::AtomicBool};

#[test]
fn a_root_that_vanished_is_no_deletion_until_it_is_accepted() {
    let mut lab = Lab::new();
    lab.write_many("a", 5);
    lab.scan();
    fs::rename(lab.at(""), lab.dir().join("elsewhere")).unwrap();
    let told = lab.scan();
    assert_eq!(
        (told.events, &told.summary.roots[0].outcome),
        (vec![], &RootOutcome::Missing)
    );
    let root = lab.at("");
    assert_eq!(
        lab.accept(&root),
        Accepted::NextScan {
            found: RootOutcome::Missing
        }
    );
    assert_eq!(lab.scan().summary.deleted, 5);
    assert!(lab.server.files.is_empty());
    assert_eq!(lab.scan().summary.deleted, 0);
}

#[test]
fn a_root_that_is_no_directory_is_left_alone() {
    let mut lab = Lab::new();
    lab.write_many("a", 5);
    lab.scan();
    fs::remove_dir_all(lab.at("")).unwrap();
    fs::write(lab.dir().join("root"), "a file").unwrap();
    let told = lab.scan();
    assert_eq!(
        (told.events, &told.summary.roots[0].outcome),
        (vec![], &RootOutcome::NotADirectory)
    );
    assert_eq!(lab.server.files.len(), 5);
}

#[test]
fn an_emptied_root_is_no_deletion_until_it_is_accepted() {
    let mut lab = Lab::new();
    lab.write_many("a", 5);
    lab.scan();
    fs::remove_dir_all(lab.at("a")).unwrap();
    let told = lab.scan();
    assert_eq!(
        (told.events, &told.summary.roots[0].outcome),
        (vec![], &RootOutcome::TurnedUpEmpty)
    );
    let root = lab.at("");
    assert_eq!(
        lab.accept(&root),
        Accepted::NextScan {
            found: RootOutcome::TurnedUpEmpty
        }
    );
    assert_eq!(lab.scan().summary.deleted, 5);
    lab.assert_true();
    assert_eq!(lab.accept(&root), Accepted::Nothing);
}

#[test]
fn another_directory_in_the_place_of_the_root_is_foreign() {
    let mut lab = Lab::new();
    lab.write_many("a", 5);
    lab.scan();
    fs::rename(lab.at(""), lab.dir().join("elsewhere")).unwrap();
    lab.write("a/0", "x");
    let told = lab.scan();
    assert_eq!(
        (told.events, &told.summary.roots[0].outcome),
        (vec![], &RootOutcome::Foreign)
    );
    let root = lab.at("");
    assert_eq!(
        lab.accept(&root),
        Accepted::NextScan {
            found: RootOutcome::Foreign
        }
    );
    let told = lab.scan();
    assert_eq!((told.summary.updated, told.summary.deleted), (1, 4));
    lab.assert_true();
    assert_eq!(lab.scan().summary.roots[0].outcome, RootOutcome::Scanned);
}

#[test]
fn a_device_number_dealt_anew_changes_nothing() {
    let mut lab = Lab::new();
    lab.write_many("a", 5);
    lab.scan();
    let path = lab.path("");
    lab.tree.change_root(path.strip_suffix(b"/").unwrap(), |root| {
        root.identity.as_mut().unwrap().device ^= 0xff;
    });
    assert_eq!(lab.scan().events, []);
    lab.assert_true();
}

#[test]
fn roots_that_overlap_are_refused_and_repeated_ones_folded() {
    let mut lab = Lab::new();
    lab.write("a/x", "x");
    lab.request.roots.push(RootRequest::new(lab.at("./a/")));
    let found = scan(
        &mut lab.tree,
        &lab.request,
        &mut NoRecords,
        &NoObserver,
        chrono::Utc::now(),
        &AtomicBool::new(false),
    );
    assert!(matches!(found, Err(ScanError::Nested { outer, .. }) if outer == lab.request.roots[0].path));
    lab.request.roots[1] = RootRequest::new(lab.at("./"));
    assert_eq!(lab.scan().summary.roots.len(), 1);
}

#[test]
fn a_root_no_longer_asked_for_stays_known_until_it_is_forgotten() {
    let mut lab = Lab::new();
    lab.write_many("a", 3);
    lab.scan();
    let other = lab.dir().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "x").unwrap();
    let old = std::mem::replace(&mut lab.request.roots, vec![RootRequest::new(&other)]).remove(0);
    let told = lab.scan();
    assert_eq!(
        told.events,
        [Event::Created(other.join("file").as_os_str().as_bytes().to_vec())]
    );
    assert_eq!(
        (told.summary.unconfigured.len(), told.summary.unconfigured[0].files),
        (1, 3)
    );
    assert_eq!(lab.accept(&old.path), Accepted::Forgotten { deleted: 3 });
    assert_eq!(lab.server.files.len(), 1);
    assert_eq!(lab.scan().summary.unconfigured, []);
    assert_eq!(lab.accept(&old.path), Accepted::Unknown);
}

#[test]
fn files_go_over_to_a_root_that_contains_or_lies_in_theirs() {
    let mut lab = Lab::new();
    lab.write_many("in", 4);
    lab.write_many("in/deep", 4);
    lab.write_many("out", 2);
    lab.scan();
    // Narrower: what lies outside is held, since nobody said that it is gone.
    let narrow = vec![RootRequest::new(lab.at("in"))];
    let outer = std::mem::replace(&mut lab.request.roots, narrow).remove(0);
    let told = lab.scan();
    assert_eq!(
        (told.events, told.summary.held, told.summary.unconfigured[0].files),
        (vec![], 2, 2)
    );
    assert_eq!(lab.server.files.len(), 10);
    // A file that was held moves into the root: it is the same file still.
    fs::rename(lab.at("out/0"), lab.at("in/found")).unwrap();
    let told = lab.scan();
    assert_eq!(told.events, [Event::Moved(lab.path("out/0"), lab.path("in/found"))]);
    // Wider again: all is found where it was.
    let inner = std::mem::replace(&mut lab.request.roots, vec![outer]).remove(0);
    let told = lab.scan();
    assert_eq!(told.events, []);
    lab.assert_true();
    assert_eq!(told.summary.unconfigured, [], "{} is forgotten", inner.path.display());
}
