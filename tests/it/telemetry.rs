//! Metrics, traces and the log of a scanner at a receiver of OTLP.
use e2e::{AGENT, Signal, Site, end, health_address};
use std::{net::SocketAddr, sync::Arc};
use testkit::{Fault, OtlpOptions, OtlpReceiver, eventually, http_get};

const TOKEN: &str = "otlp-token-that-nobody-may-see";

fn receiver() -> OtlpReceiver {
    OtlpReceiver::start_with(OtlpOptions {
        tls: None,
        headers: vec![("authorization".to_owned(), format!("Bearer {TOKEN}"))],
    })
    .unwrap()
}

fn site(receiver: &OtlpReceiver) -> Site {
    let endpoint = format!("telemetry.otlp.endpoint={}", receiver.url());
    let header = format!("telemetry.otlp.headers.authorization=Bearer {TOKEN}");
    let site = Site::new(&[
        &endpoint,
        &header,
        "telemetry.otlp.interval=1s",
        "health.enabled=true",
        "health.port=0",
        "logging.level=debug",
    ])
    .unwrap();
    site.touch(["a", "b"]).unwrap();
    site
}

#[test]
fn a_scan_is_seen_at_a_receiver_with_its_trace_its_lines_and_the_names_of_metrics() {
    let receiver = receiver();
    let site = site(&receiver);
    let daemon = site.start().unwrap();
    let health = health_address(&daemon).unwrap();
    let received = receiver
        .wait_for("a scan", |received| {
            let has_line = received.lines.iter().any(|line| line.body.contains("scan completed"));
            let is_counted = received
                .points
                .iter()
                .any(|point| point.name == "scanner_files_processed_total");
            has_line && is_counted && received.spans.iter().any(|span| span.name == "scan")
        })
        .unwrap();
    assert_eq!(received.complaints, Vec::<String>::new());
    assert_eq!(received.resource["service.name"], "scanner");
    let line = received
        .lines
        .iter()
        .find(|line| line.body.contains("scan completed"))
        .unwrap();
    eventually("the span of that line", || {
        let spans = receiver.received().spans;
        Ok(spans
            .iter()
            .any(|span| span.trace_id == line.trace_id && span.span_id == line.span_id)
            .then_some(()))
    })
    .unwrap();
    let shown = http_get(health, "/metrics").unwrap().body;
    for point in &received.points {
        let name = point.name.as_str();
        assert!(shown.contains(name), "{name} is not in /metrics");
    }
    // Away and back: what was recorded meanwhile comes.
    receiver.go_away().unwrap();
    site.touch(["while-away"]).unwrap();
    site.wait_told().unwrap();
    receiver.come_back().unwrap();
    receiver
        .wait_for("what was counted meanwhile", |received| {
            let series = received.series();
            let counted = series
                .iter()
                .filter(|((name, _), _)| name == "scanner_files_processed_total");
            counted.map(|(_, value)| value).sum::<f64>() >= 3.0
        })
        .unwrap();
    let said = std::fs::read_to_string(daemon.stderr_file()).unwrap();
    let health = http_get(health, "/health").unwrap().body;
    end(daemon, Signal::TERM).unwrap();
    for (place, text) in [("the log", &said), ("/health", &health), ("/metrics", &shown)] {
        assert!(!text.contains(TOKEN), "the secret stands in {place}");
    }
    for entry in std::fs::read_dir(site.state()).unwrap() {
        let path = entry.unwrap().path();
        let is_there =
            std::fs::read(&path).is_ok_and(|bytes| bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()));
        assert!(!is_there, "the secret stands in {}", path.display());
    }
}

#[test]
fn a_round_from_cron_sends_what_it_recorded() {
    let receiver = receiver();
    let site = site(&receiver);
    site.round(0).unwrap();
    let received = receiver.received();
    assert!(
        received.spans.iter().any(|span| span.name == "scan"),
        "{:?}",
        received.spans
    );
    assert_eq!(received.complaints, Vec::<String>::new());
    receiver.go_away().unwrap();
    site.touch(["c"]).unwrap();
    let away = site.round(0).unwrap();
    assert!(away.stderr().contains("telemetry waits"), "{away}");
    receiver.come_back().unwrap();
    site.round(0).unwrap();
    let scans = receiver
        .received()
        .spans
        .iter()
        .filter(|span| span.name == "scan")
        .count();
    assert_eq!(scans, 3);
}

/// Whether `/metrics` shows a series of this name with this label.
fn shows(address: SocketAddr, name: &str, label: &str) -> bool {
    let metrics = http_get(address, "/metrics").unwrap().body;
    let is_it = |line: &str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
            && line.contains(&format!("agent_id=\"{AGENT}\""))
    };
    metrics.lines().any(|line| is_it(line) && line.contains(label))
}

#[test]
fn metrics_have_the_names_and_the_labels_of_the_document() {
    let site = Site::new(&["health.enabled=true", "health.port=0"]).unwrap();
    site.touch(["known"]).unwrap();
    site.round(0).unwrap();
    site.proxy
        .set(Fault::RejectRecord(Arc::new(|path: &str| path.ends_with("/refused"))))
        .unwrap();
    site.touch(["created", "refused"]).unwrap();
    let daemon = site.start().unwrap();
    let address = health_address(&daemon).unwrap();
    let wait = |name: &str, label: &str| {
        eventually(&format!("{name} with {label}"), || {
            Ok(shows(address, name, label).then_some(()))
        })
        .unwrap();
    };
    let path = format!("scan_path=\"{}\"", site.tree().display());
    wait("scanner_failed_files_total", "reason=\"validation_error\"");
    for (name, label) in [
        ("scanner_scan_duration_seconds_count", path.as_str()),
        ("scanner_files_processed_total", "action=\"created\""),
        ("scanner_files_processed_total", "action=\"skipped\""),
        ("scanner_scan_success_rate", ""),
        ("scanner_files_per_second", ""),
        (
            "scanner_api_requests_total",
            "endpoint=\"/v1/ingest\",status=\"success\"",
        ),
        ("scanner_api_request_duration_seconds_count", "endpoint=\"/v1/ingest\""),
        ("scanner_api_retry_count_total", "endpoint=\"/v1/ingest\""),
        ("scanner_circuit_breaker_state", "state=\"half_open\""),
        ("scanner_memory_usage_bytes", ""),
        ("scanner_cpu_usage_percent", ""),
        ("scanner_database_size_bytes", ""),
        ("scanner_file_io_operations_total", "operation=\"read\""),
        ("scanner_file_io_operations_total", "operation=\"write\""),
        ("scanner_errors_total", "error_type=\"validation\""),
    ] {
        wait(name, label);
    }
    site.proxy.set(Fault::Refuse).unwrap();
    site.touch(["while-away"]).unwrap();
    wait("scanner_api_requests_total", "status=\"failure\"");
    wait("scanner_errors_total", "error_type=\"network\"");
    end(daemon, Signal::TERM).unwrap();
}
