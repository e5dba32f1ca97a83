//! Commands on their way: cancelled halfway, too late, delivered twice; and how far they are.
use e2e::{Fleet, LaterController, Scanner, envelope};
use serde_json::{Value, json};
use std::fs;
use testkit::{Daemon, Program, eventually};

/// Files in directories of their own, so that one that takes for ever keeps up one walking thread alone.
const FILES: usize = 40;

fn start(scanner: &Scanner, more: &[&str]) -> Daemon {
    let daemon = scanner.start(more).unwrap();
    daemon.wait_for_text("linked with the controller").unwrap();
    daemon
}

/// What became of a command at its one agent.
fn delivery(fleet: &Fleet, command: &str) -> Value {
    fleet.json(&["commands", "show", command]).unwrap()["deliveries"][0].take()
}

#[test]
fn a_scan_tells_how_far_it_is_and_is_cancelled_halfway_and_the_next_goes_on() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "halfway", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = start(&scanner, &["scanner.change_detection=hash", "scanner.worker_count=2"]);
    fleet.until_told("halfway", 1).unwrap();
    for n in 0..FILES {
        let directory = scanner.tree().join(format!("directory-{n}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), "x").unwrap();
    }
    // To read it all takes far longer than anybody waits, and it takes no space.
    let endless = scanner.tree().join("directory-0/endless");
    fs::File::create(&endless).unwrap().set_len(1 << 40).unwrap();

    let waits = Program::named("fleet-controller")
        .unwrap()
        .args(["commands", "send", "scan", "--to", "halfway", "--wait"])
        .home(fleet.home())
        .start()
        .unwrap();
    let command = waits
        .wait_for("its id", |line| line.strip_prefix("command ").map(str::to_owned))
        .unwrap();
    let shown = waits
        .wait_for("how far it is", |line| {
            let (done, _) = line.split_once("running, ")?.1.split_once(' ')?;
            done.parse::<usize>().ok().filter(|done| *done >= FILES)
        })
        .unwrap();
    // The first file and those of the directories; the endless one is looked at or not yet counted.
    assert!(shown <= FILES + 2, "{shown}");
    let running = delivery(&fleet, &command);
    assert_eq!(running["state"], "running", "{running}");
    assert!(
        running["progress"]["done"].as_u64().unwrap() >= FILES as u64,
        "{running}"
    );

    fleet
        .client(&["commands", "cancel", &command])
        .unwrap()
        .success()
        .unwrap();
    let ended = waits.wait().unwrap();
    assert_eq!(ended.code(), Some(1), "whoever waited is told that it was not done");
    let cancelled = delivery(&fleet, &command);
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    assert!(cancelled["started_at"].is_string(), "{cancelled}");

    // The agent goes on, and what the cancelled scan had not come to is found by the next.
    fs::File::create(&endless).unwrap();
    fleet
        .client(&["commands", "send", "scan", "--to", "halfway", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    fleet.until_told("halfway", FILES + 2).unwrap();
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn a_command_whose_deadline_passes_while_the_agent_is_away_is_never_run() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "late", "").unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = start(&scanner, &[]);
    fleet.until_told("late", 1).unwrap();
    scanner.until_scans(1).unwrap();
    assert!(daemon.stop().unwrap().success());
    let before = scanner.scans().unwrap();

    let sent = fleet
        .json(&["commands", "send", "scan", "--to", "late", "--deadline", "1s"])
        .unwrap();
    let command = sent["id"].as_str().unwrap();
    assert_eq!(sent["deliveries"][0]["state"], "queued", "{sent}");
    eventually("an end of the command", || {
        Ok((delivery(&fleet, command)["state"] == "expired").then_some(()))
    })
    .unwrap();
    let listed = fleet.json(&["commands", "list", "--open"]).unwrap();
    assert_eq!(listed, json!([]), "it is over");

    fs::write(scanner.tree().join("second"), "x").unwrap();
    let daemon = start(&scanner, &[]);
    // What is sent now comes after whatever was waiting.
    fleet
        .client(&["commands", "send", "stop", "--to", "late", "--wait"])
        .unwrap()
        .success()
        .unwrap();
    let expired = delivery(&fleet, command);
    assert_eq!(
        (&expired["state"], &expired["started_at"]),
        (&json!("expired"), &Value::Null),
        "{expired}"
    );
    assert!(daemon.stop().unwrap().success());
    assert_eq!(scanner.scans().unwrap(), before, "nothing was scanned after its return");
    assert_eq!(fleet.paths("late").unwrap().len(), 1);
}

#[test]
fn arguments_that_no_agent_takes_are_refused_before_anything_is_sent() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "whole", "").unwrap();
    scanner.round(0).unwrap();
    let refused = fleet
        .client(&[
            "commands",
            "send",
            "scan",
            "--to",
            "whole",
            "--arg",
            r#"paths=["/srv"]"#,
        ])
        .unwrap();
    assert_ne!(refused.code(), Some(0), "{refused}");
    assert!(refused.stderr().contains("`paths`"), "{refused}");
    assert_eq!(fleet.json(&["commands", "list"]).unwrap(), json!([]));
}

#[test]
fn a_command_that_is_delivered_twice_runs_once() {
    let controller = LaterController::start(true).unwrap();
    let home = tempfile::Builder::new().prefix("shoal-e2e-").tempdir().unwrap();
    let scanner = Scanner::alone(home.path(), "twice", &controller.url()).unwrap();
    let daemon = scanner
        .program(&["run", "--set", "scanner.scan_interval=6h"])
        .unwrap()
        .start()
        .unwrap();
    let mut agent = controller.peer().unwrap();
    agent.wait_for("HELLO").unwrap();
    agent.say("WELCOME", &crate::versions::welcome()).unwrap();
    // The first scan is that of the start.
    scanner.until_scans(1).unwrap();
    let command = crate::versions::scan_command(1);
    let id = &command["command"];
    for _ in 0..2 {
        agent.say_raw(&envelope("COMMAND", 1, &command)).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(
            agent.wait_for("ACK").unwrap()["command"],
            *id,
            "each delivery is acknowledged"
        );
    }
    assert_eq!(agent.wait_for("RESULT").unwrap()["outcome"], "done");
    // Once more after it has ended: its result is told again, and nothing is done.
    agent.say("COMMAND", &command).unwrap();
    let again = agent.wait_for("RESULT").unwrap();
    assert_eq!((&again["command"], &again["outcome"]), (id, &json!("done")));
    agent.say("CONFIRM", &json!({"command": id})).unwrap();
    // What is sent last is done last.
    agent.say("COMMAND", &crate::versions::stop_command(2)).unwrap();
    agent.wait_for("RESULT").unwrap();
    assert_eq!(
        scanner.scans().unwrap(),
        2,
        "the first scan, and the one that was asked for"
    );
    assert!(daemon.stop().unwrap().success());
}
