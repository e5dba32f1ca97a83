//! Copies that can take the place of a state.
use crate::{
    beside, now, open, run,
    tree::{dir, root},
};
use chrono::TimeDelta;
use core_model::{Batch, KnownTree, Queue};
use state_sqlite::{BackupError, Backups, Database, Outbox, SqliteTree, rusqlite::Connection};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

/// A state of about two megabytes.
fn filled(path: &Path) -> Database {
    let database = open(path);
    let dirs = (1..=500).map(|id| {
        dir(
            id,
            (id > 1).then_some(1),
            &id.to_le_bytes(),
            &[id.to_le_bytes()[0]; 4000],
        )
    });
    let batch = Batch {
        roots: vec![root()],
        dirs: dirs.collect(),
        ..Batch::default()
    };
    SqliteTree::open(&database)
        .unwrap()
        .commit(batch, vec![], now())
        .unwrap();
    database
}

#[test]
fn a_backup_ends_while_a_writer_commits_without_a_pause_and_is_one_instant_of_it() {
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("state.db"));
    let outbox = Outbox::open(&database).unwrap();
    let backups = Backups::new(temp.path().join("backups"), 5);
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut tree = SqliteTree::open(&database).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let n = written.fetch_add(1, Ordering::Relaxed) + 1;
                let batch = Batch {
                    dirs: vec![dir(1000 + n, Some(1), &n.to_le_bytes(), &[7; 2000])],
                    ..Batch::default()
                };
                tree.commit(batch, vec![run(1, &n.to_le_bytes())], now()).unwrap();
            }
        });
        for second in 0..3 {
            let before = outbox.stats().unwrap().last_seq;
            let backup = backups.take(&database, now() + TimeDelta::seconds(second)).unwrap();
            let copy = Connection::open(&backup.path).unwrap();
            let ask = |sql| {
                copy.query_row(sql, [], |row| row.get::<_, i64>(0))
                    .unwrap()
                    .unsigned_abs()
            };
            let last = ask("SELECT next_seq - 1 FROM outbox_meta");
            assert!(last >= before, "what was committed before it began is in it");
            assert_eq!(ask("SELECT count(*) FROM outbox"), last);
            assert_eq!(
                ask("SELECT count(*) FROM dir WHERE id > 1000"),
                last,
                "a directory and its record"
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        outbox.stats().unwrap().last_seq,
        written.load(Ordering::Relaxed),
        "the writer was not disturbed"
    );
}

#[cfg(unix)]
#[test]
fn only_the_newest_stay_and_only_their_owner_may_read_them() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("state.db"));
    let dir = temp.path().join("a/backups");
    let backups = Backups::new(&dir, 2);
    assert_eq!(backups.list().unwrap(), []);
    let at = |days| now() + TimeDelta::days(days) + TimeDelta::milliseconds(7);
    for days in [0, 2, 1, 3] {
        let taken = backups.take(&database, at(days)).unwrap();
        assert_eq!(taken.bytes, fs::metadata(&taken.path).unwrap().len());
    }
    let times: Vec<_> = backups.list().unwrap().iter().map(|backup| backup.taken_at).collect();
    assert_eq!(times, [at(3), at(2)]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&backups.list().unwrap()[0].path)), (0o700, 0o600));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing else lies there");
}

#[test]
fn what_an_unfinished_backup_left_is_removed_and_no_backup() {
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("state.db"));
    let backups = Backups::new(temp.path().join("backups"), 5);
    let taken = backups.take(&database, now()).unwrap();
    let half = beside(&taken.path, ".tmp");
    let journal = beside(&taken.path, ".tmp-journal");
    fs::write(&half, "half of one").unwrap();
    fs::write(&journal, "").unwrap();
    let mine = temp.path().join("backups/notes.txt");
    fs::write(&mine, "kept").unwrap();
    assert_eq!(backups.list().unwrap(), [taken]);
    backups.take(&database, now() + TimeDelta::days(1)).unwrap();
    assert!(!half.exists() && !journal.exists() && mine.exists());
}

#[test]
fn a_backup_that_is_not_sound_is_passed_over() {
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("state.db"));
    let backups = Backups::new(temp.path().join("backups"), 9);
    let taken: Vec<_> = (0..4)
        .map(|days| backups.take(&database, now() + TimeDelta::days(days)).unwrap())
        .collect();
    let bytes = fs::read(&taken[3].path).unwrap();
    fs::write(&taken[3].path, &bytes[..bytes.len() / 2]).unwrap();
    let mut zeroed = bytes.clone();
    zeroed[8192..4 * 8192].fill(0);
    fs::write(&taken[2].path, zeroed).unwrap();
    assert_eq!(backups.newest_sound().unwrap().as_ref(), Some(&taken[1]));
    fs::write(&taken[1].path, "").unwrap();
    fs::write(&taken[0].path, "no database").unwrap();
    assert_eq!(backups.newest_sound().unwrap(), None);
}

#[test]
fn a_damaged_state_makes_no_backup() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    let database = filled(&path);
    let backups = Backups::new(temp.path().join("backups"), 9);
    let good = backups.take(&database, now()).unwrap();
    database
        .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 8192 * 8192;
    bytes[middle..middle + 4 * 8192].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let error = backups.take(&database, now() + TimeDelta::days(1)).unwrap_err();
    assert!(
        matches!(error, BackupError::Copy { .. } | BackupError::NotSound { .. }),
        "{error}"
    );
    assert_eq!(backups.list().unwrap(), [good], "and the good one stays alone");
    assert_eq!(fs::read_dir(backups.dir()).unwrap().count(), 1);
}
