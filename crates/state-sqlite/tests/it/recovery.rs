//! States that were damaged, and what takes their place.
use crate::{beside, now, open, run};
use chrono::TimeDelta;
use core_model::Queue;
use proptest::prelude::*;
use state_sqlite::{
    Backups, Component, Database, OpenError, OpenOptions, Outbox, ResyncReason, Story, open_or_recover, restore_from,
    rusqlite::Connection,
};
use std::{fs, path::Path};

const NOTES: Component = Component {
    name: "notes",
    migrations: &["CREATE TABLE note (text TEXT) STRICT"],
};

fn note(database: &Database, text: &str) {
    database
        .with_writer(|c| c.execute("INSERT INTO note VALUES (?1)", [text]))
        .unwrap();
}

fn notes(database: &Database) -> String {
    let sql = "SELECT coalesce(group_concat(text, ' '), '') FROM note";
    database
        .with_writer(|c| c.query_row(sql, [], |row| row.get(0)))
        .unwrap()
}

fn opened(path: &Path, backups: &Backups) -> (Database, Story) {
    open_or_recover(path, backups, &[NOTES], now()).unwrap()
}

fn reason(database: &Database) -> Option<ResyncReason> {
    Outbox::open(database)
        .unwrap()
        .resync()
        .unwrap()
        .map(|resync| resync.reason)
}

/// A state that was told all, with two backups: one of when it had one note, and one of when it had two. Now it has three,
/// the last of them in the log only.
fn lived(dir: &Path) -> (std::path::PathBuf, Backups) {
    let (path, backups) = (dir.join("state.db"), Backups::new(dir.join("backups"), 5));
    let (database, story) = opened(&path, &backups);
    assert_eq!((story, reason(&database)), (Story::New, Some(ResyncReason::First)));
    let outbox = Outbox::open(&database).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    for (days, text) in [(0, "one"), (1, "two")] {
        note(&database, text);
        outbox.enqueue(&[run(1, text.as_bytes())], now()).unwrap();
        backups.take(&database, now() + TimeDelta::days(days)).unwrap();
    }
    database
        .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .unwrap();
    note(&database, "three");
    // As a crash leaves them.
    let left = ["", "-wal"].map(|ending| (beside(&path, ending), fs::read(beside(&path, ending)).unwrap()));
    drop((database, outbox));
    for (path, bytes) in left {
        fs::write(path, bytes).unwrap();
    }
    (path, backups)
}

fn asides(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".damaged-") || name.contains(".replaced-"))
        .collect();
    names.sort();
    names
}

fn break_it(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[..16].copy_from_slice(b"not a database!!");
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_sound_is_opened_as_it_was_left() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    let (database, story) = opened(&path, &backups);
    assert_eq!(
        (story, notes(&database).as_str(), reason(&database)),
        (Story::Sound, "one two three", None)
    );
}

#[test]
fn the_newest_sound_backup_takes_the_place_of_a_damaged_state() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    let newest = &backups.list().unwrap()[0];
    let told = Outbox::open(&open(&newest.path)).unwrap().stream();
    break_it(&path);
    let damaged = fs::read(&path).unwrap();
    let (database, story) = opened(&path, &backups);
    let Story::Restored {
        backup,
        taken_at,
        aside,
        why,
    } = &story
    else {
        panic!("{story}")
    };
    let aside = aside.as_ref().unwrap();
    assert_eq!((backup, taken_at), (&newest.path, &newest.taken_at));
    assert!(why.contains("something other than"), "{why}");
    let line = story.to_string();
    assert!(
        line.contains("2023-11-15T22:13:20Z") && line.contains(&aside.display().to_string()),
        "{line}"
    );
    assert!(!line.contains('\n'));
    assert_eq!(
        notes(&database),
        "one two",
        "no log of the damaged one is replayed into it"
    );
    assert!(
        fs::read(aside).unwrap() == damaged,
        "the damaged file is kept as it was"
    );
    assert!(
        beside(aside, "-wal").exists() && beside(aside, ".mark").exists(),
        "with what belongs to it"
    );

    let outbox = Outbox::open(&database).unwrap();
    assert_eq!(reason(&database), Some(ResyncReason::Restored));
    assert!(
        outbox.stream() > told,
        "numbers of the old stream may have been given since"
    );
    assert_eq!(outbox.stats().unwrap().last_seq, 0);
    drop((database, outbox));
    let (database, story) = opened(&path, &backups);
    assert_eq!(
        (story, reason(&database)),
        (Story::Sound, Some(ResyncReason::Restored)),
        "until a stream is opened"
    );
}

