//! What the routes share.
use crate::throttle::Throttle;
use fleet_core::Fleet;
use std::sync::Arc;
use transport_http::HealthRegistry;

/// What can be set about the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// The longest body in bytes, unpacked.
    pub max_body: usize,
    /// So many logins a minute are looked at from one address (of IPv6: from one /64), right or wrong.
    pub logins_per_minute: u32,
}

impl Default for ApiSettings {
    /// 16 MiB, 20 logins.
    fn default() -> Self {
        Self {
            max_body: 16 << 20,
            logins_per_minute: 20,
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
    /// What can be set.
    pub settings: ApiSettings,
}

/// What every handler gets. Cloned for each request, so it is small.
pub(crate) struct Shared<S> {
    pub(crate) fleet: Arc<Fleet<S>>,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) logins: Arc<Throttle>,
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self {
            fleet: Arc::clone(&self.fleet),
            metrics: Arc::clone(&self.metrics),
            logins: Arc::clone(&self.logins),
        }
    }
}
