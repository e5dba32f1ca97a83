//! What goes wrong at the edges: leftovers, second openings, batches against the contract, damage beside a body.
use crate::{
    now, open, run,
    tree::{dir, root, waiting},
};
use chrono::TimeDelta;
use core_model::{Batch, DirId, KnownTree, Queue, RootId, RootUpdate, Side, UndecidedUpdate};
use state_sqlite::{Component, Database, OpenError, Outbox, RunLock, SqliteTree, rusqlite};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every file of a directory with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn filled(path: &Path) -> Database {
    let database = open(path);
    let batch = Batch {
        roots: vec![root()],
        dirs: vec![dir(1, None, b"", b"e")],
        undecided: vec![UndecidedUpdate::Put(waiting(b"/r/held", Side::Gone, 1))],
        ..Batch::default()
    };
    let mut tree = SqliteTree::open(&database).unwrap();
    tree.commit(batch, vec![run(1, b"owed")], now()).unwrap();
    database
}

#[test]
fn reading_leaves_nothing_behind_and_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("s.db");
    drop(filled(&path));
    let before = contents(temp.path());
    let database = Database::open_read_only(&path).unwrap();
    let mut look = SqliteTree::overlay(&database).unwrap();
    let batch = Batch {
        undecided: vec![UndecidedUpdate::Remove(b"/r/held".to_vec())],
        ..Batch::default()
    };
    look.commit(batch, vec![run(1, b"not owed")], now()).unwrap();
    assert_eq!(Outbox::stats_of(&database).unwrap().records, 1);
    drop((look, database));
    assert!(contents(temp.path()) == before, "{:?}", contents(temp.path()).keys());
}

#[test]
fn reading_after_a_crash_sees_the_log_and_leaves_it() {
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("s.db"));
    let left = temp.path().join("left");
    fs::create_dir(&left).unwrap();
    for name in ["s.db", "s.db-wal"] {
        fs::copy(temp.path().join(name), left.join(name)).unwrap();
    }
    drop(database);
    let before = contents(&left);
    let database = Database::open_read_only(&left.join("s.db")).unwrap();
    assert_eq!(Outbox::stats_of(&database).unwrap().records, 1);
    drop(database);
    let mut after = contents(&left);
    after.retain(|path, _| before.contains_key(path));
    assert!(after == before);
}

#[test]
fn opening_what_is_up_to_date_writes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("s.db");
    let database = filled(&path);
    let before = contents(temp.path());
    let again = open(&path);
    SqliteTree::open(&again).unwrap();
    Outbox::open(&again).unwrap();
    let mut after = contents(temp.path());
    after.retain(|path, _| !path.to_string_lossy().ends_with("-shm"));
    assert!(after.iter().all(|(path, bytes)| before.get(path) == Some(bytes)));
    drop(database);
}

#[test]
fn a_state_that_is_only_read_is_asked_for_its_versions() {
    const TWO: &[&str] = &["CREATE TABLE a (x) STRICT", "CREATE TABLE b (x)"];
    let part = |known| Component {
        name: "part",
        migrations: &TWO[TWO.len() - known..],
    };
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("s.db");
    let writer = open(&path);
    let reader = Database::open_read_only(&path).unwrap();
    let outdated = reader.migrate(&[part(1)]).unwrap_err();
    assert!(
        matches!(&outdated, OpenError::Outdated { component, found: 0, known: 1, .. } if component == "part"),
        "{outdated}"
    );
    writer.migrate(&[part(1)]).unwrap();
    reader.migrate(&[part(1)]).unwrap();
    let outdated = reader.migrate(&[part(2)]).unwrap_err();
    assert!(
        matches!(&outdated, OpenError::Outdated { found: 1, known: 2, .. }),
        "{outdated}"
    );
    let newer = reader.migrate(&[part(0)]).unwrap_err();
    assert!(
        matches!(&newer, OpenError::TooNew { found: 1, known: 0, .. }),
        "{newer}"
    );
}

#[test]
fn a_queue_that_is_only_read_can_be_looked_at() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("s.db");
    let stream = Outbox::open(&filled(&path)).unwrap().stream();
    let outbox = Outbox::open(&Database::open_read_only(&path).unwrap()).unwrap();
    assert_eq!(outbox.stream(), stream);
    assert_eq!(
        outbox.peek(outbox.stream(), 0, 9).unwrap()[0].body.as_deref().unwrap(),
        b"owed"
    );
    outbox.ack(outbox.stream(), &[1]).unwrap_err();
    assert_eq!(outbox.stats().unwrap().records, 1);
}

