//! Renders real recordings and reads the text back as Prometheus does.
use super::*;
use std::collections::BTreeMap;

/// One series: its name, its labels, its value.
type Series = (String, BTreeMap<String, String>, f64);

/// Reads the text form (labels here hold no commas), insisting on a type line before each series.
fn parse(text: &str) -> Vec<Series> {
    let mut types = BTreeMap::new();
    let mut all = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name} is described twice"
            );
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap();
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
            let pairs = labels.strip_suffix('}').unwrap().split(',');
            let labels = pairs.map(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts
                .iter()
                .find_map(|part| name.strip_suffix(part).filter(|base| types.contains_key(*base)));
            assert!(types.contains_key(base.unwrap_or(name)), "{name} has no type");
            all.push((name.to_owned(), labels.collect(), value.parse().unwrap()));
        }
    }
    all
}

fn metrics() -> Metrics {
    Metrics::new(&[("agent_id", "server-01")]).unwrap()
}

#[test]
fn names_leave_as_they_are_written() {
    let metrics = metrics();
    metrics
        .counter("scanner_files_processed_total", "Files.")
        .add(3, &[("action", "created")]);
    metrics
        .counter("scanner_files_processed_total", "Files.")
        .add(2, &[("action", "created")]);
    metrics.gauge("scanner_files_per_second", "Rate.").set(2.5, &[]);
    metrics.gauge("scanner_files_per_second", "Rate.").set(1.5, &[]);
    let duration = metrics.histogram("scanner_scan_duration_seconds", "Duration.", &[1.0, 10.0]);
    [0.5, 5.0, 50.0]
        .into_iter()
        .for_each(|seconds| duration.record(seconds, &[]));
    let text = metrics.render();
    let series: BTreeMap<_, _> = parse(&text)
        .into_iter()
        .map(|(name, labels, value)| {
            assert_eq!(labels.get("agent_id").map(String::as_str), Some("server-01"), "{name}");
            let rest: Vec<_> = labels.into_iter().filter(|(name, _)| name != "agent_id").collect();
            (format!("{name} {rest:?}"), value)
        })
        .collect();
    let expected = [
        (r#"scanner_files_per_second []"#, 1.5),
        (r#"scanner_files_processed_total [("action", "created")]"#, 5.0),
        (r#"scanner_scan_duration_seconds_bucket [("le", "+Inf")]"#, 3.0),
        (r#"scanner_scan_duration_seconds_bucket [("le", "1")]"#, 1.0),
        (r#"scanner_scan_duration_seconds_bucket [("le", "10")]"#, 2.0),
        (r#"scanner_scan_duration_seconds_count []"#, 3.0),
        (r#"scanner_scan_duration_seconds_sum []"#, 55.5),
    ];
    assert_eq!(
        series,
        expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        "{text}"
    );
    for wrong in ["total_total", "otel_scope", "target_info", "_ratio"] {
        assert!(!text.contains(wrong), "{wrong}: {text}");
    }
    assert!(text.contains("# HELP scanner_files_per_second Rate."), "{text}");
}

#[test]
fn observed_metrics_are_read_anew_each_time() {
    let metrics = metrics();
    let breaker = std::sync::Arc::new(Mutex::new("closed"));
    let watched = std::sync::Arc::clone(&breaker);
    metrics.observe_gauge("scanner_circuit_breaker_state", "Breaker.", move || {
        let now = *watched.lock().unwrap();
        ["closed", "open", "half_open"]
            .map(|state| Reading::new(f64::from(u8::from(state == now))).label("state", state))
    });
    metrics.observe_counter("scanner_bytes_total", "Bytes.", || [Reading::new(12.0)]);
    let state = |metrics: &Metrics| -> Vec<String> {
        let all = parse(&metrics.render()).into_iter();
        all.filter(|(_, labels, value)| labels.contains_key("state") && *value == 1.0)
            .map(|series| series.1["state"].clone())
            .collect()
    };
    assert_eq!(state(&metrics), ["closed"]);
    *breaker.lock().unwrap() = "open";
    assert_eq!(state(&metrics), ["open"]);
    assert!(metrics.render().contains("# TYPE scanner_bytes_total counter"));
}

#[test]
fn label_values_cannot_break_the_text() {
    let metrics = metrics();
    metrics.counter("a_total", "A.").add(1, &[("path", "a\"b\\c\nd")]);
    assert!(
        metrics.render().contains(r#"path="a\"b\\c\nd""#),
        "{}",
        metrics.render()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let metrics = metrics();
    metrics.observe_process("scanner");
    let names: Vec<_> = parse(&metrics.render()).into_iter().map(|(name, ..)| name).collect();
    let expected = [
        "scanner_cpu_seconds_total",
        "scanner_cpu_usage_percent",
        "scanner_file_io_operations_total",
        "scanner_file_io_operations_total",
        "scanner_memory_usage_bytes",
        "scanner_open_fds",
    ];
    assert_eq!(names, expected);
}

#[test]
fn two_readers_do_not_take_the_use_of_the_processor_from_one_another() {
    let start = Instant::now();
    let after = |millis, cpu| (start + Duration::from_millis(millis), cpu);
    let mut usage = Usage {
        before: (start, 0.0),
        percent: 0.0,
    };
    let read: Vec<f64> = [
        after(10_000, 5.0),
        after(10_001, 5.001),
        after(10_999, 5.0),
        after(20_000, 5.0),
    ]
    .map(|now| usage.read(now))
    .into();
    assert_eq!(read, [50.0, 50.0, 50.0, 0.0]);
}

#[test]
fn use_of_the_processor_is_a_share_of_the_time_between() {
    let start = Instant::now();
    let later = start + Duration::from_secs(10);
    assert_eq!(share((start, 1.0), (later, 6.0)), 50.0);
    assert_eq!(share((start, 1.0), (start, 6.0)), 0.0);
}

#[test]
fn a_wrong_constant_label_is_an_error_or_harmless_but_no_panic() {
    if let Ok(metrics) = Metrics::new(&[("not a name", "x")]) {
        metrics.counter("a_total", "A.").add(1, &[]);
        metrics.render();
    }
}
