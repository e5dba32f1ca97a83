//! State files of an older version.
use crate::{now, open, run};
use core_model::{DirId, KnownTree, Queue, TreeReader};
use state_sqlite::{
    Backups, Component, Database, OpenError, OpenOptions, Outbox, SnapshotState, SqliteTree, Story, open_or_recover,
    rusqlite::Connection,
};
use std::{fs, path::Path};
use uuid::Uuid;

const STREAM: u128 = 0x0190_a5c1_7e2b_7c11_8a3e_5b1d_9f0c_2d4e;

/// A file as version 1 wrote it: two runs, of which one was delivered, and one directory.
pub(crate) fn version_1(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;
             PRAGMA application_id=1397247809;
             CREATE TABLE component (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
             INSERT INTO component VALUES ('outbox', 1), ('tree', 1);
             CREATE TABLE outbox_meta (
                 id INTEGER PRIMARY KEY CHECK (id = 1), stream BLOB NOT NULL, next_seq INTEGER NOT NULL,
                 records INTEGER NOT NULL DEFAULT 0, runs INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
             ) STRICT;
             CREATE TABLE outbox (
                 first_seq INTEGER PRIMARY KEY, records INTEGER NOT NULL, enqueued_ms INTEGER NOT NULL,
                 codec INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
             ) STRICT;
             CREATE TABLE tree_meta (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL) STRICT;
             CREATE TABLE root (
                 id INTEGER PRIMARY KEY, path BLOB NOT NULL, device INTEGER, fs_id INTEGER, fs_type INTEGER, inode INTEGER,
                 birth_ns INTEGER, files INTEGER NOT NULL DEFAULT 0, accepted INTEGER NOT NULL DEFAULT 0,
                 held INTEGER NOT NULL DEFAULT 0, completed_ms INTEGER
             ) STRICT;
             CREATE TABLE dir (
                 id INTEGER PRIMARY KEY, root INTEGER NOT NULL REFERENCES root (id), parent INTEGER, name BLOB NOT NULL,
                 digest BLOB NOT NULL
             ) STRICT;
             CREATE TABLE dir_blob (id INTEGER PRIMARY KEY, entries BLOB NOT NULL, hashes BLOB NOT NULL) STRICT;
             CREATE TABLE undecided (
                 path BLOB PRIMARY KEY NOT NULL, root INTEGER NOT NULL, side INTEGER NOT NULL, identity BLOB NOT NULL,
                 entry BLOB NOT NULL, hash BLOB NOT NULL
             ) STRICT, WITHOUT ROWID;
             CREATE INDEX undecided_by_identity ON undecided (identity, side, path);
             INSERT INTO tree_meta VALUES (1, zeroblob(32));
             INSERT INTO root (id, path) VALUES (1, x'2f72');
             INSERT INTO dir VALUES (4, 1, NULL, x'', zeroblob(16));
             INSERT INTO dir_blob VALUES (4, x'616263', x'');",
        )
        .unwrap();
    // The checksum of version 1: of the body, then of number, records, time and codec.
    let (first, at_ms, body) = (3_i64, now().timestamp_millis(), b"still owed");
    let crc = [first, 2, at_ms, 0].iter().fold(crc32c::crc32c(body), |crc, part| {
        crc32c::crc32c_append(crc, &part.to_le_bytes())
    });
    connection
        .execute(
            "INSERT INTO outbox VALUES (?1, 2, ?2, 0, ?3, ?4)",
            (first, at_ms, i64::from(crc), body.as_slice()),
        )
        .unwrap();
    let stream = Uuid::from_u128(STREAM);
    connection
        .execute(
            "INSERT INTO outbox_meta VALUES (1, ?1, 5, 2, 1, 10)",
            [stream.as_bytes().as_slice()],
        )
        .unwrap();
}

