//! The configuration changes while the agent runs: what is right takes effect, what is wrong changes nothing.
use crate::daemon_log::DaemonLog;
use e2e::{AGENT, Signal, Site, end, health_address, send, wait_health};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path};
use testkit::{Daemon, eventually};

/// A daemon with a configuration in JSON that can be changed, and its health.
struct Changing {
    site: Site,
    daemon: Option<Daemon>,
    config: Value,
    health: SocketAddr,
}

impl Changing {
    fn start() -> Self {
        let site = Site::new(&["health.enabled=true", "health.port=0"]).unwrap();
        let config = json!({
            "server": {"base_url": site.proxy.url(), "retry_attempts": 0},
            "agent": {"id": AGENT},
            "scanner": {"scan_interval": "100ms", "scan_paths": [site.tree()]},
        });
        // JSON is YAML: the file's name stays.
        fs::write(site.home().join("scanner.yaml"), config.to_string()).unwrap();
        let daemon = site.start().unwrap();
        let health = health_address(&daemon).unwrap();
        Self {
            site,
            daemon: Some(daemon),
            config,
            health,
        }
    }

    fn write(&self, text: &str) {
        let (file, beside) = (self.site.home().join("scanner.yaml"), self.site.home().join("new"));
        // As editors and configuration managers do.
        fs::write(&beside, text).unwrap();
        fs::rename(beside, file).unwrap();
    }

    /// Sets a key, by the file.
    fn set(&mut self, key: &str, value: Value) {
        let pointer = format!("/{}", key.replace('.', "/"));
        match (self.config.pointer_mut(&pointer), key.split_once('.')) {
            (Some(old), _) => *old = value,
            (None, Some((section, name))) => self.config[section][name] = value,
            (None, None) => self.config[key] = value,
        }
        self.write(&self.config.to_string());
    }

    /// Sets a key of the scanner, and waits until what is scanned goes by it.
    fn set_and_scan(&mut self, key: &str, value: Value) {
        let daemon = self.daemon.take().unwrap();
        let mut log = DaemonLog::new(&daemon);
        self.set(key, value);
        log.next("another configuration", |line| {
            (line.contains("the configuration was loaded anew") && line.contains(key)).then_some(())
        });
        // The scan that was under way goes by what was in force when it began.
        log.next("the end of a scan", |line| {
            line.contains("scan completed").then_some(())
        });
        self.daemon = Some(daemon);
    }

    fn touch(&self, name: &str) {
        fs::write(self.site.tree().join(name), "some text\n").unwrap();
    }

    fn is_live(&self, path: &Path) -> bool {
        self.site
            .recorder
            .live(AGENT)
            .contains(path.as_os_str().as_encoded_bytes())
    }

    /// Waits until the server knows a file of the tree.
    fn wait_for(&self, name: &str) {
        let path = self.site.tree().join(name);
        eventually(name, || Ok(self.is_live(&path).then_some(()))).unwrap();
    }

    fn wait_health<T>(&self, what: &str, look: impl FnMut(&Value) -> Option<T>) -> T {
        wait_health(self.health, what, look).unwrap()
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn end(mut self) {
        end(self.daemon.take().unwrap(), Signal::TERM).unwrap();
    }
}

#[test]
fn what_is_scanned_changes_with_the_file() {
    let mut changing = Changing::start();
    changing.touch("first");
    changing.wait_for("first");

    changing.set_and_scan("scanner.ignore_patterns", json!(["*.log"]));
    changing.touch("a.log");
    changing.touch("after-a");
    changing.wait_for("after-a");
    assert!(!changing.is_live(&changing.site.tree().join("a.log")));
    changing.set("scanner.ignore_patterns", json!([]));
    changing.wait_for("a.log");

    changing.set_and_scan("scanner.hidden", json!(false));
    changing.touch(".hidden");
    changing.touch("after-hidden");
    changing.wait_for("after-hidden");
    assert!(!changing.is_live(&changing.site.tree().join(".hidden")));
    changing.set("scanner.hidden", json!(true));
    changing.wait_for(".hidden");

    changing.set_and_scan("scanner.max_file_size", json!("5B"));
    changing.touch("large");
    fs::write(changing.site.tree().join("small"), "x").unwrap();
    changing.wait_for("small");
    assert!(!changing.is_live(&changing.site.tree().join("large")));
    changing.set("scanner.max_file_size", Value::Null);
    changing.wait_for("large");

    let other = changing.site.home().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("elsewhere"), "x").unwrap();
    changing.set("scanner.scan_paths", json!([changing.site.tree(), other]));
    eventually("a file of another path", || {
        Ok(changing.is_live(&other.join("elsewhere")).then_some(()))
    })
    .unwrap();
    changing.end();
}

