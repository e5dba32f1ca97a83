//! What can be configured, and what is wrong with it.
mod journal;
mod live;
mod scanner;

pub(crate) use journal::JournalSettings;
pub(crate) use scanner::{ChangeDetection, HashAlgorithm, ScanPath, ScannerSettings};

use conf::{Check, Settings};
use daemon_kit::{
    AgentSettings, DatabaseSettings, HealthSettings, LoggingSettings, OutboxSettings, ServerSettings,
    telemetry::TelemetrySettings,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The scanner's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ScannerConfig {
    /// Where changes are reported.
    pub(crate) server: ServerSettings,
    /// Who this agent is.
    pub(crate) agent: AgentSettings,
    /// What is scanned, and how.
    pub(crate) scanner: ScannerSettings,
    /// Where the state lies, and its backups.
    pub(crate) database: DatabaseSettings,
    /// What waits for the server, and how much of it may.
    pub(crate) outbox: OutboxSettings,
    /// What is remembered of changes.
    pub(crate) journal: JournalSettings,
    /// What is logged, and where.
    pub(crate) logging: LoggingSettings,
    /// The health and metrics endpoint.
    pub(crate) health: HealthSettings,
    /// Where metrics, traces and the log go besides.
    pub(crate) telemetry: TelemetrySettings,
}

impl Settings for ScannerConfig {
    fn check(&self, check: &mut Check<'_>) {
        self.server.check("server", check);
        self.logging.check("logging", check);
        self.health.check("health", check);
        self.agent.check("agent", check);
        self.database.check("database", check);
        self.outbox.check("outbox", check);
        self.journal.check(check);
        self.scanner.check(check);
        self.telemetry.check("telemetry", check);
    }
}

/// Keys of older documents that have no meaning here, with the reason that the warning gives.
pub(crate) const MEANINGLESS: &[(&str, &str)] = &[
    ("database.wal_mode", "the state is always in WAL mode"),
    (
        "agent.command_poll_interval",
        "commands come by the link, or as often as the controller says; a server of the file-scanner document is asked for them \
         with each heartbeat (`agent.heartbeat_interval`)",
    ),
    (
        "agent.config_sync_interval",
        "the controller sends its configuration by itself; a server of the file-scanner document is asked for it with each \
         heartbeat (`agent.heartbeat_interval`)",
    ),
    ("performance.read_buffer_size", "buffers are sized by what was measured"),
    (
        "performance.memory_limit",
        "memory does not grow with the number of files; limit it with systemd's MemoryHigh=",
    ),
    ("performance.gc_percent", "there is no garbage collector"),
    (
        "performance.max_open_files",
        "open directories are bounded by the scanner itself",
    ),
    ("security.file_permissions", "files are always created 0600"),
    (
        "security.run_as_user",
        "the service manager chooses the user (systemd: User=)",
    ),
    (
        "security.audit_file_access",
        "denied accesses are always counted and named",
    ),
];

/// Short names of variables, and the keys they stand for.
pub(crate) const SHORT_NAMES: &[(&str, &str)] = &[
    ("SCANNER_API_KEY", "server.api_key"),
    ("SCANNER_LOG_LEVEL", "logging.level"),
    ("SCANNER_AGENT_ID", "agent.id"),
];

/// Variables with the prefix that are no keys.
pub(crate) const OTHER_NAMES: &[&str] = &[
    "SCANNER_CONFIG",
    "SCANNER_CONFIG_PATH",
    "SCANNER_DATA_DIR",
    "SCANNER_JOIN_TOKEN",
];
