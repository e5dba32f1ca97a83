//! One minor version apart: an agent of the next one at this controller, and this agent at a controller of the next one,
//! by socket and by polling. What the other does not know it says so, and everything else works.
use e2e::{Fleet, LaterController, Peer, Scanner, envelope, http, id_of};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr};
use testkit::eventually;

/// WELCOME of a controller of the next minor version.
pub(crate) fn welcome() -> Value {
    json!({"agent_id": "01900000-0000-7000-8000-00000000a9e7", "name": "next", "version": "0.99.0",
           "time": "2026-01-02T03:04:05Z", "heartbeat_secs": 3600, "telemetry_secs": 0, "max_message_bytes": 1 << 20,
           "epoch": 1, "shards": ["north", {"weight": 2}]})
}

pub(crate) fn scan_command(number: u8) -> Value {
    command("scan", number)
}

pub(crate) fn stop_command(number: u8) -> Value {
    command("stop", number)
}

/// A command of a controller of the next minor version.
fn command(verb: &str, number: u8) -> Value {
    json!({"command": format!("01900000-0000-7000-8000-0000000c0{number:03x}"), "verb": verb, "args": null,
           "deadline": "2999-01-01T00:00:00Z", "issued_at": "2026-01-02T03:04:05Z", "approved_by": ["somebody"]})
}

/// HELLO of an agent of the next minor version.
fn hello(instance: u8) -> Value {
    json!({"kind": "scanner", "version": "0.99.0", "hostname": "next", "verbs": ["scan", "stop", "dance"],
           "instance": format!("01900000-0000-7000-8000-0000000d0{instance:03x}"), "zone": {"name": "north"}})
}

fn heartbeat(records: u64) -> Value {
    json!({"status": "online", "version": "0.99.0", "outbox_records": records, "mood": "good"})
}

/// A fleet, and an agent of the next minor version that has enrolled.
fn enrolled() -> (Fleet, SocketAddr, String) {
    let fleet = Fleet::start().unwrap();
    let address = fleet.address().parse().unwrap();
    let request = json!({"join_token": fleet.join_token().unwrap(), "name": "next", "kind": "scanner", "hostname": "next",
                         "version": "0.99.0", "capabilities": ["files", "dances"], "zone": "north"});
    let (status, answer) = http::post(address, "/api/v1/agents/enroll", None, &request).unwrap();
    assert_eq!(status, 201, "{answer}");
    let key = answer["api_key"].as_str().unwrap().to_owned();
    (fleet, address, key)
}

/// Sends a command by the command line; gives its id.
fn send(fleet: &Fleet) -> Value {
    fleet.json(&["commands", "send", "scan", "--to", "next"]).unwrap()["id"].clone()
}

/// The result of an agent of the next minor version.
fn result(command: &Value) -> Value {
    json!({"command": command, "outcome": "done", "detail": "3 files", "body": {"files": 3},
           "ended_at": "2026-01-02T03:04:05Z", "cost": 7})
}

#[track_caller]
fn is_done(fleet: &Fleet, command: &Value) {
    let shown = fleet.json(&["commands", "show", command.as_str().unwrap()]).unwrap();
    let delivery = &shown["deliveries"][0];
    assert_eq!(
        (&delivery["state"], &delivery["result"]),
        (&json!("done"), &json!({"files": 3})),
        "{shown}"
    );
}

#[test]
fn an_agent_of_the_next_version_works_with_this_controller_by_socket() {
    let (fleet, address, key) = enrolled();
    let mut agent = Peer::connect(address, &key).unwrap();
    agent.say("HELLO", &hello(1)).unwrap();
    assert_eq!(agent.wait_for("WELCOME").unwrap()["name"], "next");

    let strange = agent.say("INVENTORY", &json!({"packages": ["a"]})).unwrap();
    let complaint = agent.wait_for("ERROR").unwrap();
    assert_eq!(
        (&complaint["code"], &complaint["about"]),
        (&json!("unknown_type"), &json!(strange))
    );
    let newer = envelope("HEARTBEAT", 2, &heartbeat(1));
    agent.say_raw(&newer).unwrap();
    let complaint = agent.wait_for("ERROR").unwrap();
    assert_eq!(
        (&complaint["code"], &complaint["about"]),
        (&json!("unknown_version"), &json!(id_of(&newer)))
    );

    // The same socket goes on.
    agent.say("HEARTBEAT", &heartbeat(7)).unwrap();
    eventually("a heartbeat at the controller", || {
        let shown = fleet.json(&["agents", "show", "next"])?;
        Ok((shown["health"]["outbox_records"] == 7).then_some(()))
    })
    .unwrap();
    let command = send(&fleet);
    assert_eq!(agent.wait_for("COMMAND").unwrap()["command"], command);
    agent.say("ACK", &json!({"command": command, "position": 1})).unwrap();
    let progress = json!({"command": command, "done": 1, "at": "2026-01-02T03:04:05Z", "phase": "walk"});
    agent.say("PROGRESS", &progress).unwrap();
    agent.say("RESULT", &result(&command)).unwrap();
    assert_eq!(agent.wait_for("CONFIRM").unwrap()["command"], command);
    is_done(&fleet, &command);
    let shown = fleet.json(&["agents", "show", "next"]).unwrap();
    assert_eq!(shown["version"], "0.99.0", "{shown}");
    assert!(shown["link"]["session"]["ended_at"].is_null(), "{shown}");
}