#[test]
fn a_transaction_left_open_is_rolled_back() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("s.db"));
    let left = database.with_writer(|c| -> rusqlite::Result<()> {
        c.execute_batch("BEGIN IMMEDIATE; CREATE TABLE half (x)")?;
        c.execute_batch("NONSENSE")
    });
    left.unwrap_err();
    let outbox = Outbox::open(&database).unwrap();
    outbox.enqueue(&[run(1, b"a")], now()).unwrap();
    let tables = database.with_writer(|c| {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        c.query_row(sql, [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(tables.unwrap(), 0);
}

#[test]
fn a_run_without_records_is_refused_with_all_that_came_along() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("s.db"));
    let mut tree = SqliteTree::open(&database).unwrap();
    let outbox = Outbox::open(&database).unwrap();
    outbox.enqueue(&[run(1, b"a"), run(0, b"b")], now()).unwrap_err();
    let batch = Batch {
        roots: vec![root()],
        ..Batch::default()
    };
    tree.commit(batch, vec![run(0, b"b")], now()).unwrap_err();
    assert_eq!(outbox.stats().unwrap().last_seq, 0);
    assert!(tree.roots().unwrap().is_empty());
}

#[test]
fn damage_to_what_stands_beside_a_body_costs_only_that_run() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("s.db"));
    let outbox = Outbox::open(&database).unwrap();
    let later = now() + TimeDelta::days(365);
    for damage in [
        "records = -5",
        "records = 9000000000",
        "records = 3",
        "codec = 7",
        "codec = 1",
        "crc = -1",
        "enqueued_ms = 0",
        "first_seq = first_seq + 1",
    ] {
        let seqs = outbox
            .enqueue(&[run(1, b"before"), run(2, b"hit"), run(1, b"after")], later)
            .unwrap()
            .unwrap();
        let sql = format!("UPDATE outbox SET {damage} WHERE first_seq = {}", seqs.first + 1);
        database.with_writer(|c| c.execute(&sql, [])).unwrap();
        let runs = outbox.peek(outbox.stream(), 0, 10).unwrap();
        let bodies: Vec<_> = runs.iter().map(|run| run.body.as_deref().ok()).collect();
        assert_eq!(bodies, [Some(&b"before"[..]), None, Some(b"after")], "{damage}");
        assert!(
            runs[0].seqs.last < runs[1].seqs.first && runs[1].seqs.last < runs[2].seqs.first,
            "{damage}: {runs:?}"
        );
        let firsts: Vec<u64> = runs.iter().map(|run| run.seqs.first).collect();
        outbox.ack(outbox.stream(), &firsts).unwrap();
        let stats = outbox.stats().unwrap();
        assert_eq!(
            (stats.records, stats.runs, stats.bytes, stats.last_seq),
            (0, 0, 0, seqs.last),
            "{damage}: the sums are right again when the queue is empty"
        );
    }
}

#[test]
fn a_batch_that_cannot_be_stored_leaves_no_trace() {
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("s.db"));
    let mut tree = SqliteTree::open(&database).unwrap();
    let unknown = RootUpdate {
        files: Some(3),
        ..RootUpdate::new(RootId(77))
    };
    let nameless = Batch {
        dirs: vec![dir(2, Some(1), b"d", b"e")],
        roots: vec![unknown],
        ..Batch::default()
    };
    let mut orphan = dir(3, None, b"d", b"e");
    orphan.root = RootId(77);
    let rootless = Batch {
        dirs: vec![dir(2, Some(1), b"d", b"e"), orphan],
        ..Batch::default()
    };
    for batch in [nameless, rootless] {
        tree.commit(batch, vec![run(1, b"owed")], now()).unwrap_err();
        let mut ids = Vec::new();
        tree.directories(&mut |known| ids.push(known.id)).unwrap();
        assert_eq!(ids, [DirId(1)]);
        assert_eq!(tree.roots().unwrap().len(), 1);
        assert_eq!(Outbox::stats_of(&database).unwrap().records, 1);
    }
}

#[test]
fn a_root_can_be_replaced_by_another_of_its_path_in_one_batch() {
    let temp = tempfile::tempdir().unwrap();
    let mut tree = SqliteTree::open(&filled(&temp.path().join("s.db"))).unwrap();
    let batch = Batch {
        roots: vec![RootUpdate {
            id: RootId(2),
            ..root()
        }],
        removed_roots: vec![RootId(1)],
        ..Batch::default()
    };
    tree.commit(batch, vec![], now()).unwrap();
    let ids: Vec<RootId> = tree.roots().unwrap().iter().map(|root| root.id).collect();
    assert_eq!(ids, [RootId(2)]);
}

