//! What can be configured, and what is wrong with it.
mod clamd;
mod quarantine;
mod rule;
mod verdicts;

pub(crate) use clamd::ClamdSettings;
pub(crate) use quarantine::QuarantineSettings;
pub(crate) use rule::{Action, RuleSettings, Symlinks};
pub(crate) use verdicts::VerdictSettings;

use conf::{Check, Settings};
use daemon_kit::LoggingSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The agent's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ReefConfig {
    /// ClamAV's daemon.
    pub(crate) clamd: ClamdSettings,
    /// What is scanned, and what is done about malware there.
    pub(crate) rules: Vec<RuleSettings>,
    /// Where malware is kept that is taken away.
    pub(crate) quarantine: QuarantineSettings,
    /// What is remembered of files.
    pub(crate) verdicts: VerdictSettings,
    /// What is logged, and where.
    pub(crate) logging: LoggingSettings,
}

impl Settings for ReefConfig {
    fn check(&self, check: &mut Check<'_>) {
        self.clamd.check(check);
        rule::check(&self.rules, check);
        self.quarantine.check(check);
        self.verdicts.check(check);
        self.logging.check("logging", check);
    }
}
