//! Logs a few lines as text or, with `json`, as JSON, and prints the metrics of this process:
//! `cargo run -p telemetry-otel --example speak -- json`.
use std::{env, error::Error};
use telemetry_otel::{Format, LogSettings, Metrics};

fn main() -> Result<(), Box<dyn Error>> {
    let format = match env::args().nth(1).as_deref() {
        Some("json") => Format::Json,
        _ => Format::Text,
    };
    let telemetry = telemetry_otel::init(LogSettings {
        format,
        agent_id: Some("server-01-scanner".to_owned()),
        ..LogSettings::new("scanner")
    })?;
    let metrics = Metrics::new(&[("agent_id", "server-01-scanner")])?;
    metrics.observe_process("scanner");
    let duration = metrics.histogram(
        "scanner_scan_duration_seconds",
        "How long scans took.",
        &[1.0, 10.0, 60.0],
    );

    let scan = tracing::info_span!("scan", scan_session_id = "scan-123").entered();
    tracing::debug!("not shown yet");
    telemetry.set_level("debug")?;
    tracing::debug!("shown");
    duration.record(4.5, &[("scan_path", "/data/docs")]);
    tracing::info!(
        metrics = r#"{"files_total":1250,"files_new":23}"#,
        "Scan completed successfully"
    );
    drop(scan);

    print!("{}", metrics.render());
    Ok(())
}
