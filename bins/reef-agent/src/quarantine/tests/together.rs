//! Several scans that take files away at the same time.
use super::*;
use crate::quarantine::{ItemId, error::Change, recent::Recent, store::Part};
use std::{
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

#[test]
fn a_file_that_two_scans_meet_is_taken_once_and_both_know_the_item() {
    let site = site();
    let path = site.write("file", b"bad");
    let (one, other) = (scan(&path), scan(&path));
    let quarantine = site.open();
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| one.take(&quarantine).unwrap());
        let second = scope.spawn(|| other.take(&quarantine).unwrap());
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!(first, second);
    assert_eq!(quarantine.ids().unwrap().len(), 1);
    // Another file of that name is another matter.
    site.write("file", b"worse");
    assert_ne!(scan(&path).take(&quarantine).unwrap(), first);
    assert_eq!(quarantine.ids().unwrap().len(), 2);
}

#[test]
fn whoever_takes_a_file_waits_for_no_other_file() {
    let site = site();
    let quarantine = site.open();
    let [one, other] = ["one", "other"].map(|name| scan(&site.write(name, name.as_bytes())));
    let (begun, has_begun) = mpsc::channel();
    let (let_go, may_go) = mpsc::channel::<()>();
    let recent = Recent::default();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            let (taken, begun, may_go) = (one.taken(), begun, may_go);
            recent.once(&taken, || {
                begun.send(()).unwrap();
                may_go
                    .recv_timeout(testkit::GUARD)
                    .expect("the other file was taken meanwhile");
                one.take(&quarantine)
            })
        });
        has_begun.recv().unwrap();
        recent.once(&other.taken(), || other.take(&quarantine)).unwrap();
        let_go.send(()).unwrap();
        first.join().unwrap().unwrap();
    });
    assert_eq!(quarantine.ids().unwrap().len(), 2);
}

#[test]
fn whoever_comes_second_to_a_file_that_was_not_taken_tries_itself() {
    let site = site();
    let quarantine = site.open();
    let path = site.write("file", b"bad");
    let (one, other) = (scan(&path), scan(&path));
    let recent = Recent::default();
    let refused = recent.once(&one.taken(), || Err::<Item, _>("no room"));
    assert_eq!(refused, Err("no room"));
    recent.once(&other.taken(), || other.take(&quarantine)).unwrap();
    // One that panics keeps nobody waiting.
    let next = scan(&site.write("next", b"bad"));
    let panicked = thread::scope(|scope| {
        let taking =
            scope.spawn(|| recent.once(&next.taken(), || -> Result<Item, TakeError> { panic!("for the test") }));
        taking.join()
    });
    assert!(panicked.is_err());
    recent.once(&next.taken(), || next.take(&quarantine)).unwrap();
}

#[test]
fn a_file_that_another_process_has_just_taken_is_that_item() {
    let site = site();
    let path = site.write("file", b"bad");
    let (one, other) = (scan(&path), scan(&path));
    let hash = sha256(b"bad");
    // Each with what it knows of its own, as two processes have it.
    let (here, there) = (site.open(), site.open());
    let of = |scanned: &Scanned, quarantine: &Quarantine, secs| {
        let taken = Taken {
            sha256: Some(&hash),
            ..scanned.taken()
        };
        quarantine.take(&taken, at(secs))
    };
    let item = of(&one, &here, 1_700_000_001).unwrap();
    assert_eq!(of(&other, &there, 1_700_000_050).unwrap(), item);
    // Long after, or by another name, it is gone.
    let late = of(&scan_gone(&other), &site.open(), 1_700_000_062);
    assert!(
        matches!(late, Err(TakeError::Changed { what: Change::Gone, .. })),
        "{late:?}"
    );
    let second = scan(&site.write("second", b"bad"));
    fs::remove_file(&second.path).unwrap();
    let gone = of(&second, &site.open(), 1_700_000_002);
    assert!(
        matches!(gone, Err(TakeError::Changed { what: Change::Gone, .. })),
        "{gone:?}"
    );
    assert_eq!(there.ids().unwrap().len(), 1);
}

#[test]
fn no_item_is_missed_while_the_name_of_its_manifest_changes() {
    let site = site();
    let quarantine = site.open();
    let scanned: Vec<_> = (0..40).map(|n| scan(&site.write(&format!("f{n}"), b"bad"))).collect();
    let ids: Vec<_> = scanned
        .iter()
        .map(|scanned| scanned.take(&quarantine).unwrap().manifest.id)
        .collect();
    let rename = |id: &ItemId, from: Part, to: Part| {
        let dir = &quarantine.store.dir;
        rustix::fs::renameat(dir, from.name(id), dir, to.name(id)).unwrap();
    };
    for _ in 0..100 {
        ids.iter().for_each(|id| rename(id, Part::Manifest, Part::Removing));
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                ids.iter().for_each(|id| rename(id, Part::Removing, Part::Manifest));
                is_over.store(true, Relaxed);
            });
            while !is_over.load(Relaxed) {
                assert_eq!(quarantine.ids().unwrap().len(), ids.len());
            }
        });
    }
}

/// The same file as another scan has it.
fn scan_gone(scanned: &Scanned) -> Scanned {
    Scanned {
        path: scanned.path.clone(),
        file: scanned.file.try_clone().unwrap(),
        stamp: scanned.stamp,
        signatures: scanned.signatures.clone(),
    }
}
