//! The brake on deletions.
use crate::lab::Lab;
use fsscan::{Accepted, Hold, testing::Event};
use std::fs;

fn lab_of(files: usize) -> Lab {
    let mut lab = Lab::new();
    lab.write("stays/anchor", "x");
    lab.write_many("a", files);
    lab.scan();
    lab
}

#[test]
fn a_mass_deletion_is_held_until_it_is_accepted() {
    let mut lab = lab_of(150);
    fs::remove_dir_all(lab.at("a")).unwrap();
    for _ in 0..2 {
        let told = lab.scan();
        assert_eq!((told.events, told.summary.held), (vec![], 150));
        assert_eq!(told.summary.roots[0].held, 150);
    }
    // Growth of the rest does not release it.
    lab.write_many("b", 400);
    let told = lab.scan();
    assert_eq!(
        (told.summary.created, told.summary.deleted, told.summary.held),
        (400, 0, 150)
    );
    let root = lab.at("");
    assert_eq!(lab.accept(&root), Accepted::Deletions { deleted: 150 });
    lab.assert_true();
    assert_eq!((lab.scan().events, lab.accept(&root)), (vec![], Accepted::Nothing));
}

#[test]
fn files_that_come_back_while_they_are_held_were_never_away() {
    let mut lab = lab_of(150);
    fs::rename(lab.at("a"), lab.dir().join("unmounted")).unwrap();
    assert_eq!(lab.scan().summary.held, 150);
    fs::rename(lab.dir().join("unmounted"), lab.at("a")).unwrap();
    lab.write("a/7", "edited meanwhile");
    let told = lab.scan();
    assert_eq!(told.summary.held, 0);
    assert!(matches!(&told.events[..], [Event::Updated(path, _)] if *path == lab.path("a/7")));
    lab.assert_true();
}

#[test]
fn small_and_partial_deletions_pass() {
    let mut lab = lab_of(150);
    for number in 0..70 {
        fs::remove_file(lab.at(&format!("a/{number}"))).unwrap();
    }
    assert_eq!(lab.scan().summary.deleted, 70, "less than half");
    let mut lab = lab_of(90);
    fs::remove_dir_all(lab.at("a")).unwrap();
    assert_eq!(lab.scan().summary.deleted, 90, "few");
    lab.assert_true();
}

#[test]
fn moves_are_told_whatever_their_number_and_do_not_count() {
    let mut lab = lab_of(300);
    fs::rename(lab.at("a"), lab.at("renamed")).unwrap();
    let told = lab.scan();
    assert_eq!((told.summary.moved, told.summary.held), (300, 0));
    lab.assert_true();
    // Moved and deleted at once: the moves are told, the rest is held.
    fs::rename(lab.at("renamed/1"), lab.at("stays/1")).unwrap();
    fs::remove_dir_all(lab.at("renamed")).unwrap();
    let told = lab.scan();
    assert_eq!(
        (told.summary.moved, told.summary.deleted, told.summary.held),
        (1, 0, 299)
    );
}

#[test]
fn new_files_do_not_hide_a_mass_deletion() {
    let mut lab = lab_of(300);
    fs::remove_dir_all(lab.at("a")).unwrap();
    lab.write_many("b", 1000);
    let told = lab.scan();
    assert_eq!(
        (told.summary.created, told.summary.deleted, told.summary.held),
        (1000, 0, 300)
    );
}

#[test]
fn the_brake_can_be_set() {
    let mut lab = lab_of(20);
    lab.request.hold = Hold {
        share: 0.1,
        min_files: 3,
    };
    for number in 0..3 {
        fs::remove_file(lab.at(&format!("a/{number}"))).unwrap();
    }
    assert_eq!(lab.scan().summary.deleted, 3, "not more than the least number");
    fs::remove_dir_all(lab.at("a")).unwrap();
    assert_eq!(lab.scan().summary.held, 17);
}
