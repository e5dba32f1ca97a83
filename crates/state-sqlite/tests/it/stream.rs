//! Streams and snapshots.
use crate::{now, open, run};
use chrono::TimeDelta;
use core_model::{DirId, Queue};
use state_sqlite::{Database, OpenOptions, Outbox, ResyncReason, SnapshotState, StateError, Told};
use std::{sync::mpsc, thread};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

fn open_at(told: Told) -> SnapshotState {
    SnapshotState::Open { told }
}

#[test]
fn a_new_state_wants_a_stream_that_begins_with_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let outbox = Outbox::open(&open(&path)).unwrap();
    assert_eq!(outbox.resync().unwrap().unwrap().reason, ResyncReason::First);
    assert_eq!(outbox.snapshot().unwrap(), SnapshotState::None);
    let other = outbox.clone();
    let stream = outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    assert_eq!((outbox.stream(), other.stream()), (stream, stream), "for all handles");
    assert_eq!(outbox.resync().unwrap(), None);
    let again = Outbox::open(&open(&path)).unwrap();
    assert_eq!(again.stream(), stream);
    assert_eq!(again.snapshot().unwrap(), open_at(Told::Through(None)));
    assert_eq!(again.peek(stream, 0, 9).unwrap()[0].body.as_deref().unwrap(), b"begin");
}

#[test]
fn a_server_that_has_seen_more_than_was_given_shows_that_the_state_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&open(&dir.path().join("state.db"))).unwrap();
    let earlier = outbox.stream();
    let stream = outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    outbox.enqueue(&[run(2, b"more")], now()).unwrap();
    assert!(!outbox.was_seen(stream, 3, now()).unwrap(), "all that was given");
    assert!(!outbox.was_seen(earlier, 9, now()).unwrap(), "of another stream");
    assert_eq!(outbox.resync().unwrap(), None);
    assert!(outbox.was_seen(stream, 4, now()).unwrap());
    assert_eq!(outbox.resync().unwrap().unwrap().reason, ResyncReason::RolledBack);
}

#[test]
fn whoever_works_on_an_earlier_stream_sees_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let outbox = Outbox::open(&open(&path)).unwrap();
    let elsewhere = Outbox::open(&open(&path)).unwrap();
    let early = outbox.stream();
    outbox
        .enqueue(&[run(1, b"of the first stream"), run(1, b"also")], now())
        .unwrap();
    let late = outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    assert_ne!(early, late);
    for handle in [&outbox, &elsewhere] {
        assert!(handle.peek(early, 0, 9).unwrap().is_empty());
        handle.ack(early, &[1]).unwrap();
        assert_eq!(handle.peek(late, 0, 9).unwrap().len(), 1);
        assert_eq!(handle.stream(), late, "also through another opening of the file");
    }
    let stats = outbox.stats().unwrap();
    assert_eq!((stats.records, stats.last_seq), (1, 1), "numbered from 1");
}

#[test]
fn a_later_stream_sorts_after_the_one_before_though_the_clock_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&open(&dir.path().join("state.db"))).unwrap();
    let mut before = outbox.stream();
    for days in [0, 1000, -1000, 0] {
        let stream = outbox
            .open_stream(&run(1, b"begin"), now() + TimeDelta::days(days))
            .unwrap();
        assert!(stream > before);
        before = stream;
    }
}

#[test]
fn a_snapshot_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let outbox = Outbox::open(&open(&path)).unwrap();
    let part = |outbox: &Outbox, body: &[u8], through| outbox.tell(&[run(2, body)], through, now());
    let early = part(&outbox, b"too early", Told::All).unwrap_err();
    assert!(matches!(early, StateError::Refused(_)), "{early}");
    outbox.close_snapshot(&run(1, b"too early"), now()).unwrap_err();
    assert_eq!(outbox.stats().unwrap().last_seq, 0);

    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    let far = Told::Through(Some(DirId(u64::MAX - 1)));
    for (told, last) in [(Told::Through(Some(DirId(7))), 3), (far, 5), (Told::All, 7)] {
        let outbox = Outbox::open(&open(&path)).unwrap();
        assert_eq!(part(&outbox, b"part", told).unwrap().unwrap().last, last);
        let outbox = Outbox::open(&open(&path)).unwrap();
        assert_eq!(outbox.snapshot().unwrap(), open_at(told));
    }
    let seqs = outbox.close_snapshot(&run(1, b"end"), now()).unwrap().unwrap();
    assert_eq!(seqs.first, 8);
    assert_eq!(outbox.snapshot().unwrap(), SnapshotState::None);
    assert_eq!(outbox.resync().unwrap(), None);
}

