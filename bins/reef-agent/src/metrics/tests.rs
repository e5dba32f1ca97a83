//! What is exported, and what the dashboard and the alerts ask for.
use super::*;
use crate::{
    keeper::{Activity, Canary, CanaryOutcome, ClamdState, Looked, Presence},
    settings::WebhookSettings,
    webhook::{Sender, Webhook},
};
use clamd_proto::ErrorKind;
use core_model::{EventId, Secret};
use fleet_wire::{FileCount, ScanCause, ScanProof, ScanScope, ScanStatus, WirePath};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};
use testkit::Program;
use tokio::sync::watch;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/observability/reef-agent")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(examples().join(name)).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn scan(rule: &str, status: ScanStatus) -> MalwareScan {
    let account = [("clean", 7), ("remembered", 90), ("infected", 1)];
    let count = |files| FileCount {
        files,
        bytes: files * 100,
    };
    MalwareScan {
        id: EventId::new(at(0), [1; 10]),
        rule: rule.to_owned(),
        cause: ScanCause::Schedule,
        started_at: at(1_700_000_000),
        ended_at: at(1_700_000_030),
        status,
        met: count(98),
        account: account.map(|(end, files)| (end.to_owned(), count(files))).into(),
        unaccounted: 0,
        detections: 1,
        engine: None,
        error: None,
        proof: Box::new(ScanProof {
            scope: Some(ScanScope::Whole),
            ..ScanProof::default()
        }),
    }
}

fn detection(outcome: Outcome) -> Detection {
    Detection {
        id: EventId::new(at(0), [2; 10]),
        path: WirePath::from_bytes(b"/srv/x"),
        signatures: vec!["Eicar-Signature".to_owned()],
        sha256: None,
        size: 68,
        uid: None,
        owner: None,
        rule: "web".to_owned(),
        scan: None,
        engine: "ClamAV 1.4.6".to_owned(),
        outcome,
        detail: None,
        quarantine_id: None,
    }
}

fn state() -> ClamdState {
    let version = clamd_proto::Version::parse(b"ClamAV 1.4.6/27815/Wed Nov 18 08:20:00 2026").unwrap();
    ClamdState {
        endpoint: "/run/clamd.ctl".parse().unwrap(),
        presence: Presence::Up { since: Utc::now() },
        version: Some(version),
        database_made: Some(Utc::now() - chrono::TimeDelta::hours(1)),
        activity: Some(Activity {
            at: Utc::now(),
            queue: 5,
            threads_live: 2,
            threads_idle: 1,
            threads_max: 12,
            memory: Some(1 << 20),
        }),
        canary: Some(Canary {
            at: at(1_700_000_000),
            outcome: CanaryOutcome::Found,
            last_found: Some(at(1_700_000_000)),
        }),
        looked: Some(Looked::Whole),
    }
}

/// Metrics in which everything has happened once.
struct Filled {
    reef: ReefMetrics,
    clamd: watch::Sender<ClamdState>,
    progress: Arc<Progress>,
    _folder: tempfile::TempDir,
}

impl Filled {
    fn new() -> Self {
        let reef = ReefMetrics::new(&Metrics::new(&[("agent_id", "web-1")]).unwrap());
        let clamd = watch::Sender::new(state());
        let folder = tempfile::tempdir().unwrap();
        // Nobody runs it: what is queued waits.
        let settings = WebhookSettings {
            url: Some(Secret::new("http://127.0.0.1:1/")),
            ..WebhookSettings::default()
        };
        let sender = Sender {
            host: "web-1".to_owned(),
            agent_id: None,
        };
        let webhook = Webhook::new(&folder.path().join("webhook.db"), watch::channel(settings).1, sender);
        webhook.detected(&detection(Outcome::Reported), Utc::now()).unwrap();
        let progress = Arc::new(Progress::default());
        progress.files.store(123, Relaxed);
        reef.agent_is("0.1.0", "web-1");
        reef.rules_are(["web", "home"]);
        reef.scan_due("web", Some(at(1_700_003_600)));
        reef.scan_ended(&scan("web", ScanStatus::Completed));
        reef.scan_started("home", &progress);
        reef.detected(&detection(Outcome::LeftThere));
        reef.handled(Outcome::Restored);
        reef.failed("timed_out", 1);
        reef.signatures_looked_after("updated");
        reef.watch_events("web", 4);
        reef.watch_overflowed("web");
        reef.watch_judged("web", Duration::from_millis(300));
        reef.observe_verdicts(|| Some(Utc::now() - chrono::TimeDelta::days(2)));
        reef.observe_quarantine(|| Some((3, 4096)));
        reef.observe_throttle(|| 8);
        reef.observe_webhook(&webhook);
        reef.observe_clamd(&clamd.subscribe());
        Self {
            reef,
            clamd,
            progress,
            _folder: folder,
        }
    }

