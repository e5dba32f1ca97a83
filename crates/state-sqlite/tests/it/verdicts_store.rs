//! What damage, bounds, other threads and large directories do to remembered verdicts.
use crate::{
    beside, now, open,
    verdicts::{DIR, basis, file, judged, put, recall, verdicts},
};
use chrono::TimeDelta;
use proptest::{collection::vec, prelude::*};
use state_sqlite::{DirKey, OpenError, Recalled, StateError, VerdictOptions, Verdicts};
use std::{fs, thread};

#[test]
fn a_basis_that_is_distrusted_takes_its_verdicts_along_for_everybody_and_for_good() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("v.db");
    let store = verdicts(&path);
    let trusted = store.use_basis(&basis(1), now()).unwrap();
    put(&store, DIR, &[file(1, 1)]);
    let blind = store.use_basis(&basis(2), now()).unwrap();
    put(&store, DIR, &[file(2, 2)]);
    // Another process goes on by the number that it knows.
    let other = verdicts(&path);
    assert_eq!(other.use_basis(&basis(2), now()).unwrap(), blind);
    assert!(store.distrust(&basis(2)).unwrap());
    assert_eq!(store.basis(), None);
    put(&other, DIR, &[file(3, 3)]);
    // What was found by it is nobody's, and so what is found by that number from now on.
    let known: Vec<_> = store.bases().unwrap().iter().map(|facts| facts.id).collect();
    assert_eq!(known, [trusted]);
    let again = store.use_basis(&basis(2), now()).unwrap();
    assert_ne!(again, blind);
    for inode in [2, 3] {
        let Recalled::Aged(found) = recall(&store, DIR, &file(inode, inode)) else {
            panic!("it holds again");
        };
        assert_eq!(found.basis, blind);
    }
    // Others are not touched, and there is nothing left to distrust twice.
    store.use_basis(&basis(1), now()).unwrap();
    assert!(matches!(recall(&store, DIR, &file(1, 1)), Recalled::Holds(_)));
    assert!(!store.distrust(&basis(9)).unwrap());
}

#[test]
fn a_row_that_is_damaged_or_another_s_is_nothing_and_counted() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    store.use_basis(&basis(1), now()).unwrap();
    let sql = |text: &str| {
        store
            .database()
            .with_writer(|connection| connection.execute_batch(text))
            .unwrap()
    };
    let damages = [
        // A later mtime for the file: the very forgery that damage could make.
        "UPDATE verdict SET entries = CAST(substr(entries, 1, 16) || x'01' || substr(entries, 18) AS BLOB)",
        "UPDATE verdict SET entries = substr(entries, 1, 48)",
        "UPDATE verdict SET entries = substr(entries, 1, 95)",
        "UPDATE verdict SET crc = crc + 1",
        "UPDATE verdict SET volume = 8",
        "UPDATE verdict SET part = 5",
    ];
    for (met, damage) in (1..).zip(damages) {
        put(&store, DIR, &[file(1, 1), file(2, 2)]);
        assert!(
            matches!(recall(&store, DIR, &file(1, 1)), Recalled::Holds(_)),
            "{damage}"
        );
        sql(damage);
        for volume in [7, 8] {
            let dir = DirKey { volume, ..DIR };
            for inode in [1, 2] {
                assert_eq!(recall(&store, dir, &file(inode, inode)), Recalled::Unknown, "{damage}");
            }
        }
        assert_eq!(
            (store.damaged(), store.census().unwrap().damaged),
            (2 * met, 1),
            "{damage}"
        );
        sql("DELETE FROM verdict");
    }
    // What is judged anew takes the place of a damaged row.
    put(&store, DIR, &[file(1, 1), file(2, 2)]);
    sql(damages[0]);
    put(&store, DIR, &[file(2, 2)]);
    assert_eq!(recall(&store, DIR, &file(1, 1)), Recalled::Unknown);
    assert!(matches!(recall(&store, DIR, &file(2, 2)), Recalled::Holds(_)));
    assert_eq!(store.census().unwrap().damaged, 0);
}

