//! What every command begins with: the configuration, the data directory, the log.
use crate::{
    cli::{Common, Output},
    membership::PRODUCT,
    settings::{Boot, Live, ReefConfig},
    state,
};
use anyhow::Context as _;
use chrono::Utc;
use daemon_kit::{
    ConfigFinder, ConfigSpec, LoggingSettings, Surroundings,
    cli::{Product, Started},
    live::Reloader,
};
use fleet_link::agent::{AgentContext, AgentState};
use state_sqlite::{Database, OpenError};
use std::{path::PathBuf, sync::Arc};
use telemetry_otel::Telemetry;
use tokio::sync::watch;

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

/// What every command begins with.
pub(crate) struct Context {
    /// What takes effect at a start.
    pub(crate) boot: Boot,
    reloader: Reloader<ReefConfig>,
    agent: AgentContext<ReefConfig>,
    pub(crate) output: Output,
    pub(crate) quiet: bool,
    started: Started<ReefConfig>,
}

impl Context {
    /// Loads the configuration and starts the log. `default_level` is for commands whose log is not their result.
    pub(crate) fn new(common: &Common, default_level: &'static str) -> anyhow::Result<Self> {
        let started = common.begin::<ReefConfig>(default_level, &[])?;
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
    pub(crate) fn reloader(&self) -> &Reloader<ReefConfig> {
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

    /// The log.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.started.telemetry
    }

    /// Who this agent is.
    pub(crate) fn agent(&self) -> &AgentContext<ReefConfig> {
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

    /// Where the quarantine lies.
    pub(crate) fn quarantine(&self) -> PathBuf {
        let configured = self.boot.quarantine.path.as_deref();
        self.started.path("quarantine.path", configured, "quarantine")
    }

    /// Where verdicts are remembered: in a file of their own, which may be lost.
    pub(crate) fn verdict_file(&self) -> PathBuf {
        let configured = self.boot.verdicts.path.as_deref();
        self.started.path("verdicts.path", configured, "verdicts.db")
    }

    /// The state file of `run`.
    pub(crate) fn state_file(&self) -> PathBuf {
        let configured = self.boot.database.path.as_deref();
        self.started.path("database.path", configured, "state.db")
    }

    /// Opens the state of `run` for writing.
    pub(crate) fn own_state(&self) -> anyhow::Result<AgentState> {
        let live = self.live();
        AgentState::open(
            &self.state_file(),
            &live.database,
            &live.outbox,
            &[state::COMPONENT],
            Utc::now(),
        )
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
