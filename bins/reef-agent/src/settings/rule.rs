//! The `rules`: what is scanned.
use super::ThrottleSettings;
use chrono::{DateTime, Utc};
use core_model::ByteSize;
use daemon_kit::{ScheduleSettings, Timing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is scanned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RuleSettings {
    /// Its name.
    pub(crate) name: String,
    /// Directories and files.
    pub(crate) paths: Vec<PathBuf>,
    /// What is left out, as in `.gitignore`.
    pub(crate) exclude: Vec<String>,
    /// Longer files are over the limit [default: what clamd looks at, `clamd.max_file_size`].
    pub(crate) max_file_size: Option<ByteSize>,
    /// Whether directories below are scanned, too.
    pub(crate) recursive: bool,
    /// What becomes of symbolic links.
    pub(crate) symlinks: Symlinks,
    /// Whether other file systems below are scanned, too.
    pub(crate) cross_file_systems: bool,
    /// What is done about malware.
    pub(crate) action: Action,
    /// When it is scanned by; only when somebody asks without one.
    pub(crate) schedule: ScheduleSettings,
    /// Which of several that are due goes first: the one with the higher number.
    pub(crate) priority: schedule::Priority,
    /// How much of the machine its scans may take.
    pub(crate) throttle: ThrottleSettings,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            paths: Vec::new(),
            exclude: Vec::new(),
            max_file_size: None,
            recursive: true,
            symlinks: Symlinks::Skip,
            cross_file_systems: false,
            action: Action::Report,
            schedule: ScheduleSettings::default(),
            priority: 100,
            throttle: ThrottleSettings::default(),
        }
    }
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Symlinks {
    /// They are left alone: what they point at is scanned where it lies.
    #[default]
    Skip,
    /// They are followed where they stay below the rule's path.
    Follow,
}

/// What is done about malware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It is told.
    #[default]
    Report,
    /// It is told, and moved where nobody runs it; it can be brought back.
    Quarantine,
    /// It is told, and gone for good. Never for what a controller says.
    Delete,
}

impl Action {
    /// Its name in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Quarantine => "quarantine",
            Self::Delete => "delete",
        }
    }
}

/// The names of all of these.
pub(crate) fn rule_names(rules: &[RuleSettings]) -> Vec<String> {
    rules.iter().map(|rule| rule.name.clone()).collect()
}

impl RuleSettings {
    /// When it is due, counted from its last scan or from when it became known, for the agent of this name.
    pub(crate) fn timing(&self, agent: &str, last: DateTime<Utc>) -> Timing {
        Timing::new(agent, self.job(), Some(last))
    }

    fn job(&self) -> String {
        format!("rule {}", self.name)
    }

    /// When it is due, for the agent of this name; `None` where it is scanned by only when somebody asks.
    pub(crate) fn plan(&self, agent: &str) -> Option<schedule::Plan> {
        self.schedule.plan(agent, &self.job())
    }
}
