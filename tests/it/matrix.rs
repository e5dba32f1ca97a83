//! Every key of the scanner's configuration, changed while it runs by each of the three ways: the file, SIGHUP, and a
//! controller. A key that `config init` prints and that has no row here fails the test.
mod table;

use crate::daemon_log::DaemonLog;
use e2e::{Fleet, Scanner, Signal, send, wait_health};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use table::{
    KEYS,
    When::{self, Live, Start},
    Who::{self, Anybody, Local},
};
use testkit::{CertificateAuthority, Daemon, eventually, http_get};

/// The keys of the table that are of this kind.
fn keys(is_wanted: impl Fn(When, Who) -> bool) -> BTreeSet<String> {
    let wanted = KEYS.iter().filter(|(.., when, who)| is_wanted(*when, *who));
    wanted.map(|(key, ..)| (*key).to_owned()).collect()
}

/// Sets a key of a document, whose sections are made as needed.
fn set(document: &mut Value, key: &str, value: Value) {
    let place = key.split('.').fold(document, |at, name| &mut at[name]);
    *place = value;
}

/// A document of the table's keys that are of this kind.
fn document(home: &Path, is_wanted: impl Fn(When, Who) -> bool) -> Value {
    let mut document = json!({});
    for (key, value, when, who) in KEYS {
        if is_wanted(*when, *who) {
            let value = value.replace("HOME", home.to_str().unwrap());
            set(&mut document, key, serde_json::from_str(&value).unwrap());
        }
    }
    document
}

/// Every key that `config init` prints: comments of prose begin with `# `, keys that are commented out with `#`.
fn printed(scanner: &Scanner) -> BTreeSet<String> {
    let example = scanner.command(&["config", "init"]).unwrap().success().unwrap();
    let mut sections: Vec<String> = Vec::new();
    let mut keys = BTreeSet::new();
    for line in example.stdout().lines() {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 2;
        if text.is_empty() || text.starts_with("# ") {
            continue;
        }
        let (name, value) = text
            .trim_start_matches('#')
            .split_once(':')
            .unwrap_or_else(|| panic!("{line}"));
        sections.truncate(depth);
        sections.push(name.to_owned());
        if !value.is_empty() {
            keys.insert(sections.join("."));
        }
    }
    keys
}

/// Keys as they are told, each as the key of the table that it belongs to: of a map the log names the entries.
fn of_table(told: &[String]) -> BTreeSet<String> {
    let own = |told: &String| {
        let mut known = KEYS.iter().map(|(key, ..)| *key);
        let own = known.find(|key| told == key || told.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
        own.map_or_else(|| told.clone(), str::to_owned)
    };
    told.iter().map(own).collect()
}

/// A scanner whose configuration is reached by links: `scanner.yaml` leads through `stage/current` to `v1`. What changes
/// in `v1` is seen; that `current` leads elsewhere is not, so that only SIGHUP tells.
struct Staged {
    scanner: Scanner,
    config: Value,
}

impl Staged {
    fn new(fleet: &Fleet, name: &str) -> Self {
        let scanner = Scanner::new(fleet, name, "").unwrap();
        let home = scanner.home();
        let config = json!({
            "server": {"base_url": fleet.url, "retry_attempts": 0},
            "agent": {"id": name},
            "scanner": {"scan_paths": [scanner.tree()]},
            "health": {"enabled": true, "port": 0},
        });
        fs::create_dir(home.join("stage")).unwrap();
        for version in ["v1", "v2"] {
            fs::create_dir(home.join(version)).unwrap();
            fs::write(home.join(version).join("scanner.yaml"), config.to_string()).unwrap();
        }
        symlink("../v1", home.join("stage/current")).unwrap();
        fs::remove_file(home.join("scanner.yaml")).unwrap();
        symlink("stage/current/scanner.yaml", home.join("scanner.yaml")).unwrap();
        Self { scanner, config }
    }

    fn start(&self) -> Daemon {
        let daemon = self.scanner.program(&["run"]).unwrap();
        let daemon = daemon.env("ANOTHER_KEY", "sk_another").env("A_TENANT", "north");
        let daemon = daemon
            .env("A_PROXY", "http://someone:pass@127.0.0.1:9")
            .start()
            .unwrap();
        daemon.wait_for_text("linked with the controller").unwrap();
        daemon
    }

    /// Writes the file of a version, in one step.
    fn write(&self, version: &str, text: &str) {
        let home = self.scanner.home();
        let beside: PathBuf = home.join("stage").join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, home.join(version).join("scanner.yaml")).unwrap();
    }

    /// Has the configuration be another version's.
    fn switch(&self, version: &str) {
        let stage = self.scanner.home().join("stage");
        symlink(format!("../{version}"), stage.join("next")).unwrap();
        fs::rename(stage.join("next"), stage.join("current")).unwrap();
    }
}

