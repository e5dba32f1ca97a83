//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    cli::{Common, Output},
    settings::ReefConfig,
};
use daemon_kit::{
    ConfigFinder, ConfigSpec, LoggingSettings,
    cli::{Product, Started},
};
use std::path::PathBuf;

impl Product for ReefConfig {
    const SPEC: ConfigSpec = ConfigSpec {
        finder: ConfigFinder {
            product: "reef-agent",
            prefix: "REEF",
        },
        short_variables: &[("REEF_LOG_LEVEL", "logging.level"), ("REEF_CLAMD", "clamd.endpoint")],
        other_variables: &[],
        meaningless: &[],
        never_literal: &[],
    };

    fn logging(&self) -> &LoggingSettings {
        &self.logging
    }
}

/// What every command begins with.
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) quiet: bool,
    started: Started<ReefConfig>,
}

impl Context {
    /// Loads the configuration and starts the log. `default_level` is for commands whose log is not their result.
    pub(crate) fn new(common: &Common, default_level: &str) -> anyhow::Result<Self> {
        Ok(Self {
            started: common.begin::<ReefConfig>(default_level, &[])?,
            output: common.output,
            quiet: common.quiet,
        })
    }

    pub(crate) fn settings(&self) -> &ReefConfig {
        self.started.settings()
    }

    /// Where the quarantine lies.
    pub(crate) fn quarantine(&self) -> PathBuf {
        let configured = self.settings().quarantine.path.as_deref();
        self.started.path("quarantine.path", configured, "quarantine")
    }

    /// Where verdicts are remembered: in a file of their own, which may be lost.
    pub(crate) fn verdict_file(&self) -> PathBuf {
        let configured = self.settings().verdicts.path.as_deref();
        self.started.path("verdicts.path", configured, "verdicts.db")
    }
}
