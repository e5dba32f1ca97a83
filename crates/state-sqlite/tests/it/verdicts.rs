//! Remembered verdicts against a map, and what damage, bounds and other threads do to them.
use crate::{now, open};
use chrono::TimeDelta;
use proptest::{collection, prelude::*};
use state_sqlite::{
    Basis, BasisId, DirKey, FileFacts, Found, Judged, Judgement, Recalled, Remembered, VerdictOptions, Verdicts,
};
use std::{collections::BTreeMap, path::Path, time::Duration};

pub(crate) const DIR: DirKey = DirKey { volume: 7, inode: 2 };

pub(crate) fn verdicts(path: &Path) -> Verdicts {
    Verdicts::open(&open(path), VerdictOptions::default()).unwrap()
}

pub(crate) fn basis(number: u8) -> Basis {
    Basis {
        engine: "ClamAV 1.4.6".to_owned(),
        signatures: format!("{number}"),
        limits: "25M".to_owned(),
    }
}

/// A file that has rested for years, but for its size the same for each inode.
pub(crate) fn file(inode: u64, size: u64) -> FileFacts {
    FileFacts {
        inode,
        size,
        mtime_ns: -5,
        ctime_ns: 1_000_000_000_000_000_000,
        btime_ns: 3,
    }
}

pub(crate) fn judged(file: FileFacts, basis: BasisId) -> Judged {
    Judged {
        before: file,
        after: file,
        began_ns: now().timestamp_nanos_opt().unwrap(),
        synced: false,
        judgement: Judgement::Clean,
        basis,
    }
}

pub(crate) fn recall(verdicts: &Verdicts, dir: DirKey, file: &FileFacts) -> Recalled {
    verdicts.reader().unwrap().directory(dir).unwrap().recall(file)
}

pub(crate) fn put(verdicts: &Verdicts, dir: DirKey, files: &[FileFacts]) {
    let basis = verdicts.basis().unwrap();
    let files: Vec<_> = files.iter().map(|file| judged(*file, basis)).collect();
    verdicts.remember(dir, &files, now()).unwrap();
    verdicts.flush(now()).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Judge {
        dir: u64,
        inode: u64,
        size: u64,
        over: bool,
        settled: bool,
    },
    Forget {
        dir: u64,
        inode: u64,
    },
    UseBasis(u8),
    Reopen,
    /// The directory is listed, these of its files among it.
    See {
        dir: u64,
        inodes: Vec<u64>,
    },
}

/// Inodes that lie in three rows of their directory.
fn inode() -> impl Strategy<Value = u64> {
    prop_oneof![0..6_u64, 8190..8194_u64, Just(u64::MAX)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2_u64, inode(), 0..2_u64, any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(dir, inode, size, over, settled)| Step::Judge { dir, inode, size, over, settled }),
        2 => (0..2_u64, inode()).prop_map(|(dir, inode)| Step::Forget { dir, inode }),
        1 => (0..3_u8).prop_map(Step::UseBasis),
        1 => Just(Step::Reopen),
        2 => (0..2_u64, collection::vec(inode(), 0..8)).prop_map(|(dir, inodes)| Step::See { dir, inodes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_recalled_is_what_a_map_says(steps in collection::vec(step(), 1..40)) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("v.db");
        let mut store = verdicts(&path);
        let mut current = store.use_basis(&basis(0), now()).unwrap();
        let mut bases = BTreeMap::from([(0, current)]);
        let mut model: BTreeMap<(u64, u64), (FileFacts, Judgement, BasisId)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Judge { dir, inode, size, over, settled } => {
                    let mut judged = judged(file(inode, size), current);
                    judged.judgement = if over { Judgement::OverLimit } else { Judgement::Clean };
                    if !settled {
                        judged.began_ns = judged.before.ctime_ns + 1;
                    }
                    let key = DirKey { inode: dir, ..DIR };
                    let told = store.remember(key, &[judged], now()).unwrap();
                    prop_assert_eq!((told.taken, told.unsettled), (u64::from(settled), u64::from(!settled)));
                    if settled {
                        model.insert((dir, inode), (judged.before, judged.judgement, current));
                    }
                }
                Step::Forget { dir, inode } => {
                    store.forget(DirKey { inode: dir, ..DIR }, inode, now()).unwrap();
                    model.remove(&(dir, inode));
                }
                Step::UseBasis(number) => {
                    current = store.use_basis(&basis(number), now()).unwrap();
                    let before = bases.insert(number, current);
                    prop_assert!(before.is_none_or(|before| before == current));
                }
                Step::Reopen => {
                    store.flush(now()).unwrap();
                    drop(store);
                    store = verdicts(&path);
                    prop_assert_eq!(store.basis(), None);
                    let number = bases.iter().find(|(_, id)| **id == current).map(|(number, _)| *number);
                    prop_assert_eq!(store.use_basis(&basis(number.unwrap()), now()).unwrap(), current);
                }
                Step::See { dir, inodes } => {
                    store.flush(now()).unwrap();
                    let mut reader = store.reader().unwrap();
                    let mut known = reader.directory(DirKey { inode: dir, ..DIR }).unwrap();
                    let of_dir: Vec<_> = model.keys().filter(|key| key.0 == dir).copied().collect();
                    prop_assert_eq!(known.len(), of_dir.len());
                    for (nth, inode) in inodes.iter().enumerate() {
                        if nth % 2 == 0 { known.is_there(*inode) } else { known.recall(&file(*inode, 9)); }
                    }
                    known.seen(now()).unwrap();
                    let gone: Vec<_> = of_dir.iter().filter(|key| !inodes.contains(&key.1)).collect();
                    if gone.len() * 4 > of_dir.len() {
                        gone.iter().for_each(|key| { model.remove(key); });
                    }
                }
            }
        }
        store.flush(now()).unwrap();
        let mut reader = store.reader().unwrap();
        for dir in 0..2 {
            let mut known = reader.directory(DirKey { inode: dir, ..DIR }).unwrap();
            for inode in (0..6).chain(8190..8194).chain([u64::MAX]) {
                for size in 0..2 {
                    let wanted = match model.get(&(dir, inode)) {
                        None => Recalled::Unknown,
                        Some((facts, ..)) if *facts != file(inode, size) => Recalled::Changed,
                        Some((_, judgement, basis)) => {
                            let found = Found { judgement: *judgement, basis: *basis, checked_at: now() };
                            if *basis == current { Recalled::Holds(found) } else { Recalled::Aged(found) }
                        }
                    };
                    prop_assert_eq!(known.recall(&file(inode, size)), wanted);
                }
            }
        }
        let census = store.census().unwrap();
        prop_assert_eq!((census.files, census.damaged), (model.len() as u64, 0));
        prop_assert_eq!(census.bytes, store.bytes().unwrap());
    }
}