#[test]
fn a_basis_that_is_damaged_is_never_taken_for_another() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    let first = store.use_basis(&basis(1), now()).unwrap();
    put(&store, DIR, &[file(1, 1)]);
    for (damage, like) in [
        ("UPDATE verdict_basis SET signatures = '2'", basis(2)),
        ("UPDATE verdict_basis SET id = 9", basis(1)),
        ("UPDATE verdict_basis SET signatures = x'31'", basis(1)),
    ] {
        let saved = "CREATE TEMP TABLE saved AS SELECT * FROM verdict_basis";
        let restore = "DELETE FROM verdict_basis; INSERT INTO verdict_basis SELECT * FROM saved; DROP TABLE saved";
        let sql = |text: &str| {
            store
                .database()
                .with_writer(|connection| connection.execute_batch(text))
        };
        sql(saved).unwrap();
        // A column of a strict table refuses what is not of its type; on disk nothing does.
        if sql(damage).is_ok() {
            let id = store.use_basis(&like, now()).unwrap();
            assert_ne!(id, first, "{damage}");
            assert!(
                !matches!(recall(&store, DIR, &file(1, 1)), Recalled::Holds(_)),
                "{damage}"
            );
        }
        sql(restore).unwrap();
        assert_eq!(store.use_basis(&basis(1), now()).unwrap(), first);
        assert!(matches!(recall(&store, DIR, &file(1, 1)), Recalled::Holds(_)));
    }
}

