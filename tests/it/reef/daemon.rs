//! `reef-agent run`: rules when they are due, files as they are written, and nothing lost when it or clamd is killed.
use super::rig::Rig;
use e2e::{Signal, SmallDisk, end, health_address, http, wait_health};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, net::TcpListener, sync::mpsc, thread};
use testkit::{Daemon, GUARD, eventually, http_get};

/// Each second.
const ALWAYS: &str = "schedule = { when = \"* * * * * *\" }\n";

fn detections(rig: &Rig) -> Vec<Value> {
    rig.json(&["detections"]).as_array().unwrap().clone()
}

/// Waits for so many detections; no more of them come than that.
fn until_found(rig: &Rig, count: usize) -> Vec<Value> {
    let found = eventually("detections", || {
        Ok(Some(detections(rig)).filter(|found| found.len() >= count))
    });
    let found = found.unwrap();
    assert_eq!(found.len(), count, "{found:?}");
    found
}

fn metric(daemon: &Daemon, series: &str) -> Option<f64> {
    let answer = http_get(health_address(daemon).unwrap(), "/metrics").unwrap();
    let mut lines = answer.body.lines().filter(|line| line.starts_with(series));
    lines.next()?.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn a_rule_is_gone_through_when_it_is_due_and_malware_is_told_and_taken_away() {
    let rig = Rig::new();
    rig.fill(20);
    rig.infect("sub/bad.com");
    rig.configure(ALWAYS);
    let daemon = rig.daemon();
    let line = daemon.wait_for_text("malware was found and quarantined").unwrap();
    assert!(line.contains("bad.com") && line.contains("rule=tree"), "{line}");
    let found = until_found(&rig, 1).remove(0);
    assert_eq!(found["path"], rig.tree().join("sub/bad.com").to_str().unwrap());
    for key in ["sha256", "owner", "rule", "time", "scan", "engine", "quarantine_id"] {
        assert!(found[key].is_string(), "{key}: {found}");
    }
    assert!(!rig.tree().join("sub/bad.com").exists());
    let again = eventually("another scan", || {
        let scans = rig.json(&["history"]);
        let done = |scan: &&Value| scan["ended"]["account"]["remembered"]["files"] == 20;
        Ok(scans.as_array().unwrap().iter().find(done).cloned())
    });
    assert_eq!(again.unwrap()["ended"]["status"], "completed");
    assert_eq!(
        metric(&daemon, r#"clamav_threats_detected_total{rule="tree""#),
        Some(1.0)
    );
    assert_eq!(metric(&daemon, "clamav_quarantine_items"), Some(1.0));
    let status = rig.json(&["status"]);
    assert_eq!(status["clamd"]["is_up"], true, "{status}");
    assert!(status["rules"][0]["next"].is_string(), "{status}");
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn what_was_written_down_can_be_read_while_the_configuration_has_a_mistake() {
    let rig = Rig::new();
    rig.infect("bad.com");
    rig.configure(ALWAYS);
    let daemon = rig.daemon();
    let found = until_found(&rig, 1).remove(0);
    // The agent goes on by what was right.
    rig.configure(&format!("{ALWAYS}[watch]\ndebounce = \"soon\"\n"));
    daemon.wait_for_text("the new configuration is not valid").unwrap();
    for command in [&["status"][..], &["history"], &["detections"], &["quarantine", "list"]] {
        let looked = rig.configured(command).run().unwrap().success().unwrap();
        let told = looked.stderr();
        assert!(
            told.contains("the configuration is not valid")
                && told.contains("reef.toml:")
                && told.contains("watch.debounce"),
            "{command:?}: {told}"
        );
    }
    assert_eq!(detections(&rig), [found]);
    assert_eq!(rig.json(&["status"])["rules"][0]["rule"], "tree");
    // What does something is refused as before.
    rig.configured(&["rules", "run", "tree"]).run().unwrap().assert_code(3);
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn an_agent_without_a_rule_says_that_it_scans_nothing() {
    let rig = Rig::new();
    fs::write(rig.home().join("reef.toml"), "[health]\nenabled = true\nport = 0\n").unwrap();
    let checked = rig.configured(&["config", "check"]).run().unwrap().success().unwrap();
    assert!(checked.stdout().contains("warning: no rule is configured"), "{checked}");
    let daemon = rig.daemon();
    daemon.wait_for_text("no rule is configured").unwrap();
    wait_health(health_address(&daemon).unwrap(), "what is missing", |health| {
        let detail = health["scans"]["detail"].as_str()?;
        detail.contains("no rule is configured").then_some(())
    })
    .unwrap();
    let status = rig.configured(&["status"]).run().unwrap().assert_code(4);
    assert!(status.stdout().contains("no rule is configured"), "{status}");
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn what_is_written_in_a_watched_directory_is_judged_once() {
    let rig = Rig::new();
    let watched = rig.tree().join("in");
    fs::create_dir(&watched).unwrap();
    // It was there before anybody watched.
    rig.infect("in/before.com");
    rig.configure(&format!("[watch]\npaths = [\"{}\"]\n", watched.display()));
    let daemon = rig.daemon();
    until_found(&rig, 1);
    rig.infect("in/written.com");
    until_found(&rig, 2);
    rig.infect("in/new/directory/written.com");
    until_found(&rig, 3);
    rig.infect("elsewhere.com");
    fs::rename(rig.tree().join("elsewhere.com"), watched.join("moved.com")).unwrap();
    let found = until_found(&rig, 4);
    assert!(found.iter().all(|one| one["outcome"] == "quarantined"), "{found:?}");
    assert_eq!(
        metric(&daemon, r#"clamav_watch_latency_seconds_count{rule="tree""#),
        metric(&daemon, r#"clamav_watch_events_total{rule="tree""#)
    );
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn a_scan_that_is_killed_halfway_goes_on_and_tells_nothing_twice() {
    const FILES: usize = 300;
    let rig = Rig::new();
    rig.fill(FILES);
    rig.infect("d0/0.com");
    rig.configure(&format!("throttle = {{ max_files_per_second = 40 }}\n{ALWAYS}"));
    let daemon = rig.daemon();
    until_found(&rig, 1);
    // What was judged is written down by and by: a file that was met, or judged, is not yet remembered.
    let verdicts = rig.home().join("data/verdicts.db");
    eventually("a verdict that is written down", || {
        let connection = Connection::open_with_flags(&verdicts, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let count = connection.query_row("SELECT count(*) FROM verdict", [], |row| row.get::<_, i64>(0))?;
        Ok((count > 0).then_some(()))
    })
    .unwrap();
    daemon.kill_hard().unwrap();
    let cut = rig.json(&["history"]);
    assert_eq!(cut[0]["ended"], Value::Null, "{cut}");
    // It never becomes due again: what goes on was cut off.
    rig.configure("schedule = { when = \"0 0 29 2 *\" }\n");
    let daemon = rig.daemon();
    let whole = eventually("the rest", || {
        let scans = rig.json(&["history"]);
        Ok(Some(scans[0].clone()).filter(|scan| scan["ended"].is_object()))
    });
    let whole = whole.unwrap();
    assert_eq!(whole["cause"], "resume", "{whole}");
    let files = |end: &str| whole["ended"]["account"][end]["files"].as_u64().unwrap_or_default();
    assert_eq!(files("clean") + files("remembered"), FILES as u64, "{whole}");
    assert!(files("remembered") > 0, "what was judged before is remembered: {whole}");
    until_found(&rig, 1);
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn clamd_that_is_gone_is_said_and_what_was_due_is_scanned_when_it_is_back() {
    let mut rig = Rig::new();
    rig.infect("bad.com");
    rig.clamd.kill_hard().unwrap();
    rig.configure(&format!("{ALWAYS}[verdicts]\nmax_size = \"2MB\"\n"));
    let daemon = rig.daemon();
    let address = health_address(&daemon).unwrap();
    wait_health(address, "clamd away", |health| {
        (health["clamd"]["status"] == "unhealthy" && health["clamd"]["error"].is_string()).then_some(())
    })
    .unwrap();
    daemon.wait_for_text("the scan failed").unwrap();
    rig.clamd.restart().unwrap();
    until_found(&rig, 1);
    wait_health(address, "clamd back", |health| {
        (health["clamd"]["status"] == "healthy").then_some(())
    })
    .unwrap();
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn what_was_judged_while_clamd_did_not_detect_is_scanned_again_as_soon_as_it_does() {
    let rig = Rig::new();
    let watched = rig.tree().join("in");
    fs::create_dir(&watched).unwrap();
    // It never becomes due.
    rig.configure(&format!(
        "schedule = {{ when = \"0 0 29 2 *\" }}\n[watch]\npaths = [\"{}\"]\n",
        watched.display()
    ));
    for signatures in ["whole.hdb", "Shoal.Test.Eicar.ndb"] {
        fs::remove_file(rig.clamd.database().join(signatures)).unwrap();
    }
    rig.clamd.reload_with("Shoal.Test.Other", b"ANOTHER-BAD-THING").unwrap();
    rig.infect("bad.com");
    rig.configured(&["run", "--once"]).run().unwrap().assert_code(5);
    let history = rig.json(&["history"]);
    let ended = &history[0]["ended"];
    assert_eq!(
        (&ended["status"], &ended["account"]["clean"]),
        (&json!("partial"), &Value::Null),
        "{history}"
    );
    assert!(
        ended["error"]
            .as_str()
            .unwrap()
            .contains("did not detect the test file"),
        "{history}"
    );
    let daemon = rig.daemon();
    let address = health_address(&daemon).unwrap();
    wait_health(address, "blind", |health| {
        (health["clamd"]["canary"]["result"] == "missed").then_some(())
    })
    .unwrap();
    daemon.wait_for_text("watched from now on").unwrap();
    rig.infect("in/written.com");
    let judged = r#"clamav_watch_latency_seconds_count{rule="tree""#;
    eventually("it was judged", || {
        Ok(metric(&daemon, judged).filter(|files| *files >= 1.0))
    })
    .unwrap();
    assert!(detections(&rig).is_empty());
    let status = rig
        .configured(&["status", "--output", "json"])
        .run()
        .unwrap()
        .assert_code(4);
    let status: Value = status.json().unwrap();
    assert_eq!(
        (&status["is_running"], &status["clamd"]["detects"]),
        (&json!(true), &json!(false))
    );
    let status = rig.configured(&["status"]).run().unwrap().assert_code(4);
    assert!(status.stdout().contains("does NOT DETECT"), "{status}");
    rig.clamd.reload_with("Shoal.Test.Eicar", &testkit::eicar()).unwrap();
    until_found(&rig, 2);
    // By the rule, and what is watched by itself: once when it was begun with, and once for what was written meanwhile.
    eventually("both are scanned again", || {
        let scans = rig.json(&["history"]);
        let of = |cause: &str| {
            let scans = scans.as_array().unwrap().iter();
            scans
                .filter(|scan| scan["cause"] == cause && scan["ended"].is_object())
                .count()
        };
        Ok((of("catch_up") == 1 && of("watch") == 2).then_some(()))
    })
    .unwrap();
    assert_eq!(rig.json(&["status"])["clamd"]["detects"], true);
    end(daemon, Signal::TERM).unwrap();
    rig.configured(&["status"]).run().unwrap().assert_code(4);
}

#[test]
fn a_changed_configuration_takes_effect_without_a_restart() {
    let rig = Rig::new();
    rig.infect("bad.com");
    rig.configure("");
    let daemon = rig.daemon();
    assert_eq!(rig.json(&["status"])["rules"][0]["next"], Value::Null);
    rig.configure(&format!("{ALWAYS}[watch]\npaths = [\"{}\"]\n", rig.tree().display()));
    daemon.wait_for_text("the configuration was loaded anew").unwrap();
    until_found(&rig, 1);
    rig.infect("worse.com");
    until_found(&rig, 2);
    // One that is wrong is said, and changes nothing.
    rig.configure("schedule = { when = \"61 * * * *\" }\n");
    let line = daemon.wait_for_text("the running one stays").unwrap();
    assert!(line.contains("61"), "{line}");
    rig.infect("worst.com");
    daemon.wait_for_text("worst.com").unwrap();
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn a_run_that_ends_by_itself_tells_the_webhook_and_exits_by_what_it_found() {
    let rig = Rig::new();
    rig.fill(3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.configure(&format!(
        "[webhook]\nurl = \"http://{}/hook\"\n",
        listener.local_addr().unwrap()
    ));
    let (sender, posted) = mpsc::channel();
    // It ends with the test's process where nothing comes.
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            if let Ok(Some(request)) = http::Request::read(&mut stream) {
                http::answer(&mut stream, 200, &json!({})).unwrap();
                sender.send(request.json().unwrap()).unwrap();
            }
        }
    });
    rig.configured(&["run", "--once"]).run().unwrap().assert_code(0);
    rig.infect("bad.com");
    let ended = rig.configured(&["run", "--once"]).run().unwrap().assert_code(1);
    assert!(ended.stdout().contains("tree:"), "{ended}");
    let told = posted.recv_timeout(GUARD).unwrap();
    assert!(told.to_string().contains("bad.com"), "{told}");
    // What cannot be scanned is no success.
    let nothing = rig.configured(&["run", "--once", "--set", "clamd.endpoint=unix:/nowhere/clamd.ctl"]);
    let nothing = nothing.run().unwrap().assert_code(4);
    assert!(nothing.stderr().contains("clamd"), "{nothing}");
    let history = rig.json(&["history"]);
    assert_eq!(history[0]["ended"]["status"], "failed", "{history}");
}

#[test]
fn an_agent_that_is_ended_in_the_middle_of_a_scan_ends_well() {
    let rig = Rig::new();
    rig.fill(300);
    rig.configure(&format!("throttle = {{ max_files_per_second = 10 }}\n{ALWAYS}"));
    let daemon = rig.daemon();
    eventually("some of it", || {
        Ok(metric(&daemon, "clamav_scan_files{rule=\"tree\"").filter(|files| *files > 10.0))
    })
    .unwrap();
    end(daemon, Signal::TERM).unwrap();
    let cut = rig.json(&["history"]);
    assert_eq!(cut[0]["ended"], Value::Null, "{cut}");
}

#[test]
fn what_is_found_by_hand_is_told_by_the_agent_that_runs() {
    let rig = Rig::new();
    rig.infect("bad.com");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.configure(&format!(
        "[webhook]\nurl = \"http://{}/hook\"\n",
        listener.local_addr().unwrap()
    ));
    assert!(
        rig.configured(&["status"])
            .run()
            .unwrap()
            .stderr()
            .contains("reef-agent run")
    );
    let daemon = rig.daemon();
    assert_eq!(rig.json(&["status"])["is_running"], true);
    rig.configured(&["rules", "run", "tree"]).run().unwrap().assert_code(1);
    let (mut stream, _) = listener.accept().unwrap();
    let request = http::Request::read(&mut stream).unwrap().unwrap();
    http::answer(&mut stream, 200, &json!({})).unwrap();
    assert!(request.json().unwrap().to_string().contains("bad.com"), "{request:?}");
    until_found(&rig, 1);
    let history = rig.json(&["history"]);
    assert_eq!(
        (&history[0]["cause"], &history[0]["ended"]["detections"]),
        (&json!("local"), &json!(1)),
        "{history}"
    );
    end(daemon, Signal::TERM).unwrap();
    let status = rig.configured(&["status"]).run().unwrap().assert_code(4);
    assert!(status.stdout().contains("NOT running"), "{status}");
}

#[test]
fn a_full_disk_silences_nobody_and_what_was_found_meanwhile_is_written_down_later() {
    let rig = Rig::new();
    let Some(disk) = SmallDisk::mount(&rig.home().join("data"), "8m").unwrap() else {
        return;
    };
    rig.configure(&format!("{ALWAYS}[watch]\npaths = [\"{}\"]\n", rig.tree().display()));
    let daemon = rig.daemon();
    disk.fill().unwrap();
    for n in 0..20 {
        rig.infect(format!("n{n}.com"));
    }
    for n in 0..20 {
        daemon.wait_for_text(&format!("n{n}.com")).unwrap();
    }
    let address = health_address(&daemon).unwrap();
    wait_health(address, "that it cannot be written down", |health| {
        (health["detections"]["status"] == "unhealthy" && health["status"] == "unhealthy").then_some(())
    })
    .unwrap();
    disk.make_room().unwrap();
    eventually("all of it written down", || {
        let found = detections(&rig);
        let paths: BTreeSet<&str> = found.iter().filter_map(|one| one["path"].as_str()).collect();
        Ok((paths.len() == 20).then_some(()))
    })
    .unwrap();
    wait_health(address, "that it can", |health| {
        (health["detections"]["status"] == "healthy").then_some(())
    })
    .unwrap();
    end(daemon, Signal::TERM).unwrap();
    drop(disk);
}
