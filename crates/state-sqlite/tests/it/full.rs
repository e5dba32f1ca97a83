//! A full disk.
use crate::{
    beside, now, open, run,
    tree::{dir, root},
};
use core_model::{Batch, KnownTree, Queue};
use state_sqlite::{Backups, Database, OpenOptions, Outbox, SqliteTree, StateError, Story, open_or_recover, rusqlite};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn limit(database: &Database, more: i64) {
    let pages = database
        .with_writer(|c| c.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)))
        .unwrap();
    let pragma = format!("PRAGMA max_page_count={}", pages + more);
    database.with_writer(|c| c.query_row(&pragma, [], |_| Ok(()))).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_aloud_and_whole() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    let mut tree = SqliteTree::open(&database).unwrap();
    outbox.enqueue(&[run(1, b"before")], now()).unwrap();
    limit(&database, 2);
    let noise: Vec<u8> = (0..300_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let batch = Batch {
        roots: vec![root()],
        dirs: vec![dir(1, None, b"", &noise)],
        ..Batch::default()
    };
    let refused = [
        outbox.enqueue(&[run(1, &noise)], now()).map(|_| ()),
        tree.commit(batch.clone(), vec![run(1, b"x")], now()),
        tree.commit(Batch::default(), vec![run(1, &noise)], now()),
    ];
    for error in refused {
        let error = error.unwrap_err();
        assert!(matches!(error, StateError::DiskFull { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("nothing of it was stored") && text.contains(&path.display().to_string()),
            "{text}"
        );
        assert!(error.source().is_some());
    }
    assert!(database.is_disk_short());
    assert_eq!(outbox.stats().unwrap().last_seq, 1);
    assert!(tree.roots().unwrap().is_empty());
    outbox.ack(outbox.stream(), &[1]).unwrap();
    assert_eq!(outbox.stats().unwrap().records, 0, "what is acknowledged leaves");
    limit(&database, 100_000);
    tree.commit(batch, vec![run(1, &noise)], now()).unwrap();
    assert!(!database.is_disk_short());
}

/// A file system in memory of a few megabytes, gone with the test; none where this user may not mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(bytes: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(dir.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        if !is_mounted {
            eprintln!("skipped: this user may not mount a small file system");
        }
        is_mounted.then_some(Self(dir))
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state.db")
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let path = self.0.path().join("filler");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        for length in [4096, 1] {
            while std::io::Write::write_all(&mut file, &vec![7; length]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "nothing is left behind");
    }
}

