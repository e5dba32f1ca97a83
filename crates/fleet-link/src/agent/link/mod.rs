//! The server's side of an agent: who it is there, what is delivered, that it is alive.
mod controller;
mod daemon;
mod document;
mod establish;
mod heartbeat;
mod identity;
mod lack;
mod profile;
mod serve;

use super::{AgentConfig, AgentContext, AgentHealth, AgentHooks, AgentState, Document, Linked};
use crate::{Delivery, DeliverySettings, KeyRotation, LinkStatus, Presence, Verbs};
use core_model::InstanceId;
use document::DocumentServer;
use fleet_wire::Profile;
use identity::Copied;
use state_sqlite::Outbox;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::ClientSettings;

/// What the server's side of an agent is made of.
pub struct AgentParts<C: AgentConfig> {
    /// Who it is, and by which configuration it goes.
    pub context: AgentContext<C>,
    /// Its state.
    pub state: Arc<AgentState>,
    /// What is told of it.
    pub health: Arc<AgentHealth>,
    /// What only the product knows.
    pub hooks: Arc<dyn AgentHooks>,
    /// What a controller can have it do.
    pub verbs: Verbs,
    /// How its configuration is said in the file-scanner document; `None` for a product that does not speak it.
    pub document: Option<Document<C>>,
    /// For the tasks beside it.
    pub linked: Linked,
    /// A file with a join token, from the command line; without it the variable of the product may hold one.
    pub join_token_file: Option<PathBuf>,
}

/// The server's side of an agent. Clones are the same.
pub struct Agent<C: AgentConfig>(Arc<AgentParts<C>>);

impl<C: AgentConfig> Clone for Agent<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A server, and this agent at it.
pub struct Membership<C: AgentConfig> {
    agent: Arc<AgentParts<C>>,
    /// How the server is reached, for what is asked of it besides delivery.
    reached: Option<Reached<C>>,
    /// `None` while the server that should enrol us cannot be reached: then everything waits in the outbox.
    connected: Option<Connected>,
    /// Where and on what this agent runs, as it was last looked at.
    profile: watch::Sender<Profile>,
    /// The credentials were given to another machine; only a daemon can find out what that means.
    copied: Option<Copied>,
    /// The controller says that another one with our key is there.
    is_doubled: watch::Sender<bool>,
    /// How the link to a fleet controller is, once there is one.
    controlled: OnceLock<watch::Receiver<LinkStatus>>,
}

struct Reached<C: AgentConfig> {
    settings: ClientSettings,
    /// `None` for a fleet controller.
    document: Option<Arc<DocumentServer<C>>>,
}

struct Connected {
    delivery: Delivery<Outbox>,
    presence: Presence,
    /// `None` where the key is of the configuration, or the agent has none.
    rotation: Option<KeyRotation>,
    /// It was said that the key cannot be renewed.
    is_key_fixed: AtomicBool,
    // Delivery rereads its settings at each round.
    settings: watch::Sender<DeliverySettings>,
    look_every: Duration,
}

impl<C: AgentConfig> Membership<C> {
    fn new(agent: &Arc<AgentParts<C>>, connected: Option<Connected>) -> Self {
        Self {
            agent: Arc::clone(agent),
            reached: None,
            connected,
            profile: watch::Sender::default(),
            copied: None,
            is_doubled: watch::Sender::new(false),
            controlled: OnceLock::new(),
        }
    }

    /// Has a run that does not stay up go by the configuration that a server of the file-scanner document gives.
    ///
    /// # Errors
    /// When the server's settings cannot be used.
    pub async fn sync_config(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        match &self.reached {
            Some(Reached {
                settings,
                document: Some(document),
            }) => document.sync(settings, stop).await,
            _ => Ok(()),
        }
    }

    /// Whether the server took records when it was last asked.
    pub fn is_answering(&self) -> bool {
        let status = self.connected.as_ref().map(|connected| connected.delivery.status());
        status.is_some_and(|status| status.borrow().is_answering())
    }

    /// Follows how the link to the controller is.
    fn watch(&self, status: watch::Receiver<LinkStatus>) {
        // There is one link for each of us.
        let _ = self.controlled.set(status);
    }

    /// Whether the link to the controller is up.
    fn is_controlled(&self) -> bool {
        let status = self.controlled.get();
        status.is_some_and(|status| status.borrow().connected.is_some())
    }
}

/// This start of the process.
fn instance() -> InstanceId {
    static INSTANCE: OnceLock<InstanceId> = OnceLock::new();
    *INSTANCE.get_or_init(|| {
        let mut random = [0; 10];
        // Without randomness the instant alone tells starts apart.
        let _ = getrandom::fill(&mut random);
        InstanceId::new(chrono::Utc::now(), random)
    })
}
