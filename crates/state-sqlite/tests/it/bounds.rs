//! What happens when more is to go into an outbox than it may hold.
use crate::{now, open, run, tree, wait_until};
use chrono::TimeDelta;
use core_model::{Batch, KnownTree, Queue, Run};
use proptest::prelude::*;
use state_sqlite::{Bounds, Outbox, ResyncReason, SqliteTree, StateError, Told, WhenFull};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

fn bytes(max_bytes: u64, when_full: WhenFull) -> Bounds {
    Bounds {
        max_bytes,
        when_full,
        ..Bounds::default()
    }
}

/// What the documentation says, one run after the other.
#[derive(Default)]
struct Model {
    rows: BTreeMap<u64, (u32, usize)>,
    next: u64,
    dropped: u64,
}

impl Model {
    fn used(&self) -> usize {
        self.rows.values().map(|(_, length)| length).sum()
    }

    fn add(&mut self, records: u32, length: usize, max: usize, when_full: WhenFull) {
        let fits = match when_full {
            WhenFull::DropNewest => self.used() + length <= max,
            _ => length <= max,
        };
        if fits {
            while self.used() + length > max {
                let (_, (records, _)) = self.rows.pop_first().unwrap();
                self.dropped += u64::from(records);
            }
            self.rows.insert(self.next + 1, (records, length));
        } else {
            self.dropped += u64::from(records);
        }
        self.next += u64::from(records);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue(Vec<(u32, usize)>),
    Commit(Vec<(u32, usize)>),
    Ack(usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let runs = || prop::collection::vec((1..4u32, 0..60usize), 0..5);
    let step = prop_oneof![
        4 => runs().prop_map(Step::Enqueue),
        2 => runs().prop_map(Step::Commit),
        2 => (0..6usize).prop_map(Step::Ack),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn who_gives_way_is_who_the_policy_says(
        steps in steps(), max in 0..150usize, oldest in any::<bool>(),
    ) {
        let when_full = if oldest { WhenFull::DropOldest } else { WhenFull::DropNewest };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let mut database = open(&path);
        let mut outbox = Outbox::open(&database).unwrap();
        outbox.set_bounds(bytes(max as u64, when_full));
        outbox.open_stream(&run(1, b""), now()).unwrap();
        outbox.ack(outbox.stream(), &[1]).unwrap();
        let mut model = Model { next: 1, ..Model::default() };
        for step in steps {
            match step {
                Step::Enqueue(runs) | Step::Commit(runs) if runs.is_empty() => {}
                Step::Enqueue(runs) => {
                    let bodies: Vec<Run> = runs.iter().map(|(records, length)| run(*records, &vec![7; *length])).collect();
                    let first = model.next + 1;
                    runs.iter().for_each(|(records, length)| model.add(*records, *length, max, when_full));
                    let seqs = outbox.enqueue(&bodies, now()).unwrap().unwrap();
                    prop_assert_eq!((seqs.first, seqs.last), (first, model.next), "every record has its number");
                }
                Step::Commit(runs) => {
                    let bodies: Vec<Run> = runs.iter().map(|(records, length)| run(*records, &vec![7; *length])).collect();
                    runs.iter().for_each(|(records, length)| model.add(*records, *length, max, when_full));
                    SqliteTree::open(&database).unwrap().commit(Batch::default(), bodies, now()).unwrap();
                }
                Step::Ack(nth) => {
                    if let Some(first) = model.rows.keys().nth(nth).copied() {
                        outbox.ack(outbox.stream(), &[first]).unwrap();
                        model.rows.remove(&first);
                    }
                }
                Step::Reopen => {
                    drop((database, outbox));
                    database = open(&path);
                    outbox = Outbox::open(&database).unwrap();
                    outbox.set_bounds(bytes(max as u64, when_full));
                }
            }
            let seen: Vec<_> = outbox.peek(outbox.stream(), 0, 1000).unwrap().into_iter()
                .map(|run| (run.seqs.first, run.body.unwrap().len())).collect();
            let wanted: Vec<_> = model.rows.iter().map(|(first, (_, length))| (*first, *length)).collect();
            prop_assert_eq!(seen, wanted);
            let stats = outbox.stats().unwrap();
            let records: u64 = model.rows.values().map(|(records, _)| u64::from(*records)).sum();
            prop_assert_eq!((stats.bytes, stats.records, stats.dropped), (model.used() as u64, records, model.dropped));
            prop_assert_eq!(outbox.resync().unwrap().map(|resync| resync.reason),
                (model.dropped > 0).then_some(ResyncReason::Dropped));
        }
    }
}

/// An outbox of at most ten bytes, in which eight wait as number 1.
fn nearly_full(dir: &tempfile::TempDir) -> (state_sqlite::Database, Outbox) {
    let database = open(&dir.path().join("state.db"));
    let outbox = Outbox::open(&database).unwrap();
    outbox.set_bounds(bytes(10, WhenFull::Block));
    outbox.enqueue(&[run(1, b"12345678")], now()).unwrap();
    (database, outbox)
}

#[test]
fn a_writer_waits_until_an_acknowledgement_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let (database, outbox) = nearly_full(&dir);
    let mut tree = SqliteTree::open(&database).unwrap();
    thread::scope(|scope| {
        let batch = Batch {
            roots: vec![tree::root()],
            ..Batch::default()
        };
        let writer = scope.spawn(move || tree.commit(batch, vec![run(2, b"abc")], now()));
        wait_until(|| outbox.is_blocked());
        assert!(
            SqliteTree::open(&database).unwrap().roots().unwrap().is_empty(),
            "nothing of it is stored yet"
        );
        assert_eq!(outbox.stats().unwrap().last_seq, 1);
        outbox.ack(outbox.stream(), &[1]).unwrap();
        writer.join().unwrap().unwrap();
    });
    assert!(!outbox.is_blocked());
    let stats = outbox.stats().unwrap();
    assert_eq!((stats.records, stats.last_seq, stats.dropped), (2, 3, 0));
}

#[test]
fn a_writer_that_is_told_to_stop_stores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (database, outbox) = nearly_full(&dir);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    database.stop_when(move || asked.load(Ordering::Relaxed));
    let error = thread::scope(|scope| {
        let writer = scope.spawn(|| outbox.enqueue(&[run(1, b"abc")], now()));
        wait_until(|| outbox.is_blocked());
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap().unwrap_err()
    });
    assert!(
        matches!(error, StateError::OutboxFull { waiting: 8, max: 10 }),
        "{error}"
    );
    assert_eq!(outbox.stats().unwrap().last_seq, 1);
}

#[test]
fn another_stream_makes_room_too() {
    let dir = tempfile::tempdir().unwrap();
    let (_database, outbox) = nearly_full(&dir);
    thread::scope(|scope| {
        let writer = scope.spawn(|| outbox.enqueue(&[run(1, b"abc")], now()));
        wait_until(|| outbox.is_blocked());
        outbox.open_stream(&run(1, b"begin"), now()).unwrap();
        let seqs = writer.join().unwrap().unwrap().unwrap();
        assert_eq!(seqs.first, 2, "it goes into the new stream");
    });
}

#[test]
fn what_is_longer_than_the_bound_passes_an_empty_outbox_only() {
    let dir = tempfile::tempdir().unwrap();
    let (_database, outbox) = nearly_full(&dir);
    let long = run(1, &[7; 100]);
    thread::scope(|scope| {
        let writer = scope.spawn(|| outbox.enqueue(std::slice::from_ref(&long), now()));
        wait_until(|| outbox.is_blocked());
        outbox.ack(outbox.stream(), &[1]).unwrap();
        writer.join().unwrap().unwrap();
    });
    assert_eq!(outbox.stats().unwrap().bytes, 100);
}

#[test]
fn a_snapshot_waits_whatever_the_policy_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_database, outbox) = nearly_full(&dir);
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        outbox.set_bounds(bytes(10, when_full));
        outbox.open_stream(&run(1, b"begin"), now()).unwrap();
        thread::scope(|scope| {
            let writer = scope.spawn(|| outbox.tell(&[run(1, b"everything")], Told::All, now()));
            wait_until(|| outbox.is_blocked());
            outbox.ack(outbox.stream(), &[1]).unwrap();
            writer.join().unwrap().unwrap();
        });
        assert_eq!(outbox.stats().unwrap().dropped, 0);
    }
}