#[test]
fn a_new_basis_ages_all_and_the_old_one_makes_them_hold_again() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    let first = store.use_basis(&basis(1), now()).unwrap();
    put(&store, DIR, &[file(1, 1), file(2, 2)]);
    let found = Found {
        judgement: Judgement::Clean,
        basis: first,
        checked_at: now(),
    };
    assert_eq!(recall(&store, DIR, &file(1, 1)), Recalled::Holds(found));
    let later = now() + TimeDelta::days(1);
    let second = store.use_basis(&basis(2), later).unwrap();
    for inode in [1, 2] {
        assert_eq!(recall(&store, DIR, &file(inode, inode)), Recalled::Aged(found));
    }
    put(&store, DIR, &[file(2, 2)]);
    let census = store.census().unwrap();
    assert_eq!(census.by_basis.keys().copied().collect::<Vec<_>>(), [first, second]);
    assert_eq!(census.by_basis[&first].oldest, now());
    store.use_basis(&basis(1), later).unwrap();
    assert_eq!(recall(&store, DIR, &file(1, 1)), Recalled::Holds(found));
    let bases = store.bases().unwrap();
    let facts: Vec<_> = bases
        .iter()
        .map(|facts| (facts.id, &facts.basis, facts.first_used, facts.last_used))
        .collect();
    assert_eq!(
        facts,
        [(first, &basis(1), now(), later), (second, &basis(2), later, later)]
    );
}

#[test]
fn nothing_is_written_for_a_directory_that_is_as_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    store.use_basis(&basis(1), now()).unwrap();
    put(&store, DIR, &[file(1, 1)]);
    let changes = || {
        store
            .database()
            .with_writer(|c| Ok::<_, std::fmt::Error>(c.total_changes()))
            .unwrap()
    };
    let before = changes();
    let see = |days| {
        let mut reader = store.reader().unwrap();
        let mut known = reader.directory(DIR).unwrap();
        known.recall(&file(1, 1));
        known.seen(now() + TimeDelta::days(days)).unwrap();
        store.flush(now() + TimeDelta::days(days)).unwrap();
    };
    (0..10).for_each(see);
    assert_eq!(changes(), before);
    see(12);
    assert!(changes() > before, "after a while it is noted that it was seen");
}

#[test]
fn what_changed_while_it_was_read_or_just_before_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    let basis = store.use_basis(&basis(1), now()).unwrap();
    let sound = judged(file(1, 1), basis);
    let mut moved = judged(file(2, 1), basis);
    moved.after.size = 2;
    let mut fresh = judged(file(3, 1), basis);
    fresh.began_ns = fresh.before.ctime_ns + 1_999_999_999;
    fresh.synced = true;
    let mut synced = judged(file(4, 1), basis);
    synced.began_ns = synced.before.ctime_ns + 2_000_000_000;
    synced.synced = true;
    let unsynced = Judged {
        before: file(5, 1),
        after: file(5, 1),
        synced: false,
        ..synced
    };
    let told = store
        .remember(DIR, &[sound, moved, fresh, synced, unsynced], now())
        .unwrap();
    let wanted = Remembered {
        taken: 2,
        unsettled: 2,
        moved: 1,
    };
    assert_eq!(told, wanted);
    store.flush(now()).unwrap();
    let holds = (1..6).filter(|inode| matches!(recall(&store, DIR, &file(*inode, 1)), Recalled::Holds(_)));
    assert_eq!(holds.collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn a_kernel_that_writes_nothing_back_by_itself_needs_a_sync() {
    let temp = tempfile::tempdir().unwrap();
    let options = VerdictOptions {
        settle: Duration::MAX,
        ..VerdictOptions::default()
    };
    let store = Verdicts::open(&open(&temp.path().join("v.db")), options).unwrap();
    let basis = store.use_basis(&basis(1), now()).unwrap();
    let old = judged(file(1, 1), basis);
    let synced = Judged { synced: true, ..old };
    assert_eq!(store.remember(DIR, &[old, synced], now()).unwrap().taken, 1);
}
