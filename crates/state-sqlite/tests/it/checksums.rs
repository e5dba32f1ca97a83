//! A flipped bit within what is known of a directory.
use crate::{
    now, open, run,
    tree::{dir, root},
};
use core_model::{Batch, DirId, KnownTree, Queue, StoredDir, TreeReader};
use state_sqlite::{Backups, Outbox, ResyncReason, SqliteTree, open_or_recover};
use std::path::Path;

/// Three directories that were told already; number 2 gets `damage`.
fn damaged(path: &Path, damage: &str) {
    let database = open(path);
    let mut tree = SqliteTree::open(&database).unwrap();
    let dirs = vec![
        dir(1, None, b"", b"entries of 1"),
        dir(2, Some(1), b"name", b"entries of 2"),
        dir(3, Some(2), b"below", b"entries of 3"),
    ];
    let batch = Batch {
        roots: vec![root()],
        dirs,
        ..Batch::default()
    };
    tree.commit(batch, vec![], now()).unwrap();
    Outbox::open(&database)
        .unwrap()
        .open_stream(&run(1, b"begin"), now())
        .unwrap();
    database.with_writer(|c| c.execute_batch(damage)).unwrap();
}

const DAMAGE: [&str; 7] = [
    "UPDATE dir SET name = x'00' WHERE id = 2",
    "UPDATE dir SET parent = 3 WHERE id = 2",
    "UPDATE dir SET digest = zeroblob(16) WHERE id = 2",
    "UPDATE dir_blob SET entries = x'656e' WHERE id = 2",
    "UPDATE dir_blob SET hashes = x'01' WHERE id = 2",
    "UPDATE dir_blob SET crc = 7 WHERE id = 2",
    // The same bytes, with one of them on the other side of the border between two blobs.
    "UPDATE dir_blob SET entries = substr(entries, 1, 11), hashes = substr(entries, 12) WHERE id = 2",
];

#[test]
fn a_damaged_directory_is_handed_out_as_one_and_asks_for_a_snapshot() {
    for damage in DAMAGE {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state.db");
        damaged(&path, damage);
        let database = open(&path);
        let deep = database.check_deep().unwrap();
        assert_eq!(
            (deep.directories, deep.damaged_directories, deep.is_sound()),
            (3, 1, false),
            "{damage}"
        );
        let mut tree = SqliteTree::open(&database).unwrap();
        let mut reader = tree.reader().unwrap();
        let sound = reader.directory(DirId(1)).unwrap().unwrap();
        assert_eq!(sound.entries, b"entries of 1");
        let outbox = Outbox::open(&database).unwrap();
        assert_eq!(outbox.resync().unwrap(), None);
        let hit = reader.directory(DirId(2)).unwrap().unwrap();
        assert_eq!(hit.entries, [0xff], "{damage}: bytes that no packed entries are");
        tree.commit(Batch::default(), vec![], now()).unwrap();
        assert_eq!(outbox.resync().unwrap().unwrap().reason, ResyncReason::Damaged);
    }
}

#[test]
fn what_is_mended_at_the_start_is_looked_at_anew() {
    let lost = ["DELETE FROM dir_blob WHERE id = 2", "DELETE FROM dir WHERE id = 2"];
    for damage in DAMAGE.into_iter().chain(lost) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state.db");
        damaged(&path, damage);
        let backups = Backups::new(temp.path().join("backups"), 1);
        let (database, _) = open_or_recover(&path, &backups, &[], now()).unwrap();
        assert!(database.check_deep().unwrap().is_sound(), "{damage}");
        let tree = SqliteTree::open(&database).unwrap();
        let mut digests = Vec::new();
        tree.directories(&mut |known| digests.push((known.id.0, known.digest.0)))
            .unwrap();
        let entries = tree.reader().unwrap().directory(DirId(2)).unwrap();
        if damage.starts_with("DELETE FROM dir ") {
            assert_eq!(entries, None);
        } else {
            assert_eq!(entries, Some(StoredDir::default()));
            assert_eq!(digests[1], (2, [0; 16]), "a digest that no listing has");
        }
        let resync = Outbox::open(&database).unwrap().resync().unwrap().unwrap();
        assert_eq!(resync.reason, ResyncReason::Damaged, "{damage}");
    }
}

#[test]
fn a_directory_of_an_older_version_is_trusted_until_it_is_written_again() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    damaged(&path, "UPDATE dir_blob SET crc = NULL");
    let database = open(&path);
    assert!(database.check_deep().unwrap().is_sound());
    let mut tree = SqliteTree::open(&database).unwrap();
    assert_eq!(
        tree.reader().unwrap().directory(DirId(2)).unwrap().unwrap().entries,
        b"entries of 2"
    );
    let again = Batch {
        dirs: vec![dir(2, Some(1), b"name", b"others")],
        ..Batch::default()
    };
    tree.commit(again, vec![], now()).unwrap();
    let with = database.with_writer(|c| c.query_row("SELECT count(crc) FROM dir_blob", [], |row| row.get::<_, i64>(0)));
    assert_eq!(with.unwrap(), 1);
    assert!(database.check_deep().unwrap().is_sound());
}

#[test]
fn a_run_that_is_lost_or_damaged_is_found_at_the_start() {
    for damage in [
        "DELETE FROM outbox WHERE first_seq = 2",
        "UPDATE outbox SET crc = 1 WHERE first_seq = 2",
    ] {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state.db");
        damaged(&path, "");
        let database = open(&path);
        let outbox = Outbox::open(&database).unwrap();
        outbox.enqueue(&[run(1, b"two"), run(1, b"three")], now()).unwrap();
        database.with_writer(|c| c.execute_batch(damage)).unwrap();
        drop((database, outbox));
        let backups = Backups::new(temp.path().join("backups"), 1);
        let (database, _) = open_or_recover(&path, &backups, &[], now()).unwrap();
        let resync = Outbox::open(&database).unwrap().resync().unwrap().unwrap();
        assert_eq!(resync.reason, ResyncReason::Damaged, "{damage}");
    }
}