#[test]
fn a_backup_that_is_damaged_too_is_passed_over() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    break_it(&path);
    // Sound to SQLite, but its numbering is not.
    let newest = backups.list().unwrap().remove(0);
    let connection = Connection::open(&newest.path).unwrap();
    connection.execute("UPDATE outbox_meta SET next_seq = 1", []).unwrap();
    drop(connection);
    let (database, story) = opened(&path, &backups);
    assert!(
        matches!(&story, Story::Restored { backup, .. } if *backup != newest.path),
        "{story}"
    );
    assert_eq!(notes(&database), "one");
}

#[test]
fn a_state_that_is_gone_is_not_taken_for_a_new_one() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    fs::remove_file(&path).unwrap();
    let (database, story) = opened(&path, &backups);
    assert!(
        matches!(&story, Story::Restored { why, aside: None, .. } if why == "the file is gone"),
        "{story}"
    );
    assert_eq!(notes(&database), "one two");
    drop(database);

    // Without backups the mark beside it is what tells.
    let none = Backups::new(temp.path().join("none"), 1);
    fs::remove_file(&path).unwrap();
    let (database, story) = opened(&path, &none);
    assert!(matches!(&story, Story::Rebuilt { aside: None, .. }), "{story}");
    assert_eq!(reason(&database), Some(ResyncReason::Rebuilt));
    drop(database);

    for name in ["", ".mark"] {
        fs::remove_file(beside(&path, name)).unwrap();
    }
    let (_, story) = opened(&path, &none);
    assert_eq!(story, Story::New);
}

#[test]
fn without_a_sound_backup_a_new_state_begins() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    break_it(&path);
    for backup in backups.list().unwrap() {
        break_it(&backup.path);
    }
    let (database, story) = opened(&path, &backups);
    assert!(matches!(story, Story::Rebuilt { .. }), "{story}");
    assert!(story.to_string().contains("no sound backup"));
    assert_eq!(
        (notes(&database).as_str(), reason(&database)),
        ("", Some(ResyncReason::Rebuilt))
    );
}

#[test]
fn an_empty_file_is_damage_where_there_was_more() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    fs::write(&path, "").unwrap();
    let (database, story) = opened(&path, &backups);
    assert!(
        matches!(&story, Story::Restored { why, .. } if why.contains("empty")),
        "{story}"
    );
    assert_eq!(notes(&database), "one two");
    drop(database);

    let fresh = temp.path().join("fresh.db");
    fs::write(&fresh, "").unwrap();
    let (_, story) = open_or_recover(&fresh, &Backups::new(temp.path().join("none"), 1), &[], now()).unwrap();
    assert_eq!(story, Story::New, "an empty file that never held anything is none");
}

#[test]
fn a_numbering_that_is_damaged_is_damage() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    open(&path)
        .with_writer(|c| c.execute("UPDATE outbox_meta SET next_seq = 2", []))
        .unwrap();
    let (_, story) = opened(&path, &backups);
    assert!(
        matches!(&story, Story::Restored { why, .. } if why.contains("checksum")),
        "{story}"
    );
}

#[test]
fn a_table_whose_name_is_damaged_is_damage() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    open(&path)
        .with_writer(|c| c.execute_batch("ALTER TABLE outbox_meta RENAME TO outbox_mefa"))
        .unwrap();
    let (database, story) = opened(&path, &backups);
    assert!(matches!(story, Story::Restored { .. }), "{story}");
    assert_eq!(notes(&database), "one two");
}

#[test]
fn what_is_no_damage_is_refused_and_left() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    let foreign = temp.path().join("foreign.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let error = open_or_recover(&foreign, &backups, &[], now()).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    let error = open_or_recover(temp.path(), &backups, &[], now()).unwrap_err();
    assert!(matches!(error, OpenError::NotAFile { .. }), "{error}");
    assert_eq!(asides(temp.path()), Vec::<String>::new());
    assert!(path.exists());
}

