//! The changes that are kept on this machine.
use crate::{now, open, run};
use chrono::{DateTime, TimeDelta, Utc};
use core_model::{Batch, KnownTree, Queue};
use state_sqlite::{Database, Journal, Outbox, SqliteTree, Targets};
use std::ops::ControlFlow;

fn at(hours: i64) -> DateTime<Utc> {
    now() + TimeDelta::hours(hours)
}

/// A time, and what was found then.
type Kept = (DateTime<Utc>, Vec<u8>);

fn since(journal: &Journal, from: DateTime<Utc>) -> (Vec<Kept>, u64) {
    let mut seen = Vec::new();
    let damaged = journal.since(from, &mut |at, body| {
        seen.push((at, body.to_vec()));
        ControlFlow::Continue(())
    });
    (seen, damaged.unwrap())
}

#[test]
fn a_commit_goes_where_it_is_to_go() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("state.db"));
    let mut tree = SqliteTree::open(&database).unwrap();
    let (outbox, journal) = (Outbox::open(&database).unwrap(), Journal::open(&database).unwrap());
    let long = [b'x'; 5000];
    for (hour, outbox, journal) in [(0, true, false), (1, true, true), (2, false, true), (3, false, false)] {
        tree.set_targets(Targets { outbox, journal }).unwrap();
        let bodies = vec![run(1, format!("hour {hour}").as_bytes()), run(2, &long)];
        tree.commit(Batch::default(), bodies, at(hour)).unwrap();
    }
    let owed: Vec<_> = outbox
        .peek(outbox.stream(), 0, 9)
        .unwrap()
        .into_iter()
        .map(|run| run.body.unwrap())
        .collect();
    assert_eq!(
        owed,
        [b"hour 0".to_vec(), long.to_vec(), b"hour 1".to_vec(), long.to_vec()]
    );
    let (kept, _) = since(&journal, at(-99));
    let wanted = |hour: i64| {
        [
            (at(hour), format!("hour {hour}").into_bytes()),
            (at(hour), long.to_vec()),
        ]
    };
    assert_eq!(kept, [wanted(1), wanted(2)].concat());
    assert_eq!(since(&journal, at(2)).0, wanted(2));
    let mut first = None;
    let broke = journal.since(at(-99), &mut |_, body| {
        assert!(first.replace(body.to_vec()).is_none(), "it goes on after a break");
        ControlFlow::Break(())
    });
    assert_eq!((broke.unwrap(), first.unwrap()), (0, b"hour 1".to_vec()));
}

#[test]
fn a_refused_commit_leaves_nothing_in_the_journal() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("state.db"));
    let mut tree = SqliteTree::open(&database).unwrap();
    tree.set_targets(Targets {
        outbox: false,
        journal: true,
    })
    .unwrap();
    let mut orphan = crate::tree::dir(1, None, b"", b"");
    orphan.root = core_model::RootId(77);
    let batch = Batch {
        dirs: vec![orphan],
        ..Batch::default()
    };
    tree.commit(batch, vec![run(1, b"never")], now()).unwrap_err();
    assert!(since(&Journal::open(&database).unwrap(), at(-99)).0.is_empty());
}

#[test]
fn a_state_without_a_journal_has_an_empty_one_for_whoever_reads() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state.db");
    let database = open(&path);
    Outbox::open(&database).unwrap();
    let reading = Database::open_read_only(&path).unwrap();
    let journal = Journal::open(&reading).unwrap();
    assert_eq!(since(&journal, at(-99)), (vec![], 0));
    assert_eq!(journal.trim(at(99), 0).unwrap(), 0);
    let mut tree = SqliteTree::open(&database).unwrap();
    tree.set_targets(Targets {
        outbox: true,
        journal: true,
    })
    .unwrap();
    tree.commit(Batch::default(), vec![run(1, b"seen")], now()).unwrap();
    let journal = Journal::open(&reading).unwrap();
    assert_eq!(since(&journal, at(-99)).0.len(), 1);
    journal.trim(at(99), 0).unwrap_err();
}

#[test]
fn old_and_too_much_is_forgotten_the_oldest_first() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("state.db"));
    let mut tree = SqliteTree::open(&database).unwrap();
    tree.set_targets(Targets {
        outbox: false,
        journal: true,
    })
    .unwrap();
    for hour in 0..6 {
        tree.commit(Batch::default(), vec![run(1, &[hour as u8; 10])], at(hour))
            .unwrap();
    }
    let journal = Journal::open(&database).unwrap();
    let hours = || {
        since(&journal, at(-99))
            .0
            .into_iter()
            .map(|(_, body)| body[0])
            .collect::<Vec<_>>()
    };
    assert_eq!(journal.trim(at(2), u64::MAX).unwrap(), 2);
    assert_eq!(hours(), [2, 3, 4, 5]);
    assert_eq!(journal.trim(at(0), 30).unwrap(), 1);
    assert_eq!(hours(), [3, 4, 5]);
    assert_eq!(journal.trim(at(0), 29).unwrap(), 1);
    assert_eq!(hours(), [4, 5]);
    tree.commit(Batch::default(), vec![run(1, &[9; 10])], at(6)).unwrap();
    assert_eq!(hours(), [4, 5, 9], "numbers are not given twice while any is left");
}

#[test]
fn a_damaged_change_is_left_out_and_counted() {
    let temp = tempfile::tempdir().unwrap();
    let database = open(&temp.path().join("state.db"));
    let mut tree = SqliteTree::open(&database).unwrap();
    tree.set_targets(Targets {
        outbox: false,
        journal: true,
    })
    .unwrap();
    tree.commit(Batch::default(), vec![run(1, b"a"), run(1, b"b"), run(1, b"c")], at(0))
        .unwrap();
    let journal = Journal::open(&database).unwrap();
    for damage in ["body = x'62ff'", "records = 5", "crc = 0"] {
        let sql = format!("UPDATE journal SET {damage} WHERE id = 2");
        database.with_writer(|c| c.execute(&sql, [])).unwrap();
        let (seen, damaged) = since(&journal, at(-99));
        assert_eq!((seen.len(), damaged), (2, 1), "{damage}");
    }
}
