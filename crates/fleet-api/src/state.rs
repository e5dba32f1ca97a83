//! What the routes share.
use crate::{link::Links, throttle::Throttle};
use core_model::AgentId;
use fleet_core::Fleet;
use std::sync::Arc;
use transport_http::HealthRegistry;

/// What can be set about the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// The longest body in bytes, unpacked.
    pub max_body: usize,
    /// So many logins a minute are looked at from one address (of IPv6: from one /64), right or wrong.
    pub logins_per_minute: u32,
    /// So many claims a minute are taken from one network.
    pub claims_per_minute: u32,
    /// So many polls of claims a minute are answered to one network.
    pub polls_per_minute: u32,
    /// So many requests with messages of the link a minute are answered to one agent.
    pub messages_per_minute: u32,
    /// Whether it is reached by TLS, where `AppState::public_url` does not say.
    pub is_encrypted: bool,
}

impl Default for ApiSettings {
    /// 16 MiB, 20 logins, 10 claims and 300 polls a minute, 240 requests with messages of an agent, by plain HTTP.
    fn default() -> Self {
        Self {
            max_body: 16 << 20,
            logins_per_minute: 20,
            claims_per_minute: 10,
            polls_per_minute: 300,
            messages_per_minute: 240,
            is_encrypted: false,
        }
    }
}

/// What a router is made from.
pub struct AppState<S> {
    /// The fleet.
    pub fleet: Arc<Fleet<S>>,
    /// What `/health` shows.
    pub health: HealthRegistry,
    /// Renders `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The sockets of agents; whoever made it runs it.
    pub links: Links,
    /// Reads a text as a document that can be a configuration.
    pub read_config: ConfigReader,
    /// Where people and agents reach this controller, without a path; where it gives none, as the agent that asks did.
    pub public_url: PublicUrl,
    /// What can be set.
    pub settings: ApiSettings,
}

/// Gives the address that people and agents are told, as it is now.
pub type PublicUrl = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The document in a text, or what is wrong with a text that is none, for people: with line, column and remedy.
pub type ConfigReader = Arc<dyn Fn(&str) -> Result<serde_json::Value, String> + Send + Sync>;

/// What every handler gets. Cloned for each request, so it is small.
pub(crate) struct Shared<S> {
    pub(crate) fleet: Arc<Fleet<S>>,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) logins: Arc<Throttle>,
    pub(crate) claims: Arc<Throttle>,
    pub(crate) polls: Arc<Throttle>,
    pub(crate) messages: Arc<Throttle<AgentId>>,
    pub(crate) links: Links,
    pub(crate) read_config: ConfigReader,
    pub(crate) public_url: PublicUrl,
    pub(crate) is_encrypted: bool,
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self {
            fleet: Arc::clone(&self.fleet),
            metrics: Arc::clone(&self.metrics),
            logins: Arc::clone(&self.logins),
            claims: Arc::clone(&self.claims),
            polls: Arc::clone(&self.polls),
            messages: Arc::clone(&self.messages),
            links: self.links.clone(),
            read_config: Arc::clone(&self.read_config),
            public_url: Arc::clone(&self.public_url),
            is_encrypted: self.is_encrypted,
        }
    }
}
