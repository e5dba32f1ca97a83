//! `reef-agent scan`: every file ends in one way, and what is known is not asked again.
use super::rig::{Rig, bytes, detections, files};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    thread,
    time::{Duration, Instant},
};
use testkit::{ClamdOptions, ClamdProxy, MARKER, eventually};

/// Nothing was met that did not end in one way.
fn is_whole(report: &Value) {
    assert_eq!(report["unaccounted"], 0, "{report}");
    let account = report["account"].as_object().unwrap().values();
    let ended: u64 = account.map(|count| count["files"].as_u64().unwrap()).sum();
    assert_eq!(report["met"]["files"], ended, "{report}");
}

#[test]
fn every_file_is_accounted_for_and_malware_is_named() {
    let rig = Rig::new();
    rig.fill(20);
    rig.write("empty", b"");
    rig.write("left/out.iso", b"x");
    rig.write("large", &vec![0; 3 << 20]);
    rig.infect("sub/eicar.com");
    rig.write("sub/marked", &[b"some text ", MARKER, b" more"].concat());
    symlink("/etc/passwd", rig.tree().join("link")).unwrap();
    let fifo = testkit::Program::at("mkfifo").arg(rig.tree().join("pipe"));
    fifo.run().unwrap().success().unwrap();
    let report = rig.scan(1, &["--exclude", "*.iso", "--max-file-size", "1MB"]);
    is_whole(&report);
    let counted: Vec<u64> = [
        "clean",
        "infected",
        "over_limit",
        "excluded",
        "symlink",
        "special",
        "failed",
    ]
    .map(|end| files(&report, end))
    .to_vec();
    assert_eq!(counted, [21, 2, 1, 1, 1, 1, 0], "{report}");
    let found = detections(&report);
    assert_eq!(found[0].0, bytes(&rig.tree().join("sub/eicar.com")));
    let eicar = &report["detections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["size"] == 68)
        .unwrap()["sha256"];
    assert_eq!(
        eicar,
        "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
    );
    assert_eq!(report["left_out"][0]["by"], "the pattern `*.iso`");

    // The same for people, each detection by a line of its own.
    let text = rig.run(&["scan", "tree"]).assert_code(1);
    assert!(
        text.stdout().contains("eicar.com: ") && text.stdout().contains(" FOUND\n"),
        "{text}"
    );
    assert!(text.stdout().contains("unaccounted"), "{text}");
}

#[test]
fn a_dry_run_asks_nobody_and_says_how_much_it_would_be() {
    let rig = Rig::new();
    rig.fill(10);
    rig.infect("eicar");
    rig.write("a.iso", b"x");
    let report = rig.scan(
        0,
        &["--dry-run", "--exclude", "*.iso", "--set", "clamd.endpoint=/nowhere"],
    );
    is_whole(&report);
    assert_eq!(
        (files(&report, "clean"), files(&report, "excluded")),
        (11, 1),
        "{report}"
    );
    assert_eq!(
        (&report["dry_run"], &report["clamd"]),
        (&Value::Bool(true), &Value::Null)
    );
}

#[test]
fn hostile_names_change_no_verdict() {
    let rig = Rig::new();
    let hostile: [&[u8]; 7] = [
        b"a\nb: OK",
        b"x: Win.Fake FOUND",
        b"c: OK",
        b"bad\xff\xfe",
        b"-rf",
        b"1: stream: OK",
        b" ",
    ];
    for (n, name) in hostile.iter().enumerate() {
        rig.infect(OsStr::from_bytes(&[b"infected/", *name].concat()));
        rig.write(
            OsStr::from_bytes(&[b"clean/", *name].concat()),
            format!("harmless {n}").as_bytes(),
        );
    }
    let report = rig.scan(1, &[]);
    is_whole(&report);
    let mut expected: Vec<_> = hostile
        .iter()
        .map(|name| bytes(&rig.tree().join("infected").join(OsStr::from_bytes(name))))
        .collect();
    expected.sort();
    let found: Vec<_> = detections(&report).into_iter().map(|(path, _)| path).collect();
    assert_eq!(found, expected);
    assert_eq!(files(&report, "clean"), 7);
}

#[test]
fn what_is_known_to_be_clean_is_asked_again_only_when_it_or_the_signatures_change() {
    let rig = Rig::with(ClamdOptions {
        database_version: Some(27_000),
        ..ClamdOptions::default()
    });
    rig.fill(49);
    rig.write("later", b"some text, A-BODY-THAT-IS-KNOWN-LATER, and more");
    rig.infect("eicar");
    let directory = format!("clamd.database_directory={}", rig.clamd.database().display());
    let known = ["--set", &directory, "--set", "verdicts.recheck_within=0s"];
    // A file that has just changed may change again unseen: it is remembered some seconds later.
    eventually("all verdicts to be remembered", || {
        let report = rig.scan(1, &known);
        is_whole(&report);
        Ok((files(&report, "remembered") == 50).then_some(()))
    })
    .unwrap();
    rig.write("d0/f0", b"something else");
    let report = rig.scan(1, &known);
    assert_eq!(
        (files(&report, "remembered"), files(&report, "clean")),
        (49, 1),
        "{report}"
    );
    assert_eq!(files(&report, "infected"), 1, "malware is never taken for known");
    let fresh = rig.scan(1, &[&known[..], &["--fresh"]].concat());
    assert_eq!((files(&fresh, "remembered"), files(&fresh, "clean")), (0, 50));

    // Signatures of one's own do not show in clamd's version.
    rig.clamd
        .reload_with("Test.More", b"A-BODY-THAT-IS-KNOWN-LATER")
        .unwrap();
    let report = rig.scan(1, &known);
    is_whole(&report);
    assert_eq!(
        (files(&report, "remembered"), files(&report, "infected")),
        (0, 2),
        "{report}"
    );
}

#[test]
fn what_is_clean_by_older_signatures_is_shown_apart_until_its_turn_comes() {
    let rig = Rig::new();
    rig.fill(20);
    let directory = format!("clamd.database_directory={}", rig.clamd.database().display());
    let known = ["--set", &directory, "--set", "verdicts.recheck_within=3650d"];
    eventually("all verdicts to be remembered", || {
        Ok((files(&rig.scan(0, &known), "remembered") == 20).then_some(()))
    })
    .unwrap();
    rig.clamd.reload_with("Test.More", b"SOMETHING-ELSE").unwrap();
    let report = rig.scan(0, &known);
    is_whole(&report);
    let counted = ["clean", "remembered", "remembered_aged"].map(|end| files(&report, end));
    assert_eq!(counted, [0, 0, 20], "{report}");
    assert!(report["oldest_verdict"]["age_secs"].is_u64(), "{report}");
    let text = rig.run(&[&["scan", "tree"], &known[..]].concat()).assert_code(0);
    assert!(text.stdout().contains("clean by older signatures"), "{text}");
    assert_eq!(files(&rig.scan(0, &[&known[..], &["--fresh"]].concat()), "clean"), 20);
}

#[test]
fn malware_is_deleted_only_where_that_is_asked_for_by_name() {
    let rig = Rig::new();
    rig.fill(3);
    rig.infect("eicar");
    rig.scan(1, &[]);
    assert!(rig.tree().join("eicar").exists());
    let report = rig.scan(1, &["--action", "delete"]);
    is_whole(&report);
    assert_eq!(report["detections"][0]["outcome"], "deleted", "{report}");
    assert!(!rig.tree().join("eicar").exists() && rig.tree().join("d0/f0").exists());
    let kept = rig.run(&["quarantine", "list", "--output", "json"]).success().unwrap();
    assert!(!kept.stdout().contains("eicar"), "{kept}");
}

#[test]
fn a_clamd_that_is_killed_and_comes_back_costs_a_scan_nothing_but_time() {
    let mut rig = Rig::new();
    rig.fill(3_000);
    rig.infect("d3/eicar");
    let scan = rig.start(&["scan", "tree", "--no-memory", "--output", "json", "-v"]);
    scan.wait_for_text("clamd answers").unwrap();
    for _ in 0..2 {
        rig.clamd.kill_hard().unwrap();
        rig.clamd.restart().unwrap();
    }
    let (status, report) = ended(scan);
    assert_eq!(status, 1, "{report}");
    is_whole(&report);
    assert_eq!(
        (
            files(&report, "clean"),
            files(&report, "infected"),
            files(&report, "failed")
        ),
        (3_000, 1, 0)
    );
}

#[test]
fn whoever_hangs_up_in_clamd_s_place_costs_no_file_its_verdict() {
    let mut rig = Rig::new();
    rig.fill(2_000);
    rig.infect("d3/eicar");
    // As a forwarder of ports does it whose daemon is away.
    let proxy = ClamdProxy::start(&rig.clamd).unwrap();
    for endpoint in [
        format!("clamd.endpoint=unix:{}", proxy.socket().display()),
        format!("clamd.endpoint=tcp:{}", proxy.tcp()),
    ] {
        let args = [
            "scan",
            "tree",
            "--no-memory",
            "--output",
            "json",
            "-v",
            "--set",
            &endpoint,
        ];
        let scan = rig.start(&args);
        scan.wait_for_text("clamd answers").unwrap();
        rig.clamd.kill_hard().unwrap();
        scan.wait_for_text("clamd is away").unwrap();
        rig.clamd.restart().unwrap();
        let (status, report) = ended(scan);
        assert_eq!(status, 1, "{report}");
        is_whole(&report);
        let counted = ["clean", "infected", "failed"].map(|end| files(&report, end));
        assert_eq!(counted, [2_000, 1, 0], "{report}");
    }
}

#[test]
fn a_clamd_that_stays_away_ends_a_scan_that_says_what_it_left() {
    let mut rig = Rig::new();
    rig.fill(3_000);
    let scan = rig.start(&[
        "scan",
        "tree",
        "--no-memory",
        "--output",
        "json",
        "-v",
        "--set",
        "clamd.outage=1s",
    ]);
    scan.wait_for_text("clamd answers").unwrap();
    rig.clamd.kill_hard().unwrap();
    let (status, report) = ended(scan);
    assert_eq!(status, 5, "{report}");
    is_whole(&report);
    assert!(files(&report, "failed") > 0 && report["stopped"] == true, "{report}");
    assert!(report["gave_up"].as_str().unwrap().contains("start clamd"), "{report}");
    let failures = report["failures"].as_array().unwrap();
    let is_true = |failure: &Value| !failure["reason"].as_str().unwrap().contains("nothing was scanned");
    assert!(failures.iter().all(is_true), "{report}");
    assert_eq!(files(&report, "infected"), 0);

    let never = rig.run(&["scan", "tree"]).assert_code(4);
    assert!(never.stderr().contains("nothing was scanned"), "{never}");
}

/// The exit code of a scan, and its report.
fn ended(scan: testkit::Daemon) -> (i32, Value) {
    let out = scan.stdout_file();
    let text = {
        let since = Instant::now();
        loop {
            let text = fs::read_to_string(&out).unwrap();
            if text.ends_with("}\n") {
                break text;
            }
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "no report: {:?}",
                scan.lines()
            );
            thread::yield_now();
        }
    };
    let report = serde_json::from_str(&text).unwrap();
    (scan.wait().unwrap().code().unwrap(), report)
}

