//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    cli::{Common, Output},
    membership::PRODUCT,
    settings::{Boot, ReefConfig, remarks},
};
use anyhow::Context as _;
use chrono::Utc;
use daemon_kit::{
    ConfigFinder, ConfigSpec, LoggingSettings, Surroundings,
    cli::{Product, Started},
    live::Reloader,
};
use fleet_link::agent::AgentProcess;
use state_sqlite::{Database, OpenError};
use std::{ops::Deref, path::PathBuf, sync::Arc};

impl Product for ReefConfig {
    const SPEC: ConfigSpec = ConfigSpec {
        finder: ConfigFinder {
            product: PRODUCT.name,
            prefix: PRODUCT.prefix,
        },
        short_variables: &[
            ("REEF_LOG_LEVEL", "logging.level"),
            ("REEF_CLAMD", "clamd.endpoint"),
            ("REEF_API_KEY", "server.api_key"),
            ("REEF_AGENT_ID", "agent.id"),
        ],
        other_variables: &["REEF_CONFIG", "REEF_CONFIG_PATH", "REEF_DATA_DIR", "REEF_JOIN_TOKEN"],
        meaningless: &[],
        never_literal: &["server.api_key", "webhook.secret"],
    };

    fn logging(&self) -> &LoggingSettings {
        &self.logging
    }

    fn agent_id(&self, around: &Surroundings) -> Option<String> {
        Some(self.agent.clone().split().0.name(&around.hostname, PRODUCT.name))
    }

    fn remarks(&self, around: &Surroundings) -> String {
        remarks(self, &self.agent_id(around).unwrap_or_default(), Utc::now())
    }
}

/// What every command begins with: the process of an agent, and how its results are printed.
pub(crate) struct Context {
    /// What takes effect at a start.
    pub(crate) boot: Boot,
    pub(crate) process: Arc<AgentProcess<ReefConfig>>,
    pub(crate) output: Output,
    pub(crate) quiet: bool,
}

// Whoever has a command's context asks it for what is the process's, too.
impl Deref for Context {
    type Target = AgentProcess<ReefConfig>;

    fn deref(&self) -> &Self::Target {
        &self.process
    }
}

impl Context {
    /// Loads the configuration and starts the log. `default_level` is for commands whose log is not their result.
    pub(crate) fn new(common: &Common, default_level: &'static str) -> anyhow::Result<Self> {
        Self::of(common, default_level, common.begin::<ReefConfig>(default_level, &[])?)
    }

    /// The same for who only looks at what an agent has written down: a mistake in the configuration is warned of.
    pub(crate) fn to_look(common: &Common) -> anyhow::Result<Self> {
        const LEVEL: &str = "warn";
        Self::of(common, LEVEL, common.begin_to_look::<ReefConfig>(LEVEL)?)
    }

    fn of(common: &Common, default_level: &'static str, started: Started<ReefConfig>) -> anyhow::Result<Self> {
        let reloader = Reloader::begin(common, default_level, &[], &started)?;
        Ok(Self {
            boot: reloader.handle().boot().clone(),
            process: Arc::new(AgentProcess::new(&PRODUCT, started, reloader)),
            output: common.output,
            quiet: common.quiet,
        })
    }

    /// Where the quarantine lies.
    pub(crate) fn quarantine(&self) -> PathBuf {
        let configured = self.boot.quarantine.path.as_deref();
        self.path("quarantine.path", configured, "quarantine")
    }

    /// Where verdicts are remembered: in a file of their own, which may be lost.
    pub(crate) fn verdict_file(&self) -> PathBuf {
        let configured = self.boot.verdicts.path.as_deref();
        self.path("verdicts.path", configured, "verdicts.db")
    }

    /// Opens the state for reading; the error says how to make one.
    pub(crate) fn open_state(&self) -> anyhow::Result<Database> {
        match Database::open_read_only(&self.state_file()) {
            Err(error @ OpenError::Missing { .. }) => {
                Err(error).context("there is no agent's state here yet; `reef-agent run` makes it")
            }
            Err(error) if error.is_damage() => Err(error).context(
                "the next `reef-agent run` moves it aside and restores the newest sound backup, or begins anew",
            ),
            opened => Ok(opened?),
        }
    }
}
