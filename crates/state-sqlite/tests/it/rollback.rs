//! A state that went back in time.
use crate::{beside, now, open, run};
use core_model::Queue;
use state_sqlite::{Backups, Outbox, ResyncReason, Story, open_or_recover};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A state whose first two records are in the file and the next three in its log only, as a crash leaves it.
fn left(dir: &Path) -> PathBuf {
    let path = dir.join("live.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    outbox.enqueue(&[run(1, b"1")], now()).unwrap();
    database
        .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .unwrap();
    for n in 2..5_u8 {
        outbox.enqueue(&[run(1, &[n])], now()).unwrap();
    }
    let left = dir.join("state.db");
    for ending in ["", "-wal", ".mark"] {
        fs::copy(beside(&path, ending), beside(&left, ending)).unwrap();
    }
    left
}

/// Opens what is left, and says the story, whether the stream is another, and the next number.
fn opened(dir: &Path, path: &Path) -> (Story, bool, u64) {
    let told = Outbox::open(&open(&dir.join("live.db"))).unwrap().stream();
    let (database, story) = open_or_recover(path, &Backups::new(dir.join("none"), 1), &[], now()).unwrap();
    let outbox = Outbox::open(&database).unwrap();
    let reason = outbox.resync().unwrap().map(|resync| resync.reason);
    let is_rolled_back = matches!(story, Story::RolledBack { .. });
    assert_eq!(reason, is_rolled_back.then_some(ResyncReason::RolledBack), "{story}");
    let is_other = outbox.stream() != told;
    let next = outbox.enqueue(&[run(1, b"next")], now()).unwrap().unwrap().first;
    (story, is_other, next)
}

#[test]
fn a_crash_is_no_step_back() {
    let temp = tempfile::tempdir().unwrap();
    let path = left(temp.path());
    assert_eq!(opened(temp.path(), &path), (Story::Sound, false, 6));
}

#[test]
fn a_log_that_is_gone_or_cut_or_flipped_is_noticed() {
    let damage: [fn(&Path); 5] = [
        |log| fs::remove_file(log).unwrap(),
        |log| fs::write(log, "").unwrap(),
        |log| {
            let bytes = fs::read(log).unwrap();
            fs::write(log, &bytes[..bytes.len() - 1]).unwrap();
        },
        |log| {
            let mut bytes = fs::read(log).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(log, bytes).unwrap();
        },
        |log| {
            let length = fs::metadata(log).unwrap().len();
            fs::write(log, vec![0x5a; length as usize]).unwrap();
        },
    ];
    for (n, damage) in damage.into_iter().enumerate() {
        let temp = tempfile::tempdir().unwrap();
        let path = left(temp.path());
        damage(&beside(&path, "-wal"));
        let (story, is_other, next) = opened(temp.path(), &path);
        assert!(matches!(story, Story::RolledBack { .. }), "damage {n}: {story}");
        assert!(story.to_string().contains("back in time"), "{story}");
        assert!(is_other && next == 1, "numbers that were given are not given again");
        let (_, story) = open_or_recover(&path, &Backups::new(temp.path().join("none"), 1), &[], now()).unwrap();
        assert_eq!(story, Story::Sound, "it is said once");
    }
}

#[test]
fn a_copy_that_was_put_back_by_hand_is_noticed_also_across_streams() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("live.db");
    let outbox = Outbox::open(&open(&path)).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    outbox.enqueue(&[run(7, b"seven")], now()).unwrap();
    drop(outbox);
    let copy = fs::read(&path).unwrap();
    let outbox = Outbox::open(&open(&path)).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    drop(outbox);
    fs::write(&path, copy).unwrap();
    let (_, story) = open_or_recover(&path, &Backups::new(temp.path().join("none"), 1), &[], now()).unwrap();
    assert!(matches!(story, Story::RolledBack { .. }), "{story}");
}

#[test]
fn a_wish_for_a_snapshot_is_not_lost_with_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("live.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    database
        .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .unwrap();
    outbox.want_resync(ResyncReason::Wanted, "", now()).unwrap();
    let left = temp.path().join("state.db");
    for ending in ["", ".mark"] {
        fs::copy(beside(&path, ending), beside(&left, ending)).unwrap();
    }
    let outbox = Outbox::open(&open(&left)).unwrap();
    assert_eq!(outbox.resync().unwrap().unwrap().reason, ResyncReason::RolledBack);
}

#[test]
fn acknowledgements_that_are_lost_are_only_said_again() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("live.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    database
        .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .unwrap();
    outbox.ack(outbox.stream(), &[1]).unwrap();
    let left = temp.path().join("state.db");
    for ending in ["", ".mark"] {
        fs::copy(beside(&path, ending), beside(&left, ending)).unwrap();
    }
    let again = Outbox::open(&open(&left)).unwrap();
    assert_eq!((again.stream(), again.resync().unwrap()), (outbox.stream(), None));
    assert_eq!(again.stats().unwrap().records, 1);
}

#[test]
fn without_a_mark_that_can_be_read_the_state_is_trusted() {
    for mark in [None, Some(&b""[..]), Some(b"garbage"), Some(&[0; 44])] {
        let temp = tempfile::tempdir().unwrap();
        let path = left(temp.path());
        let file = beside(&path, ".mark");
        match mark {
            None => fs::remove_file(&file).unwrap(),
            Some(bytes) => fs::write(&file, bytes).unwrap(),
        }
        assert_eq!(opened(temp.path(), &path), (Story::Sound, false, 6), "{mark:?}");
        let length = fs::metadata(&file).unwrap().len();
        assert_eq!(length, 44, "and the mark is whole again");
    }
}

#[test]
fn a_mark_that_is_behind_is_what_a_crash_leaves() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    let mut marks = Vec::new();
    for n in 0..3_u8 {
        outbox.open_stream(&run(1, b"begin"), now()).unwrap();
        outbox.enqueue(&[run(1, &[n])], now()).unwrap();
        marks.push(fs::read(beside(&path, ".mark")).unwrap());
    }
    let stream = outbox.stream();
    drop((outbox, database));
    for mark in marks {
        fs::write(beside(&path, ".mark"), mark).unwrap();
        let outbox = Outbox::open(&open(&path)).unwrap();
        assert_eq!((outbox.stream(), outbox.resync().unwrap()), (stream, None));
    }
}

#[cfg(unix)]
#[test]
fn a_mark_that_cannot_be_written_stops_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    fs::create_dir(beside(&path, ".mark")).unwrap();
    let outbox = Outbox::open(&open(&path)).unwrap();
    outbox.enqueue(&[run(1, b"a")], now()).unwrap();
    assert_eq!(outbox.stats().unwrap().records, 1);
    fs::remove_dir(beside(&path, ".mark")).unwrap();
    outbox.enqueue(&[run(1, b"b")], now()).unwrap();
    let mode = fs::metadata(beside(&path, ".mark")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it is written again as soon as it can be");
}
