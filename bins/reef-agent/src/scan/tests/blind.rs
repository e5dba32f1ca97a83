//! A clamd that answers and does not detect: what it calls clean is neither believed nor remembered.
use super::{Rig, files};
use crate::{
    keeper::{Keeper, KeeperSettings},
    scan::{BLIND, End, How, Progress, watch_queue},
    settings::{Action, CanarySettings},
};
use daemon_kit::Exit;
use fleet_wire::{ScanCause, ScanStatus};
use std::{fs, path::Path, sync::Arc};
use testkit::{ClamdOptions, ClamdProxy, GUARD, MARKER};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const OTHER: &[u8] = b"ANOTHER-BAD-THING";
/// The signatures that a blind clamd lacks.
const SIGHT: [&str; 3] = ["whole.hdb", "Shoal.Test.Eicar.ndb", "Shoal.Test.Marker.ndb"];

/// Takes clamd's signatures away, and has it judge by what is left.
fn blind(rig: &Rig) {
    for name in SIGHT {
        let file = rig.clamd.database().join(name);
        fs::rename(&file, rig.tree.with_file_name(name)).unwrap();
    }
    rig.clamd.reload_with("Shoal.Test.Other", OTHER).unwrap();
}

/// Puts them back as they were, with their times.
fn cure(rig: &Rig) {
    for name in SIGHT {
        fs::rename(rig.tree.with_file_name(name), rig.clamd.database().join(name)).unwrap();
    }
    fs::remove_file(rig.clamd.database().join("Shoal.Test.Other.ndb")).unwrap();
    rig.clamd.reload_with("Shoal.Test.Cure", b"A-THIRD-BAD-THING").unwrap();
}

/// So many files of malware, which rested for so long that their verdicts may be remembered.
fn malware(rig: &Rig, files: usize) {
    let rested = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for n in 0..files {
        let path = rig.write(&format!("bad{n}"), &[MARKER, n.to_string().as_bytes()].concat());
        fs::File::open(path).unwrap().set_modified(rested).unwrap();
    }
}

fn counts(report: &crate::scan::Report) -> [u64; 5] {
    ["clean", "remembered", "remembered_aged", "infected", "failed"].map(|key| files(report, key))
}

/// Scans until nothing is asked any more: what was judged has rested, and is remembered where it may be.
async fn settle(rig: &Rig, remembered: u64) {
    let since = std::time::Instant::now();
    while files(&rig.scan(Action::Report).await, "remembered") < remembered {
        assert!(since.elapsed() < GUARD, "what was judged is not remembered");
    }
}

#[tokio::test]
async fn what_a_blind_clamd_calls_clean_is_failed_and_found_by_the_first_scan_that_sees() {
    let rig = Rig::new();
    rig.fill(3);
    settle(&rig, 3).await;
    malware(&rig, 21);
    blind(&rig);
    rig.write("other", OTHER);
    let report = rig.scan(Action::Report).await;
    // What it finds still counts.
    assert_eq!(counts(&report)[3], 1, "{report:?}");
    assert_eq!(
        (files(&report, "clean"), files(&report, "failed")),
        (0, 24),
        "{report:?}"
    );
    fs::remove_file(rig.tree.join("other")).unwrap();
    let report = rig.scan(Action::Report).await;
    assert_eq!((report.exit(), report.status()), (Exit::Partial, ScanStatus::Partial));
    let told = report.to_wire(ScanCause::Schedule);
    assert_eq!((told.status, told.error.as_deref()), (ScanStatus::Partial, Some(BLIND)));
    assert!(
        report.text().contains("did not detect the test file"),
        "{}",
        report.text()
    );
    cure(&rig);
    // Nothing is left of it, at once and not in its turn; what was judged before by those that detect is known still.
    let report = rig.scan(Action::Report).await;
    assert_eq!((files(&report, "infected"), report.blind), (21, None), "{report:?}");
    assert_eq!(
        files(&report, "clean") + files(&report, "remembered_aged"),
        3,
        "{report:?}"
    );
}

#[tokio::test]
async fn what_was_remembered_by_signatures_that_turn_out_blind_counts_as_never_judged() {
    let rig = Rig::new();
    // Nobody is told where the signatures lie, and they have no number: seeing and blind look the same.
    rig.set(|settings| settings.clamd.database_directory = None);
    rig.fill(5);
    settle(&rig, 5).await;
    blind(&rig);
    malware(&rig, 4);
    // A clamd that was found to detect a moment ago is believed; the scan's end shows it.
    let report = rig.scan(Action::Report).await;
    assert_eq!(
        (report.exit(), report.blind),
        (Exit::Partial, Some(BLIND)),
        "{report:?}"
    );
    cure(&rig);
    let report = rig.scan(Action::Report).await;
    assert_eq!(counts(&report), [5, 0, 0, 4, 0], "{report:?}");
}

