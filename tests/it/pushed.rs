//! What a controller sets at a running agent is seen in what the agent does from then on.
use crate::daemon_log::DaemonLog;
use e2e::{Fleet, Scanner, health_address, wait_health};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, os::unix::fs::symlink};
use testkit::{Daemon, eventually, http_get};

/// The first bytes of every PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// An agent that scans only when it is told to, and its controller.
struct Pushed<'a> {
    fleet: &'a Fleet,
    scanner: &'a Scanner,
    log: DaemonLog<'a>,
    health: SocketAddr,
}

impl<'a> Pushed<'a> {
    fn new(fleet: &'a Fleet, scanner: &'a Scanner, daemon: &'a Daemon) -> Self {
        daemon.wait_for_text("linked with the controller").unwrap();
        let health = health_address(daemon).unwrap();
        Self {
            fleet,
            scanner,
            log: DaemonLog::new(daemon),
            health,
        }
    }

    /// Hands over a configuration and waits until it is in force.
    fn set(&mut self, document: &Value) {
        let wish = self.fleet.home().join("wish.json");
        fs::write(&wish, document.to_string()).unwrap();
        let args = ["agent-config", "set", "pushed", wish.to_str().unwrap()];
        self.fleet.client(&args).unwrap().success().unwrap();
        assert_eq!(self.log.reloaded().0, "controller");
    }

    fn touch(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.scanner.tree().join(name), content).unwrap();
    }

    fn scan(&self) {
        let args = ["commands", "send", "scan", "--to", "pushed", "--wait"];
        self.fleet.client(&args).unwrap().success().unwrap();
    }

    /// What the controller knows of a file, once it knows of it.
    fn told(&self, name: &str) -> Value {
        eventually(name, || Ok(self.file(name))).unwrap()
    }

    /// What the controller knows of a file.
    fn file(&self, name: &str) -> Option<Value> {
        let files = self
            .fleet
            .json(&["files", "list", "--agent", "pushed", "--limit", "0"])
            .unwrap();
        let path = self.scanner.tree().join(name);
        let is_it = |file: &&Value| file["path"] == path.to_str().unwrap();
        files.as_array().unwrap().iter().find(is_it).cloned()
    }

    /// Requests that carried records.
    fn deliveries(&self) -> f64 {
        let metrics = http_get(self.health, "/metrics").unwrap().body;
        let counts = metrics.lines().filter(|line| {
            line.starts_with("scanner_api_requests_total") && line.contains("/v1/ingest") && line.contains("success")
        });
        counts
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    fn journal(&self) -> String {
        let changes = self.scanner.command(&["changes", "--output", "json"]).unwrap();
        changes.success().unwrap().stdout().into_owned()
    }
}

