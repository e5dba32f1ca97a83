//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    cli::{Common, Output},
    membership::PRODUCT,
    settings::{Boot, ReefConfig},
};
use anyhow::Context as _;
use daemon_kit::{ConfigFinder, ConfigSpec, LoggingSettings, Surroundings, cli::Product, live::Reloader};
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
        let started = common.begin::<ReefConfig>(default_level, &[])?;
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
