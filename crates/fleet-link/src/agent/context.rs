//! Who an agent is, and by which configuration it goes.
use crate::{CredentialFile, DeliverySettings, Introduction, machine_id};
use daemon_kit::{
    CommonBoot, CommonLive,
    cli::Started,
    live::{Reload, ReloaderHandle},
};
use state_sqlite::Component;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// What is the same for every agent of a product.
#[derive(Clone, Copy, Debug)]
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
    /// Its own tables in the state.
    pub components: &'static [Component],
}

/// What of a product's settings the agent in it is started with.
pub trait BootSettings {
    /// The sections that every agent has.
    fn common(&self) -> &CommonBoot;
}

// Of a product that has none besides.
impl BootSettings for CommonBoot {
    fn common(&self) -> &CommonBoot {
        self
    }
}

/// What of a product's live settings the agent in it goes by. All of it is read anew at each round.
pub trait LiveSettings {
    /// The sections that every agent has. Another `server` has the link begin anew.
    fn common(&self) -> &CommonLive;

    /// Records a request; held to 1 … 1,000.
    fn batch_size(&self) -> usize {
        DeliverySettings::default().batch_size
    }

    /// Requests at once that deliver; held to 1 … 5. Another number has the link begin anew.
    fn concurrent_api_calls(&self) -> usize {
        DeliverySettings::default().concurrent_api_calls
    }
}

/// The configuration of a product that is an agent: every one whose settings say what the agent needs.
pub trait AgentConfig: Reload<Boot: BootSettings, Live: LiveSettings> + Send + Sync + 'static {}

impl<C: Reload<Boot: BootSettings, Live: LiveSettings> + Send + Sync + 'static> AgentConfig for C {}

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
    /// As this process was started.
    pub fn new(product: &'static Product, started: &Started<C>, reloader: ReloaderHandle<C>) -> Self {
        let hostname = started.around.hostname.clone();
        Self {
            product,
            name: reloader.boot().common().agent.name(&hostname, product.name),
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