#[test]
fn a_state_of_before_goes_on_in_its_stream() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    version_1(&path);
    let reading = Database::open_read_only(&path).unwrap();
    assert_eq!(
        Outbox::stats_of(&reading).unwrap().records,
        2,
        "what it owes can be seen before"
    );
    for error in [Outbox::open(&reading).err(), SqliteTree::overlay(&reading).err()] {
        let error = error.unwrap();
        assert!(
            matches!(error, OpenError::Outdated { found: 1, known: 2, .. }),
            "{error}"
        );
    }
    let database = open(&path);
    let tree = SqliteTree::open(&database).unwrap();
    let outbox = Outbox::open(&database).unwrap();
    assert_eq!(outbox.stream().as_uuid(), Uuid::from_u128(STREAM));
    assert_eq!(
        (outbox.resync().unwrap(), outbox.snapshot().unwrap()),
        (None, SnapshotState::None)
    );
    let runs = outbox.peek(outbox.stream(), 0, 9).unwrap();
    assert_eq!(
        (runs[0].seqs.first, runs[0].body.as_deref().unwrap()),
        (3, &b"still owed"[..])
    );
    assert_eq!(outbox.enqueue(&[run(1, b"next")], now()).unwrap().unwrap().first, 5);
    let known = tree.reader().unwrap().directory(DirId(4)).unwrap().unwrap();
    assert_eq!(known.entries, b"abc");
}

#[test]
fn an_older_state_is_backed_up_before_it_is_changed() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    version_1(&path);
    let backups = Backups::new(temp.path().join("backups"), 3);
    let (database, story) = open_or_recover(&path, &backups, &[], now()).unwrap();
    assert_eq!(story, Story::Sound);
    let taken = backups.list().unwrap();
    assert_eq!((taken.len(), taken[0].taken_at), (1, now()));
    let version = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        let sql = "SELECT group_concat(name || version, ' ') FROM component ORDER BY name";
        connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(version(&taken[0].path), "outbox1 tree1", "as it was before");
    assert_eq!(version(&path), "outbox2 tree2");
    drop(database);
    open_or_recover(&path, &backups, &[], now()).unwrap();
    assert_eq!(backups.list().unwrap().len(), 1, "once");
}

#[test]
fn an_older_state_that_cannot_be_backed_up_stays_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    version_1(&path);
    let before = fs::read(&path).unwrap();
    fs::write(temp.path().join("backups"), "a file where the directory should be").unwrap();
    let backups = Backups::new(temp.path().join("backups"), 3);
    let error = open_or_recover(&path, &backups, &[], now()).unwrap_err();
    assert!(matches!(error, OpenError::NoBackup { .. }), "{error}");
    assert!(!error.is_damage());
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn a_newer_state_is_refused_and_left() {
    const THREE: &[&str] = &["SELECT 1", "SELECT 2", "SELECT 3"];
    for name in ["outbox", "tree", "mine"] {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state.db");
        open(&path)
            .migrate(&[Component {
                name,
                migrations: THREE,
            }])
            .unwrap();
        if name == "tree" {
            open(&path)
                .with_writer(|c| c.execute_batch("CREATE TABLE tree_meta (x)"))
                .unwrap();
        }
        let mine = Component {
            name: "mine",
            migrations: &THREE[..2],
        };
        let before = fs::read(&path).unwrap();
        let backups = Backups::new(temp.path().join("backups"), 3);
        let error = open_or_recover(&path, &backups, &[mine], now()).unwrap_err();
        assert!(
            matches!(&error, OpenError::TooNew { component, found: 3, .. } if component == name),
            "{error}"
        );
        assert!(fs::read(&path).unwrap() == before, "{name}");
    }
}

#[test]
fn a_newer_program_may_have_more_parts_than_are_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    let other = Component {
        name: "of another",
        migrations: &["CREATE TABLE another (x)"],
    };
    let backups = Backups::new(temp.path().join("backups"), 3);
    let (database, story) = open_or_recover(&path, &backups, &[other], now()).unwrap();
    assert_eq!(story, Story::New);
    drop(database);
    let database = Database::open(&path, OpenOptions::default()).unwrap();
    Outbox::open(&database).unwrap();
    let (_, story) = open_or_recover(&path, &backups, &[], now()).unwrap();
    assert_eq!(story, Story::Sound);
}
