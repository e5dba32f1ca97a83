//! reef-agent as one of a fleet: what it finds is told, and it does what its controller may have it do.
use super::rig::Rig;
use e2e::{Fleet, Signal, end};
use serde_json::{Value, json};
use std::fs;
use testkit::{Daemon, Output, eventually};

/// An agent of a fleet, and its controller.
struct Member {
    fleet: Fleet,
    rig: Rig,
}

impl Member {
    fn new() -> Self {
        let member = Self {
            fleet: Fleet::start().unwrap(),
            rig: Rig::new(),
        };
        member.configure("");
        member
    }

    fn configure(&self, more: &str) {
        let server = format!("[server]\nbase_url = \"http://{}\"\n", self.fleet.address());
        self.rig.configure(&format!("{more}{server}[agent]\nid = \"web\"\n"));
    }

    fn start(&self) -> Daemon {
        let token = self.fleet.join_token().unwrap();
        let program = self.rig.configured(&["run"]).env("REEF_JOIN_TOKEN", &token);
        let daemon = program.start().unwrap();
        daemon.wait_for_text("linked with the controller").unwrap();
        daemon
    }

    /// Has the agent do something, and waits for what comes of it.
    fn command(&self, verb: &str, args: &Value) -> Output {
        let args = args.to_string();
        let sent = ["commands", "send", verb, "--to", "web", "--wait", "--args", &args];
        self.fleet.client(&sent).unwrap()
    }

    /// What came of the newest command.
    fn result(&self) -> Value {
        let newest = self.fleet.json(&["commands", "list"]).unwrap()[0]["id"].take();
        let shown = self.fleet.json(&["commands", "show", newest.as_str().unwrap()]);
        shown.unwrap()["deliveries"][0].take()
    }

    fn detections(&self, count: usize) -> Vec<Value> {
        let found = eventually("detections at the controller", || {
            let found = self
                .fleet
                .json(&["detections"])?
                .as_array()
                .cloned()
                .unwrap_or_default();
            Ok(Some(found).filter(|found| found.len() >= count))
        });
        let found = found.unwrap();
        assert_eq!(found.len(), count, "{found:?}");
        found
    }
}

