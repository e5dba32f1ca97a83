//! `reef-agent doctor` on set-ups that are sound, and on such as are broken, each in its own way: what is wrong is found,
//! and the remedy named.
use super::rig::Rig;
use e2e::{Fleet, Signal, end};
use serde_json::Value;
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
};
use testkit::{ClamdOptions, Program, daily_database};

/// Runs the doctor; gives its findings and the exit code.
fn findings(rig: &Rig, more: &[&str]) -> (Vec<Value>, i32) {
    let args = [&["doctor", "--output", "jsonl"], more].concat();
    let output = rig.configured(&args).run().unwrap();
    (output.json_lines().unwrap(), output.code().unwrap())
}

/// The one finding of `check` with this verdict, whose finding and remedy hold these words; the exit code.
#[track_caller]
fn says(rig: &Rig, more: &[&str], verdict: &str, check: &str, words: [&str; 2]) -> i32 {
    let (findings, code) = findings(rig, more);
    let is_it = |finding: &&Value| finding["check"] == check && finding["verdict"] == verdict;
    let finding = findings.iter().find(is_it);
    let finding = finding.unwrap_or_else(|| panic!("no {verdict} of `{check}` in {findings:#?}"));
    for (key, word) in ["found", "remedy"].into_iter().zip(words) {
        let text = finding[key].as_str().unwrap_or_default();
        assert!(text.contains(word), "`{word}` is not in {finding:#}");
    }
    code
}

#[track_caller]
fn fails(rig: &Rig, more: &[&str], check: &str, words: [&str; 2]) {
    assert_eq!(says(rig, more, "failure", check, words), 4);
}

#[track_caller]
fn warns(rig: &Rig, more: &[&str], check: &str, words: [&str; 2]) {
    assert_eq!(says(rig, more, "warning", check, words), 0);
}

/// Everything below a directory, with modes and lengths.
fn listing(top: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut to_do = vec![top.to_owned()];
    while let Some(dir) = to_do.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let mode = metadata.permissions().mode();
            names.push(format!("{} {mode:o} {}", entry.path().display(), metadata.len()));
            if metadata.is_dir() {
                to_do.push(entry.path());
            }
        }
    }
    names.sort();
    names
}

fn fresh_rig() -> Rig {
    Rig::with(ClamdOptions {
        database_version: Some(27_815),
        ..ClamdOptions::default()
    })
}

#[test]
fn a_sound_set_up_is_said_to_be_before_and_while_the_agent_runs_and_nothing_is_left_behind() {
    let rig = fresh_rig();
    rig.fill(5);
    rig.configure(&format!("[watch]\npaths = [\"{}\"]\n", rig.tree().display()));
    let home = rig.tree().parent().unwrap().to_owned();
    let before = listing(&home);
    let (found, code) = findings(&rig, &[]);
    let wrong = |found: &[Value]| -> Vec<Value> {
        found
            .iter()
            .filter(|finding| finding["verdict"] == "failure")
            .cloned()
            .collect()
    };
    assert_eq!((wrong(&found), code), (vec![], 0));
    assert_eq!(listing(&home), before);
    for (check, word) in [
        ("clamd", "database 27815"),
        ("clamd transport", "Unix socket"),
        ("clamd load", "at most 2 threads"),
        ("clamd detects", "finds the harmless test file"),
        ("clamd limits", "100MB"),
        ("signatures", "hours old"),
        ("rule tree", "can be read"),
        ("removal", "can be taken away"),
        ("watches", "max_user_watches"),
        ("watch method", "inotify"),
        ("quarantine", "can be made"),
    ] {
        let fits = |finding: &&Value| finding["check"] == check && finding["verdict"] == "ok";
        let finding = found.iter().find(fits);
        let finding = finding.unwrap_or_else(|| panic!("`{check}` is not ok in {found:#?}"));
        assert!(finding["found"].as_str().unwrap().contains(word), "{finding:#}");
    }
    let daemon = rig.daemon();
    let (found, code) = findings(&rig, &[]);
    assert_eq!((wrong(&found), code), (vec![], 0));
    let other = found
        .iter()
        .find(|finding| finding["check"] == "other process")
        .unwrap();
    assert!(
        other["found"].as_str().unwrap().contains(&daemon.id().to_string()),
        "{other:#}"
    );
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn a_clamd_that_is_not_there_or_has_ended_or_is_none_is_told_apart() {
    let mut rig = fresh_rig();
    rig.configure("");
    let absent = ["--set", "clamd.endpoint=unix:/nowhere/clamd.ctl"];
    fails(
        &rig,
        &absent,
        "clamd",
        ["no socket at unix:/nowhere/clamd.ctl", "clamd"],
    );
    rig.clamd.kill_hard().unwrap();
    fails(
        &rig,
        &[],
        "clamd",
        ["clamd has ended", "systemctl restart clamav-daemon"],
    );
    let port = format!("clamd.endpoint=tcp:{}", rig.clamd.tcp());
    fails(&rig, &["--set", &port], "clamd", ["nobody listens", "TCPSocket"]);
    // Somebody else's socket, which answers with an end.
    let path = rig.tree().with_file_name("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answer = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 6];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"220 mail ready\0").unwrap();
    });
    let other = format!("clamd.endpoint=unix:{}", path.display());
    fails(&rig, &["--set", &other], "clamd", ["is no clamd", "LocalSocket"]);
    answer.join().unwrap();
}