#[test]
fn what_has_waited_too_long_leaves_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&open(&dir.path().join("state.db"))).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    let hours = |hours| now() + TimeDelta::hours(hours);
    outbox.enqueue(&[run(3, b"old")], hours(1)).unwrap();
    outbox.enqueue(&[run(5, b"young")], hours(2)).unwrap();
    assert_eq!(outbox.expire(hours(1000)).unwrap(), 0, "no bound, no loss");
    outbox.set_bounds(Bounds {
        max_age: Duration::from_secs(3600),
        ..Bounds::default()
    });
    assert_eq!(
        outbox.expire(hours(1)).unwrap(),
        0,
        "an hour is not longer than an hour"
    );
    assert_eq!(outbox.resync().unwrap(), None);
    assert_eq!(outbox.expire(hours(2) + TimeDelta::seconds(1)).unwrap(), 1 + 3);
    let stats = outbox.stats().unwrap();
    assert_eq!((stats.records, stats.dropped, stats.oldest), (5, 4, Some(hours(2))));
    let resync = outbox.resync().unwrap().unwrap();
    assert_eq!(resync.reason, ResyncReason::Dropped);
    assert!(resync.detail.contains("4 records"), "{}", resync.detail);
}

#[test]
fn policies_have_the_names_of_the_settings() {
    for policy in [WhenFull::Block, WhenFull::DropNewest, WhenFull::DropOldest] {
        assert_eq!(policy.name().parse::<WhenFull>().unwrap(), policy);
    }
    assert!(
        "drop_all"
            .parse::<WhenFull>()
            .unwrap_err()
            .to_string()
            .contains("drop_oldest")
    );
}
