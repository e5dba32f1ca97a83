//! The section `database`: where the state lies, and its backups.

use conf::Check;
use core_model::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the state lies, and the backups that it is restored from when it is found damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DatabaseSettings {
    /// The database file [default: a file of the product's choice in the data directory].
    pub path: Option<PathBuf>,
    /// Whether backups are taken. Without them a damaged state is built anew, which tells the server everything again.
    pub backup_enabled: bool,
    /// How often a backup is taken, while the work goes on.
    pub backup_interval: Period,
    /// How many backups are kept; the oldest go first. 1 to 100.
    pub max_backups: u32,
    /// The directory of the backups [default: backups beside the database]. On another disk they survive the loss of
    /// this one.
    pub backup_path: Option<PathBuf>,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            path: None,
            backup_enabled: true,
            backup_interval: Period::from_secs(86_400),
            max_backups: 7,
            backup_path: None,
        }
    }
}

impl DatabaseSettings {
    /// The directory of the backups of the database at `file`.
    pub fn backup_dir(&self, file: &Path) -> PathBuf {
        let beside = || file.parent().unwrap_or(Path::new("")).join("backups");
        self.backup_path.clone().unwrap_or_else(beside)
    }

    /// Reports what types alone cannot say. `at` is the section's key.
    pub fn check(&self, at: &str, check: &mut Check<'_>) {
        if self.backup_interval.get() < Duration::from_secs(60) {
            check.problem(
                &format!("{at}.backup_interval"),
                "must be a minute or more",
                Some("write `24h`, or `backup_enabled: false` for no backups"),
            );
        }
        if !(1..=100).contains(&self.max_backups) {
            check.problem(
                &format!("{at}.max_backups"),
                "must lie between 1 and 100",
                Some("write `7`, or `backup_enabled: false` for no backups"),
            );
        }
        for (name, path) in [("path", &self.path), ("backup_path", &self.backup_path)] {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                check.problem(
                    &format!("{at}.{name}"),
                    "is empty",
                    Some("name a path, or leave the key out"),
                );
            }
        }
    }
}