#[test]
fn a_clamd_that_looks_at_less_than_is_said_fails_with_the_limit_to_write() {
    let rig = Rig::with(ClamdOptions {
        max_file_size: 10 << 20,
        ..ClamdOptions::default()
    });
    rig.configure("");
    fails(
        &rig,
        &[],
        "clamd limits",
        ["calls longer ones clean unread", "clamd.max_file_size = \"9MB\""],
    );
    // What the remedy says is a remedy.
    let (found, code) = findings(&rig, &["--set", "clamd.max_file_size=9MB"]);
    assert_eq!(code, 0, "{found:#?}");
}

#[test]
fn clamd_by_tcp_is_warned_of_and_tried_all_the_same() {
    let rig = fresh_rig();
    rig.configure("");
    let port = format!("clamd.endpoint=tcp:{}", rig.clamd.tcp());
    warns(&rig, &["--set", &port], "clamd transport", ["TCP", "Unix socket"]);
    assert_eq!(says(&rig, &["--set", &port], "ok", "clamd detects", ["finds", ""]), 0);
}

#[test]
fn signatures_that_are_old_or_lie_elsewhere_are_told() {
    let rig = fresh_rig();
    rig.configure("");
    fails(
        &rig,
        &["--set", "signatures.max_age=1ms"],
        "signatures",
        ["signatures.max_age", "freshclam"],
    );
    let database = format!("clamd.database_directory={}", rig.clamd.database().display());
    assert_eq!(
        says(&rig, &["--set", &database], "ok", "signature files", ["are seen", ""]),
        0
    );
    // Brought, and not loaded.
    fs::write(rig.clamd.database().join("daily.cud"), daily_database(27_816).unwrap()).unwrap();
    warns(
        &rig,
        &["--set", &database],
        "signature files",
        ["27816 lies in", "NotifyClamd"],
    );
    let missing = ["--set", "clamd.database_directory=/nowhere"];
    fails(&rig, &missing, "signature files", ["/nowhere", "DatabaseDirectory"]);
    // None that tells its age.
    let rig = Rig::new();
    rig.configure("");
    warns(
        &rig,
        &[],
        "signatures",
        ["no official database", "clamd.database_directory"],
    );
}

#[test]
fn a_path_that_is_missing_is_named_with_its_rule() {
    let rig = fresh_rig();
    rig.configure("");
    fs::remove_dir(rig.tree()).unwrap();
    fails(&rig, &[], "rule tree", ["is not there", "rule tree"]);
}

#[test]
fn a_quarantine_that_is_scanned_open_or_without_its_key_is_told() {
    let rig = fresh_rig();
    rig.infect("bad.com");
    rig.configure("");
    let below = format!("quarantine.path={}", rig.tree().join("q/store").display());
    warns(
        &rig,
        &["--set", &below],
        "quarantine place",
        ["which the rule tree scans", "\"/q/store\""],
    );
    // One that malware was taken to.
    rig.configured(&["rules", "run", "tree"]).run().unwrap().assert_code(1);
    let store = rig.tree().with_file_name("data").join("quarantine");
    assert_eq!(says(&rig, &[], "ok", "quarantine", ["holds 1 items", ""]), 0);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o750)).unwrap();
    warns(&rig, &[], "quarantine", ["mode 0750", "chmod 0700"]);
    assert_eq!(
        fs::metadata(&store).unwrap().permissions().mode() & 0o7777,
        0o750,
        "it is only looked at"
    );
    fs::remove_file(store.join("key")).unwrap();
    fails(&rig, &[], "quarantine key", ["none of the 1 items", "backup"]);
    assert!(!store.join("key").exists());
}

#[test]
fn without_a_configuration_or_with_one_that_is_wrong_it_still_says_what_there_is_to_say() {
    let rig = fresh_rig();
    // None at all.
    let output = rig.run(&["doctor", "--output", "jsonl"]).assert_code(0);
    let findings = output.json_lines().unwrap();
    let rules = findings.iter().find(|finding| finding["check"] == "rules").unwrap();
    assert_eq!(rules["verdict"], "warning", "{rules:#}");
    rig.configure("schedule = { when = \"61 * * * *\" }\n");
    fails(&rig, &[], "configuration", ["61", "config check"]);
}