#[test]
fn progress_may_be_made_without_records() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&open(&dir.path().join("state.db"))).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    assert_eq!(outbox.tell(&[], Told::All, now()).unwrap(), None);
    assert_eq!(outbox.snapshot().unwrap(), open_at(Told::All));
}

#[test]
fn the_first_reason_stays_until_a_stream_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let outbox = Outbox::open(&open(&path)).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    outbox
        .want_resync(ResyncReason::Wanted, "the server says so", now())
        .unwrap();
    outbox
        .want_resync(ResyncReason::Asked, "an operator too", now() + TimeDelta::days(1))
        .unwrap();
    let resync = Outbox::open(&open(&path)).unwrap().resync().unwrap().unwrap();
    assert_eq!(
        (resync.reason, resync.detail.as_str(), resync.since),
        (ResyncReason::Wanted, "the server says so", now())
    );
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    assert_eq!(outbox.resync().unwrap(), None);
}

#[test]
fn a_damaged_run_asks_for_a_snapshot_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    outbox.enqueue(&[run(3, b"hit"), run(2, b"hit too")], now()).unwrap();
    let damage = "UPDATE outbox SET body = x'00' WHERE first_seq > 1";
    database.with_writer(|c| c.execute(damage, [])).unwrap();
    for _ in 0..2 {
        outbox.peek(outbox.stream(), 0, 9).unwrap();
    }
    let resync = outbox.resync().unwrap().unwrap();
    assert_eq!(resync.reason, ResyncReason::Damaged);
    assert!(resync.detail.contains("2 to 4"), "{}", resync.detail);
    assert_eq!(outbox.stats().unwrap().damaged, 0, "not before it is gone");
    drop((database, outbox));

    let outbox = Outbox::open(&open(&path)).unwrap();
    outbox.peek(outbox.stream(), 0, 9).unwrap();
    outbox.ack(outbox.stream(), &[1, 2]).unwrap();
    outbox.ack(outbox.stream(), &[2]).unwrap();
    assert_eq!(outbox.stats().unwrap().damaged, 3);
    outbox.open_stream(&run(1, b"begin"), now()).unwrap();
    assert_eq!(
        outbox.stats().unwrap().damaged,
        5,
        "what leaves with its stream counts too"
    );
}

/// Calls this whenever something is logged.
struct OnEvent<F>(F);

impl<F: Fn() + 'static> Subscriber for OnEvent<F> {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0();
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn damage_of_an_earlier_stream_asks_for_nothing_in_the_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir.path().join("state.db"));
    let outbox = Outbox::open(&database).unwrap();
    // Which of both is first where they meet is for the system to say.
    for _ in 0..250 {
        let early = outbox.open_stream(&run(1, b"begin"), now()).unwrap();
        outbox.enqueue(&[run(1, b"to be damaged")], now()).unwrap();
        let damage = "UPDATE outbox SET body = x'00' WHERE first_seq > 1";
        database.with_writer(|c| c.execute_batch(damage)).unwrap();
        // As soon as the damage is found, another stream is to be opened, and comes as far as it can.
        let (found, is_found) = mpsc::channel();
        let opener = outbox.clone();
        let opening = thread::spawn(move || {
            is_found.recv().unwrap();
            opener.open_stream(&run(1, b"begin"), now()).unwrap();
        });
        let on_found = OnEvent(move || {
            found.send(()).ok();
            thread::yield_now();
        });
        tracing::subscriber::with_default(on_found, || outbox.peek(early, 0, 9).unwrap());
        opening.join().unwrap();
        assert_eq!(outbox.resync().unwrap(), None, "everything is told in the later stream");
    }
}

#[test]
fn a_damaged_numbering_is_never_counted_on() {
    for column in [
        "next_seq = next_seq - 1",
        "stream = zeroblob(16)",
        "generation = generation + 1",
        "snapshot = 3",
        "bytes = 1",
        "id = 0",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let database = open(&path);
        let outbox = Outbox::open(&database).unwrap();
        outbox.open_stream(&run(1, b"begin"), now()).unwrap();
        outbox.enqueue(&[run(1, b"one")], now()).unwrap();
        let sql = format!("PRAGMA ignore_check_constraints=ON; UPDATE outbox_meta SET {column}");
        database.with_writer(|c| c.execute_batch(&sql)).unwrap();
        outbox.enqueue(&[run(1, b"two")], now()).unwrap_err();
        // The check would find the last of them by itself.
        let reopened = Database::open(
            &path,
            OpenOptions {
                check: false,
                ..OpenOptions::default()
            },
        )
        .unwrap();
        let reopened = Outbox::open(&reopened);
        if column == "id = 0" {
            assert_ne!(
                reopened.unwrap().stream(),
                outbox.stream(),
                "a numbering that is gone is another"
            );
        } else {
            assert!(reopened.unwrap_err().is_damage(), "{column}");
        }
    }
}