    fn rendered(&self) -> String {
        self.reef.metrics.render()
    }

    /// The value of a series, by all of its labels but the agent's.
    fn value(&self, series: &str) -> Option<f64> {
        let wanted: BTreeSet<&str> = series.split(['{', '}', ',']).filter(|part| !part.is_empty()).collect();
        let rendered = self.rendered();
        rendered.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            let parts = found.split(['{', '}', ',']).filter(|part| !part.is_empty());
            let parts: BTreeSet<&str> = parts.filter(|part| !part.starts_with("agent_id=")).collect();
            (parts == wanted).then(|| value.parse().unwrap())
        })
    }

    /// The names of all metrics, those of a histogram's series among them.
    fn names(&self) -> BTreeSet<String> {
        let rendered = self.rendered();
        let series = rendered.lines().filter(|line| !line.starts_with('#'));
        series
            .map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned())
            .collect()
    }
}

#[test]
fn a_scan_and_what_it_found_are_counted_by_the_seed_s_names() {
    let filled = Filled::new();
    for (series, expected) in [
        (r#"clamav_scans_total{rule="web",status="completed"}"#, 1.0),
        (r#"clamav_scans_total{rule="home",status="failed"}"#, 0.0),
        (r#"clamav_scan_duration_seconds_sum{rule="web"}"#, 30.0),
        (r#"clamav_files_total{rule="web",result="clean"}"#, 7.0),
        (r#"clamav_bytes_total{rule="web",result="remembered"}"#, 9_000.0),
        (r#"clamav_cache_hits_total{rule="web"}"#, 90.0),
        (r#"clamav_threats_detected_total{rule="web"}"#, 1.0),
        // So that the first one is an increase.
        (r#"clamav_threats_detected_total{rule="home"}"#, 0.0),
        (r#"clamav_threats_handled_total{outcome="left_there"}"#, 1.0),
        (r#"clamav_threats_handled_total{outcome="restored"}"#, 1.0),
        (r#"clamav_last_scan_end_timestamp_seconds{rule="web"}"#, 1_700_000_030.0),
        (
            r#"clamav_last_complete_scan_timestamp_seconds{rule="web"}"#,
            1_700_000_030.0,
        ),
        (r#"clamav_scan_due_timestamp_seconds{rule="web"}"#, 1_700_003_600.0),
        (r#"clamav_unaccounted_files{rule="web"}"#, 0.0),
        (r#"clamav_scan_running{rule="home"}"#, 1.0),
        (r#"clamav_scan_files{rule="home"}"#, 123.0),
        (r#"clamav_errors_total{kind="timed_out"}"#, 1.0),
        (r#"clamav_watch_events_total{rule="web"}"#, 4.0),
        (r#"clamav_watch_latency_seconds_count{rule="web"}"#, 1.0),
        ("clamav_database_version", 27_815.0),
        ("clamav_up", 1.0),
        ("clamav_canary_ok", 1.0),
        ("clamav_queue_items", 5.0),
        (r#"clamav_threads{state="max"}"#, 12.0),
        ("clamav_quarantine_items", 3.0),
        ("clamav_quarantine_bytes", 4_096.0),
        ("clamreef_webhook_waiting", 1.0),
    ] {
        assert_eq!(
            filled.value(series),
            Some(expected),
            "{series} in\n{}",
            filled.rendered()
        );
    }
    let info = filled.rendered();
    let info = info
        .lines()
        .find(|line| line.starts_with("clamreef_agent_info"))
        .unwrap();
    assert!(
        info.contains(r#"version="0.1.0""#) && info.contains(r#"hostname="web-1""#),
        "{info}"
    );
    let age = filled.value("clamav_database_age_seconds").unwrap();
    assert!((3_600.0..4_200.0).contains(&age), "{age}");
}

#[test]
fn only_a_whole_scan_that_looked_at_everything_is_told_as_a_complete_one() {
    let filled = Filled::new();
    let [ended, completed] = ["clamav_last_scan_end", "clamav_last_complete_scan"].map(|name| {
        let filled = &filled;
        move || filled.value(&format!(r#"{name}_timestamp_seconds{{rule="web"}}"#))
    });
    let before = Some(1_700_000_030.0_f64);
    let later = |status, scope, after: i32| MalwareScan {
        ended_at: at(1_700_000_030 + i64::from(after)),
        proof: Box::new(ScanProof {
            scope: Some(scope),
            ..ScanProof::default()
        }),
        ..scan("web", status)
    };
    // A part of it, while the whole of it is under way: neither has ended by that.
    let progress = Arc::new(Progress::default());
    filled.reef.scan_started("web", &progress);
    filled
        .reef
        .scan_ended(&later(ScanStatus::Completed, ScanScope::Part, 100));
    assert_eq!((ended(), completed()), (before, before));
    assert_eq!(filled.value(r#"clamav_scan_running{rule="web"}"#), Some(1.0));
    for (after, status) in [
        (200, ScanStatus::Failed),
        (300, ScanStatus::Stopped),
        (400, ScanStatus::Partial),
    ] {
        filled.reef.scan_ended(&later(status, ScanScope::Whole, after));
        assert_eq!(ended(), before.map(|before| before + f64::from(after)));
        assert_eq!(completed(), before);
    }
    let last = later(ScanStatus::Completed, ScanScope::Whole, 500);
    filled.reef.scanned(&last);
    assert_eq!((ended(), completed()), (Some(1_700_000_530.0), Some(1_700_000_530.0)));
    // What was told before is known anew after a start, in whatever order.
    filled.reef.scanned(&scan("web", ScanStatus::Completed));
    assert_eq!(completed(), Some(1_700_000_530.0));
}

#[test]
fn a_rule_that_is_gone_and_a_clamd_that_is_are_told_of_so() {
    let filled = Filled::new();
    filled.progress.files.store(200, Relaxed);
    assert_eq!(filled.value(r#"clamav_scan_files{rule="home"}"#), Some(200.0));
    filled.reef.scan_ended(&scan("home", ScanStatus::Stopped));
    assert_eq!(filled.value(r#"clamav_scan_running{rule="home"}"#), Some(0.0));
    assert_eq!(filled.value(r#"clamav_scan_files{rule="home"}"#), None);
    filled.reef.rules_are(["home"]);
    assert_eq!(
        filled.value(r#"clamav_last_scan_end_timestamp_seconds{rule="web"}"#),
        None
    );
    filled.clamd.send_modify(|state| {
        state.presence = Presence::Down {
            since: Utc::now(),
            kind: ErrorKind::Down,
            why: "gone".to_owned(),
        };
        state.activity = None;
        state.looked = Some(Looked::Less { at: 1, not_at: 2 });
        if let Some(canary) = &mut state.canary {
            canary.outcome = CanaryOutcome::Missed { by: "a stream" };
        }
    });
    assert_eq!(filled.value("clamav_up"), Some(0.0));
    assert_eq!(filled.value("clamav_canary_ok"), Some(0.0));
    assert_eq!(filled.value("clamav_max_file_size_ok"), Some(0.0));
    assert_eq!(filled.value("clamav_queue_items"), None);
}

#[test]
fn a_scan_whose_counters_are_gone_is_told_of_no_longer_though_nobody_ended_it() {
    let filled = Filled::new();
    let progress = Arc::new(Progress::default());
    filled.reef.scan_started("web", &progress);
    assert_eq!(filled.value(r#"clamav_scan_running{rule="web"}"#), Some(1.0));
    drop(progress);
    assert_eq!(filled.value(r#"clamav_scan_running{rule="web"}"#), Some(0.0));
    assert_eq!(filled.value(r#"clamav_scan_files{rule="web"}"#), None);
}

/// The metrics that expressions name.
fn named<'a>(expressions: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expressions
        .into_iter()
        .flat_map(|text| text.split(move |c| !is_name(c)));
    words
        .filter(|word| word.starts_with("clamav_") || word.starts_with("clamreef_"))
        .map(str::to_owned)
        .collect()
}

/// All texts under the keys `expr` and `query`.
fn expressions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "expr" || key == "query" => found.push(text),
            value => expressions(value, found),
        }),
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_only_for_what_there_is_and_the_readme_names_all_of_it() {
    let names = Filled::new().names();
    let dashboard: Value = serde_json::from_str(&example("dashboard.json")).unwrap();
    let alerts: Value = serde_yaml::from_str(&example("alerts.yaml")).unwrap();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 30, "{}", asked.len());
    let before = asked.len();
    expressions(&alerts, &mut asked);
    assert!(asked.len() >= before + 15, "{}", asked.len());
    let missing: Vec<_> = named(asked).into_iter().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "nobody records {missing:?}");
    let base = |name: &String| {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        base.to_owned()
    };
    let documented = named([example("README.md").as_str()]);
    assert_eq!(names.iter().map(base).collect::<BTreeSet<_>>(), documented);
}

#[test]
fn the_panels_of_the_dashboard_have_ids_and_places_of_their_own() {
    let dashboard: Value = serde_json::from_str(&example("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeMap::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for cell in (place("x")..place("x") + place("w"))
            .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
        {
            let before = taken.insert(cell, &panel["title"]);
            assert_eq!(before, None, "{} lies over another", panel["title"]);
        }
    }
}

#[test]
fn each_alert_fires_where_it_should_and_only_there() {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&folders).any(|folder| folder.join("promtool").is_file()) {
        eprintln!("skipped: promtool is not installed; `cargo xtask setup` does that");
        return;
    }
    for words in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        let run = Program::at("promtool").args(words).home(examples()).run().unwrap();
        run.success().unwrap();
    }
    // Every alert has a case in which it fires.
    let alerts: Value = serde_yaml::from_str(&example("alerts.yaml")).unwrap();
    let tests: Value = serde_yaml::from_str(&example("alerts_test.yaml")).unwrap();
    let all = alerts["groups"][0]["rules"].as_array().unwrap();
    let all: BTreeSet<&str> = all.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    let cases = tests["tests"].as_array().unwrap();
    let cases = cases
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap());
    let fires = cases.filter(|case| !case["exp_alerts"].as_array().unwrap().is_empty());
    let fired: BTreeSet<&str> = fires.map(|case| case["alertname"].as_str().unwrap()).collect();
    assert_eq!(fired, all);
}

#[test]
fn the_collector_s_pipelines_name_only_what_is_configured() {
    let collector: Value = serde_yaml::from_str(&example("otel-collector.yaml")).unwrap();
    let pipelines = collector["service"]["pipelines"].as_object().unwrap();
    assert_eq!(pipelines.len(), 3);
    let mut used = 0;
    for (part, of) in pipelines.values().flat_map(|pipeline| pipeline.as_object().unwrap()) {
        for name in of.as_array().unwrap() {
            assert!(collector[part].get(name.as_str().unwrap()).is_some(), "{part}: {name}");
            used += 1;
        }
    }
    for name in collector["service"]["extensions"].as_array().unwrap() {
        assert!(collector["extensions"].get(name.as_str().unwrap()).is_some(), "{name}");
    }
    assert!(used > 10);
}