#[test]
fn a_full_disk_costs_what_waited_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    let basis = store.use_basis(&basis(1), now()).unwrap();
    put(&store, DIR, &[file(1, 1)]);
    let limit = |pages: &str| {
        let pragma = format!("PRAGMA max_page_count={pages}");
        let set = store
            .database()
            .with_writer(|c| c.query_row(&pragma, [], |row| row.get::<_, i64>(0)));
        set.unwrap()
    };
    // As many as there are: the least that SQLite takes.
    limit("1");
    let many: Vec<_> = (0..4000).map(|inode| judged(file(inode, 1), basis)).collect();
    let other = DirKey { inode: 3, ..DIR };
    assert_eq!(store.remember(other, &many, now()).unwrap().taken, 4000);
    let error = store.flush(now()).unwrap_err();
    assert!(matches!(error, StateError::DiskFull { .. }), "{error}");
    assert!(matches!(recall(&store, DIR, &file(1, 1)), Recalled::Holds(_)));
    assert_eq!(recall(&store, other, &file(1, 1)), Recalled::Unknown);
    store.flush(now()).unwrap();
    limit("1000000");
    put(&store, other, &[file(1, 1)]);
    assert!(matches!(recall(&store, other, &file(1, 1)), Recalled::Holds(_)));
    assert_eq!(store.bytes().unwrap(), store.census().unwrap().bytes);
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(f64, u8),
    Fill(f64, usize, u8),
    Cut(f64),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => (0.0..1.0_f64, 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        3 => (0.0..1.0_f64, 1..3000_usize, any::<u8>()).prop_map(|(at, length, with)| Damage::Fill(at, length, with)),
        1 => (0.0..1.0_f64).prop_map(Damage::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn whatever_is_damaged_no_verdict_holds_that_was_not_given(damages in vec(damage(), 1..4), in_log in any::<bool>()) {
        const DIRS: u64 = 40;
        const FILES: u64 = 15;
        let temp = tempfile::tempdir().unwrap();
        let (live, path) = (temp.path().join("live.db"), temp.path().join("v.db"));
        let store = verdicts(&live);
        let dir = |inode| DirKey { inode, ..DIR };
        for round in 0..3 {
            let basis = store.use_basis(&basis(round), now()).unwrap();
            for inode in 0..DIRS {
                let file = |file_inode| judged(file(file_inode, inode + u64::from(round)), basis);
                let files: Vec<_> = (0..FILES).map(file).collect();
                store.remember(dir(inode), &files, now()).unwrap();
            }
            store.flush(now()).unwrap();
            if round == 1 {
                store.database().with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
            }
        }
        for ending in ["", "-wal"] {
            fs::copy(beside(&live, ending), beside(&path, ending)).unwrap();
        }
        let damaged = beside(&path, if in_log { "-wal" } else { "" });
        let mut bytes = fs::read(&damaged).unwrap();
        for damage in damages {
            let at = |share: f64| ((bytes.len() as f64 * share) as usize).min(bytes.len().saturating_sub(1));
            match damage {
                Damage::Flip(share, bit) if !bytes.is_empty() => {
                    let at = at(share);
                    bytes[at] ^= 1 << bit;
                }
                Damage::Fill(share, length, with) => {
                    let at = at(share);
                    let end = bytes.len().min(at + length);
                    bytes[at..end].fill(with);
                }
                Damage::Cut(share) => bytes.truncate(at(share)),
                Damage::Flip(..) => {}
            }
        }
        fs::write(&damaged, bytes).unwrap();
        let store = match Verdicts::open_file(&path, VerdictOptions::default()) {
            Ok(store) => store,
            // A bit of the id of the program: it is another program's file, and nothing is read.
            Err(OpenError::Foreign { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{error}: {error:?}"))),
        };
        for round in 0..4 {
            // What SQLite finds damaged while it reads is an error, and gives no verdict either.
            if store.use_basis(&basis(round), now()).is_err() {
                continue;
            }
            let mut reader = store.reader().unwrap();
            for inode in 0..DIRS {
                let Ok(mut known) = reader.directory(dir(inode)) else { continue };
                for file_inode in 0..FILES {
                    for size in 0..DIRS + 4 {
                        let given = round < 3 && size == inode + u64::from(round);
                        let holds = matches!(known.recall(&file(file_inode, size)), Recalled::Holds(_));
                        prop_assert!(given || !holds, "{inode}/{file_inode} of {size} bytes by {round}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_used_is_made_anew() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("v.db");
    let options = VerdictOptions::default();
    let fill = || {
        let store = Verdicts::open_file(&path, options).unwrap();
        store.use_basis(&basis(1), now()).unwrap();
        let many: Vec<_> = (0..500).map(|inode| file(inode, 1)).collect();
        put(&store, DIR, &many);
        assert_eq!(store.census().unwrap().files, 500);
    };
    fill();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8192..20_000].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let store = Verdicts::open_file(&path, options).unwrap();
    assert_eq!(store.census().unwrap().files, 0);
    drop(store);
    fill();
    let newer = "UPDATE component SET version = 99 WHERE name = 'verdicts'";
    open(&path)
        .with_writer(|connection| connection.execute_batch(newer))
        .unwrap();
    fill();
    fs::write(&path, "something else altogether, of some length").unwrap();
    fill();
}

#[test]
fn directories_not_seen_for_the_longest_make_room() {
    let temp = tempfile::tempdir().unwrap();
    let options = VerdictOptions {
        max_bytes: 100 * (10 * 48 + 64),
        ..VerdictOptions::default()
    };
    let store = Verdicts::open(&open(&temp.path().join("v.db")), options).unwrap();
    let basis = store.use_basis(&basis(1), now()).unwrap();
    let files: Vec<_> = (0..10).map(|inode| file(inode, 1)).collect();
    let judged: Vec<_> = files.iter().map(|file| judged(*file, basis)).collect();
    let dir = |inode| DirKey { inode, ..DIR };
    let day = |number: u64| now() + TimeDelta::days(number as i64);
    for number in 0..300 {
        store.remember(dir(number), &judged, day(number)).unwrap();
        store.flush(day(number)).unwrap();
        // The first is seen again and again, so that it stays.
        let mut reader = store.reader().unwrap();
        let mut known = reader.directory(dir(0)).unwrap();
        files.iter().for_each(|file| known.is_there(file.inode));
        known.seen(day(number)).unwrap();
        assert!(store.bytes().unwrap() <= options.max_bytes);
    }
    let kept: Vec<u64> = (0..300)
        .filter(|number| matches!(recall(&store, dir(*number), &files[3]), Recalled::Holds(_)))
        .collect();
    assert!((85..=100).contains(&kept.len()), "{kept:?}");
    let newest = 300 - (kept.len() as u64 - 1);
    assert_eq!(kept[0], 0);
    assert_eq!(kept[1..], (newest..300).collect::<Vec<_>>());

    // Ninety days later nobody has seen them.
    let gone = store.tidy(day(300 + 45)).unwrap();
    assert!((30..60).contains(&gone), "{gone}");
    assert_eq!(store.bytes().unwrap(), store.census().unwrap().bytes);
    store.tidy(day(300 + 90)).unwrap();
    assert_eq!((store.census().unwrap().files, store.bytes().unwrap()), (0, 0));
}

#[test]
fn readers_and_writers_on_many_threads_agree() {
    const FILES: u64 = 3000;
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    let basis = store.use_basis(&basis(1), now()).unwrap();
    let dir = |inode: u64| DirKey {
        inode: inode % 10,
        ..DIR
    };
    thread::scope(|scope| {
        for writer in 0..3 {
            let store = &store;
            scope.spawn(move || {
                for inode in (0..FILES).filter(|inode| inode % 3 == writer) {
                    store
                        .remember(dir(inode), &[judged(file(inode, inode), basis)], now())
                        .unwrap();
                    if inode % 200 == writer {
                        store.flush(now()).unwrap();
                    }
                }
                store.flush(now()).unwrap();
            });
        }
        let mut reader = store.reader().unwrap();
        scope.spawn(move || {
            for _ in 0..20 {
                for inode in 0..FILES {
                    let mut known = reader.directory(dir(inode)).unwrap();
                    assert_eq!(known.recall(&file(inode + FILES, 0)), Recalled::Unknown);
                    assert!(!matches!(known.recall(&file(inode, inode + 1)), Recalled::Holds(_)));
                }
            }
        });
    });
    for inode in 0..FILES {
        assert!(
            matches!(recall_all(&store, dir(inode), inode), Recalled::Holds(_)),
            "{inode}"
        );
    }
    assert_eq!(store.census().unwrap().files, FILES);
}

fn recall_all(store: &Verdicts, dir: DirKey, inode: u64) -> Recalled {
    recall(store, dir, &file(inode, inode))
}

#[test]
fn a_directory_of_many_files_is_written_in_parts() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    let basis = store.use_basis(&basis(1), now()).unwrap();
    // Stored whenever much waits, though nobody asks for it.
    for chunk in (0..31_000_u64).collect::<Vec<_>>().chunks(1000) {
        let judged: Vec<_> = chunk
            .iter()
            .map(|inode| judged(file(inode * 3, *inode), basis))
            .collect();
        store.remember(DIR, &judged, now()).unwrap();
    }
    let stored = store.census().unwrap();
    assert!((26_000..31_000).contains(&stored.files), "{stored:?}");
    store.flush(now()).unwrap();
    let stored = store.census().unwrap();
    assert_eq!((stored.files, stored.rows), (31_000, 93_000_u64.div_ceil(8192)));
    let mut reader = store.reader().unwrap();
    let mut known = reader.directory(DIR).unwrap();
    for inode in 0..31_000 {
        assert!(matches!(known.recall(&file(inode * 3, inode)), Recalled::Holds(_)));
        assert_eq!(known.recall(&file(inode * 3 + 1, inode)), Recalled::Unknown);
    }
}