#[test]
fn an_agent_of_the_next_version_works_with_this_controller_by_polling() {
    let (fleet, address, key) = enrolled();
    let poll = |messages: Value| {
        let body = json!({"messages": messages, "batch": "of a later version"});
        let (status, answer) = http::post(address, "/api/v1/agents/me/messages", Some(&key), &body).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["messages"].as_array().unwrap().clone()
    };
    let of = |messages: &[Value], kind: &str| {
        let found = messages.iter().find(|message| message["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {messages:?}"))["payload"].clone()
    };
    let strange = envelope("INVENTORY", 1, &json!({"packages": ["a"]}));
    let said = poll(json!([
        envelope("HELLO", 1, &hello(1)),
        strange,
        envelope("HEARTBEAT", 1, &heartbeat(7))
    ]));
    assert_eq!(of(&said, "WELCOME")["name"], "next");
    let complaint = of(&said, "ERROR");
    assert_eq!(
        (&complaint["code"], &complaint["about"]),
        (&json!("unknown_type"), &json!(id_of(&strange)))
    );
    let shown = fleet.json(&["agents", "show", "next"]).unwrap();
    assert_eq!(
        shown["health"]["outbox_records"], 7,
        "what comes after the strange message is heard: {shown}"
    );

    let command = send(&fleet);
    assert_eq!(of(&poll(json!([])), "COMMAND")["command"], command);
    let ack = envelope("ACK", 1, &json!({"command": command, "position": 1}));
    let said = poll(json!([ack, envelope("RESULT", 1, &result(&command))]));
    assert_eq!(of(&said, "CONFIRM")["command"], command);
    is_done(&fleet, &command);
}

/// A scanner at a controller of the next minor version.
fn at(controller: &LaterController) -> (tempfile::TempDir, Scanner, testkit::Daemon) {
    let home = tempfile::Builder::new().prefix("shoal-e2e-").tempdir().unwrap();
    let scanner = Scanner::alone(home.path(), "next", &controller.url()).unwrap();
    fs::write(scanner.tree().join("first"), "x").unwrap();
    let daemon = scanner
        .program(&["run", "--set", "scanner.scan_interval=6h"])
        .unwrap()
        .start()
        .unwrap();
    wait_told(controller, "first");
    fs::write(scanner.tree().join("second"), "x").unwrap();
    (home, scanner, daemon)
}

fn wait_told(controller: &LaterController, name: &str) {
    eventually(name, || {
        Ok(controller.paths().iter().any(|path| path.ends_with(name)).then_some(()))
    })
    .unwrap();
}

#[test]
fn this_agent_works_with_a_controller_of_the_next_version_by_socket() {
    let controller = LaterController::start(true).unwrap();
    let (_home, _scanner, daemon) = at(&controller);
    let mut agent = controller.peer().unwrap();
    assert_eq!(agent.wait_for("HELLO").unwrap()["kind"], "scanner");
    agent.say("WELCOME", &welcome()).unwrap();

    let strange = agent.say("ROLLOUT", &json!({"wave": 1})).unwrap();
    let complaint = agent.wait_for("ERROR").unwrap();
    assert_eq!(
        (&complaint["code"], &complaint["about"]),
        (&json!("unknown_type"), &json!(strange))
    );
    let newer = envelope("THROTTLE", 2, &json!({"telemetry_secs": 1}));
    agent.say_raw(&newer).unwrap();
    let complaint = agent.wait_for("ERROR").unwrap();
    assert_eq!(
        (&complaint["code"], &complaint["about"]),
        (&json!("unknown_version"), &json!(id_of(&newer)))
    );

    // The same socket goes on.
    let command = scan_command(1);
    agent.say("COMMAND", &command).unwrap();
    assert_eq!(agent.wait_for("ACK").unwrap()["command"], command["command"]);
    let result = agent.wait_for("RESULT").unwrap();
    assert_eq!(
        (&result["outcome"], &result["body"]["created"]),
        (&json!("done"), &json!(1)),
        "{result}"
    );
    agent
        .say("CONFIRM", &json!({"command": command["command"], "stored": true}))
        .unwrap();
    wait_told(&controller, "second");
    assert_eq!(controller.upgrades(), 1, "no message cost the socket");
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn this_agent_works_with_a_controller_of_the_next_version_by_polling() {
    let controller = LaterController::start(false).unwrap();
    let (_home, _scanner, daemon) = at(&controller);
    let command = scan_command(1);
    let strange = envelope("ROLLOUT", 1, &json!({"wave": 1}));
    let first = controller.poll().unwrap();
    assert_eq!(first.said[0]["type"], "HELLO", "{:?}", first.said);
    let answer = [
        envelope("WELCOME", 1, &welcome()),
        strange.clone(),
        envelope("COMMAND", 1, &command),
    ];
    first.answer(&answer).unwrap();
    let mut said: Vec<Value> = Vec::new();
    let result = loop {
        let poll = controller.poll().unwrap();
        said.extend(poll.said.iter().cloned());
        poll.answer(&[]).unwrap();
        if let Some(result) = said.iter().find(|message| message["type"] == "RESULT") {
            break result["payload"].clone();
        }
    };
    assert_eq!(
        (&result["outcome"], &result["body"]["created"]),
        (&json!("done"), &json!(1)),
        "{result}"
    );
    let complaint = said.iter().find(|message| message["type"] == "ERROR").unwrap();
    assert_eq!(
        (&complaint["payload"]["code"], &complaint["payload"]["about"]),
        (&json!("unknown_type"), &json!(id_of(&strange)))
    );
    wait_told(&controller, "second");
    drop(controller);
    assert!(daemon.stop().unwrap().success());
}
