//! Where agents are and what they bear, from their configuration to the operators who choose them by it.
use e2e::{Fleet, Scanner};
use serde_json::Value;
use std::fs;
use testkit::{Daemon, eventually};

fn start(scanner: &Scanner) -> Daemon {
    let daemon = scanner
        .program(&["run", "--set", "scanner.scan_interval=6h"])
        .unwrap()
        .start()
        .unwrap();
    daemon.wait_for_text("linked with the controller").unwrap();
    daemon
}

/// An agent whose configuration has this in its section `agent`.
fn placed(fleet: &Fleet, name: &str, more: &str) -> Scanner {
    let scanner = Scanner::new(fleet, name, "").unwrap();
    rewrite(&scanner, "agent:\n", &format!("agent:\n{more}"));
    scanner
}

fn rewrite(scanner: &Scanner, from: &str, to: &str) {
    let file = scanner.home().join("scanner.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

fn shown(fleet: &Fleet, agent: &str) -> Value {
    fleet.json(&["agents", "show", agent]).unwrap()
}

fn names(fleet: &Fleet, args: &[&str]) -> Vec<String> {
    let agents = fleet.json(&[&["agents"], args].concat()).unwrap();
    let agents = agents.as_array().unwrap().iter();
    agents.map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
}

fn done(fleet: &Fleet, args: &[&str]) {
    fleet.client(args).unwrap().success().unwrap();
}

#[test]
fn agents_are_chosen_by_what_their_configuration_says() {
    let fleet = Fleet::start().unwrap();
    let web = placed(&fleet, "web", "  site: fra1\n  labels: {tier: web, rack: 12}\n");
    let db = placed(&fleet, "db", "  site: fra1\n  labels: {tier: db}\n");
    let (web_daemon, db_daemon) = (start(&web), start(&db));
    let agent = shown(&fleet, "web");
    assert_eq!(
        (&agent["site"], &agent["labels"]["rack"]),
        (&"fra1".into(), &"12".into())
    );
    assert!(!agent["os"].as_str().unwrap().is_empty(), "{agent}");
    assert_eq!(agent["architecture"], std::env::consts::ARCH);
    assert_eq!(names(&fleet, &["--site", "fra1"]), ["db", "web"]);
    assert_eq!(names(&fleet, &["--site", "fra1", "--label", "tier=web"]), ["web"]);

    done(
        &fleet,
        &[
            "groups",
            "set",
            "storage",
            "--label",
            "tier=db",
            "--comment",
            "holds data",
        ],
    );
    let sent = fleet
        .json(&["commands", "send", "scan", "--group", "storage", "--wait"])
        .unwrap();
    let deliveries = sent["deliveries"].as_array().unwrap();
    assert_eq!((deliveries.len(), &deliveries[0]["agent"]), (1, &"db".into()), "{sent}");

    // What is configured anew is known at the controller without a restart, and chooses otherwise from then on.
    rewrite(&db, "tier: db", "tier: web");
    eventually("the label at the controller", || {
        Ok((names(&fleet, &["--label", "tier=web"]) == ["db", "web"]).then_some(()))
    })
    .unwrap();
    let statistics = fleet.json(&["statistics"]).unwrap();
    assert_eq!(statistics["sites"]["fra1"], 2, "{statistics}");
    assert!(web_daemon.stop().unwrap().success());
    assert!(db_daemon.stop().unwrap().success());
}

#[test]
fn a_label_that_cannot_be_is_refused_with_its_place() {
    let fleet = Fleet::start().unwrap();
    let scanner = placed(&fleet, "web", "  site: two words\n");
    let checked = scanner.command(&["config", "check"]).unwrap();
    let checked = checked.assert_code(3);
    assert!(
        checked.stderr().contains("agent.site") && checked.stderr().contains("`two words` holds ` `"),
        "{checked}"
    );
}

#[test]
fn operators_edit_agents_put_them_into_maintenance_and_prune_them() {
    let fleet = Fleet::start().unwrap();
    let scanner = placed(&fleet, "web", "  labels: {tier: web}\n");
    let daemon = start(&scanner);
    done(
        &fleet,
        &[
            "agents",
            "edit",
            "--label",
            "tier=web",
            "--set-site",
            "ams2",
            "--set-label",
            "owner=ops",
        ],
    );
    let agent = shown(&fleet, "web");
    assert_eq!(
        (&agent["site"], &agent["labels"]["owner"]),
        (&"ams2".into(), &"ops".into())
    );
    done(
        &fleet,
        &["agents", "edit", "web", "--unset-site", "--unset-label", "owner"],
    );
    assert_eq!(shown(&fleet, "web")["labels"], serde_json::json!({"tier": "web"}));

    done(
        &fleet,
        &["agents", "maintenance", "web", "--for", "2h", "--reason", "new disk"],
    );
    let text = fleet.client(&["agents", "show", "web"]).unwrap().success().unwrap();
    assert!(
        text.stdout().contains("maintenance since") && text.stdout().contains("new disk"),
        "{text}"
    );
    assert_eq!(names(&fleet, &["--status", "maintenance"]), ["web"]);
    done(&fleet, &["agents", "maintenance", "web", "--end"]);
    assert_eq!(names(&fleet, &["--status", "online"]), ["web"]);
    let nobody = fleet.client(&["agents", "maintenance", "--site", "nowhere"]).unwrap();
    nobody.assert_code(4);

    assert!(daemon.stop().unwrap().success());
    let listed = fleet
        .client(&["agents", "prune", "--silent-for", "0s"])
        .unwrap()
        .success()
        .unwrap();
    assert!(
        listed.stdout().contains("web") && listed.stderr().contains("--yes"),
        "{listed}"
    );
    assert_eq!(names(&fleet, &[]), ["web"], "nothing is removed before it is said");
    done(&fleet, &["agents", "prune", "--silent-for", "0s", "--yes"]);
    assert!(names(&fleet, &[]).is_empty());
}

#[test]
fn an_agent_leaves_its_fleet_by_its_own_word() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "web", "").unwrap();
    let daemon = start(&scanner);
    let refused = scanner.command(&["leave"]).unwrap();
    let refused = refused.assert_code(4);
    assert!(refused.stderr().contains("stop the agent first"), "{refused}");
    assert!(daemon.stop().unwrap().success());
    // It may have been stopped before it had told everything.
    scanner.round(0).unwrap();
    let left = scanner.command(&["leave"]).unwrap().success().unwrap();
    assert!(left.stdout().contains("took the key away"), "{left}");
    assert_eq!(names(&fleet, &["--status", "revoked"]), ["web"]);
    let again = scanner.command(&["leave"]).unwrap();
    assert!(again.stderr().contains("of no fleet"), "{again}");
}