#[test]
fn a_clamd_that_is_reached_by_tcp_gets_streams_and_none_too_long() {
    let rig = Rig::with(ClamdOptions {
        stream_max: 1 << 20,
        ..ClamdOptions::default()
    });
    rig.fill(30);
    rig.infect("eicar");
    rig.write("long", &vec![b'x'; (1 << 20) + 1]);
    let endpoint = format!("clamd.endpoint=tcp:{}", rig.clamd.tcp());
    let report = rig.scan(1, &["--set", &endpoint, "--set", "clamd.stream_max_length=1MB"]);
    is_whole(&report);
    let counted = ["clean", "infected", "over_limit", "failed"].map(|end| files(&report, end));
    assert_eq!(counted, [30, 1, 1, 0], "{report}");
}

#[test]
fn files_are_named_themselves_too_and_what_is_not_there_is_said() {
    let rig = Rig::new();
    rig.infect("eicar");
    rig.write("fine", b"harmless");
    let report = rig
        .run(&["scan", "tree/eicar", "tree/fine", "--output", "json"])
        .assert_code(1);
    let report: Value = report.json().unwrap();
    assert_eq!(
        (files(&report, "infected"), files(&report, "clean")),
        (1, 1),
        "{report}"
    );
    is_whole(&report);
    let partly = rig.run(&["scan", "tree/fine", "nowhere"]).assert_code(5);
    assert!(partly.stdout().contains("nowhere: not there"), "{partly}");
    rig.run(&["scan", "nowhere"]).assert_code(4);
    let both = rig.run(&["scan", "tree", "tree/sub"]);
    assert_eq!(both.code(), Some(4), "{both}");
}

