//! Files over a limit, and a clamd that looks at less than it is said to.
use super::{Rig, bytes, files};
use crate::{
    scan::{End, How, Progress, Report},
    settings::Action,
};
use core_model::ByteSize;
use daemon_kit::Exit;
use fleet_wire::{ScanCause, ScanStatus};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    sync::Arc,
};
use testkit::{ClamdOptions, ClamdProxy, GUARD, MARKER};
use tokio_util::sync::CancellationToken;

const MIB: usize = 1 << 20;

/// A clamd that looks at 2 MB, and calls longer files clean unread; the engine believes in 100 MB.
fn short_sighted() -> Rig {
    Rig::with(ClamdOptions {
        max_file_size: 2 * MIB as u64,
        ..ClamdOptions::default()
    })
}

/// Malware of so many bytes.
fn long(length: usize) -> Vec<u8> {
    [MARKER, &vec![b' '; length - MARKER.len()]].concat()
}

/// The names of files over a limit.
fn over_limit(report: &Report) -> BTreeSet<&str> {
    let over = report.failures.iter().filter(|failure| failure.end == End::OverLimit);
    over.map(|failure| {
        Path::new(OsStr::from_bytes(failure.path.as_bytes()))
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
    })
    .collect()
}

#[tokio::test]
async fn a_file_that_clamd_calls_clean_unread_is_over_a_limit_in_the_first_scan_already() {
    let rig = short_sighted();
    rig.fill(20);
    rig.write("seen", &long(2 * MIB - 1));
    for n in 0..3 {
        rig.write(&format!("unseen{n}"), &long((3 + n) * MIB));
    }
    let report = rig.scan(Action::Report).await;
    let counted = ["clean", "infected", "over_limit", "failed"].map(|end| files(&report, end));
    assert_eq!(counted, [20, 1, 3, 0], "{report:?}");
    assert_eq!(over_limit(&report), ["unseen0", "unseen1", "unseen2"].into());
    // It was met by walking: who asked for the directory is told, and has been served.
    fs::remove_file(rig.tree.join("seen")).unwrap();
    let report = rig.scan(Action::Report).await;
    assert_eq!((report.exit(), files(&report, "over_limit")), (Exit::Done, 3));
    // Switched off, clamd is taken at its word.
    rig.set(|settings| settings.prove_limits = false);
    assert_eq!(files(&rig.scan(Action::Report).await, "clean"), 23);
}

#[tokio::test]
async fn another_clamd_behind_the_same_path_is_tried_anew() {
    let mut rig = Rig::new();
    rig.write("long", &long(3 * MIB));
    assert_eq!(files(&rig.scan(Action::Report).await, "infected"), 1);
    rig.clamd.kill_hard().unwrap();
    let configuration = rig.clamd.configuration();
    let text = fs::read_to_string(&configuration).unwrap();
    let lower = text.replace("MaxFileSize 104857600", "MaxFileSize 2097152");
    assert_ne!(text, lower);
    fs::write(configuration, lower).unwrap();
    rig.clamd.restart().unwrap();
    assert_eq!(files(&rig.scan(Action::Report).await, "over_limit"), 1);
}

#[tokio::test]
async fn small_files_cost_no_proof() {
    let rig = short_sighted();
    rig.fill(3);
    rig.write("short", &long(MIB));
    let (report, _) = rig.scan_by(rig.wanted(Action::Report), How::default()).await;
    assert_eq!(files(&report, "infected"), 1);
    assert_eq!(rig.engine.proofs().tried(), 0, "a canary was sent for nothing");
    rig.write("long", &long(MIB + 1));
    rig.scan(Action::Report).await;
    assert_eq!(rig.engine.proofs().tried(), 2 * MIB as u64);
}

#[tokio::test]
async fn a_longer_file_is_judged_only_after_its_length_was_tried() {
    let rig = short_sighted();
    rig.write("short", &long(MIB + 1));
    assert_eq!(files(&rig.scan(Action::Report).await, "infected"), 1);
    assert_eq!(rig.engine.proofs().tried(), 2 * MIB as u64, "no more than was wanted");
    rig.write("unseen", &long(3 * MIB));
    let report = rig.scan(Action::Report).await;
    assert_eq!(over_limit(&report), ["unseen"].into(), "{report:?}");
    assert_eq!(rig.engine.proofs().tried(), u64::MAX, "the limit is known");
}