/// Hands the agent a configuration by the controller.
fn push(fleet: &Fleet, agent: &str, text: &str) {
    let wish = fleet.home().join("wish.yaml");
    fs::write(&wish, text).unwrap();
    let args = ["agent-config", "set", agent, wish.to_str().unwrap()];
    fleet.client(&args).unwrap().success().unwrap();
}

/// What the agent said of its latest configuration, once `is_it` finds it to be about that.
fn report(fleet: &Fleet, agent: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually("a report at the controller", || {
        let report = fleet.json(&["agent-config", "get", agent])?["report"].take();
        Ok(is_it(&report).then_some(report))
    })
    .unwrap()
}

#[test]
fn every_key_takes_effect_by_the_file_by_sighup_and_by_a_controller_or_says_why_not() {
    let fleet = Fleet::start().unwrap();
    let staged = Staged::new(&fleet, "matrix");
    let home = staged.scanner.home();
    fs::create_dir(staged.scanner.tree().join("within")).unwrap();
    let authority = CertificateAuthority::new().unwrap();
    fs::copy(authority.file(), home.join("authority.pem")).unwrap();
    assert_eq!(
        printed(&staged.scanner),
        keys(|_, _| true),
        "each key has a row in the table, and none too many"
    );

    let daemon = staged.start();
    let health = e2e::health_address(&daemon).unwrap();
    let mut log = DaemonLog::new(&daemon);
    let live = keys(|when, _| when == Live);

    // By the file: everything at once.
    staged.write("v1", &document(home, |_, _| true).to_string());
    let (cause, changed) = log.reloaded();
    assert_eq!((cause.as_str(), of_table(&changed)), ("file", live.clone()));
    assert_eq!(of_table(&log.needs_restart()), keys(|when, _| when == Start));

    // By SIGHUP alone: everything back.
    staged.switch("v2");
    send(&daemon, Signal::HUP).unwrap();
    let (cause, changed) = log.reloaded();
    assert_eq!((cause.as_str(), of_table(&changed)), ("SIGHUP", live));
    eventually("health after SIGHUP", || {
        // It was switched off, and comes back by and by.
        let Ok(answer) = http_get(health, "/health") else {
            return Ok(None);
        };
        let block = &serde_json::from_str::<Value>(&answer.body)?["configuration"];
        Ok((block["cause"] == "SIGHUP" && block["needs_restart"].is_null()).then_some(()))
    })
    .unwrap();

    // Where the link leads now is watched, too.
    let mut other = staged.config.clone();
    set(&mut other, "scanner.hidden", json!(false));
    for config in [&other, &staged.config] {
        staged.write("v2", &config.to_string());
        assert_eq!(log.reloaded(), ("file".to_owned(), vec!["scanner.hidden".to_owned()]));
    }

    // By the controller: what it may, and back when it is withdrawn.
    let pushed = keys(|when, who| (when, who) == (Live, Anybody));
    push(&fleet, "matrix", &document(home, |_, who| who == Anybody).to_string());
    let (cause, changed) = log.reloaded();
    assert_eq!((cause.as_str(), of_table(&changed)), ("controller", pushed.clone()));
    let at_start = keys(|when, who| (when, who) == (Start, Anybody));
    assert_eq!(of_table(&log.needs_restart()), at_start);
    let told = report(&fleet, "matrix", |report| {
        report["outcome"] == "applied" && report["about"]["version"] == 1
    });
    let told: Vec<String> = serde_json::from_value(told["needs_restart"].clone()).unwrap();
    assert_eq!(
        of_table(&told),
        at_start,
        "the controller knows what waits for a restart"
    );
    fleet
        .client(&["agent-config", "withdraw", "matrix"])
        .unwrap()
        .success()
        .unwrap();
    let (cause, changed) = log.reloaded();
    assert_eq!((cause.as_str(), of_table(&changed)), ("controller", pushed));

    // What it may not is refused, each by its name or that of its section, and with its place.
    push(&fleet, "matrix", &document(home, |_, who| who == Local).to_string());
    let refused = report(&fleet, "matrix", |report| report["outcome"] == "refused");
    let problems = refused["problems"].as_array().unwrap();
    for key in keys(|_, who| who == Local) {
        let about = problems.iter().find(|problem| {
            let named = problem["key"].as_str().unwrap_or_default();
            key == named || key.strip_prefix(named).is_some_and(|rest| rest.starts_with('.'))
        });
        let about = about.unwrap_or_else(|| panic!("{key} is not refused: {refused}"));
        assert!(about["text"].as_str().unwrap().contains("must not set"), "{about}");
        assert!(about["line"].is_u64() && about["column"].is_u64(), "{about}");
    }
    assert!(log.refused().contains("must not set"));

    // Neither may it have anything scanned that this machine does not allow.
    push(&fleet, "matrix", "scanner:\n  scan_paths:\n    - /etc\n");
    assert!(log.refused().contains("controller:3:7"));
    let refused = report(&fleet, "matrix", |report| report["about"]["version"] == 4);
    let problem = &refused["problems"][0];
    assert_eq!(
        (&refused["outcome"], &problem["key"]),
        (&json!("refused"), &json!("scanner.scan_paths[0]")),
        "{refused}"
    );
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&json!(3), &json!(7)),
        "{refused}"
    );
    assert!(daemon.stop().unwrap().success());
}

