//! Malware at the controller: what agents tell by the real route is listed, shown, acknowledged, counted and kept.
use e2e::{Fleet, http};
use serde_json::{Value, json};
use std::net::SocketAddr;
use testkit::{eventually, http_get};

const STREAM: &str = "0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e";
const FOUND: &str = "0190a5c1-0000-7000-8000-000000000001";
const SCAN: &str = "0190a5c1-0000-7000-8000-000000000009";

/// An agent of a program that is none of ours: it joins and tells by the routes alone.
pub(crate) struct Teller {
    address: SocketAddr,
    key: String,
    said: u64,
}

impl Teller {
    pub(crate) fn join(fleet: &Fleet, name: &str, kind: &str) -> Self {
        let address = fleet.address().parse().unwrap();
        let request = json!({
            "join_token": fleet.join_token().unwrap(), "name": name, "kind": kind, "hostname": "host",
            "version": "0.1.0", "capabilities": ["malware"],
        });
        let (status, answer) = http::post(address, "/api/v1/agents/enroll", None, &request).unwrap();
        assert_eq!(status, 201, "{answer}");
        Self {
            address,
            key: answer["api_key"].as_str().unwrap().to_owned(),
            said: 0,
        }
    }

    /// Tells records, each by kind, time and body; gives the answer.
    pub(crate) fn tell(&mut self, records: &[(&str, &str, Value)]) -> Value {
        let records: Vec<Value> = (self.said + 1..)
            .zip(records)
            .map(|(seq, (kind, time, body))| json!({"seq": seq, "kind": kind, "time": time, "body": body}))
            .collect();
        self.said += records.len() as u64;
        let batch = json!({"batch_id": STREAM, "stream": STREAM, "records": records});
        let (status, answer) = http::post(self.address, "/api/v1/ingest", Some(&self.key), &batch).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

pub(crate) fn found(id: &str, path: &str, outcome: &str) -> Value {
    json!({
        "id": id, "path": path, "signatures": ["Php.Shell-1"], "size": 68, "uid": 33, "owner": "www-data", "rule": "web",
        "scan": SCAN, "engine": "ClamAV 1.4.3/27815", "outcome": outcome, "quarantine_id": "q1",
        "sha256": "ab".repeat(32),
    })
}

pub(crate) fn scan_ended(id: &str) -> Value {
    json!({
        "id": id, "rule": "web", "cause": "schedule", "started_at": "2026-11-21T12:00:00Z",
        "ended_at": "2026-11-21T12:30:00Z", "status": "partial", "met": {"files": 3, "bytes": 70},
        "account": {"clean": {"files": 1, "bytes": 2}, "unreadable": {"files": 2, "bytes": 68}}, "unaccounted": 0,
        "detections": 1, "engine": "ClamAV 1.4.3/27815", "error": "2 files could not be read",
    })
}

fn text(fleet: &Fleet, args: &[&str]) -> String {
    fleet.client(args).unwrap().success().unwrap().stdout().into_owned()
}

#[test]
fn malware_is_told_shown_acknowledged_and_outlives_a_killed_controller() {
    let mut fleet = Fleet::start().unwrap();
    let mut agent = Teller::join(&fleet, "web-reef", "reef-agent");
    // It was brought back before anybody heard that it had been found, and its name would write into a terminal.
    let path = "/srv/a\u{1b}[31m\nb";
    let handled = json!({"detection": FOUND, "quarantine_id": "q1", "path": path, "outcome": "restored"});
    agent.tell(&[("malware.handled", "2026-11-21T12:10:00Z", handled)]);
    assert_eq!(fleet.json(&["detections"]).unwrap(), json!([]));
    let answer = agent.tell(&[
        (
            "malware.detected",
            "2026-11-21T12:05:00Z",
            found(FOUND, path, "quarantined"),
        ),
        ("malware.scan_ended", "2026-11-21T12:30:00Z", scan_ended(SCAN)),
        ("malware.dreamt", "2026-11-21T12:30:00Z", json!({})),
        ("malware.detected", "2026-11-21T12:30:00Z", json!({"id": FOUND})),
    ]);
    let refused: Vec<&str> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(refused, ["unknown_kind", "invalid_body"]);
    let line = fleet.daemon().unwrap().wait_for_text("malware was found").unwrap();
    for part in ["WARN", "web-reef", "Php.Shell-1", "quarantined", FOUND] {
        assert!(line.contains(part), "{part}: {line}");
    }

    fleet.kill().unwrap();
    fleet.restart().unwrap();
    let listed = fleet.json(&["detections", "--open", "--unacknowledged"]).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let one = &listed[0];
    assert_eq!(
        (&one["path"], &one["outcome"], &one["outcome_at"], &one["state"]),
        (
            &json!(path),
            &json!("restored"),
            &json!("2026-11-21T12:10:00Z"),
            &json!("open")
        )
    );
    for args in [&["detections"][..], &["detections", "show", FOUND]] {
        let shown = text(&fleet, args);
        assert!(shown.contains("/srv/a") && !shown.contains('\u{1b}'), "{shown:?}");
    }

    let acknowledge = ["detections", "acknowledge", FOUND, "--note", "a false alarm"];
    fleet.client(&acknowledge).unwrap().success().unwrap();
    fleet
        .daemon()
        .unwrap()
        .wait_for("who did so", |line| {
            let is_it = line.contains("operator=\"admin\"") || line.contains("operator=admin");
            (is_it && line.contains("/acknowledge")).then_some(())
        })
        .unwrap();
    assert_eq!(
        fleet.json(&["detections", "list", "--unacknowledged"]).unwrap(),
        json!([])
    );
    let shown = fleet.json(&["detections", "show", FOUND]).unwrap();
    assert_eq!(
        (&shown["acknowledged"]["by"], &shown["acknowledged"]["note"]),
        (&json!("admin"), &json!("a false alarm"))
    );
    assert!(text(&fleet, &["detections", "show", FOUND]).contains("by admin: a false alarm"));
    fleet
        .client(&["detections", "unacknowledge", FOUND])
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(
        fleet.json(&["detections", "show", FOUND]).unwrap()["acknowledged"],
        Value::Null
    );
    let missing = fleet
        .client(&["detections", "acknowledge", FOUND, SCAN])
        .unwrap()
        .assert_code(4);
    assert!(missing.stderr().contains("1 of 2"), "{missing}");

    let scans = fleet
        .json(&["scans", "--status", "partial", "--agent", "web-reef"])
        .unwrap();
    assert_eq!(
        scans[0]["account"]["unreadable"],
        json!({"files": 2, "bytes": 68}),
        "{scans}"
    );
    assert!(text(&fleet, &["scans", "show", SCAN]).contains("2 files could not be read"));
    let agent = text(&fleet, &["agents", "show", "web-reef"]);
    assert!(agent.contains("1 open, 0 of them not acknowledged"), "{agent}");
    assert!(agent.contains("partial at 2026-11-21T12:30:00Z, rule web"), "{agent}");
    assert!(text(&fleet, &["statistics"]).contains("1 open on 1 agents (1 restored)"));
}

#[test]
fn lists_are_narrowed_by_every_option_and_wrong_words_are_wrong_usage() {
    let fleet = Fleet::start().unwrap();
    let id = |n: u8| format!("0190a5c1-0000-7000-8000-0000000000{n:02x}");
    for (name, n, outcome) in [("a", 1, "reported"), ("b", 3, "deleted")] {
        let mut agent = Teller::join(&fleet, name, "reef-agent");
        agent.tell(&[
            (
                "malware.detected",
                "2026-11-21T12:00:00Z",
                found(&id(n), "/srv/x.php", outcome),
            ),
            (
                "malware.detected",
                "2020-01-01T00:00:00Z",
                found(&id(n + 1), "/home/y", outcome),
            ),
            ("malware.scan_ended", "2026-11-21T12:30:00Z", scan_ended(&id(n + 100))),
        ]);
    }
    let edit = ["agents", "edit", "a", "--set-site", "fra1", "--set-label", "tier=web"];
    fleet.client(&edit).unwrap().success().unwrap();
    fleet
        .client(&["groups", "set", "faces", "--label", "tier=web"])
        .unwrap()
        .success()
        .unwrap();
    let count = |args: &[&str]| fleet.json(args).unwrap().as_array().unwrap().len();
    for (args, expected) in [
        (&["--agent", "b"][..], 2),
        (&["--site", "fra1"], 2),
        (&["--label", "tier=web"], 2),
        (&["--group", "faces"], 2),
        (&["--signature", "Php.*"], 4),
        (&["--signature", "Win.*"], 0),
        (&["--path", "*.php"], 2),
        (&["--under", "/home/"], 2),
        (&["--rule", "web"], 4),
        (&["--outcome", "deleted"], 2),
        (&["--open"], 2),
        (&["--acknowledged"], 0),
        (&["--since", "2026-11-21T12:00:00Z"], 2),
        (&["--until", "2020-01-01T00:00:00Z"], 2),
        (&["--limit", "3"], 3),
    ] {
        assert_eq!(count(&[&["detections"], args].concat()), expected, "{args:?}");
        assert_eq!(count(&[&["detections", "list"], args].concat()), expected, "{args:?}");
    }
    for (args, expected) in [
        (&["--site", "fra1"][..], 1),
        (&["--rule", "web"], 2),
        (&["--status", "failed"], 0),
    ] {
        assert_eq!(count(&[&["scans"], args].concat()), expected, "{args:?}");
    }
    for args in [
        &["detections", "--outcome", "lost"][..],
        &["detections", "--since", "yesterday"],
        &["detections", "--acknowledged", "--unacknowledged"],
        &["scans", "--status", "lost"],
    ] {
        fleet.client(args).unwrap().assert_code(2);
    }
    fleet.client(&["detections", "show", STREAM]).unwrap().assert_code(4);
    fleet
        .client(&["detections", "--agent", "nobody"])
        .unwrap()
        .assert_code(4);

    // What an agent told goes with it.
    fleet
        .client(&["agents", "remove", "b", "--yes"])
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(count(&["detections"]), 2);
    assert_eq!(count(&["scans"]), 1);
}

#[test]
fn what_was_found_is_counted_by_outcome_and_what_is_open_by_whether_somebody_saw_it() {
    let fleet = Fleet::start().unwrap();
    let address: SocketAddr = fleet.address().parse().unwrap();
    let mut agent = Teller::join(&fleet, "a", "reef-agent");
    let id = |n: u8| format!("0190a5c1-0000-7000-8000-0000000000{n:02x}");
    for (n, outcome) in [(1, "reported"), (2, "left_there"), (3, "quarantined")] {
        let record = (
            "malware.detected",
            "2026-11-21T12:00:00Z",
            found(&id(n), "/srv/x", outcome),
        );
        agent.tell(std::slice::from_ref(&record));
        // Told again, it counts once.
        agent.tell(&[record]);
    }
    fleet
        .client(&["detections", "acknowledge", &id(1)])
        .unwrap()
        .success()
        .unwrap();
    let metrics = || Ok::<_, anyhow::Error>(http_get(address, "/metrics")?.body);
    let shown = metrics().unwrap();
    for (outcome, count) in [("reported", 1), ("left_there", 1), ("quarantined", 1), ("deleted", 0)] {
        let line = format!("fleet_detections_total{{outcome=\"{outcome}\"}} {count}");
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
    }
    eventually("figures of what is open", || {
        let shown = metrics()?;
        let has = |acknowledged: bool| {
            let line = format!("fleet_open_detections{{acknowledged=\"{acknowledged}\"}} 1");
            shown.lines().any(|shown| shown == line)
        };
        Ok((has(true) && has(false)).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_reef_agent_is_sent_its_own_commands_with_arguments_as_json() {
    let fleet = Fleet::start().unwrap();
    Teller::join(&fleet, "reef", "reef-agent");
    Teller::join(&fleet, "files", "scanner");
    let send = |verb: &str, args: &str, to: &str| {
        let sent = ["commands", "send", verb, "--to", to, "--args", args, "--output", "json"];
        fleet.client(&sent).unwrap()
    };
    for (verb, args) in [
        ("scan", r#"{"rule": "web", "paths": ["/srv"], "fresh": true}"#),
        ("update-signatures", "{}"),
        (
            "quarantine-restore",
            r#"{"id": "q1", "to": "/srv/back", "force": true}"#,
        ),
    ] {
        let sent = send(verb, args, "reef").success().unwrap().json().unwrap();
        assert_eq!(sent["args"], serde_json::from_str::<Value>(args).unwrap(), "{sent}");
        assert_eq!(sent["deliveries"][0]["state"], "queued", "{sent}");
    }
    for (verb, args, to, says) in [
        ("scan", r#"{"paths": ["srv"]}"#, "reef", "absolute path"),
        ("scan", "paths", "reef", "--args takes a JSON object"),
        ("quarantine-restore", "{}", "reef", "`id` is missing"),
        ("quarantine-delete", r#"{"id": "q1"}"#, "reef", "does not take"),
        ("scan", r#"{"fresh": true}"#, "files", "takes none"),
    ] {
        let refused = send(verb, args, to).assert_code(4);
        assert!(refused.stderr().contains(says), "{verb}: {refused}");
    }
}
