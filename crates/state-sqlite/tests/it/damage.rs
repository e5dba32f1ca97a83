//! Damage anywhere: no number is given twice, and no body is wrong.
use crate::{
    beside, now, open, run,
    tree::{dir, root},
};
use core_model::{Batch, KnownTree, Queue, StreamId};
use proptest::prelude::*;
use state_sqlite::{Backups, OpenError, Outbox, SqliteTree, open_or_recover};
use std::{collections::BTreeMap, fs, path::Path};

/// Every number that was ever given, with the body it was given for.
type Given = BTreeMap<(StreamId, u64), Vec<u8>>;

/// A life: files and log as a crash leaves them beside a backup from the middle of it.
fn life(dir: &Path, checkpoint: bool) -> Given {
    let path = dir.join("live.db");
    let database = open(&path);
    let outbox = Outbox::open(&database).unwrap();
    let mut tree = SqliteTree::open(&database).unwrap();
    let mut given = Given::new();
    let backups = Backups::new(dir.join("backups"), 3);
    for n in 1..=12_u64 {
        if n % 5 == 1 {
            let stream = outbox.open_stream(&run(1, b"begin"), now()).unwrap();
            given.insert((stream, 1), b"begin".to_vec());
        }
        let body = format!("record {n}").repeat(200).into_bytes();
        let before = outbox.stats().unwrap().last_seq;
        let batch = Batch {
            roots: vec![root()],
            dirs: vec![dir_of(n)],
            ..Batch::default()
        };
        tree.commit(batch, vec![run(1, &body)], now()).unwrap();
        given.insert((outbox.stream(), before + 1), body);
        if n % 4 == 0 {
            outbox.ack(outbox.stream(), &[before]).unwrap();
        }
        if n == 6 {
            backups.take(&database, now()).unwrap();
        }
        if n == 9 && checkpoint {
            database
                .with_writer(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
                .unwrap();
        }
    }
    for ending in ["", "-wal", ".mark"] {
        fs::copy(beside(&path, ending), beside(&dir.join("state.db"), ending)).unwrap();
    }
    given
}

fn dir_of(n: u64) -> core_model::DirUpdate {
    dir(n, (n > 1).then_some(1), format!("d{n}").as_bytes(), &[7; 700])
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(f64, u8),
    Fill(f64, usize, u8),
    Cut(f64),
    Garbage(Vec<u8>),
    Remove,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        6 => (0.0..1.0f64, 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        3 => (0.0..1.0f64, 1..9000usize, any::<u8>()).prop_map(|(at, length, with)| Damage::Fill(at, length, with)),
        2 => (0.0..1.0f64).prop_map(Damage::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..5000).prop_map(Damage::Garbage),
        1 => Just(Damage::Remove),
    ]
}

fn apply(damage: &Damage, path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = |share: f64| ((bytes.len() as f64 * share) as usize).min(bytes.len().saturating_sub(1));
    match damage {
        Damage::Flip(share, bit) => {
            let at = at(*share);
            bytes[at] ^= 1 << bit;
        }
        Damage::Fill(share, length, with) => {
            let at = at(*share);
            let end = bytes.len().min(at + length);
            bytes[at..end].fill(*with);
        }
        Damage::Cut(share) => {
            let at = at(*share);
            bytes.truncate(at);
        }
        Damage::Garbage(garbage) => bytes.extend(garbage),
        Damage::Remove => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn no_number_is_given_twice_and_no_body_is_wrong(damage in damage(), log in any::<bool>(), checkpoint in any::<bool>()) {
        let temp = tempfile::tempdir().unwrap();
        let given = life(temp.path(), checkpoint);
        let path = temp.path().join("state.db");
        apply(&damage, &beside(&path, if log { "-wal" } else { "" }));
        let backups = Backups::new(temp.path().join("backups"), 3);
        let (database, story) = match open_or_recover(&path, &backups, &[], now()) {
            Ok(opened) => opened,
            // A bit of the id of the program, or of a version: that is no damage to whoever reads it, and nothing is given.
            Err(OpenError::Foreign { .. } | OpenError::TooNew { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{error}: {error:?}"))),
        };
        let outbox = Outbox::open(&database).unwrap();
        let stream = outbox.stream();
        for waiting in outbox.peek(stream, 0, 100).unwrap() {
            if let Ok(body) = waiting.body {
                prop_assert_eq!(Some(&body), given.get(&(stream, waiting.seqs.first)), "{}: a wrong body", story);
            } else {
                prop_assert!(outbox.resync().unwrap().is_some(), "{}: damage without a resync", story);
            }
        }
        for _ in 0..3 {
            let seqs = outbox.enqueue(&[run(1, b"new")], now()).unwrap().unwrap();
            prop_assert!(!given.contains_key(&(stream, seqs.first)), "{}: {} of {} was given before", story, seqs.first, stream);
        }
        let stream = outbox.open_stream(&run(1, b"begin"), now()).unwrap();
        prop_assert!(!given.keys().any(|(known, _)| *known == stream));
        // Whatever is known of directories is what was written, or is handed out as damaged.
        let mut wrong = Vec::new();
        if let Ok(tree) = SqliteTree::open(&database) {
            tree.for_each_directory(&mut |known, stored| {
                let wanted = dir_of(known.id.0);
                let is_damaged = stored.entries == [0xff];
                let is_mended = stored.entries.is_empty() && known.digest.0 == [0; 16];
                if !is_damaged && !is_mended && (stored != wanted.stored || known.name != wanted.name) {
                    wrong.push(known.id);
                }
                Ok::<_, state_sqlite::StateError>(())
            }).unwrap();
        }
        prop_assert!(wrong.is_empty(), "{}: {:?}", story, wrong);
    }
}