/// As many runs of a kilobyte that no compression makes smaller as the disk takes.
fn fill_with_runs(outbox: &Outbox) -> u64 {
    for n in 0_u32.. {
        let body: Vec<u8> = (0..256_u32)
            .flat_map(|i| (i ^ n).wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        match outbox.enqueue(&[run(1, &body)], now()) {
            Ok(_) => {}
            Err(StateError::DiskFull { .. }) => return u64::from(n),
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("a disk is finite")
}

#[test]
fn acknowledged_records_leave_a_full_disk() {
    let Some(disk) = SmallDisk::new(6 << 20) else { return };
    let database = open(&disk.state());
    let outbox = Outbox::open(&database).unwrap();
    let runs = fill_with_runs(&outbox);
    disk.fill();
    let ballast = beside(&disk.state(), ".ballast");
    assert!(ballast.exists() && database.is_disk_short());
    for first in 1..=runs {
        outbox.ack(outbox.stream(), &[first]).unwrap();
        assert_eq!(outbox.stats().unwrap().records, runs - first);
    }
    assert!(!ballast.exists(), "it was given up for them");
    // Everything is gone from the file itself, not only from memory.
    assert_eq!(rows(&disk.state()), 0);
    assert!(database.is_disk_short());
    // Others still have all the rest of the disk.
    assert!(database.tidy().unwrap() > 0, "the room that they took is given back");
    assert!(!database.is_disk_short() && ballast.exists());
    outbox.enqueue(&[run(1, b"new")], now()).unwrap();
}

/// A reader that sees this instant for as long as it is there.
fn reading_on(database: &Database) -> rusqlite::Connection {
    let held = database.read_connection().unwrap();
    held.execute_batch("BEGIN").unwrap();
    held.query_row("SELECT count(*) FROM outbox", [], |_| Ok(())).unwrap();
    held
}

fn rows(path: &Path) -> i64 {
    let reader = Database::open_read_only(path).unwrap();
    reader
        .with_writer(|c| c.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)))
        .unwrap()
}

#[test]
fn where_nothing_can_be_written_at_all_acknowledgements_are_remembered() {
    let Some(disk) = SmallDisk::new(6 << 20) else { return };
    let database = open(&disk.state());
    let outbox = Outbox::open(&database).unwrap();
    let runs = fill_with_runs(&outbox);
    // Somebody else takes the room of the ballast, and a reader keeps the log from being used again.
    fs::remove_file(beside(&disk.state(), ".ballast")).unwrap();
    let reader = Database::open_read_only(&disk.state()).unwrap();
    reader
        .with_writer(|c| c.execute_batch("BEGIN; SELECT count(*) FROM outbox"))
        .unwrap_or_default();
    let held = database.read_connection().unwrap();
    held.execute_batch("BEGIN").unwrap();
    held.query_row("SELECT count(*) FROM outbox", [], |_| Ok(())).unwrap();
    disk.fill();
    let all: Vec<u64> = (1..=runs).collect();
    outbox.ack(outbox.stream(), &all).unwrap();
    assert_eq!(outbox.stats().unwrap().records, 0, "for whoever asks they are gone");
    assert!(
        outbox.peek(outbox.stream(), 0, 9).unwrap().is_empty(),
        "and they are not sent again"
    );
    assert!(rows(&disk.state()) > 0, "though they are still there");
    let noise: Vec<u8> = (0..500_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    outbox.enqueue(&[run(1, &noise)], now()).unwrap_err();
    drop(held);
    disk.free();
    outbox.enqueue(&[run(1, b"new")], now()).unwrap();
    assert_eq!(rows(&disk.state()), 1, "they left with the next change");
    assert_eq!(outbox.stats().unwrap().records, 1);
}

#[test]
fn room_that_nobody_uses_is_given_back() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    let noise: Vec<u8> = (0..1_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    outbox.enqueue(&[run(1, &noise), run(1, b"stays")], now()).unwrap();
    assert!(database.size() > 4_000_000);
    outbox.ack(outbox.stream(), &[1]).unwrap();
    let given_back = database.tidy().unwrap();
    assert!(given_back > 4_000_000, "{given_back}");
    assert!(database.size() < 300_000, "{}", database.size());
    assert_eq!(fs::metadata(beside(&path, "-wal")).unwrap().len(), 0);
    database.check().unwrap();
    assert_eq!(
        outbox.peek(outbox.stream(), 0, 9).unwrap()[0].body.as_deref().unwrap(),
        b"stays"
    );
}

#[test]
fn an_agent_starts_on_a_full_disk_and_gets_rid_of_what_is_done_with() {
    let Some(disk) = SmallDisk::new(6 << 20) else { return };
    let path = disk.state();
    let backups = Backups::new(disk.0.path().join("backups"), 1);
    let (database, _) = open_or_recover(&path, &backups, &[], now()).unwrap();
    let outbox = Outbox::open(&database).unwrap();
    let runs = fill_with_runs(&outbox);
    drop((outbox, database));
    // The log stays, since it cannot be put into the file; without its index there is no reading it.
    fs::remove_file(beside(&path, "-shm")).unwrap();
    disk.fill();
    Database::open(&path, OpenOptions::default()).unwrap_err();
    let (database, story) = open_or_recover(&path, &backups, &[], now()).unwrap();
    assert_eq!(story, Story::Sound);
    assert!(database.is_disk_short(), "and says so");
    let outbox = Outbox::open(&database).unwrap();
    for first in 1..=runs {
        outbox.ack(outbox.stream(), &[first]).unwrap();
    }
    database.tidy().unwrap();
    assert_eq!(rows(&path), 0);
    assert!(!database.is_disk_short());
}

#[test]
fn what_was_remembered_of_one_stream_takes_nothing_from_the_next() {
    let Some(disk) = SmallDisk::new(6 << 20) else { return };
    let database = open(&disk.state());
    let outbox = Outbox::open(&database).unwrap();
    let runs = fill_with_runs(&outbox);
    fs::remove_file(beside(&disk.state(), ".ballast")).unwrap();
    let held = reading_on(&database);
    disk.fill();
    outbox.ack(outbox.stream(), &(1..=runs).collect::<Vec<_>>()).unwrap();
    drop(held);
    disk.free();
    // Through another opening of the file, which remembers nothing.
    let other = Outbox::open(&open(&disk.state())).unwrap();
    other.open_stream(&run(1, b"begin"), now()).unwrap();
    outbox.enqueue(&[run(1, b"two")], now()).unwrap();
    let runs = outbox.peek(outbox.stream(), 0, 9).unwrap();
    assert_eq!(runs.len(), 2, "number 1 of the new stream is another run");
}
