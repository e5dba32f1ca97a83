//! A scanner that speaks the file-scanner document's dialect, and takes its configuration and commands by it.
use e2e::{Fleet, Scanner, health_address};
use serde_json::{Value, json};
use std::fs;
use testkit::{Daemon, eventually, http_get};

/// A scanner in the document's dialect that scans only when it is told to. `more` goes to its configuration.
fn speaking(fleet: &Fleet, name: &str, more: &str) -> Scanner {
    let url = format!("{}\n  dialect: files-v1", fleet.url);
    let scanner = Scanner::with_token(fleet, name, &fleet.join_token().unwrap(), &url, more).unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    scanner
}

const HEALTH: [&str; 2] = ["health.enabled=true", "health.port=0"];

fn start(scanner: &Scanner) -> Daemon {
    scanner.start(&HEALTH).unwrap()
}

fn set(fleet: &Fleet, agent: &str, document: &Value) {
    let wish = fleet.home().join("wish.json");
    fs::write(&wish, document.to_string()).unwrap();
    let args = ["agent-config", "set", agent, wish.to_str().unwrap()];
    fleet.client(&args).unwrap().success().unwrap();
}

fn send(fleet: &Fleet, agent: &str, verb: &str) -> String {
    let sent = fleet.json(&["commands", "send", verb, "--to", agent]).unwrap();
    sent["id"].as_str().unwrap().to_owned()
}

fn health(daemon: &Daemon) -> Value {
    let answer = http_get(health_address(daemon).unwrap(), "/health").unwrap();
    serde_json::from_str(&answer.body).unwrap()
}

