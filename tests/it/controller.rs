//! The controller's own configuration changes while it serves: what is right takes effect, what is wrong changes nothing.
use crate::detections::{Teller, found, scan_ended};
use e2e::{Fleet, Scanner, Signal, send, wait_health};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, net::SocketAddr, time::Duration};
use testkit::{Daemon, OtlpOptions, OtlpReceiver, eventually};

/// Keys that take effect at once; each has its place in a test below.
const LIVE: [&str; 16] = [
    "agents.claim_life",
    "agents.heartbeat",
    "agents.keep_commands",
    "agents.max_links",
    "agents.offline_after",
    "agents.remove_silent_after",
    "agents.rotate_keys_after",
    "auth.session",
    "logging.level",
    "retention.detections",
    "retention.scans",
    "server.public_url",
    "store.backup_enabled",
    "store.backup_interval",
    "store.backup_path",
    "store.max_backups",
];

/// Keys that take effect at the next start, each with another value than the default.
fn at_a_start() -> Vec<(&'static str, Value)> {
    vec![
        ("logging.compress", json!(false)),
        ("logging.file", json!("controller.log")),
        ("logging.format", json!("json")),
        ("logging.max_age", json!("1d")),
        ("logging.max_backups", json!(2)),
        ("logging.max_size", json!("1MB")),
        ("server.allow_http", json!(true)),
        ("server.max_body", json!("2MB")),
        ("server.max_connections", json!(500)),
        ("server.request_timeout", json!("20s")),
        ("server.shutdown_grace", json!("3s")),
        ("store.path", json!("elsewhere.db")),
        ("telemetry.otlp.allow_http", json!(true)),
        ("telemetry.otlp.ca_file", json!("ca.pem")),
        ("telemetry.otlp.compression", json!("none")),
        ("telemetry.otlp.endpoint", json!("http://127.0.0.1:4318")),
        ("telemetry.otlp.interval", json!("30s")),
        ("telemetry.otlp.queue.max_age", json!("1h")),
        ("telemetry.otlp.queue.max_bytes", json!("32MB")),
        ("telemetry.otlp.resource_attributes.site", json!("north")),
        ("telemetry.otlp.signals", json!(["logs"])),
        ("telemetry.otlp.timeout", json!("5s")),
        ("tls.client_auth", json!("optional")),
        ("tls.client_ca", json!("ca.pem")),
    ]
}

/// Keys that no other value can be tried of here: the address is the caller's, a secret's change is not told by name, a
/// certificate must be there, and for agents' certificates TLS; gRPC is not in every build.
const NOT_TRIED: [&str; 6] = [
    "agents.by_certificate",
    "server.listen",
    "telemetry.otlp.headers",
    "telemetry.otlp.protocol",
    "tls.certificate",
    "tls.key",
];

/// A controller whose configuration file is changed.
struct Changing {
    fleet: Fleet,
    config: Value,
}

impl Changing {
    fn start(config: Value) -> Self {
        let fleet = Fleet::start_configured(&config.to_string()).unwrap();
        Self { fleet, config }
    }

    fn address(&self) -> SocketAddr {
        self.fleet.address().parse().unwrap()
    }

    /// As editors and configuration managers do.
    fn write(&self, text: &str) {
        let beside = self.fleet.home().join("written-beside.yaml");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.fleet.config_file()).unwrap();
    }

    fn put(&mut self, key: &str, value: Value) {
        let mut at = &mut self.config;
        for name in key.split('.') {
            at = &mut at[name];
        }
        *at = value;
    }

    /// Sets a key, and waits until the controller has taken notice.
    fn set(&mut self, key: &str, value: Value) {
        self.put(key, value);
        let before = self.configuration("the state before", |block| block.get("changed_at").cloned());
        self.write(&self.config.to_string());
        self.configuration(key, |block| (block["changed_at"] != before).then_some(()));
    }

    fn configuration<T>(&self, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        wait_health(self.address(), what, |health| look(&health["configuration"])).unwrap()
    }

    fn scanner(&self, name: &str, more: &str) -> (Scanner, Daemon) {
        let scanner = Scanner::new(&self.fleet, name, more).unwrap();
        let daemon = scanner.program(&["run"]).unwrap().start().unwrap();
        (scanner, daemon)
    }

    fn status(&self, agent: &str) -> String {
        let agent = self.fleet.json(&["agents", "show", agent]).unwrap();
        agent["status"].as_str().unwrap().to_owned()
    }
}

