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

#[test]
fn no_line_is_lost_or_doubled_while_many_threads_write_and_the_file_rotates() {
    const THREADS: u64 = 8;
    const LINES: u64 = 4_000;
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings("info", Format::Json);
    settings.file = Some(FileSettings {
        max_size: core_model::ByteSize::new(64 << 10),
        // By size alone: by age, a slow machine would have ever more to do, and not end within the time there is at the end.
        max_age: std::time::Duration::ZERO,
        max_backups: 500,
        compress: true,
        ..FileSettings::new(dir.path().join("a.log"))
    });
    let sink = Sink {
        writer: BoxMakeWriter::new(io::sink),
        color: false,
    };
    let (subscriber, telemetry) = build(settings, sink).unwrap();
    let dispatch = tracing::Dispatch::new(subscriber);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let dispatch = dispatch.clone();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    (0..LINES).for_each(|line| tracing::info!(thread, line, "under load"));
                });
            });
        }
    });
    assert_eq!(telemetry.dropped_lines(), 0);
    drop(telemetry);
    let mut files = 0;
    let mut next = vec![0; THREADS as usize];
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let mut text = String::new();
        match path.extension().is_some_and(|extension| extension == "gz") {
            true => io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut text).unwrap(),
            false => {
                text = String::from_utf8(bytes).unwrap();
                0
            }
        };
        // The newest file has no number; the higher the number, the older the lines.
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let number: u32 = name.split('.').nth(2).map_or(0, |number| number.parse().unwrap());
        found.push((number, text));
        files += 1;
    }
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    for line in found.iter().flat_map(|(_, text)| text.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let of_thread = &mut next[line["thread"].as_u64().unwrap() as usize];
        assert_eq!(line["line"].as_u64(), Some(*of_thread), "each once, in order");
        *of_thread += 1;
    }
    assert_eq!(next, [LINES; THREADS as usize]);
    assert!(files > 20, "{files}");
}

#[cfg(target_os = "linux")]
#[test]
fn lines_missing_from_the_file_are_told_and_counted() {
    let mut settings = settings("info", Format::Text);
    settings.file = Some(FileSettings {
        // It is not to be moved away.
        max_size: core_model::ByteSize::new(0),
        max_age: std::time::Duration::ZERO,
        ..FileSettings::new("/dev/full")
    });
    let guard = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let written = Written::default();
    let into = written.clone();
    let sink = Sink {
        writer: BoxMakeWriter::new(move || into.clone()),
        color: false,
    };
    let (subscriber, telemetry) = build(settings, sink).unwrap();
    let metrics = crate::Metrics::new(&[]).unwrap();
    metrics.observe_log("scanner", &telemetry);
    let told = || String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        while !told().contains("WARN  scanner: lines are missing from the log file") {
            assert!(std::time::Instant::now() < guard);
            tracing::info!("a line of which there are many, so that the buffer fills");
        }
    });
    let counted = telemetry.dropped_lines();
    assert!(counted > 0);
    let text = metrics.render();
    let line = text
        .lines()
        .find(|line| line.starts_with("scanner_log_lines_dropped_total"))
        .unwrap();
    assert!(
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() >= counted,
        "{line}"
    );
}

#[test]
fn what_keeps_the_log_going_can_be_shared() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Telemetry>();
    is_shared::<Exporter>();
}
