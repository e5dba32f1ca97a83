//! Real files that change behind a remembered verdict's back, in every way that hides it from their sizes and mtimes.
use crate::{
    now, open,
    verdicts::{DIR, basis, recall, verdicts},
    wait_until,
};
use chrono::Utc;
use proptest::{collection, prelude::*};
use rustix::fs::{CWD, FallocateFlags, fallocate, statfs};
use state_sqlite::{
    Database, DirKey, FileFacts, Judged, Judgement, OpenOptions, Recalled, Verdicts, rusqlite::Connection,
};
use std::{
    fs::{self, File, FileTimes, Metadata},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

fn facts(found: &Metadata) -> FileFacts {
    let nanos = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
    let born = found
        .created()
        .ok()
        .and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    FileFacts {
        inode: found.ino(),
        size: found.size(),
        mtime_ns: nanos(found.mtime(), found.mtime_nsec()),
        ctime_ns: nanos(found.ctime(), found.ctime_nsec()),
        btime_ns: born.map_or(0, |born| i64::try_from(born.as_nanos()).unwrap()),
    }
}

fn look(path: &Path) -> FileFacts {
    facts(&fs::symlink_metadata(path).unwrap())
}

/// As if it were judged an hour from now: what is tested is not whether it rests.
fn judged_later(facts: FileFacts, verdicts: &Verdicts) -> Judged {
    Judged {
        before: facts,
        after: facts,
        began_ns: facts.ctime_ns.max(facts.mtime_ns) + 3_600_000_000_000,
        synced: false,
        judgement: Judgement::Clean,
        basis: verdicts.basis().unwrap(),
    }
}

/// Waits until the clock that stamps files has moved on.
fn wait_for_another_stamp(dir: &Path) {
    let probe = dir.join("probe");
    let stamp = || {
        fs::write(&probe, "x").unwrap();
        look(&probe).ctime_ns
    };
    let first = stamp();
    wait_until(|| stamp() > first);
    fs::remove_file(&probe).unwrap();
}

const KINDS: u8 = 10;

/// Changes a file's content so that its name, size and mtime are as before.
fn forge(path: &Path, kind: u8) {
    let before = fs::metadata(path).unwrap();
    let content = fs::read(path).unwrap();
    let evil: Vec<u8> = content.iter().map(|byte| byte ^ 0x55).collect();
    let aside = path.with_extension("aside");
    let writable = || File::options().write(true).open(path).unwrap();
    match kind {
        0 => writable().write_all_at(&evil, 0).unwrap(),
        1 => {
            fs::write(&aside, &evil).unwrap();
            fs::rename(&aside, path).unwrap();
        }
        2 => {
            writable().set_len(0).unwrap();
            writable().write_all_at(&evil, 0).unwrap();
        }
        3 => {
            fs::hard_link(path, &aside).unwrap();
            fs::write(&aside, &evil).unwrap();
            fs::remove_file(&aside).unwrap();
        }
        4 => {
            let file = File::options().append(true).open(path).unwrap();
            file.write_all_at(b"more", 0).unwrap();
            file.set_len(before.len()).unwrap();
            file.write_all_at(&evil, 0).unwrap();
            file.set_len(before.len()).unwrap();
        }
        // The inode may well be the same again.
        5 => {
            fs::remove_file(path).unwrap();
            fs::write(path, &evil).unwrap();
        }
        6 => {
            fs::write(&aside, &evil).unwrap();
            fs::copy(&aside, path).unwrap();
            fs::remove_file(&aside).unwrap();
        }
        // One byte only.
        7 => writable().write_all_at(&evil[..1], 0).unwrap(),
        8 => {
            let file = writable();
            if fallocate(
                &file,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                0,
                before.len(),
            )
            .is_err()
            {
                file.write_all_at(&evil, 0).unwrap();
            }
        }
        // Away and back, with another in its place meanwhile.
        _ => {
            fs::rename(path, &aside).unwrap();
            fs::write(path, &evil).unwrap();
            fs::rename(&aside, path).unwrap();
        }
    }
    let times = FileTimes::new()
        .set_modified(before.modified().unwrap())
        .set_accessed(before.accessed().unwrap());
    // By the descriptor of a reader, which the owner may.
    File::open(path).unwrap().set_times(times).unwrap();
    let after = fs::metadata(path).unwrap();
    assert_eq!(
        (after.len(), after.modified().unwrap()),
        (before.len(), before.modified().unwrap())
    );
}

#[test]
fn not_one_of_ten_thousand_forged_changes_is_missed() {
    const ROUNDS: usize = 50;
    const FILES: usize = 250;
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    store.use_basis(&basis(1), now()).unwrap();
    let dir = temp.path().join("files");
    fs::create_dir(&dir).unwrap();
    let path = |number: usize| dir.join(format!("{number}"));
    for number in 0..FILES {
        fs::write(path(number), format!("content of {number}")).unwrap();
    }
    let mut forged = 0;
    for round in 0..ROUNDS {
        let judged: Vec<_> = (0..FILES)
            .map(|number| judged_later(look(&path(number)), &store))
            .collect();
        assert_eq!(store.remember(DIR, &judged, now()).unwrap().taken, FILES as u64);
        store.flush(now()).unwrap();
        wait_for_another_stamp(&dir);
        // Each fifth is left alone.
        let is_forged = |number: usize| !(number + round).is_multiple_of(5);
        for number in (0..FILES).filter(|number| is_forged(*number)) {
            forge(&path(number), (number / 5 + round) as u8 % KINDS);
            forged += 1;
        }
        let mut reader = store.reader().unwrap();
        let mut known = reader.directory(DIR).unwrap();
        for number in 0..FILES {
            let recalled = known.recall(&look(&path(number)));
            let holds = matches!(recalled, Recalled::Holds(_));
            assert_eq!(holds, !is_forged(number), "round {round}, file {number}: {recalled:?}");
            assert!(holds || matches!(recalled, Recalled::Changed | Recalled::Unknown));
        }
    }
    assert_eq!(forged, 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_chain_of_forged_changes_leads_back(kinds in collection::vec(0..KINDS, 1..12)) {
        let temp = tempfile::tempdir().unwrap();
        let store = verdicts(&temp.path().join("v.db"));
        store.use_basis(&basis(1), now()).unwrap();
        let path = temp.path().join("file");
        fs::write(&path, "some content").unwrap();
        store.remember(DIR, &[judged_later(look(&path), &store)], now()).unwrap();
        store.flush(now()).unwrap();
        wait_for_another_stamp(temp.path());
        for kind in kinds {
            forge(&path, kind);
            prop_assert!(!matches!(recall(&store, DIR, &look(&path)), Recalled::Holds(_)));
        }
    }
}

#[test]
fn a_renamed_directory_keeps_its_verdicts_and_a_new_one_of_its_name_has_none() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    store.use_basis(&basis(1), now()).unwrap();
    let at = |name: &str| temp.path().join(name);
    let key = |path: PathBuf| DirKey {
        volume: 1,
        inode: fs::metadata(path).unwrap().ino(),
    };
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("dir/file"), "x").unwrap();
    store
        .remember(key(at("dir")), &[judged_later(look(&at("dir/file")), &store)], now())
        .unwrap();
    store.flush(now()).unwrap();
    fs::rename(at("dir"), at("moved")).unwrap();
    let recalled = recall(&store, key(at("moved")), &look(&at("moved/file")));
    assert!(matches!(recalled, Recalled::Holds(_)));
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("dir/file"), "x").unwrap();
    assert_eq!(
        recall(&store, key(at("dir")), &look(&at("dir/file"))),
        Recalled::Unknown
    );
}