/// What the scanner runs with, of the section `scanner`.
fn shown(scanner: &Scanner, key: &str) -> String {
    let shown = scanner.command(&["config", "show", "--output", "json"]).unwrap();
    let shown = shown.success().unwrap().json().unwrap();
    let list = shown.as_array().unwrap().iter();
    let found = list.clone().find(|row| row["key"] == format!("scanner.{key}"));
    found.unwrap_or_else(|| panic!("no {key} in {shown}"))["value"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Waits until the server was asked anew for its commands.
fn until_asked_again(daemon: &Daemon) {
    let asked = || health(daemon)["link"]["commands"]["answered_at"].clone();
    let before = asked();
    eventually("another question", || Ok((asked() != before).then_some(()))).unwrap();
}

#[test]
fn what_an_operator_sets_takes_effect_and_holds_without_the_server() {
    let mut fleet = Fleet::start().unwrap();
    let scanner = speaking(&fleet, "doc", "");
    let daemon = start(&scanner);
    scanner.until_scans(1).unwrap();
    set(
        &fleet,
        "doc",
        &json!({"scanner": {"ignore_patterns": ["*.tmp"], "batch_size": 20}}),
    );
    let line = daemon.wait_for_text("the configuration was loaded anew").unwrap();
    for part in ["cause=controller", "scanner.batch_size", "scanner.ignore_patterns"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(
        !line.contains("scan_paths"),
        "its own scan paths come back to it: {line}"
    );

    // What this machine does not allow changes nothing, and is said in the log and in /health.
    let outside = fleet.home().join("outside");
    fs::create_dir(&outside).unwrap();
    set(
        &fleet,
        "doc",
        &json!({"scanner": {"scan_paths": [outside], "batch_size": 30}}),
    );
    daemon.wait_for_text("lies outside of what this machine lets").unwrap();
    let configuration = health(&daemon)["configuration"].clone();
    assert_eq!(configuration["status"], "degraded", "{configuration}");
    assert_eq!(shown(&scanner, "batch_size"), "20", "all of it or nothing");
    let refusals = || {
        let lines = daemon.lines();
        lines
            .iter()
            .filter(|line| line.contains("the running one stays"))
            .count()
    };
    until_asked_again(&daemon);
    until_asked_again(&daemon);
    assert_eq!(refusals(), 1, "it is said once, however often the server gives it");

    // The good one set anew: nothing is wrong any more.
    set(
        &fleet,
        "doc",
        &json!({"scanner": {"ignore_patterns": ["*.tmp"], "batch_size": 20}}),
    );
    eventually("a configuration that is well", || {
        Ok((health(&daemon)["configuration"]["status"] == "healthy").then_some(()))
    })
    .unwrap();

    // The server away at the start: the last good one holds.
    assert!(daemon.stop().unwrap().success());
    fleet.stop().unwrap();
    fs::write(scanner.tree().join("second.tmp"), "x").unwrap();
    fs::write(scanner.tree().join("third"), "x").unwrap();
    let daemon = scanner
        .start(&[&HEALTH[..], &["scanner.scan_interval=1s"]].concat())
        .unwrap();
    scanner.until_scans(2).unwrap();
    let known = scanner
        .command(&["query", "--output", "json"])
        .unwrap()
        .success()
        .unwrap();
    assert!(known.stdout().contains("third"), "{}", known.stdout());
    assert!(!known.stdout().contains("second.tmp"), "{}", known.stdout());

    // And it is withdrawn once the server is back and says so.
    fleet.restart().unwrap();
    fleet
        .client(&["agent-config", "withdraw", "doc"])
        .unwrap()
        .success()
        .unwrap();
    eventually("the local configuration", || {
        Ok((shown(&scanner, "batch_size") == "500").then_some(()))
    })
    .unwrap();
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn commands_run_once_and_end_as_unknown_at_their_deadline() {
    let fleet = Fleet::start().unwrap();
    let scanner = speaking(&fleet, "doc", "");
    let daemon = start(&scanner);
    scanner.until_scans(1).unwrap();
    let scan = send(&fleet, "doc", "scan");
    scanner.until_scans(2).unwrap();
    until_asked_again(&daemon);
    until_asked_again(&daemon);
    assert_eq!(scanner.scans().unwrap(), 2, "it is still listed and does not run again");
    let delivery = fleet.json(&["commands", "show", &scan]).unwrap()["deliveries"][0].take();
    assert_eq!(delivery["state"], "sent", "{delivery}");

    let short = fleet
        .json(&["commands", "send", "stop", "--to", "doc", "--deadline", "5s"])
        .unwrap();
    daemon
        .wait_for("the end of `stop`", |line| {
            (line.contains("a command ended") && line.contains(short["id"].as_str().unwrap())).then_some(())
        })
        .unwrap();
    eventually("its deadline", || {
        let shown = fleet
            .json(&["commands", "show", short["id"].as_str().unwrap()])
            .unwrap();
        let delivery = &shown["deliveries"][0];
        Ok((delivery["state"] == "unknown" && delivery["code"] == "not_told").then_some(()))
    })
    .unwrap();
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_restart_happens_once() {
    let fleet = Fleet::start().unwrap();
    let scanner = speaking(&fleet, "doc", "");
    let daemon = start(&scanner);
    scanner.until_scans(1).unwrap();
    let restart = send(&fleet, "doc", "restart");
    daemon
        .wait_for("the end of `restart`", |line| {
            (line.contains("a command ended") && line.contains(&restart)).then_some(())
        })
        .unwrap();
    let ups = || {
        daemon
            .lines()
            .iter()
            .filter(|line| line.contains("scanner is up"))
            .count()
    };
    assert_eq!(ups(), 2, "the end is told by the process that was started");
    // A scan that is asked for afterwards runs, and the restart that stands beside it in the list does not.
    send(&fleet, "doc", "scan");
    scanner.until_scans(2).unwrap();
    assert_eq!(ups(), 2);
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn the_scan_paths_of_this_machine_are_registered_anew_when_they_change() {
    let fleet = Fleet::start().unwrap();
    let scanner = speaking(&fleet, "doc", "");
    let daemon = start(&scanner);
    let until_registered = |paths: &Value| {
        eventually("the scan paths at the controller", || {
            let shown = fleet.json(&["agents", "show", "doc"]).ok();
            Ok(shown.filter(|shown| shown["scan_paths"] == *paths).map(drop))
        })
        .unwrap();
    };
    until_registered(&json!([scanner.tree()]));
    let other = scanner.home().join("other");
    fs::create_dir(&other).unwrap();
    let file = scanner.home().join("scanner.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let (tree, moved) = (scanner.tree(), other.display().to_string());
    fs::write(&file, text.replace(tree.to_str().unwrap(), &moved)).unwrap();
    until_registered(&json!([other]));
    until_asked_again(&daemon);
    let paths = shown(&scanner, "scan_paths");
    assert!(paths.contains(&moved), "what comes back is no wish: {paths}");
    let lines = daemon.lines();
    assert!(
        !lines.iter().any(|line| line.contains("the running one stays")),
        "{lines:?}"
    );
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_run_of_its_own_goes_by_the_server_s_configuration_too() {
    let fleet = Fleet::start().unwrap();
    let scanner = speaking(&fleet, "doc", "");
    scanner.round(0).unwrap();
    set(&fleet, "doc", &json!({"scanner": {"ignore_patterns": ["*.tmp"]}}));
    fs::write(scanner.tree().join("second.tmp"), "x").unwrap();
    fs::write(scanner.tree().join("third"), "x").unwrap();
    scanner.round(0).unwrap();
    let names: Vec<_> = fleet
        .paths("doc")
        .unwrap()
        .into_iter()
        .map(|path| String::from_utf8(path).unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["first", "third"]);
}
