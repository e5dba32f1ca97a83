//! A scanner as one of a fleet: claimed, commanded, configured and renamed by its controller.
use e2e::{Fleet, Scanner, Signal, send};
use serde_json::Value;
use std::fs;
use testkit::{Daemon, eventually};

fn command(fleet: &Fleet, args: &[&str]) -> Value {
    fleet.json(&[&["commands"], args].concat()).unwrap()
}

/// Waits until the controller holds the agent's link for open.
fn linked(daemon: &Daemon) {
    daemon.wait_for_text("linked with the controller").unwrap();
}

#[test]
fn a_command_scans_now_and_its_result_comes_back() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "web", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = scanner.start(&[]).unwrap();
    fleet.until_told("web", 1).unwrap();
    fs::write(scanner.tree().join("second"), "x").unwrap();
    let sent = fleet
        .client(&["commands", "send", "scan", "--to", "web", "--wait", "--output", "json"])
        .unwrap()
        .success()
        .unwrap();
    assert!(
        sent.stdout().contains("\"created\":1") || sent.stdout().contains("\"created\": 1"),
        "{sent}"
    );
    fleet.until_told("web", 2).unwrap();
    // Nothing is scanned at this instant: there is nothing to stop, and that is no failure.
    fleet
        .client(&["commands", "send", "stop", "--to", "web", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    let list = command(&fleet, &["list"]);
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn an_agent_that_was_away_does_what_it_was_told_when_it_is_back() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "away", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = scanner.start(&[]).unwrap();
    fleet.until_told("away", 1).unwrap();
    assert!(daemon.stop().unwrap().success());
    fs::write(scanner.tree().join("second"), "x").unwrap();
    fleet
        .client(&["commands", "send", "scan", "--to", "away"])
        .unwrap()
        .success()
        .unwrap();
    let daemon = scanner.start(&[]).unwrap();
    fleet.until_told("away", 2).unwrap();
    eventually("a result", || {
        let list = fleet.json(&["commands", "list"])?.to_string();
        Ok(list.contains("done").then_some(()))
    })
    .unwrap();
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_restart_is_reported_by_the_process_that_comes_after() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "again", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = scanner.start(&[]).unwrap();
    fleet.until_told("again", 1).unwrap();
    linked(&daemon);
    fleet
        .client(&["commands", "send", "restart", "--to", "again", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    fs::write(scanner.tree().join("second"), "x").unwrap();
    fleet
        .client(&["commands", "send", "scan", "--to", "again", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    fleet.until_told("again", 2).unwrap();
    // The same process id: it took its own place.
    send(&daemon, Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_killed_agent_ends_its_scan_after_the_restart_and_the_command_with_it() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "killed", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let slow = || scanner.start(&["scanner.change_detection=hash"]).unwrap();
    let daemon = slow();
    fleet.until_told("killed", 1).unwrap();
    scanner.until_scans(1).unwrap();
    // A scan that cannot end by itself.
    let endless = scanner.tree().join("endless");
    fs::File::create(&endless).unwrap().set_len(1 << 40).unwrap();
    fleet
        .client(&["commands", "send", "scan", "--to", "killed"])
        .unwrap()
        .success()
        .unwrap();
    eventually("a command that runs", || {
        Ok(fleet
            .json(&["commands", "list"])?
            .to_string()
            .contains("running")
            .then_some(()))
    })
    .unwrap();
    daemon.kill_hard().unwrap();
    fs::File::create(&endless).unwrap();
    let daemon = slow();
    eventually("a command that is done", || {
        Ok(fleet
            .json(&["commands", "list"])?
            .to_string()
            .contains("done")
            .then_some(()))
    })
    .unwrap();
    fleet.until_told("killed", 2).unwrap();
    // The first one, and the one that went on from where the other was cut off.
    let scans = scanner.command(&["history", "--output", "json"]).unwrap();
    let scans = scans.success().unwrap().json().unwrap();
    let completed = scans
        .as_array()
        .unwrap()
        .iter()
        .filter(|scan| scan["status"] == "completed");
    assert_eq!(completed.count(), 2, "{scans}");
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn an_agent_without_a_token_is_claimed_by_its_code() {
    let fleet = Fleet::start().unwrap();
    let mut scanner = Scanner::new(&fleet, "claimed", "").unwrap();
    scanner.forget_token();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = scanner.start(&[]).unwrap();
    let code = daemon
        .wait_for("a code", |line| {
            let code = line.split("code=").nth(1)?.split_whitespace().next()?;
            Some(code.trim_matches('"').to_owned())
        })
        .unwrap();
    fleet.client(&["claim", &code]).unwrap().success().unwrap();
    fleet.until_told("claimed", 1).unwrap();
    fleet.client(&["claim", &code]).unwrap().assert_code(4);
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_configuration_of_the_controller_takes_effect_and_a_wrong_one_is_told() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "configured", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = scanner.start(&[]).unwrap();
    fleet.until_told("configured", 1).unwrap();
    let wish = fleet.home().join("wish.yaml");
    let set = |text: &str| {
        fs::write(&wish, text).unwrap();
        fleet
            .client(&["agent-config", "set", "configured", wish.to_str().unwrap()])
            .unwrap()
            .success()
            .unwrap()
    };
    set("scanner:\n  ignore_patterns: ['*.log']\n");
    daemon.wait_for_text("scanner.ignore_patterns").unwrap();
    fs::write(scanner.tree().join("a.log"), "x").unwrap();
    fs::write(scanner.tree().join("second"), "x").unwrap();
    fleet
        .client(&["commands", "send", "scan", "--to", "configured", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    fleet.until_told("configured", 2).unwrap();
    // What an agent never lets its controller do.
    set("server:\n  base_url: https://elsewhere.example\nscanner:\n  scan_paths: [/etc]\n");
    daemon.wait_for_text("the running one stays").unwrap();
    eventually("a report of the refusal", || {
        let shown = fleet.json(&["agent-config", "get", "configured"])?.to_string();
        Ok((shown.contains("refused") && shown.contains("server")).then_some(()))
    })
    .unwrap();
    // Whoever waits for the agent's answer hears it.
    let refused = ["agent-config", "set", "configured", wish.to_str().unwrap(), "--wait"];
    let refused = fleet.client(&refused).unwrap().assert_code(1);
    assert!(refused.stdout().contains("server"), "{refused}");
    fs::write(&wish, "scanner:\n  ignore_patterns: ['*.log']\n").unwrap();
    let applied = ["agent-config", "set", "configured", wish.to_str().unwrap(), "--wait"];
    let applied = fleet.client(&applied).unwrap().success().unwrap();
    assert!(applied.stdout().contains("applied"), "{applied}");
    let shown = scanner.command(&["config", "show", "--output", "json"]).unwrap();
    let shown = shown.success().unwrap().json().unwrap();
    let of_the_controller = |row: &&Value| row["key"] == "scanner.ignore_patterns";
    let row = shown.as_array().unwrap().iter().find(of_the_controller).unwrap();
    assert!(row["origin"].as_str().unwrap().contains("controller"), "{row}");
    // It holds without the controller, after a restart.
    assert!(daemon.stop().unwrap().success());
    let explained = scanner
        .command(&["explain", scanner.tree().join("a.log").to_str().unwrap()])
        .unwrap();
    assert!(explained.stdout().contains("*.log"), "{explained}");
}
