//! Others are at work at the same time.
use super::*;
use crate::quarantine::{
    error::Change,
    take::{STEPS, Step, Taking},
};
use proptest::prelude::*;
use std::{io::Write as _, os::unix::fs::symlink, thread};

/// What was refused because of a change. Nothing of it may be left.
fn refused(site: &Site, taken: Result<Item, TakeError>) -> Change {
    assert_eq!(site.stored(), [""; 0]);
    assert!(
        !site.names().iter().any(|name| name.starts_with(".reef")),
        "{:?}",
        site.names()
    );
    match taken {
        Err(TakeError::Changed { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_was_replaced_since_the_scan_is_left_alone() {
    let site = site();
    let (path, good) = (site.write("file", b"bad"), site.write("good", b"good"));
    let scanned = scan(&path);
    fs::rename(good, &path).unwrap();
    assert_eq!(refused(&site, scanned.take(&site.open())), Change::Replaced);
    assert_eq!(fs::read(&path).unwrap(), b"good");
    fs::remove_file(&path).unwrap();
    assert_eq!(refused(&site, scanned.take(&site.open())), Change::Gone);
    site.write("target", b"target");
    symlink("target", &path).unwrap();
    assert_eq!(refused(&site, scanned.take(&site.open())), Change::Replaced);
    assert_eq!(site.names(), ["file", "target"]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(refused(&site, scanned.take(&site.open())), Change::Replaced);
}

#[test]
fn a_link_in_place_of_a_directory_is_not_followed() {
    let site = site();
    for dir in ["a", "a/b"] {
        fs::create_dir(site.files.join(dir)).unwrap();
    }
    let scanned = scan(&site.write("a/b/file", b"bad"));
    // The very file is there, by a way that it was not scanned on.
    fs::rename(site.files.join("a"), site.files.join("moved")).unwrap();
    symlink("moved", site.files.join("a")).unwrap();
    assert_eq!(refused(&site, scanned.take(&site.open())), Change::Elsewhere);
    fs::remove_file(site.files.join("a")).unwrap();
    fs::write(site.files.join("a"), "a file").unwrap();
    assert_eq!(refused(&site, scanned.take(&site.open())), Change::Elsewhere);
    assert_eq!(fs::read(site.files.join("moved/b/file")).unwrap(), b"bad");
}

#[test]
fn a_file_whose_content_was_put_right_since_the_scan_is_left_alone() {
    let site = site();
    let path = site.write("file", b"bad");
    let scanned = scan(&path);
    // The same length, and the old time: only the ctime tells.
    site.write("file", b"fin");
    assert_eq!(scanned.stamp.mtime, scan(&path).stamp.mtime);
    assert_eq!(refused(&site, scanned.take(&site.open())), Change::Altered);
    assert_eq!(fs::read(&path).unwrap(), b"fin");
}

#[test]
fn a_file_that_is_written_to_at_any_step_is_left_alone() {
    for at_step in &STEPS[..STEPS.len() - 3] {
        let site = site();
        let path = site.write("log", &[1; 70_000]);
        let scanned = scan(&path);
        let quarantine = site.open();
        let mut writer = File::options().append(true).open(&path).unwrap();
        let taken = scanned.taken();
        let mut taking = Taking::prepare(&quarantine.store, &taken, at(1)).unwrap();
        let mut outcome = Ok(());
        for step in STEPS {
            if step == *at_step {
                writer.write_all(b"more").unwrap();
            }
            outcome = taking.step(step);
            if outcome.is_err() {
                break;
            }
        }
        let error = taking.undo(outcome.expect_err("it changed"));
        drop(taking);
        assert_eq!(refused(&site, Err(error)), Change::Altered, "{at_step:?}");
        assert_eq!(fs::read(&path).unwrap().len(), 70_004, "{at_step:?}");
    }
}

#[test]
fn a_file_put_in_place_at_the_last_instant_is_given_back() {
    let site = site();
    let (path, good) = (site.write("file", b"bad"), site.write("good", b"good"));
    let before = whole(&good);
    site.write("good", b"good");
    let scanned = scan(&path);
    let quarantine = site.open();
    let taken = scanned.taken();
    let mut taking = Taking::prepare(&quarantine.store, &taken, at(1)).unwrap();
    for step in &STEPS[..=5] {
        if *step == Step::Capture {
            fs::rename(&good, &path).unwrap();
            let error = taking.step(*step).unwrap_err();
            assert_eq!(refused_by(&taking, error), Change::Replaced);
        } else {
            taking.step(*step).unwrap();
        }
    }
    drop(taking);
    assert_eq!(whole(&path), before);
    assert_eq!((site.names(), site.stored()), (vec!["file".to_owned()], vec![]));
}

fn refused_by(taking: &Taking<'_>, error: TakeError) -> Change {
    match taking.undo(error) {
        TakeError::Changed { what, .. } => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_cannot_be_given_back_is_named_and_kept_until_it_can() {
    let site = site();
    let (path, good) = (site.write("file", b"bad"), site.write("good", b"good"));
    let scanned = scan(&path);
    let quarantine = site.open();
    let taken = scanned.taken();
    let mut taking = Taking::prepare(&quarantine.store, &taken, at(1)).unwrap();
    for step in &STEPS[..5] {
        taking.step(*step).unwrap();
    }
    fs::rename(&good, &path).unwrap();
    let error = taking.step(Step::Capture).unwrap_err();
    site.write("file", b"newer");
    let TakeError::Stranded { at, .. } = taking.undo(error) else {
        panic!("it was given back over another")
    };
    drop(taking);
    assert_eq!(fs::read(&at).unwrap(), b"good");
    assert_eq!(fs::read(&path).unwrap(), b"newer");
    // Opened again while there is no place for it: it stays, and so does the item, the last copy of what was replaced.
    let [item] = &site.open().list().unwrap().items[..] else {
        panic!("no item")
    };
    assert!(!item.is_settled);
    assert_eq!(fs::read(&at).unwrap(), b"good");
    fs::remove_file(&path).unwrap();
    let [item] = &site.open().list().unwrap().items[..] else {
        panic!("no item")
    };
    assert!(item.is_settled);
    assert_eq!(fs::read(&path).unwrap(), b"good");
    assert_eq!(site.names(), ["file"]);
}

#[test]
fn of_many_takers_at_once_one_takes_each_file() {
    let site = site();
    let paths: Vec<PathBuf> = (0..40).map(|n| site.write(&format!("file{n}"), &[n; 3000])).collect();
    let start = std::sync::Barrier::new(4);
    let taken: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let scanned: Vec<Scanned> = paths.iter().map(|path| scan(path)).collect();
                    // Nothing before this may fail, or the others would wait for good.
                    start.wait();
                    let quarantine = site.open();
                    let outcomes = scanned.iter().map(|scanned| scanned.take(&quarantine));
                    let is_taken = |outcome: Result<Item, TakeError>| match outcome {
                        Ok(item) => item.is_settled,
                        Err(TakeError::Changed { .. }) => false,
                        Err(error) => panic!("{error:?}"),
                    };
                    outcomes.map(is_taken).filter(|taken| *taken).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().sum::<usize>(), paths.len(), "{taken:?}");
    assert_eq!(site.names(), [""; 0]);
    let listing = site.open().list().unwrap();
    let mut found: Vec<PathBuf> = listing.items.iter().map(|item| item.manifest.path.to_path()).collect();
    found.sort();
    let mut expected = paths;
    expected.sort();
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn however_two_takers_interleave_one_of_them_takes_the_file(turns in prop::collection::vec(any::<bool>(), 18)) {
        let site = site();
        let path = site.write("file", b"bad");
        let scanned = [scan(&path), scan(&path)];
        let quarantine = site.open();
        let taken = scanned.each_ref().map(Scanned::taken);
        let mut takers = taken.each_ref().map(|taken| {
            (Some(Taking::prepare(&quarantine.store, taken, at(1)).unwrap()), STEPS.into_iter())
        });
        let mut won = 0;
        let rest = [false, true].into_iter().cycle().take(40);
        for turn in turns.into_iter().chain(rest) {
            let (taking, steps) = &mut takers[usize::from(turn)];
            let Some(running) = taking else { continue };
            let Some(step) = steps.next() else {
                won += 1;
                *taking = None;
                continue;
            };
            if let Err(error) = running.step(step) {
                let error = running.undo(error);
                prop_assert!(matches!(error, TakeError::Changed { .. }), "{error:?}");
                *taking = None;
            }
        }
        drop(takers);
        prop_assert_eq!(won, 1);
        prop_assert_eq!(site.names(), [""; 0]);
        prop_assert_eq!(site.stored().len(), 2);
        prop_assert!(site.open().list().unwrap().items[0].is_settled);
    }
}

#[test]
fn other_names_of_a_file_stay_and_are_counted() {
    let site = site();
    let (path, other) = (site.write("file", b"bad"), site.files.join("other"));
    fs::hard_link(&path, &other).unwrap();
    let quarantine = site.open();
    let (first, second) = (scan(&path), scan(&other));
    let known = [other.clone()];
    let taken = Taken {
        other_names: &known,
        ..first.taken()
    };
    let manifest = quarantine.take(&taken, at(1)).unwrap().manifest;
    assert_eq!(manifest.links, 2);
    assert_eq!(manifest.other_names[0].to_path(), other);
    assert_eq!(
        fs::read(&other).unwrap(),
        b"bad",
        "it goes only when it is scanned itself"
    );
    let late = second.take(&quarantine).unwrap_err();
    assert!(
        matches!(
            late,
            TakeError::Changed {
                what: Change::Altered,
                ..
            }
        ),
        "{late:?}"
    );
    scan(&other).take(&quarantine).unwrap();
    assert_eq!((site.names().len(), quarantine.list().unwrap().items.len()), (0, 2));
}

#[test]
fn no_good_file_is_ever_taken_while_somebody_replaces_bad_by_good_and_good_by_bad() {
    let site = site();
    let path = site.write("file", b"bad");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let mut stranded = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..2000 {
                let kind = if n % 2 == 0 { "bad" } else { "good" };
                let draft = site.files.join("draft");
                fs::write(&draft, format!("{kind} {n}")).unwrap();
                fs::rename(&draft, &path).unwrap();
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let quarantine = site.open();
        loop {
            let is_last = is_over.load(std::sync::atomic::Ordering::SeqCst);
            if let Ok(file) = File::open(&path) {
                let stamp = Stamp::of(&file).unwrap();
                let mut content = String::new();
                std::io::Read::read_to_string(&mut &file, &mut content).unwrap();
                let signatures = vec!["Bad".to_owned()];
                let scanned = Scanned {
                    path: path.clone(),
                    file,
                    stamp,
                    signatures,
                };
                // Only what is bad by the descriptor is malware.
                match content.starts_with("bad").then(|| scanned.take(&quarantine)) {
                    None | Some(Ok(_) | Err(TakeError::Changed { .. })) => {}
                    Some(Err(TakeError::Stranded { at, .. })) => stranded.push(at),
                    Some(Err(error)) => panic!("{error:?}"),
                }
            }
            if is_last {
                break;
            }
        }
    });
    assert_eq!(fs::read(&path).unwrap(), b"good 1999");
    for at in &stranded {
        assert!(fs::read(at).is_ok(), "kept where it was said to be: {}", at.display());
    }
    assert_eq!(site.names().len(), 1 + stranded.len(), "{:?}", site.names());
    let quarantine = site.open();
    for item in quarantine.list().unwrap().items {
        let mut content = Vec::new();
        quarantine.copy_out(&item.manifest.id, &mut content).unwrap();
        assert!(content.starts_with(b"bad"));
    }
}
