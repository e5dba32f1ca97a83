//! Looking at a run while it runs, and keeping a second one off.
use e2e::{Fleet, Scanner};
use std::{fs, net::TcpListener};
use testkit::{eventually, http_get};

/// A server that takes connections and never answers.
fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn health_and_metrics_are_served_while_a_run_lasts_and_a_second_run_is_kept_off() {
    let fleet = Fleet::start().unwrap();
    let scanner = Scanner::new(&fleet, "busy", "").unwrap();
    fs::write(scanner.tree().join("a"), "a").unwrap();
    scanner.round(0).unwrap();
    let (_silent, url) = silent_server();
    let port = testkit::free_loopback_port().unwrap();
    scanner
        .configure(&url, &format!("health:\n  enabled: true\n  port: {port}\n"))
        .unwrap();
    let program = scanner.program(&["run", "--once"]).unwrap().env("SCANNER_API_KEY", "k");
    let busy = program.start().unwrap();
    let address = ([127, 0, 0, 1], port).into();
    let health = eventually("a finished scan in /health", || {
        let Ok(answer) = http_get(address, "/health") else {
            return Ok(None);
        };
        let json: serde_json::Value = serde_json::from_str(&answer.body)?;
        Ok((json["last_scan"]["status"] == "success").then_some(json))
    })
    .unwrap();
    assert_eq!(health["agent_id"], "busy");
    assert_eq!(health["database"]["status"], "healthy");
    assert_eq!(health["api"]["circuit_breaker"], "closed");
    assert_eq!(http_get(address, "/health/ready").unwrap().status, 200);
    let metrics = http_get(address, "/metrics").unwrap().body;
    for series in [
        "scanner_files_processed_total{action=\"unchanged\",agent_id=\"busy\"} 1",
        "scanner_scan_success_rate{agent_id=\"busy\"} 1",
        "scanner_circuit_breaker_state{state=\"closed\",agent_id=\"busy\"} 1",
        "scanner_memory_usage_bytes{agent_id=\"busy\"}",
    ] {
        assert!(metrics.contains(series), "no `{series}` in\n{metrics}");
    }
    let second = scanner
        .program(&["run", "--once"])
        .unwrap()
        .run()
        .unwrap()
        .assert_code(4);
    assert!(
        second.stderr().contains(&format!("process {}", busy.id())),
        "{}",
        second.stderr()
    );
    scanner.command(&["status"]).unwrap().success().unwrap();
    let look = scanner.tree().display().to_string();
    scanner.command(&["scan", &look]).unwrap().success().unwrap();
    let ended = busy.stop().unwrap();
    assert!(ended.code().is_some(), "it ended by itself when asked: {ended}");
}