#[tokio::test]
async fn a_file_that_grows_over_what_clamd_looks_at_is_not_called_clean() {
    let rig = short_sighted();
    let path = rig.write("grows", b"harmless");
    let proxy = ClamdProxy::start(&rig.clamd).unwrap();
    rig.set(|settings| settings.clamd.endpoint = format!("unix:{}", proxy.socket().display()));
    rig.prove().await;
    proxy.hold(true);
    let grow = tokio::task::spawn_blocking(move || {
        assert!(proxy.wait_for_held(GUARD), "it was opened, and is on its way to clamd");
        fs::write(path, long(3 * MIB)).unwrap();
        proxy.hold(false);
        proxy
    });
    let (report, grown) = tokio::join!(rig.scan(Action::Quarantine), grow);
    grown.unwrap();
    assert_eq!((files(&report, "clean"), files(&report, "over_limit")), (0, 1));
}

#[tokio::test]
async fn files_over_a_limit_are_named_and_one_that_was_named_itself_is_not_done() {
    let rig = Rig::new();
    rig.fill(2);
    let large = rig.write("sub/large", &[b'x'; 2_000]);
    let mut wanted = rig.wanted(Action::Report);
    wanted.max_file_size = Some(ByteSize::new(1_000));
    let (walked, _) = rig.scan_by(wanted.clone(), How::default()).await;
    assert_eq!((over_limit(&walked), walked.exit()), (["large"].into(), Exit::Done));
    assert!(
        walked
            .text()
            .contains("sub/large: over a limit (longer than 1000 bytes)")
    );
    let dry = rig.engine.dry_run(&wanted, &How::default(), &false.into()).unwrap();
    assert_eq!(over_limit(&dry), ["large"].into());
    // By itself, or with the directory that it lies in.
    for paths in [vec![large.clone()], vec![rig.tree.clone(), large.clone()]] {
        let wanted = wanted.only(paths);
        let (report, _) = rig.scan_by(wanted.clone(), How::default()).await;
        assert_eq!((over_limit(&report), report.exit()), (["large"].into(), Exit::Partial));
        assert_eq!(report.to_wire(ScanCause::Local).status, ScanStatus::Partial);
        let dry = rig.engine.dry_run(&wanted, &How::default(), &false.into()).unwrap();
        assert_eq!(over_limit(&dry), ["large"].into());
    }
    // And where clamd itself does not look at it.
    let rig = short_sighted();
    let unseen = rig.write("unseen", &long(3 * MIB));
    let (report, _) = rig
        .scan_by(rig.wanted(Action::Report).only(vec![unseen]), How::default())
        .await;
    assert_eq!((report.named_unjudged, report.exit()), (1, Exit::Partial), "{report:?}");
}

#[tokio::test]
async fn a_file_is_one_however_often_it_is_named_and_judged_though_patterns_leave_it_out() {
    let rig = Rig::new();
    let [a, b] = ["a", "sub/b"].map(|name| rig.write(name, name.as_bytes()));
    let link = rig.tree.with_file_name("link");
    symlink(&a, &link).unwrap();
    let met = async |change: &dyn Fn(&mut crate::scan::Wanted), paths: &[&Path]| {
        let mut wanted = rig.wanted(Action::Report);
        change(&mut wanted);
        wanted.paths = paths.iter().map(|path| path.to_path_buf()).collect();
        let how = How {
            no_memory: true,
            ..How::default()
        };
        let progress = Arc::new(Progress::default());
        let stop = CancellationToken::new();
        let report = rig.engine.scan(wanted, how, progress, |_| {}, stop).await.unwrap();
        assert_eq!(report.unaccounted, 0, "{report:?}");
        (report.met.files, files(&report, "clean"))
    };
    let as_is = |_: &mut crate::scan::Wanted| {};
    assert_eq!(met(&as_is, &[&a, &a, &link, &rig.tree.join("sub/../a")]).await, (1, 1));
    assert_eq!(met(&as_is, &[&a, &rig.tree, &a, &b, &link]).await, (2, 2));
    assert_eq!(met(&as_is, &[&a, &rig.tree.join("sub")]).await, (2, 2));
    // The walk does not come to it.
    assert_eq!(
        met(&|wanted| wanted.is_recursive = false, &[&b, &rig.tree]).await,
        (2, 2)
    );
    let excluding = |wanted: &mut crate::scan::Wanted| wanted.exclude = vec!["sub".to_owned()];
    assert_eq!(met(&excluding, &[&b, &rig.tree]).await, (2, 2));
    assert_eq!(bytes(&a).last(), Some(&b'a'));
}
