//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    agent::PRODUCT,
    cli::{Common, Output, Which},
    session,
    settings::{Boot, Live, MEANINGLESS, OTHER_NAMES, SHORT_NAMES, ScannerConfig},
};
use chrono::Utc;
use daemon_kit::{
    ConfigFinder, ConfigSpec, Loaded, LoggingSettings, Surroundings,
    cli::{Product, Started},
    live::Reloader,
};
use fleet_link::agent::{AgentContext, AgentState};
use state_sqlite::{Database, OpenError};
use std::{path::PathBuf, sync::Arc};
use telemetry_otel::Telemetry;
use tokio::sync::watch;

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

/// What every command begins with.
pub(crate) struct Context {
    /// What takes effect at a start.
    pub(crate) boot: Boot,
    reloader: Reloader<ScannerConfig>,
    agent: AgentContext<ScannerConfig>,
    pub(crate) output: Output,
    pub(crate) quiet: bool,
    started: Started<ScannerConfig>,
}

impl Context {
    /// Loads the configuration and starts the log. `default_level` is for commands whose log is not their result.
    pub(crate) fn new(common: &Common, default_level: &'static str) -> anyhow::Result<Self> {
        let started = common.begin::<ScannerConfig>(default_level, &[])?;
        let reloader = Reloader::begin(common, default_level, &[], &started)?;
        let boot = reloader.handle().boot().clone();
        Ok(Self {
            agent: AgentContext::new(&PRODUCT, &boot.agent, &started, reloader.handle()),
            boot,
            reloader,
            output: common.output,
            quiet: common.quiet,
            started,
        })
    }

    /// What keeps the configuration current while an agent stays up.
    pub(crate) fn reloader(&self) -> &Reloader<ScannerConfig> {
        &self.reloader
    }

    /// What is in force now. To be asked for at the beginning of each round, and kept for that round only.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.agent.live()
    }

    /// The same for who waits for changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Live>> {
        self.agent.changes()
    }

    /// The configuration with the origin of each value.
    pub(crate) fn loaded(&self) -> &Loaded<ScannerConfig> {
        &self.started.loaded
    }

    /// The log.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.started.telemetry
    }

    /// Who this agent is.
    pub(crate) fn agent(&self) -> &AgentContext<ScannerConfig> {
        &self.agent
    }

    /// Where credentials lie, and the state unless the configuration says otherwise.
    pub(crate) fn data_dir(&self) -> &PathBuf {
        &self.started.data_dir.path
    }

    /// The agent's name.
    pub(crate) fn agent_name(&self) -> String {
        self.agent.name.clone()
    }

    /// The state file of `run` or of `scan`. A path in the configuration wins over the default directory, not over one
    /// that was named for this call.
    pub(crate) fn state_file(&self, which: Which) -> PathBuf {
        let configured = self.boot.database.path.as_deref();
        match which {
            Which::Run => self.started.path("database.path", configured, "state.db"),
            Which::Scan => self.data_dir().join("scan.db"),
        }
    }

    /// The state that a reading command reads: the one asked for, else that of `run` where it exists, else of `scan`.
    pub(crate) fn which(&self, asked: Option<Which>) -> Which {
        let run_exists = || self.state_file(Which::Run).exists();
        asked.unwrap_or_else(|| if run_exists() { Which::Run } else { Which::Scan })
    }

    /// Opens the state of `run` for writing.
    pub(crate) fn own_state(&self) -> anyhow::Result<AgentState> {
        let live = self.live();
        let file = self.state_file(Which::Run);
        AgentState::open(&file, &live.database, &live.outbox, &[session::COMPONENT], Utc::now())
    }

    /// Opens a state for reading; the error says how to make one.
    pub(crate) fn open_state(&self, asked: Option<Which>) -> anyhow::Result<Database> {
        let which = self.which(asked);
        let hint = match which {
            Which::Run => "nothing was scanned yet; `scanner run --once` does",
            Which::Scan => "nothing was scanned yet; `scanner scan PATH` or `scanner run --once` does",
        };
        let opened = Database::open_read_only(&self.state_file(which));
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