#[test]
fn every_key_has_its_place_in_these_tests() {
    let changing = Changing::start(json!({}));
    let shown = changing.fleet.local(&["config", "show", "--output", "json"]).unwrap();
    let shown = shown.success().unwrap().json().unwrap();
    let all: BTreeSet<&str> = shown
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["key"].as_str())
        .collect();
    let at_a_start = at_a_start();
    let of_a_map = |key: &'static str| key.strip_suffix(".site").unwrap_or(key);
    let tried = at_a_start.iter().map(|(key, _)| of_a_map(key));
    let placed: BTreeSet<&str> = LIVE.into_iter().chain(NOT_TRIED).chain(tried).collect();
    assert_eq!(placed, all);
}

#[test]
fn what_needs_a_restart_is_named() {
    let mut changing = Changing::start(json!({}));
    for (key, value) in at_a_start() {
        changing.put(key, value);
    }
    changing.write(&changing.config.to_string());
    let named = changing.configuration("keys that need a restart", |block| block.get("needs_restart").cloned());
    let named: BTreeSet<&str> = named.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let expected: BTreeSet<&str> = at_a_start().iter().map(|(key, _)| *key).collect();
    assert_eq!(named, expected);
}

#[test]
fn what_agents_and_operators_meet_changes_with_the_file() {
    let mut changing = Changing::start(json!({"logging": {"level": "warn"}}));
    let (_scanner, agent) = changing.scanner("web", "logging:\n  level: debug\n");
    agent.wait_for_text("linked with the controller").unwrap();

    changing.set("logging.level", json!("debug"));
    changing
        .fleet
        .daemon()
        .unwrap()
        .wait_for_text("the configuration was loaded anew")
        .unwrap();

    changing.set("agents.heartbeat", json!("1s"));
    agent.wait_for_text("heartbeat_secs=1").unwrap();

    changing.set("agents.max_links", json!(1));
    wait_health(changing.address(), "the most links", |health| {
        (health["agent_link"]["most"] == 1).then_some(())
    })
    .unwrap();

    changing.set("server.public_url", json!("https://fleet.example.com"));
    changing.set("agents.claim_life", json!("1s"));
    let mut claiming = Scanner::new(&changing.fleet, "new", "").unwrap();
    claiming.forget_token();
    let claiming = claiming.program(&["run"]).unwrap().start().unwrap();
    claiming.wait_for_text("https://fleet.example.com/claim").unwrap();
    claiming.wait_for_text("the claim has lapsed").unwrap();

    let sent = ["commands", "send", "stop", "--to", "web", "--wait"];
    changing.fleet.client(&sent).unwrap().success().unwrap();
    changing.set("agents.keep_commands", json!("1s"));
    eventually("no command of long ago", || {
        let list = changing.fleet.json(&["commands", "list"])?;
        Ok(list.as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .unwrap();

    changing.set("agents.rotate_keys_after", json!("1h"));
    let daemon = changing.fleet.daemon().unwrap();
    daemon.wait_for_text("agents.rotate_keys_after").unwrap();

    agent.kill_hard().unwrap();
    changing.set("agents.offline_after", json!("1s"));
    eventually("an agent that is offline", || {
        Ok((changing.status("web") == "offline").then_some(()))
    })
    .unwrap();

    changing.set("agents.remove_silent_after", json!("1d"));
    let store = Connection::open(changing.fleet.data().join("fleet.db")).unwrap();
    store.busy_timeout(Duration::from_secs(30)).unwrap();
    let silent = "UPDATE agent SET last_seen = last_seen - 2 * 86400 * 1000000 WHERE name = 'web'";
    assert_eq!(store.execute(silent, []).unwrap(), 1);
    drop(store);
    let daemon = changing.fleet.daemon().unwrap();
    daemon.wait_for_text("an agent was not heard of").unwrap();
    changing
        .fleet
        .client(&["agents", "show", "web"])
        .unwrap()
        .assert_code(4);

    changing.set("auth.session", json!("1s"));
    eventually("sessions that end after a second", || {
        changing.fleet.login()?;
        let begun = std::time::Instant::now();
        let mut is_signed_in = true;
        while is_signed_in && begun.elapsed() < Duration::from_secs(5) {
            is_signed_in = changing.fleet.client(&["agents"])?.code() == Some(0);
        }
        Ok((!is_signed_in).then_some(()))
    })
    .unwrap();
}

#[test]
fn detections_and_scans_are_kept_for_as_long_as_the_file_says_now() {
    let mut changing = Changing::start(json!({}));
    let mut agent = Teller::join(&changing.fleet, "reef", "reef-agent");
    let (one, other) = (
        "0190a5c1-0000-7000-8000-000000000001",
        "0190a5c1-0000-7000-8000-000000000002",
    );
    // Found long ago, and heard of now: its age here is what counts.
    agent.tell(&[
        (
            "malware.detected",
            "2020-01-01T00:00:00Z",
            found(one, "/srv/x", "reported"),
        ),
        ("malware.scan_ended", "2020-01-01T00:00:00Z", scan_ended(other)),
    ]);
    let are_kept = |changing: &Changing, noun: &str| {
        let list = changing.fleet.json(&[noun]).unwrap();
        !list.as_array().unwrap().is_empty()
    };
    changing.set("retention.scans", json!("1s"));
    let gone = |changing: &Changing, noun: &str| {
        eventually("nothing of long ago", || Ok((!are_kept(changing, noun)).then_some(()))).unwrap();
    };
    gone(&changing, "scans");
    assert!(are_kept(&changing, "detections"));
    changing.set("retention.detections", json!("1s"));
    gone(&changing, "detections");
}

#[test]
fn backups_go_by_the_file_as_it_is_now() {
    let mut changing = Changing::start(json!({"store": {"backup_enabled": false}}));
    let copies = changing.fleet.home().join("copies");
    changing.put("store.backup_path", json!(copies));
    changing.set("store.backup_enabled", json!(true));
    eventually("a backup in the place that was named", || {
        Ok(fs::read_dir(&copies)
            .is_ok_and(|mut files| files.next().is_some())
            .then_some(()))
    })
    .unwrap();
    changing.put("store.max_backups", json!(1));
    changing.set("store.backup_interval", json!("60s"));
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_with_its_place() {
    let changing = Changing::start(json!({}));
    changing.write("agents:\n  offline_after: 5m\n  heartbeat: soon\n");
    let detail = changing.configuration("a refusal", |block| block["detail"].as_str().map(str::to_owned));
    assert!(detail.contains("fleet-controller.yaml:3:14"), "{detail}");
    changing
        .fleet
        .daemon()
        .unwrap()
        .wait_for_text("fleet-controller.yaml:3:14")
        .unwrap();
    changing.write("agents:\n  offline_after: 5m\n");
    changing.configuration("that all is well", |block| (block["status"] == "healthy").then_some(()));
    // Nothing changed: a signal alone is a reason to look.
    send(changing.fleet.daemon().unwrap(), Signal::HUP).unwrap();
    changing.configuration("the signal", |block| (block["cause"] == "SIGHUP").then_some(()));
}

#[test]
fn a_controller_is_seen_at_a_receiver_by_its_log_and_the_names_of_its_metrics() {
    let receiver = OtlpReceiver::start_with(OtlpOptions::default()).unwrap();
    let changing = Changing::start(json!({"telemetry": {"otlp": {"endpoint": receiver.url(), "interval": "1s"}}}));
    let received = receiver
        .wait_for("the controller", |received| {
            let has_line = received.lines.iter().any(|line| line.body.contains("listening"));
            has_line && received.points.iter().any(|point| point.name == "fleet_agents")
        })
        .unwrap();
    assert_eq!(received.complaints, Vec::<String>::new());
    assert_eq!(received.resource["service.name"], "fleet-controller");
    let shown = testkit::http_get(changing.address(), "/metrics").unwrap().body;
    for point in &received.points {
        assert!(shown.contains(point.name.as_str()), "{} is not in /metrics", point.name);
    }
}
