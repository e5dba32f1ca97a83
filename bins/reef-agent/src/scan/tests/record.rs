//! What the record of a scan proves.
use super::{Rig, files};
use crate::{
    scan::{How, Wanted},
    settings::Action,
};
use core_model::ByteSize;
use daemon_kit::Exit;
use fleet_wire::{LeftOut, MalwareScan, ScanCause, ScanScope, ScanStatus};
use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use std::{fs, path::Path};

/// A directory whose path is longer than a walk follows: nobody can look into it, not even root.
fn too_deep(below: &Path) {
    let name = "d".repeat(250);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut at = open(below, flags, Mode::empty()).unwrap();
    for _ in 0..140 {
        mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = openat(&at, &name, flags, Mode::empty()).unwrap();
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_looked_into_makes_a_scan_partial_and_is_named_in_its_record() {
    let rig = Rig::new();
    rig.write("file", b"harmless");
    let whole = rig.scan(Action::Report).await;
    assert_eq!((whole.exit(), whole.status()), (Exit::Done, ScanStatus::Completed));
    too_deep(&rig.tree);
    let report = rig.scan(Action::Report).await;
    assert_eq!((report.exit(), report.status()), (Exit::Partial, ScanStatus::Partial));
    assert_eq!((files(&report, "unreadable"), report.unreadable_directories), (0, 1));
    let text = report.text();
    assert!(text.contains("unreadable with all below (deeper than"), "{text}");
    assert!(text.contains("unreadable: 1 directories with all below"), "{text}");
    let record = report.to_wire(ScanCause::Schedule);
    assert_eq!(record.status, ScanStatus::Partial);
    let proof = &record.proof;
    let [named] = &proof.unreadable[..] else {
        panic!("{proof:?}")
    };
    assert!(named.is_directory && named.reason.contains("deeper than"), "{named:?}");
    let tree = super::bytes(&rig.tree);
    assert!(named.path.as_bytes().starts_with(&tree), "{named:?}");
    // More than a system takes is of no use to anybody.
    assert_eq!(named.path.as_bytes().len(), 4_096);
    assert_eq!((proof.unreadable_directories, proof.left_out.as_slice()), (1, &[][..]));
    assert!(!record.is_complete());
    // Nobody is asked, and it is seen all the same.
    let halt = std::sync::atomic::AtomicBool::new(false);
    let dry = rig.engine.dry_run(&rig.wanted(Action::Report), &How::default(), &halt);
    assert_eq!(dry.unwrap().exit(), Exit::Partial);
}

#[tokio::test]
async fn a_record_says_what_was_to_be_scanned_and_what_was_left_out_of_it() {
    let rig = Rig::new();
    rig.write("file", b"harmless");
    rig.write("cache/a/b", b"1");
    rig.write("own.iso", b"12345");
    rig.write("large", &[0; 2_000]);
    let wanted = Wanted {
        exclude: vec!["cache/".to_owned(), "*.iso".to_owned()],
        max_file_size: Some(ByteSize::new(1_000)),
        ..rig.wanted(Action::Report)
    };
    let (report, _) = rig.scan_by(wanted.clone(), How::default()).await;
    let record = report.to_wire(ScanCause::Schedule);
    let proof = &record.proof;
    assert_eq!(proof.scope, Some(ScanScope::Whole));
    assert_eq!(proof.paths, [rig.tree.display().to_string()]);
    assert_eq!(proof.exclude, ["cache/", "*.iso"]);
    assert_eq!((proof.max_file_size, proof.directories), (Some(1_000), Some(1)));
    let left = |by: &str, files, bytes, directories| LeftOut {
        by: format!("the pattern `{by}`"),
        files,
        bytes,
        directories,
    };
    assert_eq!(proof.left_out, [left("*.iso", 1, 5, 0), left("cache/", 0, 0, 1)]);
    let [large] = &proof.over_limit[..] else {
        panic!("{proof:?}")
    };
    assert_eq!(large.path.as_bytes(), super::bytes(&rig.tree.join("large")));
    assert!(proof.unreadable.is_empty() && !proof.is_cut, "{proof:?}");
    // It comes back from the file it is written to as it was.
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<MalwareScan>(&text).unwrap(), record);
    // What leaves nothing undone but by the rule is complete; a part of it stands for no rule.
    assert!(record.is_complete());
    let part = wanted.only(vec![rig.tree.join("cache")]);
    let (report, _) = rig.scan_by(part, How::default()).await;
    let record = report.to_wire(ScanCause::Watch);
    assert_eq!(record.proof.scope, Some(ScanScope::Part));
    assert!(record.status == ScanStatus::Completed && !record.is_complete());
}

#[tokio::test]
async fn a_record_names_the_first_of_many_and_says_that_there_are_more() {
    let rig = Rig::new();
    rig.write("file", b"harmless");
    let exclude = (0..150).map(|n| format!("*.{n}")).collect();
    for n in 0..30 {
        rig.write(&format!("large {n}"), &[0; 20]);
    }
    let wanted = Wanted {
        exclude,
        max_file_size: Some(ByteSize::new(10)),
        ..rig.wanted(Action::Report)
    };
    let (report, _) = rig.scan_by(wanted, How::default()).await;
    let proof = report.to_wire(ScanCause::Schedule).proof;
    assert_eq!(
        (proof.exclude.len(), proof.over_limit.len(), proof.is_cut),
        (100, 20, true)
    );
    assert_eq!(files(&report, "over_limit"), 30);
    fs::remove_dir_all(&rig.tree).unwrap();
    let (gone, _) = rig.scan_by(rig.wanted(Action::Report), How::default()).await;
    let proof = gone.to_wire(ScanCause::Schedule).proof;
    assert!(
        proof.missing[0].starts_with(&*rig.tree.display().to_string()),
        "{proof:?}"
    );
}
