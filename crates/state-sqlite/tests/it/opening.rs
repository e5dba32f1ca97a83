use crate::open;
use state_sqlite::{Component, Database, LockError, OpenError, OpenOptions, Outbox, RunLock, rusqlite::Connection};
use std::fs;

fn refused(path: &std::path::Path) -> OpenError {
    Database::open(path, OpenOptions::default()).unwrap_err()
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_a_state() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/state.db");
    let database = open(&path);
    Outbox::open(&database).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("a")), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(
        mode(&path.with_extension("db-wal")),
        0o600,
        "SQLite gives the log the mode of the file"
    );
    for beside in ["db.mark", "db.ballast"] {
        assert_eq!(mode(&path.with_extension(beside)), 0o600, "{beside}");
    }
}

#[test]
fn what_is_no_state_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(refused(dir.path()), OpenError::NotAFile { .. }));
    let text = dir.path().join("notes.txt");
    fs::write(&text, "these are my notes, thousands of them".repeat(100)).unwrap();
    assert!(matches!(refused(&text), OpenError::NotADatabase { .. }));
    let foreign = dir.path().join("other.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a)")
        .unwrap();
    let before = fs::read(&foreign).unwrap();
    let error = refused(&foreign);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("other.db"));
    assert_eq!(fs::read(&foreign).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused_by_name_and_versions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    const NEW: &[&str] = &["CREATE TABLE a (x)", "CREATE TABLE b (x)"];
    open(&path)
        .migrate(&[Component {
            name: "rules",
            migrations: NEW,
        }])
        .unwrap();
    let database = open(&path);
    database
        .migrate(&[Component {
            name: "rules",
            migrations: NEW,
        }])
        .unwrap();
    let error = database
        .migrate(&[Component {
            name: "rules",
            migrations: &NEW[..1],
        }])
        .unwrap_err();
    assert!(
        matches!(&error, OpenError::TooNew { component, found: 2, known: 1, .. } if component == "rules"),
        "{error}"
    );
}

#[test]
fn a_failing_migration_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir.path().join("state.db"));
    let broken = [
        Component {
            name: "a",
            migrations: &["CREATE TABLE a (x)"],
        },
        Component {
            name: "b",
            migrations: &["NONSENSE"],
        },
    ];
    database.migrate(&broken).unwrap_err();
    let tables: i64 = database
        .with_writer(|c| {
            c.query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name IN ('a', 'component')",
                [],
                |r| r.get(0),
            )
        })
        .unwrap();
    assert_eq!(tables, 0);
}

#[test]
fn half_a_file_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    {
        let database = open(&path);
        database
            .migrate(&[Component {
                name: "t",
                migrations: &["CREATE TABLE t (x)"],
            }])
            .unwrap();
        database
            .with_writer(|c| {
                c.execute_batch(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                     INSERT INTO t SELECT hex(randomblob(200)) FROM n; PRAGMA wal_checkpoint(TRUNCATE);",
                )
            })
            .unwrap();
    }
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn reading_needs_a_state_and_sees_what_another_process_commits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    assert!(matches!(
        Database::open_read_only(&path).unwrap_err(),
        OpenError::Missing { .. }
    ));
    assert!(!path.exists(), "looking makes nothing");
    let writer = open(&path);
    writer
        .migrate(&[Component {
            name: "t",
            migrations: &["CREATE TABLE t (x)"],
        }])
        .unwrap();
    let reader = Database::open_read_only(&path).unwrap();
    let count = || {
        reader
            .with_writer(|c| c.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)))
            .unwrap()
    };
    assert_eq!(count(), 0);
    writer
        .with_writer(|c| c.execute("INSERT INTO t VALUES (1)", []))
        .unwrap();
    assert_eq!(count(), 1);
    reader
        .with_writer(|c| c.execute("INSERT INTO t VALUES (1)", []))
        .unwrap_err();
}

#[test]
fn a_second_run_is_refused_and_told_who_runs() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("new/state.db");
    assert!(!RunLock::is_held(&state));
    let first = RunLock::acquire(&state).unwrap();
    assert!(RunLock::is_held(&state));
    let LockError::Held { pid, .. } = RunLock::acquire(&state).unwrap_err() else {
        panic!("not held")
    };
    assert_eq!(pid, Some(std::process::id()));
    drop(first);
    RunLock::acquire(&state).unwrap();
}