#[test]
fn a_file_that_was_just_written_is_judged_again() {
    let temp = tempfile::tempdir().unwrap();
    let store = verdicts(&temp.path().join("v.db"));
    let path = temp.path().join("file");
    let basis = store.use_basis(&basis(1), now()).unwrap();
    fs::write(&path, "x").unwrap();
    let began_ns = Utc::now().timestamp_nanos_opt().unwrap();
    let file = File::open(&path).unwrap();
    file.sync_data().unwrap();
    let before = facts(&file.metadata().unwrap());
    let judged = Judged {
        before,
        after: before,
        began_ns,
        synced: true,
        judgement: Judgement::Clean,
        basis,
    };
    assert_eq!(store.remember(DIR, &[judged], now()).unwrap().unsettled, 1);
    store.flush(now()).unwrap();
    assert_eq!(recall(&store, DIR, &before), Recalled::Unknown);
}

/// A file that another program stores into through a shared mapping: SQLite's own index of a write-ahead log.
struct Mapped {
    path: PathBuf,
    writer: Database,
    _reader: Connection,
}

impl Mapped {
    fn new(dir: &Path) -> Self {
        let path = dir.join("mapped.db");
        let writer = Database::open(&path, OpenOptions::default()).unwrap();
        let create = "CREATE TABLE t (a INTEGER); PRAGMA wal_autocheckpoint=0";
        writer
            .with_writer(|connection| connection.execute_batch(create))
            .unwrap();
        let reader = writer.read_connection().unwrap();
        Self {
            path: dir.join("mapped.db-shm"),
            writer,
            _reader: reader,
        }
    }

