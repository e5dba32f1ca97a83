//! Who an agent is, and by which configuration it goes.
use crate::{CredentialFile, DeliverySettings, Introduction, machine_id};
use daemon_kit::{
    AgentBoot, AgentLive, BackupSettings, HealthSettings, OutboxSettings, ServerSettings,
    cli::Started,
    live::{Reload, ReloaderHandle},
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// What is the same for every agent of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its name, as its program is called: the kind that it enrols as.
    pub name: &'static str,
    /// The prefix of its variables, such as `SCANNER`.
    pub prefix: &'static str,
    /// The prefix of its metrics, such as `scanner`.
    pub metrics: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it can do, as the controller is told.
    pub capabilities: &'static [&'static str],
    /// Its port for health and metrics.
    pub port: u16,
}

/// What of a product's live settings the agent in it goes by. All of it is read anew at each round.
pub trait LiveSettings {
    /// The section `server`: another one has the link begin anew.
    fn server(&self) -> &ServerSettings;

    /// The section `agent`.
    fn agent(&self) -> &AgentLive;

    /// The section `database`.
    fn database(&self) -> &BackupSettings;

    /// The section `outbox`.
    fn outbox(&self) -> &OutboxSettings;

    /// The section `health`.
    fn health(&self) -> &HealthSettings;

    /// Records a request; held to 1 … 1,000.
    fn batch_size(&self) -> usize {
        DeliverySettings::default().batch_size
    }

    /// Requests at once that deliver; held to 1 … 5. Another number has the link begin anew.
    fn concurrent_api_calls(&self) -> usize {
        DeliverySettings::default().concurrent_api_calls
    }
}

/// The configuration of a product that is an agent: every one whose live settings say what the agent needs.
pub trait AgentConfig: Reload<Live: LiveSettings> + 'static {}

impl<C: Reload<Live: LiveSettings> + 'static> AgentConfig for C {}

/// Who this agent is, and by which configuration it goes.
pub struct AgentContext<C: AgentConfig> {
    /// The product.
    pub product: &'static Product,
    /// Its name, configured or made of the machine's and the product's.
    pub name: String,
    /// The machine's name.
    pub hostname: String,
    /// Where the credentials lie.
    pub data_dir: PathBuf,
    /// The environment, with what the environment file adds: a join token may be among it.
    pub variables: BTreeMap<String, String>,
    /// The way to the configuration in force.
    pub reloader: ReloaderHandle<C>,
}

impl<C: AgentConfig> Clone for AgentContext<C> {
    fn clone(&self) -> Self {
        Self {
            product: self.product,
            name: self.name.clone(),
            hostname: self.hostname.clone(),
            data_dir: self.data_dir.clone(),
            variables: self.variables.clone(),
            reloader: self.reloader.clone(),
        }
    }
}

impl<C: AgentConfig> AgentContext<C> {
    /// As this process was started; `agent` has the configured name.
    pub fn new(
        product: &'static Product,
        agent: &AgentBoot,
        started: &Started<C>,
        reloader: ReloaderHandle<C>,
    ) -> Self {
        let hostname = started.around.hostname.clone();
        Self {
            product,
            name: agent.name(&hostname, product.name),
            hostname,
            data_dir: started.data_dir.path.clone(),
            variables: started.loaded.variables.clone(),
            reloader,
        }
    }

    /// What is in force now. To be asked for at the beginning of each round, and kept for that round only.
    pub fn live(&self) -> Arc<C::Live> {
        Arc::clone(&self.changes().borrow())
    }

    /// The same for who waits for changes.
    pub fn changes(&self) -> watch::Receiver<Arc<C::Live>> {
        self.reloader.live()
    }

    /// Where this agent's credentials lie.
    pub fn credentials(&self) -> CredentialFile {
        CredentialFile::in_dir(&self.data_dir)
    }

    /// What this agent says of itself. Blocks on the disk, shortly.
    pub(super) fn introduction(&self) -> Introduction {
        Introduction {
            name: self.name.clone(),
            kind: self.product.name.to_owned(),
            hostname: self.hostname.clone(),
            version: self.product.version.to_owned(),
            capabilities: self.capabilities(),
            machine: machine_id(),
        }
    }

    pub(super) fn capabilities(&self) -> Vec<String> {
        let capabilities = self.product.capabilities.iter();
        capabilities.map(|name| (*name).to_owned()).collect()
    }
}
