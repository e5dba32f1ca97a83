//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    agent::PRODUCT,
    cli::{Common, Output, Which},
    settings::{MEANINGLESS, OTHER_NAMES, SHORT_NAMES, ScannerConfig},
};
use daemon_kit::{ConfigFinder, ConfigSpec, LoggingSettings, Surroundings, cli::Product, live::Reloader};
use fleet_link::agent::AgentProcess;
use state_sqlite::{Database, OpenError};
use std::{ops::Deref, path::PathBuf, sync::Arc};

impl Product for ScannerConfig {
    const SPEC: ConfigSpec = ConfigSpec {
        finder: ConfigFinder {
            product: PRODUCT.name,
            prefix: PRODUCT.prefix,
        },
        short_variables: SHORT_NAMES,
        other_variables: OTHER_NAMES,
        meaningless: MEANINGLESS,
        never_literal: &["server.api_key"],
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
    pub(crate) process: Arc<AgentProcess<ScannerConfig>>,
    pub(crate) output: Output,
    pub(crate) quiet: bool,
}

// Whoever has a command's context asks it for what is the process's, too.
impl Deref for Context {
    type Target = AgentProcess<ScannerConfig>;

    fn deref(&self) -> &Self::Target {
        &self.process
    }
}

impl Context {
    /// Loads the configuration and starts the log. `default_level` is for commands whose log is not their result.
    pub(crate) fn new(common: &Common, default_level: &'static str) -> anyhow::Result<Self> {
        let started = common.begin::<ScannerConfig>(default_level, &[])?;
        let reloader = Reloader::begin(common, default_level, &[], &started)?;
        Ok(Self {
            process: Arc::new(AgentProcess::new(&PRODUCT, started, reloader)),
            output: common.output,
            quiet: common.quiet,
        })
    }

    /// The state file of `run` or of `scan`.
    pub(crate) fn state_file_of(&self, which: Which) -> PathBuf {
        match which {
            Which::Run => self.process.state_file(),
            Which::Scan => self.data_dir().join("scan.db"),
        }
    }

    /// The state that a reading command reads: the one asked for, else that of `run` where it exists, else of `scan`.
    pub(crate) fn which(&self, asked: Option<Which>) -> Which {
        let run_exists = || self.state_file_of(Which::Run).exists();
        asked.unwrap_or_else(|| if run_exists() { Which::Run } else { Which::Scan })
    }

    /// Opens a state for reading; the error says how to make one.
    pub(crate) fn open_state(&self, asked: Option<Which>) -> anyhow::Result<Database> {
        let which = self.which(asked);
        let hint = match which {
            Which::Run => "nothing was scanned yet; `scanner run --once` does",
            Which::Scan => "nothing was scanned yet; `scanner scan PATH` or `scanner run --once` does",
        };
        let opened = Database::open_read_only(&self.state_file_of(which));
        opened.map_err(|error| match &error {
            OpenError::Missing { .. } => anyhow::Error::new(error).context(hint),
            _ if error.is_damage() => anyhow::Error::new(error).context(mended_by(which)),
            _ => error.into(),
        })
    }
}

/// What mends a damaged state.
pub(crate) const fn mended_by(which: Which) -> &'static str {
    match which {
        Which::Run => "the next `scanner run` moves it aside and restores the newest sound backup, or scans anew",
        Which::Scan => "`scanner scan --fresh PATH` begins another",
    }
}
