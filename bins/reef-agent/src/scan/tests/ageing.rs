//! What is known, by signatures that are in use and by those that were.
use super::{Rig, files};
use crate::{
    scan::{Engine, How, Report},
    settings::{Action, ThrottleSettings},
};
use core_model::{ByteSize, Period};
use std::{fs, os::unix::fs::PermissionsExt as _};

/// Scans until so many files are remembered: one that has just changed may change again unseen, and is not at first.
async fn remembered(rig: &Rig, wanted: u64) {
    let since = std::time::Instant::now();
    while files(&rig.scan(Action::Report).await, "remembered") < wanted {
        assert!(since.elapsed() < testkit::GUARD, "what was judged is not remembered");
    }
}

fn counts(report: &Report) -> [u64; 4] {
    ["clean", "remembered", "remembered_aged", "infected"].map(|key| files(report, key))
}

#[tokio::test]
async fn after_new_signatures_what_may_run_is_judged_at_once_and_the_rest_in_its_turn() {
    let rig = Rig::new();
    rig.set(|settings| settings.recheck.recheck_within = Period::from_secs(3650 * 86_400));
    rig.fill(10);
    let script = rig.write("script", b"#!/bin/sh\n# A-BODY-THAT-IS-KNOWN-LATER\n");
    rig.write("data", b"some A-BODY-THAT-IS-KNOWN-LATER text");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    remembered(&rig, 12).await;
    assert_eq!(rig.scan(Action::Report).await.oldest_verdict, None);
    rig.clamd
        .reload_with("Test.More", b"A-BODY-THAT-IS-KNOWN-LATER")
        .unwrap();
    let report = rig.scan(Action::Report).await;
    // In ten years each has a turn, and hardly one within these seconds.
    assert_eq!(counts(&report), [0, 0, 11, 1], "{report:?}");
    let oldest = report.oldest_verdict.as_ref().unwrap();
    assert!(oldest.age_secs < 600 && !oldest.signatures.is_empty(), "{oldest:?}");
    // Whoever wants all of it anew gets it.
    let how = How {
        is_fresh: true,
        ..How::default()
    };
    let (fresh, _) = rig.scan_by(rig.wanted(Action::Report), how).await;
    assert_eq!(counts(&fresh), [10, 0, 0, 2], "{fresh:?}");
    assert_eq!(fresh.oldest_verdict, None);
}

#[tokio::test]
async fn without_a_time_all_is_judged_by_new_signatures_at_once() {
    let rig = Rig::new();
    rig.set(|settings| settings.recheck.recheck_within = Period::from_secs(0));
    rig.fill(10);
    remembered(&rig, 10).await;
    rig.clamd.reload_with("Test.More", b"SOMETHING-ELSE").unwrap();
    assert_eq!(counts(&rig.scan(Action::Report).await), [10, 0, 0, 0]);
}

#[tokio::test]
async fn a_budget_leaves_the_rest_to_later_scans_and_other_limits_wait_for_none() {
    let rig = Rig::new();
    rig.fill(10);
    remembered(&rig, 10).await;
    rig.clamd.reload_with("Test.More", b"SOMETHING-ELSE").unwrap();
    rig.set(|settings| {
        // So short that all have their turn, and no room for all of them.
        settings.recheck.recheck_within = "1ms".parse().unwrap();
        settings.recheck.recheck_budget = Some(ByteSize::new(32));
    });
    let report = rig.scan(Action::Report).await;
    // Of ten bytes each: the fourth takes the rest.
    assert_eq!(counts(&report), [4, 0, 6, 0], "{report:?}");
    rig.set(|settings| settings.clamd.max_file_size = ByteSize::new(1 << 20));
    assert_eq!(counts(&rig.scan(Action::Report).await), [10, 0, 0, 0]);
}

#[tokio::test]
async fn a_file_longer_than_the_budget_has_its_turn_too() {
    let rig = Rig::new();
    rig.write("long", &[b'x'; 1_000]);
    remembered(&rig, 1).await;
    rig.clamd.reload_with("Test.More", b"SOMETHING-ELSE").unwrap();
    rig.set(|settings| {
        settings.recheck.recheck_within = "1ms".parse().unwrap();
        settings.recheck.recheck_budget = Some(ByteSize::new(32));
    });
    assert_eq!(counts(&rig.scan(Action::Report).await), [1, 0, 0, 0]);
}

