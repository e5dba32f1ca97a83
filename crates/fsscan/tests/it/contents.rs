//! Changes of content that metadata do not show, and what contents look like.
use crate::lab::{Lab, Told};
use fsscan::{Algorithm, Changed, Mode, testing::Event};
use std::{
    fs::{self, File, FileTimes},
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

const HASH: Mode = Mode::Hash {
    algorithm: Algorithm::Blake3,
};

const fn hybrid(share: f64, rotation: u64) -> Mode {
    Mode::Hybrid {
        algorithm: Algorithm::Sha256,
        share,
        rotation,
    }
}

fn set_mtime(lab: &Lab, name: &str, time: SystemTime) {
    let file = File::options().append(true).open(lab.at(name)).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn long_ago() -> SystemTime {
    SystemTime::now() - Duration::from_secs(3600)
}

fn updated(told: &Told, path: &[u8]) -> Option<Changed> {
    told.events.iter().find_map(|event| match event {
        Event::Updated(other, changed) if other == path => Some(*changed),
        _ => None,
    })
}

#[test]
fn a_scan_that_is_stopped_in_the_middle_of_a_file_ends_and_reads_it_the_next_time() {
    let mut lab = Lab::new();
    lab.request.mode = HASH;
    lab.write("small", "abc");
    let large = lab.at("large");
    // To read it all would take hours, and it takes no space.
    File::create(&large).unwrap().set_len(1 << 43).unwrap();
    let (stop, progress) = (Arc::new(AtomicBool::new(false)), Arc::clone(&lab.request.progress));
    let (send, ended) = mpsc::channel();
    let asked = Arc::clone(&stop);
    let scan = thread::spawn(move || {
        send.send(lab.scan_until(&asked)).unwrap();
        lab
    });
    // A directory is counted before its files are read.
    while progress.files.load(Ordering::Relaxed) < 2 {
        thread::yield_now();
    }
    stop.store(true, Ordering::Relaxed);
    let told = ended.recv_timeout(Duration::from_secs(120)).expect("the scan goes on");
    assert!(told.summary.stopped && told.errors.is_empty(), "{:?}", told.errors);
    let mut lab = scan.join().unwrap();
    File::create(&large).unwrap();
    assert_eq!(lab.scan().summary.created, 2);
    assert!(lab.server.files.values().all(|file| file.hash.is_some()));
}

#[test]
fn hashes_are_those_of_the_contents() {
    let mut lab = Lab::new();
    lab.write("empty", "");
    lab.write("abc", "abc");
    lab.write("big", &"0123456789".repeat(100_000));
    lab.request.mode = Mode::Hash {
        algorithm: Algorithm::Sha256,
    };
    lab.scan();
    let sha256 = |lab: &Lab, name: &str| lab.server.files[&lab.path(name)].hash.unwrap().to_string();
    assert_eq!(
        sha256(&lab, "empty"),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        sha256(&lab, "abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let mut lab2 = Lab::new();
    lab2.request.mode = HASH;
    lab2.write("big", &"0123456789".repeat(100_000));
    lab2.scan();
    let expected = blake3::hash("0123456789".repeat(100_000).as_bytes());
    assert_eq!(
        lab2.server.files[&lab2.path("big")].hash.unwrap().bytes,
        *expected.as_bytes()
    );
    assert_eq!(lab2.scan().events, [], "the same hash is no change");
}

#[test]
fn a_content_that_changed_behind_its_metadata_is_an_update() {
    let mut lab = Lab::new();
    lab.write("a/file", "one");
    lab.write("a/same", "one");
    for name in ["a/file", "a/same"] {
        set_mtime(&lab, name, long_ago());
    }
    lab.request.mode = HASH;
    lab.scan();
    // What a failing disk does cannot be done here, so the hash that is known is made another.
    lab.tree.damage(|stored| {
        if let Some(last) = stored.hashes.last_mut() {
            *last ^= 1;
        }
    });
    let told = lab.scan();
    assert_eq!(told.events, [Event::Updated(lab.path("a/same"), Changed::CONTENT)]);
    assert_eq!(lab.scan().events, []);
}

#[test]
fn hybrid_reads_what_moved_and_not_the_rest() {
    let mut lab = Lab::new();
    for name in ["a/file", "a/touched", "a/still"] {
        lab.write(name, "one");
        set_mtime(&lab, name, long_ago());
    }
    lab.request.mode = hybrid(0.0, 0);
    lab.scan();
    assert!(
        lab.server.files.values().all(|file| file.hash.is_some()),
        "new files are hashed"
    );
    File::options()
        .write(true)
        .open(lab.at("a/file"))
        .unwrap()
        .write_all_at(b"two", 0)
        .unwrap();
    set_mtime(&lab, "a/touched", long_ago() + Duration::from_secs(5));
    let told = lab.scan();
    assert!(
        updated(&told, &lab.path("a/file"))
            .unwrap()
            .contains(Changed::CONTENT.union(Changed::MTIME))
    );
    let touched = updated(&told, &lab.path("a/touched")).unwrap();
    assert!(touched.contains(Changed::MTIME) && !touched.contains(Changed::CONTENT));
    assert_eq!(updated(&told, &lab.path("a/still")), None);
}

#[test]
fn every_file_has_its_turn_in_as_many_scans_as_the_share_says() {
    let mut lab = Lab::new();
    for number in 0..60 {
        let name = format!("{}/{number}", number % 3);
        lab.write(&name, "one");
        set_mtime(&lab, &name, long_ago());
    }
    lab.scan();
    let mut hashed = Vec::new();
    for rotation in 0..4 {
        lab.request.mode = hybrid(0.25, rotation);
        assert_eq!(lab.scan().events, [], "a first hash is no change");
        hashed.push(lab.tree.hashes());
    }
    assert!(hashed[0] > 0 && hashed[0] < 60, "{hashed:?}");
    assert!(hashed.is_sorted() && hashed[3] == 60, "{hashed:?}");
}

#[test]
fn a_file_written_just_before_it_was_hashed_is_hashed_again() {
    let mut lab = Lab::new();
    lab.write("a/racy", "one");
    lab.request.mode = hybrid(0.0, 0);
    // In a future that the clock does not reach, so that it is racy however slow this machine is.
    set_mtime(&lab, "a/racy", SystemTime::now() + Duration::from_secs(3600));
    lab.scan();
    let reads = lab.tree.reads();
    lab.scan();
    assert!(lab.tree.reads() > reads, "its directory is looked at again");
    set_mtime(&lab, "a/racy", long_ago());
    lab.scan();
    let reads = lab.tree.reads();
    assert_eq!(lab.scan().events, []);
    assert_eq!(lab.tree.reads(), reads, "and rests when it is old");
}

#[test]
fn types_come_from_contents_where_asked_for() {
    use fsscan::{Change, NoRecords, Observer, scan};
    use std::sync::{Mutex, atomic::AtomicBool};
    #[derive(Default)]
    struct Types(Mutex<Vec<(Vec<u8>, Option<String>)>>);
    impl Observer for Types {
        fn change(&self, change: &Change<'_>) {
            if let Change::Created { file } | Change::Moved { file, .. } = change {
                let name = file.path.rsplit(|byte| *byte == b'/').next().unwrap();
                self.0
                    .lock()
                    .unwrap()
                    .push((name.to_vec(), file.mime.map(str::to_owned)));
            }
        }
    }
    let mut lab = Lab::new();
    fs::write(lab.at("picture.txt"), b"\x89PNG\r\n\x1a\n0000").unwrap();
    fs::write(lab.at("text.txt"), "plain").unwrap();
    fs::write(lab.at("plan.xyz"), "plain").unwrap();
    lab.request
        .mime
        .extensions
        .insert("xyz".into(), "chemical/x-xyz".into());
    let types = |lab: &mut Lab| {
        let types = Types::default();
        let mut tree = fsscan::testing::MemoryTree::default();
        let stop = AtomicBool::new(false);
        scan(
            &mut tree,
            &lab.request,
            &mut NoRecords,
            &types,
            chrono::Utc::now(),
            &stop,
        )
        .unwrap();
        let mut types = types.0.into_inner().unwrap();
        types.sort();
        types
            .into_iter()
            .map(|(_, mime)| mime.unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(types(&mut lab), ["text/plain", "chemical/x-xyz", "text/plain"]);
    lab.request.mime.content = true;
    assert_eq!(types(&mut lab), ["image/png", "chemical/x-xyz", "text/plain"]);
}
