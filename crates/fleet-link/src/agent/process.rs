//! What every command of an agent begins with: the configuration, the data directory, the log.
use super::{
    AgentConfig, AgentContext, AgentHealth, AgentState, BootSettings as _, Leaving, LiveSettings as _, Product, leave,
};
use chrono::Utc;
use daemon_kit::{Exit, Loaded, RuntimeSettings, cli::Started, live::Reloader, to_stdout};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// A process of an agent, whichever command it runs.
#[must_use = "dropping it ends the log"]
pub struct AgentProcess<C: AgentConfig> {
    context: AgentContext<C>,
    reloader: Reloader<C>,
    started: Started<C>,
}

impl<C: AgentConfig> AgentProcess<C> {
    /// Of what was started, with what keeps its configuration current.
    pub fn new(product: &'static Product, started: Started<C>, reloader: Reloader<C>) -> Self {
        Self {
            context: AgentContext::new(product, &started, reloader.handle()),
            reloader,
            started,
        }
    }

    /// Who this agent is.
    pub fn agent(&self) -> &AgentContext<C> {
        &self.context
    }

    /// The agent's name.
    pub fn agent_name(&self) -> String {
        self.context.name.clone()
    }

    /// What is in force since the start.
    pub fn boot(&self) -> &C::Boot {
        self.context.reloader.boot()
    }

    /// What is in force now. To be asked for at the beginning of each round, and kept for that round only.
    pub fn live(&self) -> Arc<C::Live> {
        self.context.live()
    }

    /// The same for who waits for changes.
    pub fn changes(&self) -> watch::Receiver<Arc<C::Live>> {
        self.context.changes()
    }

    /// What keeps the configuration current while the agent stays up.
    pub fn reloader(&self) -> &Reloader<C> {
        &self.reloader
    }

    /// The configuration with the origin of each value, as the process began.
    pub fn loaded(&self) -> &Loaded<C> {
        &self.started.loaded
    }

    /// Where the credentials lie, and whatever the configuration puts nowhere else.
    pub fn data_dir(&self) -> &Path {
        &self.started.data_dir.path
    }

    /// Where a file of the agent lies: see [`Started::path`].
    pub fn path(&self, key: &str, configured: Option<&Path>, name: &str) -> PathBuf {
        self.started.path(key, configured, name)
    }

    /// The state file of an agent that stays up.
    pub fn state_file(&self) -> PathBuf {
        let configured = self.boot().common().database.path.as_deref();
        self.path("database.path", configured, "state.db")
    }

    /// Opens that state for writing. Blocks on the disk.
    ///
    /// # Errors
    /// See [`AgentState::open`].
    pub fn own_state(&self) -> anyhow::Result<AgentState> {
        let live = self.live();
        let common = live.common();
        AgentState::open(
            &self.state_file(),
            &common.database,
            &common.outbox,
            self.context.product.components,
            Utc::now(),
        )
    }

    /// Leaves the fleet and says so on standard output: see [`leave`](super::leave()). Blocks, and must not be called by a
    /// task.
    ///
    /// # Errors
    /// See [`leave`](super::leave()).
    pub fn leave(&self, leaving: Leaving) -> anyhow::Result<Exit> {
        daemon_kit::run(RuntimeSettings::default(), async {
            let said = leave(&self.context, &self.state_file(), leaving).await?;
            to_stdout(format_args!("{said}\n"))?;
            Ok(Exit::Done)
        })
    }

    /// What is told of the agent over HTTP and in metrics, begun.
    ///
    /// # Errors
    /// See [`AgentHealth::start`].
    pub fn health(&self, state: &Arc<AgentState>) -> anyhow::Result<AgentHealth> {
        AgentHealth::start(&self.context, state, &self.started.telemetry)
    }
}
