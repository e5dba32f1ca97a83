//! Keys of agents renewed while they work, and after every way in which that can be cut off.
use e2e::{Fleet, Scanner};
use serde_json::Value;
use std::{fs, path::PathBuf};
use testkit::eventually;

fn credentials(scanner: &Scanner) -> PathBuf {
    scanner.home().join("state/credentials.json")
}

fn key(scanner: &Scanner) -> String {
    let credentials: Value = serde_json::from_slice(&fs::read(credentials(scanner)).unwrap()).unwrap();
    credentials["api_key"].as_str().unwrap().to_owned()
}

fn ask(fleet: &Fleet, agent: &str) {
    fleet
        .client(&["agents", "rotate-key", agent])
        .unwrap()
        .success()
        .unwrap();
}

/// Waits until the controller holds the renewal for done.
fn is_renewed(fleet: &Fleet, agent: &str) {
    let mut last = Value::Null;
    let renewed = eventually("a renewed key", || {
        last = fleet.json(&["agents", "show", agent])?["key"].clone();
        let is_done = last["is_renewal_pending"] == false && last.get("renewal_asked_at").is_none();
        Ok(is_done.then_some(()))
    });
    renewed.unwrap_or_else(|error| panic!("{error:#}: {last}"));
}

fn scan(fleet: &Fleet, agent: &str) {
    let sent = fleet
        .client(&["commands", "send", "scan", "--to", agent, "--wait"])
        .unwrap();
    sent.success().unwrap();
}

#[test]
fn a_key_is_renewed_while_the_agent_works_and_the_one_before_opens_nothing() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "web", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = scanner.start(&[]).unwrap();
    daemon.wait_for_text("linked with the controller").unwrap();
    fleet.until_told("web", 1).unwrap();
    let (old, old_file) = (key(&scanner), fs::read(credentials(&scanner)).unwrap());
    ask(&fleet, "web");
    is_renewed(&fleet, "web");
    let new = key(&scanner);
    assert_ne!(old, new);
    fs::write(scanner.tree().join("second"), "x").unwrap();
    scan(&fleet, "web");
    fleet.until_told("web", 2).unwrap();
    let said = fs::read_to_string(daemon.stderr_file()).unwrap();
    assert!(said.contains("key was renewed"), "{said}");
    assert!(!said.contains(&old) && !said.contains(&new), "no key is in the log");
    assert!(!said.contains("does not take"), "not one request was refused:\n{said}");
    assert!(daemon.stop().unwrap().success());

    let new_file = fs::read(credentials(&scanner)).unwrap();
    fs::write(credentials(&scanner), old_file).unwrap();
    fs::write(scanner.tree().join("third"), "x").unwrap();
    let refused = scanner.round(5).unwrap();
    assert!(
        refused.stderr().contains("does not take this agent's key"),
        "{}",
        refused.stderr()
    );
    fs::write(credentials(&scanner), new_file).unwrap();
    scanner.round(0).unwrap();
    fleet.until_told("web", 3).unwrap();
}

#[test]
fn a_run_of_one_round_renews_its_key_when_it_is_asked() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "cron", "").unwrap();
    scanner.round(0).unwrap();
    let old = key(&scanner);
    ask(&fleet, "cron");
    scanner.round(0).unwrap();
    assert_ne!(key(&scanner), old);
    scanner.round(0).unwrap();
    is_renewed(&fleet, "cron");
    let some = fleet
        .client(&["agents", "rotate-key", "nobody", "cron"])
        .unwrap()
        .assert_code(4);
    assert!(
        some.stderr().contains("there is no agent `nobody`"),
        "{}",
        some.stderr()
    );
    assert!(some.stderr().contains("cron is asked"), "{}", some.stderr());
}

#[test]
fn an_agent_that_is_killed_as_its_key_is_renewed_is_let_in_again() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "web", "").unwrap();
    let mut daemon = scanner.start(&[]).unwrap();
    daemon.wait_for_text("enrolled").unwrap();
    for round in 1..=6 {
        fs::write(scanner.tree().join(round.to_string()), "x").unwrap();
        let before = key(&scanner);
        ask(&fleet, "web");
        // At once, as soon as the new key is on disk, or when the agent says that it has it.
        match round % 3 {
            0 => {}
            1 => {
                let renewed = || Ok((key(&scanner) != before).then_some(()));
                eventually("another key on disk", renewed).unwrap();
            }
            _ => drop(daemon.wait_for_text("key was renewed").unwrap()),
        }
        daemon.kill_hard().unwrap();
        daemon = scanner.start(&[]).unwrap();
        is_renewed(&fleet, "web");
        scan(&fleet, "web");
        fleet.until_told("web", round).unwrap();
    }
    assert!(daemon.stop().unwrap().success());
}