#[test]
fn an_ordinary_user_is_told_what_he_may_not_do_and_how_he_may() {
    let rig = fresh_rig();
    rig.write("shut/file", b"x");
    rig.write("kept/file", b"x");
    rig.configure("");
    let home = rig.tree().parent().unwrap().to_owned();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (shut, kept) = (rig.tree().join("shut"), rig.tree().join("kept"));
    mode(&shut, 0o000);
    mode(&kept, 0o555);
    mode(&rig.clamd.socket(), 0o000);
    mode(&home, 0o777);
    mode(&rig.tree(), 0o777);
    // Root may do everything, so somebody else asks, with a copy: the build folder may lie where he may not look.
    let binary = testkit::binary("reef-agent").unwrap();
    let program = if fs::read_dir(&shut).is_ok() {
        let copy = home.join("reef-agent");
        fs::copy(&binary, &copy).unwrap();
        let program = Program::at("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        program.arg(copy)
    } else {
        Program::at(binary)
    };
    let args = [
        "doctor",
        "--config",
        "reef.toml",
        "--data-dir",
        "data",
        "--output",
        "jsonl",
    ];
    let output = program.args(args).home(&home).run().unwrap();
    mode(&shut, 0o755);
    mode(&kept, 0o755);
    let findings = output.assert_code(4).json_lines().unwrap();
    for (check, found, remedy) in [
        ("clamd", "may not connect to", "usermod -aG"),
        ("rule tree", "shut", "CAP_DAC_READ_SEARCH"),
        ("removal", "kept", "CAP_DAC_OVERRIDE"),
    ] {
        let is_it = |finding: &&Value| finding["check"] == check && finding["verdict"] == "failure";
        let finding = findings.iter().find(is_it);
        let finding = finding.unwrap_or_else(|| panic!("no failure of `{check}` in {findings:#?}"));
        assert!(finding["found"].as_str().unwrap().contains(found), "{finding:#}");
        assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{finding:#}");
    }
}

#[test]
fn a_clamd_that_answers_and_does_not_detect_fails() {
    let mut rig = fresh_rig();
    rig.configure("");
    for name in ["Shoal.Test.Eicar.ndb", "whole.hdb"] {
        fs::remove_file(rig.clamd.database().join(name)).unwrap();
    }
    rig.clamd.restart().unwrap();
    fails(&rig, &[], "clamd detects", ["clean", "freshclam"]);
    let not_tried = ["--set", "canary.enabled=false"];
    assert_eq!(
        says(&rig, &not_tried, "skipped", "clamd detects", ["canary.enabled", ""]),
        0
    );
}

#[test]
fn a_freshclam_that_runs_already_conflicts_with_a_schedule() {
    let rig = fresh_rig();
    rig.configure("");
    let program = rig.tree().with_file_name("freshclam");
    // It waits in the shell itself, so that its process bears the name of the file.
    fs::write(
        &program,
        "#!/bin/sh\nmkfifo \"$0.fifo\"\necho waiting\nread line < \"$0.fifo\"\n",
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let schedule = format!("signatures.freshclam={}", program.display());
    let scheduled = ["--set", schedule.as_str(), "--set", "signatures.schedule.when=@daily"];
    let service = Program::at(&program).arg("-d").home(rig.tree()).start().unwrap();
    service.wait_for_text("waiting").unwrap();
    warns(
        &rig,
        &scheduled,
        "freshclam",
        ["locks the other out", "signatures.schedule"],
    );
    service.kill_hard().unwrap();
    let missing = ["--set", "signatures.freshclam=/nowhere/freshclam"];
    fails(&rig, &missing, "freshclam", ["not there", "clamav-freshclam"]);
}

#[test]
fn an_agent_s_place_at_its_controller_is_looked_at_to_the_end() {
    let mut fleet = Fleet::start().unwrap();
    let rig = fresh_rig();
    rig.configure(&format!("[server]\nbase_url = \"http://{}\"\n", fleet.address()));
    fails(&rig, &[], "key", ["none yet", "REEF_JOIN_TOKEN"]);
    let token = fleet.join_token().unwrap();
    let once = rig.configured(&["run", "--once"]).env("REEF_JOIN_TOKEN", &token);
    once.run().unwrap().assert_code(0);
    assert_eq!(says(&rig, &[], "ok", "key", ["takes it", ""]), 0);
    assert_eq!(says(&rig, &[], "ok", "state", ["is sound", ""]), 0);
    fleet.stop().unwrap();
    fails(&rig, &[], "server connection", ["", "base_url"]);
}
