//! The section `logging`.

use conf::Check;
use core_model::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use telemetry_otel::{FileSettings, Format, LogSettings};

/// What is logged, how, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LoggingSettings {
    /// The least grave level that is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, with exceptions for
    /// parts of the program after commas, as in `info,fsscan=debug`. It can be changed while the process runs.
    pub level: String,
    /// `text` for people, `json` for one JSON object a line.
    pub format: LogFormat,
    /// A file to log to, besides standard error. It is created 0600.
    pub file: Option<PathBuf>,
    /// The size at which the file is set aside and a new one begun. `0` for never.
    pub max_size: ByteSize,
    /// How many files set aside are kept.
    pub max_backups: u32,
    /// The age at which the file is set aside and a new one begun. `0s` for never.
    pub max_age: Period,
    /// Whether files set aside are compressed (gzip).
    pub compress: bool,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LoggingSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
            file: None,
            max_size: ByteSize::new(10 << 20),
            max_backups: 5,
            max_age: Period::from_secs(7 * 86_400),
            compress: true,
        }
    }
}

impl LoggingSettings {
    /// What the log of `service` wants; `agent_id` is written on every JSON line.
    pub fn log_settings(&self, service: &str, agent_id: Option<&str>) -> LogSettings {
        let file = self.file.as_ref().map(|path| FileSettings {
            path: path.clone(),
            max_size: self.max_size,
            max_age: self.max_age.get(),
            max_backups: self.max_backups,
            compress: self.compress,
        });
        LogSettings {
            level: self.level.clone(),
            format: match self.format {
                LogFormat::Text => Format::Text,
                LogFormat::Json => Format::Json,
            },
            file,
            service: service.to_owned(),
            agent_id: agent_id.map(str::to_owned),
            color: None,
        }
    }

    /// Reports what types alone cannot say. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        if let Some(word) = self.level.split(',').map(last_word).find(|word| !is_level(word)) {
            let message = format!("`{word}` is not a level");
            let help = Some("write `error`, `warn`, `info`, `debug`, `trace` or `off`, or as in `info,fsscan=debug`");
            check.problem(&format!("{at}.level"), message, help);
        }
        // Below this a single line with its fields may fill a file, and every line would begin another.
        let least = ByteSize::new(64 << 10);
        if self.max_size != ByteSize::default() && self.max_size < least {
            check.problem(
                &format!("{at}.max_size"),
                format!("is less than {least}"),
                Some("write `10MB`"),
            );
        }
        if self.file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            check.problem(
                &format!("{at}.file"),
                "is empty",
                Some("name a file, or leave the key out"),
            );
        }
    }
}

/// The level of a part: of `fsscan=debug`, `debug`.
fn last_word(part: &str) -> &str {
    part.rsplit('=').next().unwrap_or_default().trim()
}

fn is_level(word: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"]
        .iter()
        .any(|level| level.eq_ignore_ascii_case(word))
}

/// What of [`LoggingSettings`] takes effect at the next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggingBoot {
    /// How a line is written.
    pub format: LogFormat,
    /// The file.
    pub file: Option<PathBuf>,
    /// The size at which it is set aside.
    pub max_size: ByteSize,
    /// How many files set aside are kept.
    pub max_backups: u32,
    /// The age at which it is set aside.
    pub max_age: Period,
    /// Whether files set aside are compressed.
    pub compress: bool,
}

/// What of [`LoggingSettings`] can change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggingLive {
    /// The least grave level that is logged.
    pub level: String,
}

impl LoggingSettings {
    /// Tells what needs a restart from what does not.
    pub fn split(self) -> (LoggingBoot, LoggingLive) {
        let Self {
            level,
            format,
            file,
            max_size,
            max_backups,
            max_age,
            compress,
        } = self;
        let boot = LoggingBoot {
            format,
            file,
            max_size,
            max_backups,
            max_age,
            compress,
        };
        (boot, LoggingLive { level })
    }
}