#[test]
fn two_damaged_states_are_kept() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    for day in 0..4 {
        break_it(&path);
        let at = now() + TimeDelta::days(day / 2);
        open_or_recover(&path, &backups, &[NOTES], at).unwrap();
    }
    let mut kept = asides(temp.path());
    kept.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm") && !name.ends_with(".mark"));
    let day = "20231115T221320.000Z";
    assert_eq!(
        kept,
        [format!("state.db.damaged-{day}"), format!("state.db.damaged-{day}-2")]
    );
    assert!(
        asides(temp.path()).iter().all(|name| name.contains(day)),
        "{:?}",
        asides(temp.path())
    );
}

#[test]
fn a_restoration_that_was_cut_off_is_done_again() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    // The copy is ready, the log was moved, and then the power went.
    fs::copy(&backups.list().unwrap()[1].path, beside(&path, ".restoring")).unwrap();
    fs::remove_file(beside(&path, "-wal")).unwrap();
    let (database, story) = opened(&path, &backups);
    assert!(
        matches!(&story, Story::Restored { why, .. } if why.contains("cut off")),
        "{story}"
    );
    assert_eq!(
        (notes(&database).as_str(), reason(&database)),
        ("one two", Some(ResyncReason::Restored))
    );
    drop(database);
    // The same, an instant later: the state was moved too.
    fs::rename(&path, beside(&path, ".restoring")).unwrap();
    let (database, story) = opened(&path, &backups);
    assert!(matches!(story, Story::Restored { .. }), "{story}");
    assert_eq!(notes(&database), "one two");
    assert!(!beside(&path, ".restoring").exists());
}

#[test]
fn an_operator_restores_the_backup_of_choice() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    let oldest = backups.list().unwrap().pop().unwrap();
    let aside = restore_from(&path, &oldest.path, now()).unwrap();
    assert!(aside.display().to_string().contains(".replaced-"));
    let (database, story) = opened(&path, &backups);
    assert_eq!((story, notes(&database).as_str()), (Story::Sound, "one"));
    let resync = Outbox::open(&database).unwrap().resync().unwrap().unwrap();
    assert_eq!(resync.reason, ResyncReason::Restored);
    assert!(resync.detail.contains("operator"), "{}", resync.detail);
    drop(database);
    fs::write(&oldest.path, "no longer").unwrap();
    let error = restore_from(&path, &oldest.path, now()).unwrap_err();
    assert!(matches!(error, OpenError::Backup { .. }), "{error}");
    assert_eq!(
        notes(&open(&path)),
        "one",
        "the state stays where a backup cannot be used"
    );
}

#[test]
fn removing_takes_everything_but_the_lock_and_the_backups() {
    let temp = tempfile::tempdir().unwrap();
    let (path, backups) = lived(temp.path());
    let _lock = state_sqlite::RunLock::acquire(&path).unwrap();
    for ending in ["", "-wal", ".mark", ".ballast"] {
        assert!(beside(&path, ending).exists(), "{ending}");
    }
    state_sqlite::remove(&path).unwrap();
    let mut left: Vec<_> = fs::read_dir(temp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["backups", "state.db.lock"]);
    assert_eq!(backups.list().unwrap().len(), 2);
    state_sqlite::remove(&path).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// A file cut at any length, or overwritten anywhere.
    #[test]
    fn a_mutilated_state_never_stops_an_agent(cut in 0.0..1.0f64, overwrite in any::<Option<u8>>(), length in 1..20_000usize) {
        let temp = tempfile::tempdir().unwrap();
        let (path, backups) = lived(temp.path());
        let mut bytes = fs::read(&path).unwrap();
        let at = (bytes.len() as f64 * cut) as usize;
        match overwrite {
            None => bytes.truncate(at),
            Some(with) => {
                let end = bytes.len().min(at + length);
                bytes[at..end].fill(with);
            }
        }
        fs::write(&path, bytes).unwrap();
        let (database, story) = opened(&path, &backups);
        match story {
            Story::Restored { .. } => prop_assert_eq!(notes(&database), "one two"),
            // Also what the log replaced.
            Story::Sound | Story::RolledBack { .. } => {
                let seen = notes(&database);
                prop_assert!(["one two three", "one two"].contains(&seen.as_str()), "{}", seen);
            }
            other => prop_assert!(false, "{}", other),
        }
        prop_assert!(database.check().is_ok());
        // And it is in order from now on.
        drop(database);
        let options = OpenOptions::default();
        Outbox::open(&Database::open(&path, options).unwrap()).unwrap().enqueue(&[run(1, b"x")], now()).unwrap();
    }
}
