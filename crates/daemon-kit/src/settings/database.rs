//! The section `database`: where the state lies, and its backups.

use conf::Check;
use core_model::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use state_sqlite::Backups;
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
        backup_dir(self.backup_path.as_deref(), file)
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

fn backup_dir(configured: Option<&Path>, file: &Path) -> PathBuf {
    let beside = || file.parent().unwrap_or(Path::new("")).join("backups");
    configured.map_or_else(beside, Path::to_owned)
}

/// What of [`DatabaseSettings`] takes effect at the next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseBoot {
    /// The database file.
    pub path: Option<PathBuf>,
}

/// What of [`DatabaseSettings`] can change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupSettings {
    /// Whether backups are taken.
    pub backup_enabled: bool,
    /// How often.
    pub backup_interval: Period,
    /// How many are kept.
    pub max_backups: u32,
    /// Where, if not beside the database.
    pub backup_path: Option<PathBuf>,
}

impl BackupSettings {
    /// The backups of the database at `file`, and how many are kept.
    pub fn backups(&self, file: &Path) -> Backups {
        Backups::new(self.dir(file), self.max_backups as usize)
    }

    /// Where the backups of `database` lie.
    pub fn dir(&self, database: &Path) -> PathBuf {
        backup_dir(self.backup_path.as_deref(), database)
    }
}

impl DatabaseSettings {
    /// Tells what needs a restart from what does not.
    pub fn split(self) -> (DatabaseBoot, BackupSettings) {
        let Self {
            path,
            backup_enabled,
            backup_interval,
            max_backups,
            backup_path,
        } = self;
        let backups = BackupSettings {
            backup_enabled,
            backup_interval,
            max_backups,
            backup_path,
        };
        (DatabaseBoot { path }, backups)
    }
}
