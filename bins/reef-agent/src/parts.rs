//! What the tasks of a running agent share.
use crate::{
    context::Context, health::Health, keeper::KeeperHandle, news::Reporter, orders::Orders, scan::Engine,
    signatures::Updater,
};
use fleet_link::agent::{AgentOrders, AgentState, Linked};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// What the tasks of a running agent share. Clones are the same.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) context: Arc<Context>,
    pub(crate) state: Arc<AgentState>,
    pub(crate) health: Arc<Health>,
    pub(crate) engine: Engine,
    /// Whoever is to hear of what happens with malware.
    pub(crate) reporter: Reporter,
    /// Scans that were asked for.
    pub(crate) orders: Orders,
    /// What a controller can have every agent do.
    pub(crate) agent_orders: AgentOrders,
    /// How the server's side is.
    pub(crate) linked: Linked,
    /// Notified when a scan is wanted before it is due.
    pub(crate) wake: Arc<Notify>,
    /// What is known of clamd.
    pub(crate) keeper: KeeperHandle,
    /// What updates its signatures, by what is configured now.
    pub(crate) updater: watch::Receiver<Arc<Updater>>,
}
