//! What a running agent exports: by `/metrics`, by OTLP, and all that the dashboard and the alerts ask for.
use super::rig::Rig;
use e2e::{Signal, end, health_address};
use std::collections::BTreeSet;
use testkit::{ClamdOptions, OtlpReceiver, eventually, free_loopback_port, http_get};

/// The names of this product's metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let ours = words.filter(|word| ["clamav_", "clamreef_"].iter().any(|prefix| word.starts_with(prefix)));
    ours.map(str::to_owned).collect()
}

#[test]
fn a_detection_and_the_metrics_by_the_seed_s_names_arrive_by_otlp_as_metrics_shows_them() {
    let receiver = OtlpReceiver::start().unwrap();
    let rig = Rig::with(ClamdOptions {
        database_version: Some(27_815),
        ..ClamdOptions::default()
    });
    rig.fill(3);
    rig.infect("bad.com");
    rig.configure(&format!(
        "schedule = {{ when = \"* * * * * *\" }}\n[telemetry.otlp]\nendpoint = \"{}\"\ninterval = \"1s\"\n",
        receiver.url()
    ));
    let daemon = rig.daemon();
    let wanted = [
        "clamav_scans_total",
        "clamav_threats_detected_total",
        "clamav_scan_duration_seconds_count",
        "clamav_database_version",
        "clamreef_agent_info",
    ];
    let received = receiver
        .wait_for("a detection and what was counted", |received| {
            let is_told = received
                .lines
                .iter()
                .any(|line| line.body.contains("malware was found"));
            let has = |name: &&str| received.points.iter().any(|point| point.name == **name);
            is_told && wanted.iter().all(has)
        })
        .unwrap();
    assert_eq!(received.complaints, Vec::<String>::new());
    assert_eq!(received.resource["service.name"], "reef-agent");
    let line = received
        .lines
        .iter()
        .find(|line| line.body.contains("malware was found"))
        .unwrap();
    for key in ["path", "signatures", "sha256", "owner", "rule"] {
        assert!(line.attributes.contains_key(key), "{key}: {line:?}");
    }
    let shown = http_get(health_address(&daemon).unwrap(), "/metrics").unwrap().body;
    for point in &received.points {
        assert!(shown.contains(&point.name), "{} is not in /metrics", point.name);
    }
    end(daemon, Signal::TERM).unwrap();
}

#[test]
fn a_running_agent_exports_all_that_the_dashboard_and_the_alerts_ask_for() {
    let dashboard = include_str!("../../../examples/observability/reef-agent/dashboard.json");
    let alerts = include_str!("../../../examples/observability/reef-agent/alerts.yaml");
    let mut missing = names(dashboard);
    missing.extend(names(alerts));
    let rig = Rig::with(ClamdOptions {
        database_version: Some(27_815),
        ..ClamdOptions::default()
    });
    rig.fill(30);
    rig.infect("bad.com");
    // Some are there only while a scan lasts: so it lasts.
    rig.configure(&format!(
        "schedule = {{ when = \"* * * * * *\" }}\nthrottle = {{ max_files_per_second = 20 }}\n[watch]\npaths = [\"{}\"]\n\
         [webhook]\nurl = \"http://127.0.0.1:{}/\"\n",
        rig.tree().display(),
        free_loopback_port().unwrap()
    ));
    let daemon = rig.daemon();
    let address = health_address(&daemon).unwrap();
    let mut written = 0;
    eventually("every metric", || {
        written += 1;
        rig.write(format!("written-{written}"), b"x");
        let seen = names(&http_get(address, "/metrics")?.body);
        missing.retain(|name| !seen.contains(name));
        assert!(!daemon.has_ended(), "it has ended");
        Ok(missing.is_empty().then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}: never seen: {missing:?}"));
    end(daemon, Signal::TERM).unwrap();
}
