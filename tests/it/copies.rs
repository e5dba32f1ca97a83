//! A host that is copied with its agent becomes an agent of its own; one that is moved stays the one it was.
use e2e::{Fleet, Scanner};
use std::fs;
use testkit::{Daemon, eventually};

fn start(scanner: &Scanner) -> Daemon {
    let often = [
        "run",
        "--set",
        "scanner.scan_interval=6h",
        "--set",
        "agent.heartbeat_interval=1s",
    ];
    scanner.program(&often).unwrap().start().unwrap()
}

fn is_told(fleet: &Fleet, agent: &str, files: usize) {
    eventually("files at the controller", || {
        Ok(fleet.paths(agent).is_ok_and(|paths| paths.len() == files).then_some(()))
    })
    .unwrap();
}

/// An agent that has told a file, on a machine of its own; `None` where none can be made.
fn original(fleet: &Fleet) -> Option<Scanner> {
    let token = fleet
        .client(&["join-tokens", "create", "--uses", "2", "--output", "json"])
        .unwrap();
    let token = token.success().unwrap().json().unwrap()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut scanner = Scanner::with_token(fleet, "web", &token, &format!("http://{}", fleet.address()), "").unwrap();
    if !scanner.on_machine("00000000000000000000000000000001\n").unwrap() {
        return None;
    }
    fs::write(scanner.tree().join("of the original"), "x").unwrap();
    let daemon = start(&scanner);
    daemon.wait_for_text("linked with the controller").unwrap();
    is_told(fleet, "web", 1);
    assert!(daemon.stop().unwrap().success());
    Some(scanner)
}

#[test]
fn a_copied_host_joins_for_itself_and_tells_nothing_as_the_original() {
    let fleet = Fleet::start_set(&["agents.offline_after=3s", "agents.heartbeat=1s"]).unwrap();
    let Some(scanner) = original(&fleet) else { return };
    let mut copy = scanner.copied("copy").unwrap();
    assert!(copy.on_machine("00000000000000000000000000000002\n").unwrap());
    let daemon = start(&scanner);
    daemon.wait_for_text("linked with the controller").unwrap();

    // It scans what the original scans, and finds more there.
    fs::write(scanner.tree().join("of the copy"), "x").unwrap();
    let copied = start(&copy);
    copied.wait_for_text("this host is a copy").unwrap();
    copied.wait_for_text("linked with the controller").unwrap();
    let agents = fleet.json(&["agents"]).unwrap();
    let names: Vec<&str> = agents
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["name"].as_str().unwrap())
        .collect();
    assert!(
        names.len() == 2 && names[0] == "web" && names[1].starts_with("web-"),
        "{names:?}"
    );
    is_told(&fleet, names[1], 2);
    assert_eq!(
        fleet.paths("web").unwrap().len(),
        1,
        "the original told one, and the copy nothing in its name"
    );
    assert!(copy.home().join("state/credentials.json.copied").exists());
    assert!(copied.stop().unwrap().success());
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_moved_host_goes_on_as_the_agent_it_was() {
    let fleet = Fleet::start_set(&["agents.offline_after=1s"]).unwrap();
    let Some(mut scanner) = original(&fleet) else { return };
    // At once, while the controller may still think that the original is there: it is patient.
    scanner.on_machine("00000000000000000000000000000003\n").unwrap();
    let moved = start(&scanner);
    moved.wait_for_text("it was moved").unwrap();
    fs::write(scanner.tree().join("later"), "x").unwrap();
    fleet
        .client(&["commands", "send", "scan", "--to", "web", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    is_told(&fleet, "web", 2);
    assert!(moved.stop().unwrap().success());
    let again = start(&scanner);
    again.wait_for_text("linked with the controller").unwrap();
    assert!(
        !again.lines().iter().any(|line| line.contains("it was moved")),
        "it is known by now"
    );
    assert!(again.stop().unwrap().success());
}

#[test]
fn of_two_that_cannot_be_told_apart_one_speaks_and_the_other_keeps_what_it_found() {
    let fleet = Fleet::start_set(&["agents.offline_after=3s", "agents.heartbeat=1s"]).unwrap();
    let scanner = Scanner::new(&fleet, "web", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = start(&scanner);
    is_told(&fleet, "web", 1);
    assert!(daemon.stop().unwrap().success());
    let copy = scanner.copied("copy").unwrap();
    let often = [
        "run",
        "--set",
        "scanner.scan_interval=1s",
        "--set",
        "agent.heartbeat_interval=1s",
    ];
    let daemon = scanner.program(&often).unwrap().start().unwrap();
    daemon.wait_for_text("linked with the controller").unwrap();
    let copied = start(&copy);
    copied.wait_for_text("linked with the controller").unwrap();
    daemon.wait_for_text("one of the two is a copy").unwrap();

    fs::write(scanner.tree().join("second"), "x").unwrap();
    daemon.wait_for_text("\"files_new\":1").unwrap();
    assert_eq!(
        fleet.paths("web").unwrap().len(),
        1,
        "only the one that was let in speaks"
    );
    let shown = fleet.client(&["agents", "show", "web"]).unwrap().success().unwrap();
    assert!(shown.stdout().contains("a second one with its key"), "{shown}");
    assert!(copied.stop().unwrap().success());
    is_told(&fleet, "web", 2);
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_revoked_agent_says_how_it_joins_anew_and_does_not_by_itself() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "web", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = start(&scanner);
    is_told(&fleet, "web", 1);
    assert!(daemon.stop().unwrap().success());
    fleet.client(&["agents", "revoke", "web"]).unwrap().success().unwrap();
    let shown = fleet.client(&["agents", "show", "web"]).unwrap().success().unwrap();
    assert!(shown.stdout().contains("revoked"), "it is found by its name: {shown}");
    let token = fleet.join_token().unwrap();
    let anew = Scanner::with_token(&fleet, "web", &token, &fleet.url, "").unwrap();
    let daemon = start(&anew);
    daemon.wait_for_text("run `scanner leave --forget`").unwrap();
    assert!(daemon.stop().unwrap().success());
    anew.command(&["leave", "--forget"]).unwrap().success().unwrap();
    let daemon = start(&anew);
    daemon.wait_for_text("linked with the controller").unwrap();
    is_told(&fleet, "web", 1);
    assert!(daemon.stop().unwrap().success());
}
