//! Every key of the scanner's configuration: another value for it, when that takes effect, and who may set it.

/// When a change of a key takes effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At once.
    Live,
    /// At the next start.
    Start,
    /// Never: in this build, or for a server without TLS, it has one value only.
    Never,
}

/// Who may change a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The controller, too.
    Anybody,
    /// This machine alone.
    Local,
}

use When::{Live, Never, Start};
use Who::{Anybody, Local};

/// Each key with another value than the daemon starts with, as JSON; `HOME` stands for the scanner's folder.
pub(super) const KEYS: &[(&str, &str, When, Who)] = &[
    ("server.base_url", r#""http://127.0.0.1:9""#, Live, Local),
    ("server.api_key", r#""${ANOTHER_KEY}""#, Live, Local),
    ("server.timeout", r#""31s""#, Live, Local),
    ("server.connect_timeout", r#""11s""#, Live, Local),
    ("server.retry_attempts", "2", Live, Local),
    ("server.retry_delay", r#""2s""#, Live, Local),
    ("server.max_retry_delay", r#""4m""#, Live, Local),
    ("server.circuit_breaker.failure_threshold", r#""60%""#, Live, Local),
    ("server.circuit_breaker.window", "12", Live, Local),
    ("server.circuit_breaker.recovery_timeout", r#""3m""#, Live, Local),
    ("server.allow_http", "true", Live, Local),
    ("server.ca_file", r#""HOME/authority.pem""#, Live, Local),
    ("server.client_certificate", "null", Never, Local),
    ("server.client_key", "null", Never, Local),
    ("server.proxy", r#""${A_PROXY}""#, Live, Local),
    ("server.compression", r#""zstd""#, Live, Local),
    ("server.dialect", r#""files-v1""#, Live, Local),
    ("agent.id", r#""another-name""#, Start, Local),
    ("agent.heartbeat_interval", r#""2m""#, Live, Anybody),
    ("agent.site", r#""fra1""#, Live, Anybody),
    ("agent.labels", r#"{"tier": "web"}"#, Live, Anybody),
    ("scanner.scan_interval", r#""7h""#, Live, Anybody),
    ("scanner.schedule.when", r#""0 3 * * *""#, Live, Anybody),
    ("scanner.schedule.zone", r#""Europe/Berlin""#, Live, Anybody),
    ("scanner.schedule.jitter", r#""1s""#, Live, Anybody),
    ("scanner.schedule.overlap", r#""queue""#, Live, Anybody),
    ("scanner.schedule.catch_up", r#""none""#, Live, Anybody),
    ("scanner.scan_paths", r#"["HOME/tree/within"]"#, Live, Anybody),
    ("scanner.allowed_roots", r#"["HOME/tree"]"#, Live, Local),
    ("scanner.ignore_patterns", r#"["*.tmp"]"#, Live, Anybody),
    ("scanner.ignore_files", r#"[".leave-out"]"#, Live, Anybody),
    ("scanner.hidden", "false", Live, Anybody),
    ("scanner.max_file_size", r#""1GB""#, Live, Anybody),
    ("scanner.follow_symlinks", "true", Live, Anybody),
    ("scanner.one_file_system", "true", Live, Anybody),
    ("scanner.change_detection", r#""hybrid""#, Live, Anybody),
    ("scanner.hash_algorithm", r#""blake3""#, Live, Anybody),
    ("scanner.hash_share", r#""20%""#, Live, Anybody),
    ("scanner.worker_count", "2", Live, Anybody),
    ("scanner.batch_size", "100", Live, Anybody),
    ("scanner.concurrent_api_calls", "2", Live, Anybody),
    ("scanner.mime_detection", "false", Live, Anybody),
    ("scanner.mime_by_content", "true", Live, Anybody),
    (
        "scanner.custom_mime_types",
        r#"{".xyz": "application/x-test"}"#,
        Live,
        Anybody,
    ),
    ("scanner.deletion_hold.share", r#""40%""#, Live, Anybody),
    ("scanner.deletion_hold.min_files", "50", Live, Anybody),
    ("database.path", r#""HOME/elsewhere.db""#, Start, Local),
    ("database.backup_enabled", "false", Live, Anybody),
    ("database.backup_interval", r#""12h""#, Live, Anybody),
    ("database.max_backups", "3", Live, Anybody),
    ("database.backup_path", r#""HOME/copies""#, Live, Local),
    ("outbox.max_bytes", r#""64MB""#, Live, Anybody),
    ("outbox.max_age", r#""1w""#, Live, Anybody),
    ("outbox.when_full", r#""drop_oldest""#, Live, Anybody),
    ("journal.enabled", "false", Live, Anybody),
    ("journal.max_age", r#""1w""#, Live, Anybody),
    ("journal.max_bytes", r#""32MB""#, Live, Anybody),
    ("logging.level", r#""debug""#, Live, Anybody),
    ("logging.format", r#""json""#, Start, Anybody),
    ("logging.file", r#""HOME/scanner.log""#, Start, Local),
    ("logging.max_size", r#""1MB""#, Start, Anybody),
    ("logging.max_backups", "2", Start, Anybody),
    ("logging.max_age", r#""2d""#, Start, Anybody),
    ("logging.compress", "false", Start, Anybody),
    ("health.enabled", "false", Live, Local),
    ("health.address", r#""127.0.0.2""#, Live, Local),
    ("health.port", "7999", Live, Local),
    ("health.path", r#""/how-is-it""#, Live, Local),
    ("telemetry.otlp.endpoint", r#""http://127.0.0.1:9""#, Start, Local),
    ("telemetry.otlp.protocol", r#""http""#, Never, Local),
    ("telemetry.otlp.headers", r#"{"x-tenant": "${A_TENANT}"}"#, Start, Local),
    ("telemetry.otlp.signals", r#"["logs"]"#, Start, Local),
    ("telemetry.otlp.interval", r#""2m""#, Start, Local),
    ("telemetry.otlp.timeout", r#""11s""#, Start, Local),
    ("telemetry.otlp.compression", r#""none""#, Start, Local),
    ("telemetry.otlp.allow_http", "true", Start, Local),
    ("telemetry.otlp.ca_file", r#""HOME/authority.pem""#, Start, Local),
    (
        "telemetry.otlp.resource_attributes",
        r#"{"deployment.environment.name": "test"}"#,
        Start,
        Local,
    ),
    ("telemetry.otlp.queue.max_bytes", r#""32MB""#, Start, Local),
    ("telemetry.otlp.queue.max_age", r#""1d""#, Start, Local),
];
