//! Whole subscribers, each for one thread, with their lines read back.
use super::*;
use crate::Format;
use core_model::Secret;
use serde_json::{Value, json};
use std::fs;

#[derive(Debug, thiserror::Error)]
#[error("could not read `a`")]
struct Outer {
    source: io::Error,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(level: &str, format: Format) -> LogSettings {
    LogSettings {
        level: level.to_owned(),
        format,
        agent_id: Some("server-01-scanner".to_owned()),
        ..LogSettings::new("scanner")
    }
}

/// The lines that `work` logs.
fn lines(settings: LogSettings, work: impl FnOnce(&Telemetry)) -> Vec<String> {
    let written = Written::default();
    let into = written.clone();
    let sink = Sink {
        writer: BoxMakeWriter::new(move || into.clone()),
        color: false,
    };
    let (subscriber, telemetry) = build(settings, sink).unwrap();
    tracing::subscriber::with_default(subscriber, || work(&telemetry));
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn only_json(work: impl FnOnce()) -> Value {
    let lines = lines(settings("info", Format::Json), |_| work());
    assert_eq!(lines.len(), 1, "{lines:?}");
    let mut value: Value = serde_json::from_str(&lines[0]).unwrap();
    let time = value.as_object_mut().unwrap().remove("timestamp").unwrap();
    let time: chrono::DateTime<Utc> = time.as_str().unwrap().parse().unwrap();
    assert!((Utc::now() - time).num_minutes().abs() < 60, "{time}");
    value
}

#[test]
fn a_json_line_has_the_documented_fields() {
    let value = only_json(|| {
        let span = tracing::info_span!("scan", scan_session_id = "scan-123", files = tracing::field::Empty);
        let _entered = span.enter();
        span.record("files", 7);
        let metrics = json!({"duration_ms": 45000, "files_total": 1250});
        let paths = json!(["/data/documents"]);
        tracing::info!(%metrics, scan_paths.json = %paths, ratio = 0.5, ok = true, "Scan completed successfully");
    });
    let expected = json!({
        "level": "info",
        "component": "telemetry-otel",
        "message": "Scan completed successfully",
        "agent_id": "server-01-scanner",
        "scan_session_id": "scan-123",
        "files": 7,
        "metrics": {"duration_ms": 45000, "files_total": 1250},
        "scan_paths": ["/data/documents"],
        "ratio": 0.5,
        "ok": true,
    });
    assert_eq!(value, expected);
}

#[test]
fn only_what_says_it_is_json_is_nested() {
    let value = only_json(|| tracing::info!(metrics = "{broken", name = r#"{"a":1}"#, n.json = "3", "x"));
    assert_eq!(value["metrics"], "{broken");
    assert_eq!(value["name"], r#"{"a":1}"#, "a file may be named so");
    assert_eq!(value["n.json"], "3", "a bare number needs no help");
}

#[test]
fn an_event_may_name_its_component_and_an_inner_value_wins() {
    let value = only_json(|| {
        let _outer = tracing::info_span!("outer", component = "outer", step = 1).entered();
        let _inner = tracing::info_span!("inner", step = 2).entered();
        tracing::error!(component = "api", "x");
    });
    assert_eq!(
        (&value["component"], &value["step"], &value["level"]),
        (&json!("api"), &json!(2), &json!("error"))
    );
}

#[test]
fn an_error_is_told_with_its_causes() {
    let value = only_json(|| {
        let error = Outer {
            source: io::Error::other("disk on fire"),
        };
        tracing::info!(error = &error as &(dyn std::error::Error + 'static), "x");
    });
    assert_eq!(value["error"], "could not read `a`: disk on fire");
}

#[test]
fn a_secret_prints_as_stars() {
    let key = Secret::new("hunter2");
    for format in [Format::Json, Format::Text] {
        let lines = lines(settings("info", format), |_| {
            let _span = tracing::info_span!("span", outer = ?key).entered();
            tracing::info!(api_key = %key, debug = ?key, options = ?Some(&key), "key {key}");
        });
        assert!(!lines[0].contains("hunter2"), "{lines:?}");
        assert_eq!(lines[0].matches("***").count(), 5, "{lines:?}");
    }
}

#[test]
fn text_reads_well() {
    let lines = lines(settings("info", Format::Text), |_| {
        let _span = tracing::info_span!("scan", session = "s1").entered();
        tracing::warn!(target: "fsscan::walk", path = %"/a b", count = 2, "could not read");
    });
    let (_, rest) = lines[0].split_once(' ').unwrap();
    assert_eq!(rest, r#"WARN  fsscan: could not read session=s1 path="/a b" count=2"#);
}

#[test]
fn the_level_changes_while_running() {
    let lines = lines(settings("info", Format::Text), |telemetry| {
        let speak = |what: &str| {
            tracing::debug!(target: "fsscan::walk", "walk {what}");
            tracing::debug!(target: "scanner", "scanner {what}");
        };
        speak("1");
        telemetry.level().set("info,fsscan=debug").unwrap();
        speak("2");
        telemetry.set_level("loud").unwrap_err();
        assert_eq!(
            telemetry.level().get(),
            "info,fsscan=debug",
            "a wrong level leaves the old one"
        );
        telemetry.set_level("debug").unwrap();
        speak("3");
        telemetry.set_level("off").unwrap();
        speak("4");
        tracing::error!("nothing");
    });
    let told: Vec<_> = lines.iter().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(told, ["walk 2", "walk 3", "scanner 3"]);
}

#[test]
fn the_file_has_every_line_once_telemetry_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scanner.log");
    let mut settings = settings("info", Format::Json);
    settings.file = Some(FileSettings::new(&path));
    let mut telemetry = None;
    let sink = Sink {
        writer: BoxMakeWriter::new(io::sink),
        color: true,
    };
    let (subscriber, built) = build(settings, sink).unwrap();
    telemetry.replace(built);
    tracing::subscriber::with_default(subscriber, || {
        (0..1000).for_each(|n| tracing::info!(n, "line"));
    });
    assert_eq!(telemetry.as_ref().unwrap().dropped_lines(), 0);
    drop(telemetry);
    let text = fs::read_to_string(path).unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
}

#[test]
fn mistakes_in_settings_are_named() {
    let sink = || Sink {
        writer: BoxMakeWriter::new(io::sink),
        color: false,
    };
    let error = build(settings("verbose", Format::Text), sink()).map(drop).unwrap_err();
    assert!(matches!(&error, InitError::Level { source: LevelError::Unknown { word } } if word == "verbose"));
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = settings("info", Format::Text);
    wrong.file = Some(FileSettings::new(dir.path()));
    let error = build(wrong, sink()).map(drop).unwrap_err();
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
}