#[test]
fn a_scan_finds_out_itself_up_to_which_length_clamd_looks_at_files() {
    let rig = Rig::with(ClamdOptions {
        max_file_size: 2 << 20,
        ..ClamdOptions::default()
    });
    rig.fill(3);
    rig.write("unseen", &[MARKER, &vec![b' '; 3 << 20]].concat());
    let report = rig.scan(0, &[]);
    is_whole(&report);
    let counted = ["clean", "infected", "over_limit"].map(|end| files(&report, end));
    assert_eq!(counted, [3, 0, 1], "{report}");
    let walked = rig.run(&["scan", "tree"]).assert_code(0);
    assert!(walked.stdout().contains("tree/unseen: over a limit"), "{walked}");
    assert!(walked.stderr().contains("clamd looks at less"), "{walked}");
    // Nobody knows what is in the one file that was asked about.
    rig.run(&["scan", "tree/unseen"]).assert_code(5);
    rig.run(&["scan", "tree/unseen", "tree", "--max-file-size", "1MB"])
        .assert_code(5);
}

#[test]
fn a_file_that_is_named_with_its_directory_is_one() {
    let rig = Rig::new();
    rig.write("fine", b"harmless");
    rig.write("other", b"harmless, too");
    let args = ["scan", "tree/fine", "tree/fine", "tree", "--output", "json"];
    let report: Value = rig.run(&args).assert_code(0).json().unwrap();
    is_whole(&report);
    assert_eq!(report["met"]["files"], 2, "{report}");
}