#[tokio::test]
async fn a_rule_that_leaves_files_out_has_nothing_forgotten_that_another_one_knows() {
    let rig = Rig::new();
    (0..10).for_each(|n| drop(rig.write(&format!("f{n}.log"), format!("harmless {n}").as_bytes())));
    rig.write("other", b"harmless");
    remembered(&rig, 11).await;
    let mut narrow = rig.wanted(Action::Report);
    narrow.exclude = vec!["*.log".to_owned()];
    let (report, _) = rig.scan_by(narrow, How::default()).await;
    assert_eq!((files(&report, "excluded"), files(&report, "remembered")), (10, 1));
    assert_eq!(counts(&rig.scan(Action::Report).await), [0, 11, 0, 0]);
}

#[tokio::test]
async fn the_oldest_verdict_is_that_of_the_oldest_signatures_which_count_still() {
    let rig = Rig::new();
    rig.set(|settings| settings.recheck.recheck_within = Period::from_secs(3650 * 86_400));
    assert_eq!(rig.engine.oldest_verdict().await, None);
    rig.fill(10);
    remembered(&rig, 10).await;
    let before = rig.engine.oldest_verdict().await.unwrap();
    rig.clamd.reload_with("Test.More", b"SOMETHING-ELSE").unwrap();
    let report = rig.scan(Action::Report).await;
    let oldest = report.oldest_verdict.unwrap().last_used;
    assert!(oldest >= before, "{oldest} {before}");
    assert_eq!(rig.engine.oldest_verdict().await, Some(oldest));
    // Another process knows it from the start.
    let other = Engine::new((*rig.engine.settings()).clone());
    assert_eq!(other.oldest_verdict().await, Some(oldest));
    // Within other limits nothing of it counts.
    rig.set(|settings| settings.clamd.max_file_size = ByteSize::new(1 << 20));
    assert_eq!(rig.engine.oldest_verdict().await, None);
}

#[tokio::test]
async fn what_a_budget_leaves_over_is_the_oldest_until_a_later_scan_has_come_to_it() {
    let rig = Rig::new();
    rig.fill(10);
    remembered(&rig, 10).await;
    rig.clamd.reload_with("Test.More", b"SOMETHING-ELSE").unwrap();
    rig.set(|settings| {
        settings
            .throttles
            .insert("test".to_owned(), ThrottleSettings::default());
        settings.recheck.recheck_within = "1ms".parse().unwrap();
        settings.recheck.recheck_budget = Some(ByteSize::new(32));
    });
    let left = rig.scan(Action::Report).await.oldest_verdict.unwrap().last_used;
    assert_eq!(rig.engine.oldest_verdict().await, Some(left));
    // A scan of one part of it, in which nothing is left over, says nothing of the rest.
    let part = rig.wanted(Action::Report).only(vec![rig.tree.join("d0")]);
    let (report, _) = rig.scan_by(part, How::default()).await;
    assert_eq!(report.oldest_verdict, None);
    assert_eq!(rig.engine.oldest_verdict().await, Some(left));
    let since = std::time::Instant::now();
    while rig.scan(Action::Report).await.oldest_verdict.is_some() {
        assert!(since.elapsed() < testkit::GUARD, "it is never come to");
    }
    assert!(rig.engine.oldest_verdict().await.is_none_or(|oldest| oldest > left));
}

#[tokio::test]
async fn where_nothing_can_be_remembered_everything_is_judged_and_reported() {
    let rig = Rig::new();
    rig.fill(10);
    rig.write("eicar", &testkit::eicar());
    let verdicts = rig.engine.verdicts().unwrap();
    let set = |what: &str| {
        let done = verdicts.database().with_writer(|writer| writer.execute_batch(what));
        done.unwrap();
    };
    // Every write fails from now on, as on a disk that is full.
    set("PRAGMA query_only = ON");
    let report = rig.scan(Action::Report).await;
    assert_eq!(counts(&report), [10, 0, 0, 1], "{report:?}");
    assert_eq!(report.detections.len(), 1);
    set("PRAGMA query_only = OFF");
    remembered(&rig, 10).await;
}