#[test]
fn a_command_scans_and_what_is_found_is_told_and_can_be_brought_back() {
    let member = Member::new();
    let (rig, fleet) = (&member.rig, &member.fleet);
    rig.fill(5);
    rig.infect("sub/bad.com");
    let daemon = member.start();
    let sub = rig.tree().join("sub");
    // The rule's action holds for a part of it.
    member
        .command("scan", &json!({"rule": "tree", "paths": [sub]}))
        .success()
        .unwrap();
    let result = member.result()["result"].take();
    assert_eq!(result["account"]["infected"]["files"], 1, "{result}");
    let found = member.detections(1).remove(0);
    assert_eq!(
        (&found["agent"], &found["outcome"], &found["rule"]),
        (&json!("web"), &json!("quarantined"), &json!("tree")),
        "{found}"
    );
    assert!(!sub.join("bad.com").exists());
    member.command("scan", &Value::Null).success().unwrap();
    let scans = eventually("both scans", || {
        let scans = fleet.json(&["scans"])?;
        Ok(Some(scans).filter(|scans| scans.as_array().is_some_and(|scans| scans.len() == 2)))
    });
    let scans = scans.unwrap();
    assert_eq!(
        (&scans[0]["cause"], &scans[0]["met"]["files"]),
        (&json!("command"), &json!(5)),
        "{scans}"
    );
    // Only the second was of all of the rule, and stands for it, here and there.
    assert_eq!(
        (&scans[0]["scope"], &scans[1]["scope"]),
        (&json!("whole"), &json!("part"))
    );
    assert_eq!(scans[1]["paths"], json!([sub]));
    let compliance = fleet.json(&["compliance"]).unwrap();
    let [line] = compliance.as_array().unwrap().as_slice() else {
        panic!("{compliance}")
    };
    assert_eq!(
        (&line["agent"], &line["rule"], &line["ok"], &line["scan"]["id"]),
        (&json!("web"), &json!("tree"), &json!(true), &scans[0]["id"]),
        "{line}"
    );
    let late = fleet
        .client(&["compliance", "--within", "1ms", "--csv"])
        .unwrap()
        .assert_code(5);
    assert!(
        late.stdout()
            .contains("web,tree,NOT OK: the last complete scan is too old,"),
        "{late}"
    );
    let whole = scans[0]["id"].as_str().unwrap();
    let shown = fleet.client(&["scans", "show", whole]).unwrap().success().unwrap();
    assert!(shown.stdout().contains("scope         whole"), "{shown}");
    let status = rig.json(&["status"]);
    assert_eq!(
        (&status["rules"][0]["last"]["id"], &status["rules"][0]["running"]),
        (&scans[0]["id"], &json!([])),
        "{status}"
    );
    let history = rig.json(&["history", "--rule", "tree", "--status", "completed", "--limit", "0"]);
    assert_eq!(history.as_array().unwrap().len(), 2, "{history}");
    let account = rig.json(&["history", "show", whole]);
    assert_eq!(account["ended"]["paths"], json!([rig.tree()]), "{account}");
    // What a controller may not: overwrite, and write elsewhere.
    let id = found["quarantine_id"].as_str().unwrap();
    for args in [
        json!({"id": id, "force": true}),
        json!({"id": id, "to": "/etc/cron.d/bad"}),
    ] {
        let refused = member.command("quarantine-restore", &args).assert_code(1);
        assert!(member.result().to_string().contains("not_allowed"), "{refused}");
    }
    member
        .command("quarantine-restore", &json!({"id": id}))
        .success()
        .unwrap();
    assert!(sub.join("bad.com").exists());
    // The rule takes it away again: whoever had it brought back is told so, and how that is kept from it.
    let warning = member.result()["result"]["warning"].take();
    assert!(
        warning.as_str().is_some_and(|text| text.contains("\"/sub/bad.com\"")),
        "{warning}"
    );
    eventually("the controller hears of it", || {
        let found = fleet.json(&["detections"])?;
        Ok((found[0]["outcome"] == "restored").then_some(()))
    })
    .unwrap();
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn it_reloads_and_says_what_it_may_not_do() {
    let member = Member::new();
    member.configure("[signatures]\nfreshclam = false\n");
    let daemon = member.start();
    member.command("reload", &Value::Null).success().unwrap();
    let result = member.result()["result"].take();
    assert!(
        result["clamd"]
            .as_str()
            .is_some_and(|said| said.contains("told to load")),
        "{result}"
    );
    let clamd = member.rig.clamd.lines().unwrap().join("\n");
    assert!(clamd.contains("eload"), "{clamd}");
    member.command("update-signatures", &Value::Null).assert_code(1);
    let said = member.result().to_string();
    assert!(said.contains("freshclam may not be run here"), "{said}");
    member.command("scan", &json!({"paths": ["/etc"]})).assert_code(1);
    let said = member.result().to_string();
    assert!(said.contains("allowed_roots"), "{said}");
    member.command("scan", &json!({"rule": "no such"})).assert_code(1);
    let said = member.result().to_string();
    assert!(said.contains("there are tree"), "{said}");
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn rules_come_from_the_controller_within_what_the_machine_allows() {
    let member = Member::new();
    let (rig, fleet) = (&member.rig, &member.fleet);
    rig.infect("in/bad.com");
    let daemon = member.start();
    let wish = fleet.home().join("wish.yaml");
    let set = |action: &str, path: &str| {
        let text = format!(
            "rules:\n- name: pushed\n  paths: ['{path}']\n  action: {action}\n  schedule: {{when: '* * * * * *'}}\n"
        );
        fs::write(&wish, text).unwrap();
        let set = ["agent-config", "set", "web", wish.to_str().unwrap(), "--wait"];
        fleet.client(&set).unwrap()
    };
    let inside = rig.tree().join("in");
    let refused = set("quarantine", "/etc").assert_code(1);
    assert!(refused.stdout().contains("rules[0].paths[0]"), "{refused}");
    let refused = set("delete", inside.to_str().unwrap()).assert_code(1);
    assert!(refused.stdout().contains("rules[0].action"), "{refused}");
    set("quarantine", inside.to_str().unwrap()).success().unwrap();
    let found = member.detections(1).remove(0);
    assert_eq!(
        (&found["rule"], &found["outcome"]),
        (&json!("pushed"), &json!("quarantined"))
    );
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn what_is_found_while_the_controller_is_away_is_told_when_it_is_back_and_once() {
    let mut member = Member::new();
    member.configure("schedule = { when = \"* * * * * *\" }\n");
    let daemon = member.start();
    member.fleet.kill().unwrap();
    member.rig.infect("first.com");
    daemon.wait_for_text("malware was found and quarantined").unwrap();
    // And the agent with it, at whatever it was doing.
    daemon.kill_hard().unwrap();
    member.rig.infect("second.com");
    let daemon = member.rig.daemon();
    daemon.wait_for_text("malware was found and quarantined").unwrap();
    member.fleet.restart().unwrap();
    let found = member.detections(2);
    let mut names: Vec<&str> = found.iter().map(|one| one["path"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert!(
        names[0].ends_with("first.com") && names[1].ends_with("second.com"),
        "{names:?}"
    );
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn a_scan_is_stopped_by_the_controller_and_says_how_far_it_came() {
    let member = Member::new();
    member.configure("throttle = { max_files_per_second = 20 }\n");
    member.rig.fill(2_000);
    let daemon = member.start();
    let send = ["commands", "send", "scan", "--to", "web"];
    member.fleet.client(&send).unwrap().success().unwrap();
    daemon.wait_for_text("a scan begins").unwrap();
    member.command("stop", &Value::Null).success().unwrap();
    let scan = eventually("the scan's end", || {
        let scans = member.fleet.json(&["scans"])?;
        Ok(Some(scans[0].clone()).filter(Value::is_object))
    });
    let scan = scan.unwrap();
    assert_eq!(
        (&scan["status"], &scan["unaccounted"]),
        (&json!("stopped"), &json!(0)),
        "{scan}"
    );
    assert!(scan["met"]["files"].as_u64().unwrap() < 2_000, "{scan}");
    end(daemon, Signal::TERM).unwrap();
}