#[test]
fn a_look_forgets_a_root_as_a_run_does() {
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("s.db"));
    let mut look = SqliteTree::overlay(&database).unwrap();
    let batch = Batch {
        removed_roots: vec![RootId(1)],
        ..Batch::default()
    };
    look.commit(batch, vec![], now()).unwrap();
    assert!(look.undecided_after(None, 9).unwrap().is_empty());
    assert_eq!(
        SqliteTree::open(&database).unwrap().undecided_counts().unwrap().len(),
        1
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_size_of_a_file_counts_its_log_whatever_its_name() {
    use std::os::unix::ffi::OsStrExt;
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join(std::ffi::OsStr::from_bytes(b"s\xff.db"));
    let database = filled(&path);
    let file = fs::metadata(&path).unwrap().len();
    assert!(database.size() > file, "{} {file}", database.size());
}

#[test]
fn the_lock_says_since_when() {
    let temp = tempfile::tempdir().unwrap();
    let _lock = RunLock::acquire(&temp.path().join("s.db")).unwrap();
    let text = fs::read_to_string(temp.path().join("s.db.lock")).unwrap();
    let since = text.split_whitespace().nth(1).unwrap();
    chrono::DateTime::parse_from_rfc3339(since).unwrap();
}

/// The kernel's locks of this process on a file: SQLite's word to other processes that the file is in use.
#[cfg(target_os = "linux")]
fn locks_on(path: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let end = format!(":{}", fs::metadata(path).unwrap().ino());
    let me = std::process::id().to_string();
    let is_ours = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.contains(&me.as_str()) && fields.iter().any(|field| field.ends_with(&end))
    };
    fs::read_to_string("/proc/locks")
        .unwrap()
        .lines()
        .filter(|line| is_ours(line))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_second_opening_in_one_process_keeps_the_locks_of_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("s.db");
    let first = filled(&path);
    assert!(locks_on(&path) > 0);
    drop(open(&path));
    Database::open_read_only(&path).unwrap();
    assert!(
        locks_on(&path) > 0,
        "without it another process may remove the log under us"
    );
    drop(first);
    assert_eq!(locks_on(&path), 0);
}

#[test]
fn the_ways_to_look_at_directories_agree() {
    let temp = tempfile::tempdir().unwrap();
    let database = filled(&temp.path().join("s.db"));
    let mut tree = SqliteTree::open(&database).unwrap();
    let other = RootUpdate {
        id: RootId(2),
        path: Some(b"/other".to_vec()),
        ..root()
    };
    let mut top = dir(3, None, b"", b"top");
    top.root = RootId(2);
    let new = waiting(b"/r/new", Side::New, 2);
    let batch = Batch {
        roots: vec![other],
        dirs: vec![dir(2, Some(1), b"na\xffme", b"f"), top],
        undecided: vec![UndecidedUpdate::Put(new)],
        ..Batch::default()
    };
    tree.commit(batch, vec![], now()).unwrap();

    let mut seen = Vec::new();
    tree.for_each_directory(&mut |known, stored| {
        seen.push((known.id.0, known.name.to_vec(), stored.entries));
        Ok::<_, state_sqlite::StateError>(())
    })
    .unwrap();
    let wanted = [(1, &b""[..], &b"e"[..]), (2, b"na\xffme", b"f"), (3, b"", b"top")];
    assert_eq!(
        seen,
        wanted.map(|(id, name, entries)| (id, name.to_vec(), entries.to_vec()))
    );

    let find = |root, parent, name: &[u8]| {
        database
            .with_writer(|c| state_sqlite::find_dir(c, RootId(root), parent, name))
            .unwrap()
    };
    assert_eq!(find(1, None, b""), Some(DirId(1)));
    assert_eq!(find(2, None, b""), Some(DirId(3)));
    assert_eq!(find(1, Some(DirId(1)), b"na\xffme"), Some(DirId(2)));
    assert_eq!(find(2, Some(DirId(1)), b"na\xffme"), None);
    assert_eq!(
        tree.undecided_counts().unwrap(),
        [(RootId(1), Side::Gone, 1), (RootId(1), Side::New, 1)]
    );
}