#[tokio::test]
async fn another_process_does_not_believe_what_one_found_to_be_blind() {
    let rig = Rig::new();
    rig.set(|settings| settings.clamd.database_directory = None);
    rig.fill(5);
    settle(&rig, 5).await;
    blind(&rig);
    rig.engine.clamd_is_blind().await;
    assert!(rig.engine.sight().borrow().is_blind);
    cure(&rig);
    let other = crate::scan::Engine::new((*rig.engine.settings()).clone());
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let scanned = other.scan(rig.wanted(Action::Report), How::default(), progress, |_| {}, stop);
    assert_eq!(counts(&scanned.await.unwrap()), [5, 0, 0, 0, 0]);
}

#[tokio::test]
async fn without_a_canary_clamd_is_taken_at_its_word() {
    let rig = Rig::new();
    rig.set(|settings| settings.canary = false);
    blind(&rig);
    malware(&rig, 2);
    let report = rig.scan(Action::Report).await;
    assert_eq!((counts(&report), report.exit()), ([2, 0, 0, 0, 0], Exit::Done));
}

#[tokio::test]
async fn a_scan_sends_a_test_file_before_it_looks_at_files() {
    let rig = Rig::new();
    rig.fill(3);
    let proxy = ClamdProxy::start(&rig.clamd).unwrap();
    rig.set(|settings| settings.clamd.endpoint = format!("unix:{}", proxy.socket().display()));
    proxy.hold(true);
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let wanted = rig.wanted(Action::Report);
    let scan = rig
        .engine
        .scan(wanted, How::default(), Arc::clone(&progress), |_| {}, stop.clone());
    let hold = tokio::task::spawn_blocking(move || {
        assert!(proxy.wait_for_held(GUARD), "nothing was sent");
        assert_eq!(
            progress.snapshot().files,
            0,
            "files were looked at before clamd was tried"
        );
        proxy.hold(false);
        proxy
    });
    let (report, held) = tokio::join!(scan, hold);
    held.unwrap();
    assert_eq!(counts(&report.unwrap()), [3, 0, 0, 0, 0]);
}

#[tokio::test]
async fn malware_that_was_named_itself_is_not_clean_as_before_where_it_was_known_to_be() {
    for no_memory in [false, true] {
        let rig = Rig::new();
        let path = rig.write("later", OTHER);
        settle(&rig, 1).await;
        rig.set(|settings| settings.recheck.recheck_within = core_model::Period::from_secs(3650 * 86_400));
        rig.clamd.reload_with("Shoal.Test.Other", OTHER).unwrap();
        assert_eq!(counts(&rig.scan(Action::Report).await), [0, 0, 1, 0, 0]);
        let how = How {
            no_memory,
            ..How::default()
        };
        let (named, _) = rig.scan_by(rig.wanted(Action::Report).only(vec![path]), how).await;
        assert_eq!(files(&named, "infected"), 1);
        assert_eq!(counts(&rig.scan(Action::Report).await), [0, 0, 0, 1, 0], "{no_memory}");
    }
}

#[tokio::test]
async fn a_keeper_that_is_told_of_a_miss_tries_at_once_and_the_engine_sees_again_when_it_finds() {
    let rig = Rig::new();
    blind(&rig);
    let settings = KeeperSettings::new(&rig.engine.settings().clamd, &CanarySettings::default()).unwrap();
    let (_sender, settings) = watch::channel(settings);
    let (keeper, handle) = Keeper::new(settings);
    let stop = CancellationToken::new();
    let work = async {
        let mut state = handle.state();
        let missed = state
            .wait_for(crate::keeper::ClamdState::is_blind)
            .await
            .unwrap()
            .clone();
        let at = missed.canary.unwrap().at;
        assert!(!handle.state().borrow().detects_since(at));
        cure(&rig);
        handle.missed_elsewhere();
        let seen = tokio::time::timeout(GUARD, state.wait_for(|state| state.detects_since(at))).await;
        assert!(seen.unwrap().is_ok());
        stop.cancel();
    };
    tokio::join!(keeper.run(stop.clone()), work);
    rig.engine.clamd_is_blind().await;
    rig.engine.clamd_detects();
    rig.engine.clamd_detects();
    let sight = *rig.engine.sight().borrow();
    assert_eq!((sight.is_blind, sight.regained), (false, 1));
}

#[tokio::test]
async fn a_watched_file_that_a_blind_clamd_calls_clean_is_failed_and_not_remembered() {
    let rig = Rig::with(ClamdOptions::default());
    blind(&rig);
    malware(&rig, 1);
    let path = rig.tree.join("bad0");
    let (queue, mut watched) = watch_queue(10);
    let rule = Arc::new(rig.wanted(Action::Report));
    assert!(queue.offer(crate::scan::Watched {
        path: path.clone(),
        rule
    }));
    let stop = CancellationToken::new();
    let mut ends = Vec::new();
    let ended = |path: &Path, end: End| {
        ends.push((path.to_owned(), end));
        stop.cancel();
    };
    let progress = Arc::new(Progress::default());
    let judged = rig.engine.judge(&mut watched, progress, |_| {}, ended, stop.clone());
    tokio::time::timeout(GUARD, judged).await.unwrap().unwrap();
    assert_eq!(ends, [(path, End::Failed)]);
    assert!(rig.engine.sight().borrow().is_blind);
    let verdicts = rig.engine.verdicts().unwrap();
    assert_eq!(verdicts.census().unwrap().files, 0);
    assert_eq!(verdicts.basis(), None);
}