#[test]
fn what_a_controller_sets_is_seen_in_what_the_agent_does() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "pushed", "health:\n  enabled: true\n  port: 0\n").unwrap();
    fs::create_dir(scanner.tree().join("within")).unwrap();
    fs::write(scanner.tree().join("within/first"), "x").unwrap();
    let daemon = scanner.program(&["run"]).unwrap().start().unwrap();
    let mut pushed = Pushed::new(&fleet, &scanner, &daemon);
    pushed.told("within/first");

    let types = json!({".xyz": "application/x-test"});
    pushed.set(&json!({
        "scanner": {"change_detection": "hash", "hash_algorithm": "blake3", "custom_mime_types": types,
                    "mime_by_content": true, "ignore_files": [".leave-out"], "ignore_patterns": ["*.log"],
                    "hidden": false, "max_file_size": "1KB", "follow_symlinks": true, "batch_size": 10},
        "outbox": {"max_bytes": "7MB"}, "logging": {"level": "debug"}, "journal": {"enabled": false},
    }));
    for (name, content) in [
        ("a.xyz", ""),
        ("a.log", ""),
        ("a.skip", ""),
        (".hidden", ""),
        (".leave-out", "*.skip\n"),
    ] {
        pushed.touch(name, content);
    }
    pushed.touch("large", [b'x'; 2000]);
    pushed.touch("picture", PNG);
    symlink("within/first", scanner.tree().join("link")).unwrap();
    for n in 0..40 {
        pushed.touch(&format!("many-{n}"), "x");
    }
    let before = pushed.deliveries();
    pushed.scan();
    let last = pushed.told("many-39");
    assert_eq!(
        last["blake3"].as_str().map(str::len),
        Some(64),
        "hash_algorithm: {last}"
    );
    assert_eq!(last["sha256"], Value::Null, "{last}");
    assert_eq!(pushed.told("a.xyz")["mime"], "application/x-test");
    assert_eq!(pushed.told("picture")["mime"], "image/png");
    assert_eq!(pushed.told("link")["type"], "file", "follow_symlinks");
    for (key, left_out) in [
        ("ignore_patterns", "a.log"),
        ("ignore_files", "a.skip"),
        ("hidden", ".hidden"),
        ("max_file_size", "large"),
    ] {
        assert_eq!(pushed.file(left_out), None, "{key}");
    }
    assert!(
        pushed.deliveries() - before >= 4.0,
        "batch_size: 43 records in {}",
        pushed.deliveries() - before
    );
    assert!(!pushed.journal().contains("many-39"), "journal.enabled");
    pushed.log.next("a line of `logging.level` debug", |line| {
        line.contains(" DEBUG ").then_some(())
    });
    wait_health(pushed.health, "another bound of the outbox", |health| {
        (health["outbox"]["max_bytes"] == 7 << 20).then_some(())
    })
    .unwrap();

    // What the document does not name is as the machine has it: files that were left out come.
    pushed.set(&json!({"scanner": {"change_detection": "hash", "mime_detection": false}}));
    pushed.touch("b.txt", "text");
    pushed.scan();
    let file = pushed.told("b.txt");
    assert_eq!(
        file["sha256"].as_str().map(str::len),
        Some(64),
        "change_detection: {file}"
    );
    assert_eq!(
        (&file["blake3"], &file["mime"]),
        (&Value::Null, &Value::Null),
        "mime_detection: {file}"
    );
    for back in ["a.log", "a.skip", ".hidden", "large"] {
        pushed.told(back);
    }
    assert!(pushed.journal().contains("b.txt"), "journal.enabled");
    let bytes = http_get(pushed.health, "/health").unwrap().body;
    assert!(
        bytes.contains(&(512_u64 << 20).to_string()),
        "outbox.max_bytes: {bytes}"
    );

    // From here on nobody asks for a scan.
    pushed.set(&json!({"scanner": {"scan_interval": "1s", "deletion_hold": {"share": "1%", "min_files": 1}}}));
    pushed.touch("by-the-interval", "x");
    pushed.told("by-the-interval");
    for n in 0..3 {
        fs::remove_file(scanner.tree().join(format!("many-{n}"))).unwrap();
    }
    eventually("held deletions", || {
        let status = scanner.command(&["status", "--output", "json"])?.success()?.json()?;
        Ok((status["roots"][0]["held_deletions"] == 3).then_some(()))
    })
    .unwrap();
    assert!(pushed.file("many-0").is_some(), "a deletion was told that is held");
    pushed.touch("many-0", "x");

    pushed.set(&json!({"scanner": {"schedule": {"when": "* * * * * *"}, "deletion_hold": {"share": "100%"}}}));
    pushed.touch("by-the-schedule", "x");
    pushed.told("by-the-schedule");

    let within = scanner.tree().join("within");
    pushed.set(&json!({"scanner": {"scan_paths": [within]}}));
    pushed.scan();
    let history = scanner
        .command(&["history", "--output", "json"])
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(history.json().unwrap()[0]["paths"], json!([within]), "scan_paths");
    assert!(
        pushed.file("b.txt").is_some(),
        "what is no longer scanned stays until somebody accepts that"
    );
    fleet
        .client(&["agent-config", "withdraw", "pushed"])
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(pushed.log.reloaded().0, "controller");
    pushed.scan();
    pushed.told("b.txt");
    assert!(daemon.stop().unwrap().success());
}