    fn store(&self) {
        let insert = "INSERT INTO t VALUES (1)";
        self.writer
            .with_writer(|connection| connection.execute_batch(insert))
            .unwrap();
    }
}

/// ext2 to ext4, XFS, Btrfs.
fn stamps_stores(dir: &Path) -> bool {
    [0xef53, 0x5846_5342, 0x9123_683e].contains(&(statfs(dir).unwrap().f_type as u64 & 0xffff_ffff))
}

#[test]
fn stores_through_a_mapping_are_never_missed() {
    let temp = tempfile::tempdir().unwrap();
    if !stamps_stores(temp.path()) {
        eprintln!("skipped: the times of this file system do not show stores through mappings");
        return;
    }
    let store = verdicts(&temp.path().join("v.db"));
    let basis = store.use_basis(&basis(1), now()).unwrap();
    let mapped = Mapped::new(temp.path());
    let mut unseen = 0;
    for _ in 0..20 {
        mapped.store();
        // Without a sync: it is refused, and rightly, for the next store may not show.
        let began_ns = Utc::now().timestamp_nanos_opt().unwrap();
        let before = look(&mapped.path);
        let content = fs::read(&mapped.path).unwrap();
        let three_seconds_later = began_ns + 3_000_000_000;
        let judged = |before, synced| Judged {
            before,
            after: before,
            began_ns: three_seconds_later,
            synced,
            judgement: Judgement::Clean,
            basis,
        };
        let told = store.remember(DIR, &[judged(before, false)], now()).unwrap();
        assert_eq!((told.taken, told.unsettled), (0, 1));
        mapped.store();
        assert_ne!(fs::read(&mapped.path).unwrap(), content);
        unseen += u32::from(look(&mapped.path) == before);

        // With one, the next store shows.
        let file = File::open(&mapped.path).unwrap();
        file.sync_data().unwrap();
        let before = facts(&file.metadata().unwrap());
        assert_eq!(store.remember(DIR, &[judged(before, true)], now()).unwrap().taken, 1);
        store.flush(now()).unwrap();
        assert!(matches!(recall(&store, DIR, &before), Recalled::Holds(_)));
        wait_for_another_stamp(temp.path());
        mapped.store();
        assert_eq!(recall(&store, DIR, &look(&mapped.path)), Recalled::Changed);
    }
    assert!(
        unseen > 0,
        "were every store shown by the times, nothing would need a sync"
    );
}

#[test]
fn a_verdict_is_not_shared_by_files_of_one_inode_on_two_volumes() {
    let temp = tempfile::tempdir().unwrap();
    let store = Verdicts::open(&open(&temp.path().join("v.db")), Default::default()).unwrap();
    store.use_basis(&basis(1), now()).unwrap();
    let path = temp.path().join("file");
    rustix::fs::mknodat(
        CWD,
        &path,
        rustix::fs::FileType::RegularFile,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .unwrap();
    store
        .remember(DIR, &[judged_later(look(&path), &store)], now())
        .unwrap();
    store.flush(now()).unwrap();
    let other = DirKey { volume: 8, ..DIR };
    assert_eq!(recall(&store, other, &look(&path)), Recalled::Unknown);
    assert!(matches!(recall(&store, DIR, &look(&path)), Recalled::Holds(_)));
}