#[test]
fn how_it_is_told_and_watched_changes_with_the_file() {
    let mut changing = Changing::start();
    changing.touch("first");
    changing.wait_for("first");

    changing.set("agent.heartbeat_interval", json!("1s"));
    let before = changing.site.recorder.totals().heartbeats;
    changing
        .site
        .recorder
        .wait_for("heartbeats", |totals| totals.heartbeats >= before + 2)
        .unwrap();

    changing.set("logging.level", json!("debug"));
    changing.touch("spoken-of");
    changing.daemon().wait_for_text("records delivered").unwrap();

    changing.set("outbox.max_bytes", json!("7MB"));
    changing.wait_health("another bound", |health| {
        (health["outbox"]["max_bytes"] == 7 << 20).then_some(())
    });

    changing.set("database.backup_enabled", json!(false));
    changing.daemon().wait_for_text("database.backup_enabled").unwrap();
    fs::remove_dir_all(changing.site.state().join("backups")).ok();
    changing.set("database.backup_path", json!(changing.site.home().join("copies")));
    changing.set("database.backup_enabled", json!(true));
    eventually("a backup at another place", || {
        let copies = fs::read_dir(changing.site.home().join("copies"));
        Ok(copies.ok().and_then(|mut copies| copies.next()).map(drop))
    })
    .unwrap();

    // What stands in the file gives way to what the command line says.
    changing.set("health", json!({"enabled": false, "path": "/how-is-it"}));
    eventually("health at another path", || {
        let answer = testkit::http_get(changing.health, "/how-is-it/live");
        Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(()))
    })
    .unwrap();
    changing.end();
}

#[test]
fn the_link_begins_anew_where_the_server_s_settings_change() {
    let mut changing = Changing::start();
    changing.touch("first");
    changing.wait_for("first");
    changing.set("server.concurrent_requests", json!(1));
    // Not a key of this section: refused, and nothing changed.
    changing.wait_health("a refusal", |health| {
        health["configuration"]["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("concurrent_requests"))
            .then_some(())
    });
    changing.config["server"]
        .as_object_mut()
        .unwrap()
        .remove("concurrent_requests");
    changing.set("server.compression", json!("zstd"));
    changing.daemon().wait_for_text("the link begins anew").unwrap();
    changing.touch("after");
    changing.wait_for("after");
    changing.end();
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_with_its_line() {
    let mut changing = Changing::start();
    changing.touch("first");
    changing.wait_for("first");
    changing.write("scanner:\n  scan_interval: 100ms\n  scan_paths: [/nowhere]\n  batch_size: many\n");
    let block = changing.wait_health("a refusal", |health| {
        let block = &health["configuration"];
        (block["status"] == "degraded").then(|| block.clone())
    });
    let detail = block["detail"].as_str().unwrap();
    assert!(
        detail.contains("scanner.yaml:4:15") && detail.contains("batch_size"),
        "{detail}"
    );
    changing.daemon().wait_for_text("the running one stays").unwrap();
    // It goes on as before.
    changing.touch("second");
    changing.wait_for("second");
    changing.set("scanner.batch_size", json!(100));
    changing.wait_health("a good configuration", |health| {
        (health["configuration"]["status"] == "healthy").then_some(())
    });
    changing.end();
}

#[test]
fn what_needs_a_restart_is_named_and_sighup_loads_anew() {
    let mut changing = Changing::start();
    changing.touch("first");
    changing.wait_for("first");
    changing.set("agent.id", json!("another-name"));
    let keys = changing.wait_health("a key that needs a restart", |health| {
        let keys = &health["configuration"]["needs_restart"];
        keys.is_array().then(|| keys.clone())
    });
    assert_eq!(keys, json!(["agent.id"]));
    changing.set("agent.id", json!(AGENT));
    changing.wait_health("nothing that needs a restart", |health| {
        health["configuration"]["needs_restart"].is_null().then_some(())
    });
    send(changing.daemon(), Signal::HUP).unwrap();
    changing.wait_health("a signal", |health| {
        (health["configuration"]["cause"] == "SIGHUP").then_some(())
    });
    changing.touch("second");
    changing.wait_for("second");
    changing.end();
}