/// A wrong document: `hidden` is right and must not be taken up, `batch_size` stands at 3:15 and is no number.
const WRONG: &str = "scanner:\n  hidden: false\n  batch_size: many\n";

#[test]
fn what_is_wrong_changes_nothing_by_whichever_way_it_comes_and_is_told_with_its_place() {
    let fleet = Fleet::start().unwrap();
    let staged = Staged::new(&fleet, "wrong");
    let daemon = staged.start();
    let health = e2e::health_address(&daemon).unwrap();
    let mut log = DaemonLog::new(&daemon);
    let mut seen = 0;
    // A hidden file is found: the right half of a wrong document is not in force.
    let mut nothing_changed = || {
        seen += 1;
        fs::write(staged.scanner.tree().join(format!(".hidden-{seen}")), "x").unwrap();
        let scan = ["commands", "send", "scan", "--to", "wrong", "--wait"];
        fleet.client(&scan).unwrap().success().unwrap();
        eventually("a hidden file", || {
            Ok((fleet.paths("wrong")?.len() == seen).then_some(()))
        })
        .unwrap();
    };
    let in_health = |cause: &str, place: &str| {
        wait_health(health, "a refusal with its place", |health| {
            let block = &health["configuration"];
            let detail = block["detail"].as_str()?;
            (block["cause"] == cause && detail.contains(place) && detail.contains("batch_size")).then_some(())
        })
        .unwrap();
    };
    // In the file further keys stand before it.
    let local = format!(
        "server:\n  base_url: {}\n  retry_attempts: 0\nagent:\n  id: wrong\nhealth:\n  enabled: true\n  port: 0\n{WRONG}  scan_paths: ['{}']\n",
        fleet.url,
        staged.scanner.tree().display()
    );
    let at_controller = |file: &str, line: u64| {
        let report = report(&fleet, "wrong", |report| {
            let problem = &report["problems"][0];
            report["outcome"] == "refused" && problem["line"] == line
        });
        let problem = &report["problems"][0];
        assert_eq!(
            (&problem["key"], &problem["column"]),
            (&json!("scanner.batch_size"), &json!(15)),
            "{report}"
        );
        assert!(problem["file"].as_str().unwrap().ends_with(file), "{report}");
        report
    };

    staged.write("v1", &local);
    assert!(log.refused().contains("scanner.yaml:11:15"));
    in_health("file", "scanner.yaml:11:15");
    let told = at_controller("scanner.yaml", 11);
    assert!(told["about"].is_null(), "it is about the agent's own file: {told}");
    nothing_changed();

    staged.write("v2", &format!("# One line more.\n{local}"));
    staged.switch("v2");
    send(&daemon, Signal::HUP).unwrap();
    assert!(log.refused().contains("scanner.yaml:12:15"));
    in_health("SIGHUP", "scanner.yaml:12:15");
    at_controller("scanner.yaml", 12);
    nothing_changed();

    // A right file again, and the controller wants something wrong.
    staged.write("v1", &staged.config.to_string());
    staged.switch("v1");
    send(&daemon, Signal::HUP).unwrap();
    wait_health(health, "a right configuration", |health| {
        (health["configuration"]["status"] == "healthy").then_some(())
    })
    .unwrap();
    push(&fleet, "wrong", WRONG);
    assert!(log.refused().contains("controller:3:15"));
    in_health("controller", "controller:3:15");
    let told = at_controller("controller", 3);
    assert_eq!(told["about"]["version"], 1, "{told}");
    let shown = fleet
        .client(&["agent-config", "get", "wrong"])
        .unwrap()
        .success()
        .unwrap();
    assert!(shown.stdout().contains("3:15: scanner.batch_size"), "{shown}");
    nothing_changed();
    assert!(daemon.stop().unwrap().success());
}
